"""What was delivered is told out of the ledger, the newest first, whether the member runs or not."""

import json
import resource
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count, islice
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result
from member_folder import make_folder, say

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.main import mftgit
from mftgit.errors import ConfigError
from mftgit.member.outbound.records.history import newest_first
from mftgit.member.outbound.records.intents import StateUnavailableError
from mftgit.member.outbound.records.ledger import Ledger
from mftgit.model.names import Epoch, LocationName, MemberName, TransferName
from mftgit.model.transfers.claim import ClaimId
from mftgit.model.transfers.history import Asked
from mftgit.model.transfers.ledger_line import Line
from mftgit.resources import load_schemas

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)


def line(number: int, *, transfer: str = "t", epoch: int = 1, path: str | None = None) -> Line:
    return Line(
        id=ClaimId(f"{epoch}-{number}-ff"),
        transfer=TransferName(transfer),
        member=MemberName("one"),
        epoch=Epoch(epoch),
        revision=None,
        path=path or f"{number}.csv",
        destination=LocationName("there"),
        final=f"in/{number}.csv",
        size_bytes=1_500_000,
        mtime_ns=0,
        sha256="f" * 64,
        started_at=rfc3339(NOON + timedelta(minutes=number)),
        ended_at=rfc3339(NOON + timedelta(minutes=number, seconds=2)),
    )


@pytest.fixture
def folder(tmp_path: Path) -> StateFolder:
    return make_folder(tmp_path)


def ledger(folder: StateFolder, key: str = "t") -> Ledger:
    return Ledger(folder.root.parent / "files" / ".mftgit" / "transfers" / key)


def said(folder: StateFolder, *words: str) -> Result:
    return say(folder, "transfer", "history", *words)


def told(folder: StateFolder, *words: str) -> list[dict[str, Any]]:
    found = [json.loads(each) for each in said(folder, *words, "--json").stdout.splitlines()]
    rules = jsonschema.Draft202012Validator(load_schemas()["output-transfer-history"])
    for each in found:
        rules.validate(each)
    return found


def paths(found: list[dict[str, Any]]) -> list[str]:
    return [each["path"] for each in found]


def test_the_newest_delivery_comes_first_over_epochs_and_transfers(folder: StateFolder) -> None:
    for epoch, numbers in ((2, (1, 4)), (10, (6, 7))):
        ledger(folder).append([line(number, epoch=epoch) for number in numbers])
    ledger(folder, "own.one").append([line(number, transfer="own") for number in (3, 5, 8)])
    assert paths(told(folder)) == [f"{number}.csv" for number in (8, 7, 6, 5, 4, 3, 1)]
    assert paths(told(folder, "t")) == [f"{number}.csv" for number in (7, 6, 4, 1)]
    assert paths(told(folder, "own", "--limit", "2")) == ["8.csv", "5.csv"]
    assert paths(told(folder, "--since", "2026-11-28T12:04", "--until", "2026-11-28T12:07")) == [
        "6.csv",
        "5.csv",
        "4.csv",
    ]
    assert paths(told(folder, "--path", "[57].*")) == ["7.csv", "5.csv"]
    assert told(folder, "--skipped") == []


def test_people_see_sizes_rates_and_places_and_no_colour_in_a_pipe(folder: StateFolder) -> None:
    ledger(folder).append([line(1, path="bad\x1b[31m\nname"), line(2)])
    head, first, second = said(folder).stdout.splitlines()
    assert "path" in head
    assert "1.50 MB    750 kB/s        2.00 s" in first
    assert "2.csv -> there:in/2.csv" in first
    assert "bad\\x1b[31m\\nname" in second
    assert "\x1b" not in first + second + head


def test_what_was_cut_short_or_dropped_is_passed_over(folder: StateFolder) -> None:
    ledger(folder).append([line(1)])
    place = folder.root.parent / "files" / ".mftgit" / "transfers" / "t" / "ledger" / "1.jsonl"
    whole = place.read_bytes()
    place.write_bytes(b'{"at": "x", "dropped": 9}\n\n' + whole + b'{"id": "1-2-to')
    assert paths(told(folder)) == ["1.csv"]


def test_long_ledgers_are_read_in_blocks(folder: StateFolder) -> None:
    lines = [line(number, path=f"{number}-{'x' * (number % 700)}") for number in range(1500)]
    ledger(folder).append(lines)
    assert paths(told(folder)) == [each.path for each in reversed(lines)]


def test_only_as_much_is_read_as_is_asked_for(folder: StateFolder) -> None:
    ledger(folder).append([line(number) for number in range(5000)])
    place = folder.root.parent / "files" / ".mftgit" / "transfers" / "t" / "ledger"
    looked: list[int] = []
    found = newest_first([place], Asked(since=NOON + timedelta(minutes=4990)), passed=looked.append)
    assert len(list(found)) == 10
    assert looked == [1000]  # a day of clocks that differ


def test_a_transfer_that_has_no_ledger_is_named_with_a_way_out(folder: StateFolder) -> None:
    assert told(folder) == []
    with pytest.raises(ConfigError, match="no transfer nothing"):
        said(folder, "nothing")


def test_a_storage_that_cannot_be_read_is_told(folder: StateFolder) -> None:
    place = folder.root.parent / "files" / ".mftgit" / "transfers" / "t" / "ledger"
    (place / "1.jsonl").mkdir(parents=True)
    with pytest.raises(StateUnavailableError, match="cannot be read: Is a directory"):
        told(folder)


def test_more_transfers_than_files_may_be_open_are_told_as_that(
    folder: StateFolder, more_files: Callable[[int], None]
) -> None:
    for number in range(80):
        ledger(folder, f"t{number}").append([line(number)])
    more_files(50)
    with pytest.raises(StateUnavailableError, match="name one of them"):
        told(folder)


@pytest.fixture
def more_files() -> Iterator[Callable[[int], None]]:
    """Let this process open so many files more than it has open, whatever other tests have left open in it."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    def limit(more: int) -> None:
        opened = {int(each.name) for each in Path("/proc/self/fd").iterdir()}
        free = (each for each in count() if each not in opened)
        resource.setrlimit(resource.RLIMIT_NOFILE, (next(islice(free, more, None)), before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("words", [("--since", "soon"), ("--limit", "0"), ("UPPER",)])
def test_bad_words_are_usage_errors(folder: StateFolder, words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(mftgit, ["transfer", "history", *words, "--dir", str(folder.root)])
    assert done.exit_code == 2
