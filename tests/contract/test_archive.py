"""What is done with a source file after its delivery, and how long an archive keeps it."""

import hashlib
import os
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from outbound_site import CLOCK, Crash, Owner, Site, site

from mftgit.adapters.endpoint.contract import EndpointRefusedError
from mftgit.adapters.local.endpoint import LocalEndpoint
from mftgit.member.outbound.given.context import Memory
from mftgit.member.outbound.runs.retention import tidy
from mftgit.member.outbound.runs.run import run_once
from mftgit.model.configuration.config import AfterSuccess, Overwrite
from mftgit.model.transfers.source import Checksum


class Later:
    """A clock that is so many days ahead."""

    def __init__(self, days: float) -> None:
        self._ahead = timedelta(days=days)

    def boottime(self) -> float:
        return CLOCK.boottime() + self._ahead.total_seconds()

    def now(self) -> datetime:
        return CLOCK.now() + self._ahead


@pytest.fixture
def there(tmp_path: Path) -> Site:
    for name in ("source", "target"):
        (tmp_path / name).mkdir()
    made = site(tmp_path, after=AfterSuccess.ARCHIVE, recursive=True)
    made.transfer = replace(made.transfer, archive_path="old/{date:%Y}", archive_days=30)
    made.paths = {name: "." if path == "source" else path for name, path in made.paths.items()}
    made.transfer = replace(made.transfer, source=replace(made.transfer.source, path="source"))
    return made


def days_later(there: Site, days: float, memory: Memory | None = None, *, epoch: int = 1) -> None:
    context = replace(there.context(epoch, memory), clock=Later(days))
    tidy(there.transfer, context)


def archived(there: Site) -> list[str]:
    top = there.root / "old"
    return sorted(path.name for path in top.rglob("*") if path.is_file())


def test_a_file_is_removed_when_it_was_in_the_archive_for_long_enough(there: Site) -> None:
    there.put("a.csv", b"1", mtime_ns=10**18)  # long before it came here
    there.put("deep/b.csv", b"2")
    assert there.run(1).files == 2
    assert archived(there) == ["a.csv", "b.csv"]
    days_later(there, 29)
    assert archived(there) == ["a.csv", "b.csv"]
    days_later(there, 31)
    assert archived(there) == []
    assert list((there.root / "old").iterdir()) == []  # the empty folders of the year
    assert there.delivered() == 2


def test_without_a_bound_an_archive_keeps_everything(there: Site) -> None:
    there.transfer = replace(there.transfer, archive_days=None)
    there.put("a.csv", b"1")
    there.run(1)
    days_later(there, 10_000)
    assert archived(there) == ["a.csv"]


def test_of_files_of_one_name_each_goes_in_its_time(there: Site) -> None:
    memory = there.memory()
    there.put("a.csv", b"1", mtime_ns=10**18)
    there.run(1, memory)
    there.transfer = replace(
        there.transfer, destination=replace(there.transfer.destination, overwrite=Overwrite.RENAME)
    )
    there.put("a.csv", b"2", mtime_ns=2 * 10**18)
    run_once(there.transfer, replace(there.context(1, memory), clock=Later(10)))
    first, second = archived(there)
    days_later(there, 31)
    assert archived(there) in ([first], [second])
    (left,) = (there.root / "old").rglob("a*.csv")
    assert left.read_bytes() == b"2"
    days_later(there, 42)
    assert archived(there) == []


def test_checksum_files_of_files_of_one_name_go_with_them(there: Site) -> None:
    memory = there.memory()
    there.transfer = replace(
        there.transfer,
        source=replace(there.transfer.source, checksum=Checksum(suffix=".sum")),
        destination=replace(there.transfer.destination, overwrite=Overwrite.OVERWRITE),
    )
    for number, content in enumerate((b"1", b"2")):
        there.put("a.csv", content, mtime_ns=10**18 + number)
        there.put("a.csv.sum", hashlib.sha256(content).hexdigest().encode())
        run_once(there.transfer, replace(there.context(1, memory), clock=Later(10 * number)))
    assert len(archived(there)) == 4
    days_later(there, 31)
    assert {path.read_bytes() for path in (there.root / "old").rglob("*.csv")} == {b"2"}
    assert len(archived(there)) == 2
    days_later(there, 42)
    assert archived(there) == []


def test_a_file_that_came_to_bear_the_name_stays(there: Site) -> None:
    there.put("a.csv", b"1", mtime_ns=10**18)
    there.run(1)
    (found,) = (there.root / "old").rglob("a.csv")
    found.unlink()
    found.write_bytes(b"somebody's own")
    days_later(there, 31)
    assert archived(there) == ["a.csv"]


def test_a_file_that_was_skipped_is_removed_too(there: Site) -> None:
    there.transfer = replace(
        there.transfer, destination=replace(there.transfer.destination, overwrite=Overwrite.SKIP)
    )
    (there.target / "a.csv").write_bytes(b"is here")
    there.put("a.csv", b"1", mtime_ns=10**18)
    there.run(1)
    assert archived(there) == ["a.csv"]
    days_later(there, 31)
    assert archived(there) == []


def test_the_ledger_keeps_what_the_archive_still_needs(there: Site) -> None:
    there.transfer = replace(there.transfer, archive_days=1000)
    there.put("a.csv", b"1")
    there.run(1)
    days_later(there, 900)  # a ledger keeps its lines for 400
    assert archived(there) == ["a.csv"]
    days_later(there, 1001)
    assert archived(there) == []
    days_later(there, 1003)
    assert [*there.memory().ledger.lines()] == []


def test_what_cannot_be_removed_is_tried_again(
    there: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    there.put("a.csv", b"1")
    there.run(1)

    def refuse(_self: LocalEndpoint, path: str) -> None:
        raise EndpointRefusedError(f"not {path}")

    with monkeypatch.context() as patched:
        patched.setattr(LocalEndpoint, "remove", refuse)
        with pytest.raises(EndpointRefusedError):
            days_later(there, 31)
    assert archived(there) == ["a.csv"]
    days_later(there, 31)
    assert archived(there) == []


def test_a_file_is_moved_into_the_place_of_an_older_one(there: Site) -> None:
    there.transfer = replace(
        there.transfer,
        after_success=AfterSuccess.MOVE,
        archive_path="done",
        archive_days=None,
        destination=replace(there.transfer.destination, overwrite=Overwrite.OVERWRITE),
    )
    for content in (b"1", b"2"):
        there.put("a.csv", content)
        assert there.run(1).files == 1
    assert [path.read_bytes() for path in (there.root / "done").iterdir()] == [b"2"]
    assert there.left_at_source() == []


def test_a_move_that_a_dead_owner_left_is_done_by_the_next(tmp_path: Path) -> None:
    for at in range(1, 30):
        root = tmp_path / str(at)
        for name in ("source", "target"):
            (root / name).mkdir(parents=True)
        there = site(root)
        there.transfer = replace(
            there.transfer, after_success=AfterSuccess.MOVE, archive_path=".mftgit-done"
        )
        there.put("a.csv", b"1")

        def die() -> None:
            raise Crash

        owner = Owner(1, at=at, then=die)
        try:
            there.run(owner)
        except Crash:
            there.run(2)
        assert os.listdir(there.source / ".mftgit-done") == ["a.csv"]  # noqa: PTH208  names
        assert there.records() == []
        assert there.delivered() == 1
