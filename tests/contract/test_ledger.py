"""The ledger on a disk: what it knows, what it lets go of, and what survives that."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from owned import term

from mftgit.adapters.clock import SystemClock, rfc3339
from mftgit.adapters.local.endpoint import open_local
from mftgit.member.outbound.given.context import Memory, RunContext
from mftgit.member.outbound.ownership.own import Ownership, OwnershipEndedError
from mftgit.member.outbound.records import ledger as module
from mftgit.member.outbound.records.intents import (
    RecordUnreadableError,
    StateUnavailableError,
    highest_epoch,
)
from mftgit.member.outbound.records.ledger import Ledger
from mftgit.member.outbound.runs.retention import tidy
from mftgit.model.configuration.config import (
    AfterSuccess,
    Cluster,
    Destination,
    Generation,
    Member,
    Role,
    Source,
    Transfer,
)
from mftgit.model.locations.location import LocalLocation
from mftgit.model.names import Epoch, LocationName, MemberName, TransferName
from mftgit.model.transfers.claim import ClaimId
from mftgit.model.transfers.ledger_line import Line, format_line, parse_line
from mftgit.model.transfers.triggers import WatchTrigger

HERE, THERE = LocationName("here"), LocationName("there")
CLOCK = SystemClock()
START = CLOCK.now()


class Later:
    """A clock that is so many days ahead, in both ways of telling the time."""

    def __init__(self, days: float) -> None:
        self._ahead = timedelta(days=days)

    def boottime(self) -> float:
        return CLOCK.boottime() + self._ahead.total_seconds()

    def now(self) -> datetime:
        return CLOCK.now() + self._ahead


def line(number: int, *, epoch: int = 1, made_by: int | None = None, path: str = "") -> Line:
    return Line(
        id=ClaimId(f"{made_by or epoch}-{number}-ff"),
        transfer=TransferName("t"),
        member=MemberName("m"),
        epoch=Epoch(epoch),
        revision=None,
        path=path or f"{number}.csv",
        destination=THERE,
        final="x",
        size_bytes=3,
        mtime_ns=number * 10**9,
        sha256="",
        started_at=rfc3339(START),
        ended_at=rfc3339(START),
    )


def context(
    root: Path, *, epoch: int = 1, days: float = 0, keep: int = 30, then: Callable[[], None] | None = None
) -> tuple[Transfer, RunContext]:  # fmt: skip
    class Owner(Ownership):
        def check(self) -> None:
            super().check()
            if then is not None:
                then()

    transfer = Transfer(
        name=TransferName("t"),
        source=Source(location=HERE),
        destination=Destination(location=THERE),
        trigger=WatchTrigger(),
        after_success=AfterSuccess.DELETE,
    )
    clock = Later(days)
    return transfer, RunContext(
        ownership=Owner(Epoch(epoch), term(clock)),
        member=MemberName("m"),
        revision=None,
        generation=Generation(
            cluster=Cluster(name="c", ledger_days=keep),
            member=Member(name=MemberName("m"), role=Role.NODE),
            locations={each: LocalLocation(name=each, path=each) for each in (HERE, THERE)},
        ),
        state=root,
        clock=clock,
        open_endpoint=lambda place, make: open_local(place, files_root=root, make=make),  # type: ignore[arg-type]
        record=lambda *_: None,
        memory=Memory(ledger=Ledger(root)),
    )


def kept(transfer: Transfer) -> Transfer:
    return replace(transfer, after_success=AfterSuccess.KEEP)


def fresh(root: Path) -> Ledger:
    made = Ledger(root)
    made.refresh()
    return made


def numbers(root: Path) -> list[int]:
    found = []
    for _, path in module.epoch_files(root / "ledger"):
        whole = map(parse_line, path.read_bytes().splitlines())
        found += [int(each.path.partition(".")[0]) for each in whole if each is not None]
    return found


@pytest.fixture
def few_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 5)


def test_lines_that_are_written_together_cost_one_write_and_one_flush(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path)
    ledger.append([line(0)])
    calls: list[str] = []
    for name in ("write", "fsync"):
        real = getattr(os, name)

        def counted(*args: object, real: Callable[..., object] = real, name: str = name) -> object:
            calls.append(name)
            return real(*args)

        monkeypatch.setattr(os, name, counted)
    ledger.append([line(number) for number in range(1, 40)])
    assert calls == ["write", "fsync"]
    monkeypatch.undo()
    assert ledger.delivered == fresh(tmp_path).delivered == 40
    ledger.append([])
    with pytest.raises(ValueError, match="epochs"):
        ledger.append([line(1, epoch=1), line(1, epoch=2)])


def test_a_write_that_a_full_disk_cuts_short_counts_as_far_as_its_lines_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path)
    real = os.write

    def short(descriptor: int, content: bytes) -> int:
        return real(descriptor, content[: len(format_line(line(1))) + 50])

    monkeypatch.setattr(os, "write", short)
    with pytest.raises(StateUnavailableError, match="bytes were written"):
        ledger.append([line(1), line(2)])
    monkeypatch.undo()
    ledger.refresh()
    assert (ledger.has(line(1).id), ledger.has(line(2).id)) == (True, False)
    ledger.append([line(2)])
    assert ledger.delivered == fresh(tmp_path).delivered == 2


def test_who_writes_knows_the_same_as_who_reads(tmp_path: Path) -> None:
    writer, since = Ledger(tmp_path), START - timedelta(days=1)
    some = [replace(line(number), sha256=f"{number:064x}", path="\udcff\n") for number in range(6)]
    some[1] = replace(some[1], skipped=True)
    assert not writer.contains(some[0].path, 3, 0)
    assert writer.delivery_of(some[0].sha256, since) is None
    for lines in (some[:2], some[2:3], some[3:]):
        writer.append(lines)
    reader = Ledger(tmp_path)
    reader.refresh()
    for ledger in (writer, reader):
        assert ledger.delivered == len(some) - 1
        for each in some:
            assert ledger.has(each.id)
            assert ledger.contains(each.path, each.size_bytes, each.mtime_ns)
            found = ledger.delivery_of(each.sha256, since)
            assert found == (None if each.skipped else each.id)


def test_who_writes_goes_on_behind_what_was_written_meanwhile(tmp_path: Path) -> None:
    writer, other = Ledger(tmp_path), Ledger(tmp_path)
    for number, ledger in enumerate((writer, writer, other, writer, other)):
        ledger.append([line(number)])
    assert writer.has(line(2).id)
    assert (writer.delivered, other.delivered) == (4, 5)
    writer.refresh()
    assert writer.delivered == 5


def test_a_delivery_that_two_epochs_wrote_down_counts_once(tmp_path: Path) -> None:
    for epoch in (1, 2, 10):
        Ledger(tmp_path).append([line(7, epoch=epoch, made_by=1), line(epoch, epoch=epoch)])
    assert fresh(tmp_path).delivered == 4


@pytest.mark.usefixtures("few_remembered")
def test_an_id_that_memory_let_go_of_is_found_on_the_disk(tmp_path: Path) -> None:
    Ledger(tmp_path).append([line(number) for number in range(20)])
    Ledger(tmp_path).append([line(number, epoch=3) for number in range(20)])
    ledger = fresh(tmp_path)
    assert all(ledger.has(line(number, epoch=epoch).id) for number in range(20) for epoch in (1, 3))
    assert not ledger.has(line(20).id)
    assert not ledger.has(ClaimId("no number"))
    Ledger(tmp_path).append([line(20, epoch=3, made_by=1)])
    ledger.refresh()
    assert ledger.has(line(20).id)  # which it was sure not to be there


@pytest.mark.usefixtures("few_remembered")
def test_an_id_that_was_just_made_is_not_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, there = context(tmp_path)
    there.memory.ledger.append([line(number) for number in range(20)])
    monkeypatch.setattr(module, "epoch_files", lambda _folder: pytest.fail("it looks on the disk"))
    assert not there.memory.ledger.has(there.make_id())


def test_memory_does_not_grow_with_the_history(tmp_path: Path) -> None:
    used = []
    for turn in range(3):
        Ledger(tmp_path).append([line(number) for number in range(turn * 3000, turn * 3000 + 3000)])
        used.append(memory_of_a_fresh_one(tmp_path, turn * 3000 + 3000))
    assert used[2] < used[0] * 1.1


MEMORY_OF_A_FRESH_ONE = """
import gc, sys, tracemalloc
from pathlib import Path
from mftgit.member.outbound.records import ledger

ledger.REMEMBERED = 100
tracemalloc.start()
made = ledger.Ledger(Path(sys.argv[1]))
made.refresh()
gc.collect()
print(made.delivered, tracemalloc.get_traced_memory()[0])
"""


def memory_of_a_fresh_one(folder: Path, delivered: int) -> int:
    """Return what a ledger takes that was read just now, in bytes.

    In a process of its own: of this one, what other threads and the measuring of coverage take would count, too.
    """
    env = {name: text for name, text in os.environ.items() if "COVERAGE" not in name}
    told = subprocess.run(
        [sys.executable, "-c", MEMORY_OF_A_FRESH_ONE, folder],
        env=env,
        check=True,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    counted, used = map(int, told.stdout.split())
    assert counted == delivered
    return used


@pytest.mark.parametrize("keeps", [True, False])
def test_files_are_known_again_also_where_nobody_said_that_this_would_be_asked(
    tmp_path: Path, *, keeps: bool
) -> None:
    Ledger(tmp_path).append([line(1)])
    ledger = Ledger(tmp_path, keeps=keeps)
    ledger.refresh()
    assert ledger.contains("1.csv", 3, 10**9)
    assert not ledger.contains("1.csv", 3, 10**9 + 1)
    assert ledger.delivered == 1


def test_old_lines_are_dropped_and_still_counted_and_readers_follow(tmp_path: Path) -> None:
    Ledger(tmp_path).append([line(1), line(2)])
    Ledger(tmp_path).append([line(2, epoch=2, made_by=1), line(3, epoch=2)])
    reader = fresh(tmp_path)
    assert tidy(*context(tmp_path, epoch=2, days=29)) == 0
    assert tidy(*context(tmp_path, epoch=2, days=31)) == 4
    assert numbers(tmp_path) == []
    ended_at = rfc3339(Later(31).now())
    young = [replace(line(number, epoch=2), ended_at=ended_at) for number in range(4, 9)]
    Ledger(tmp_path).append(young)  # longer than the file was when it was read
    reader.refresh()
    assert reader.delivered == fresh(tmp_path).delivered == 8
    assert tidy(*context(tmp_path, epoch=2, days=62)) == 5
    reader.refresh()
    assert reader.delivered == fresh(tmp_path).delivered == 8
    assert highest_epoch(tmp_path) == 2


def test_a_file_that_was_written_anew_and_has_grown_since_is_known_to_be_another(
    tmp_path: Path,
) -> None:
    Ledger(tmp_path).append([line(1)])
    reader = fresh(tmp_path)
    assert tidy(*context(tmp_path, days=31)) == 1
    Ledger(tmp_path).append([line(number) for number in range(2, 7)])
    reader.refresh()
    assert reader.delivered == 6
    assert all(reader.has(line(number).id) for number in range(2, 7))


def test_a_ledger_is_tidied_once_a_day_whoever_asks(tmp_path: Path) -> None:
    Ledger(tmp_path).append([line(1)])
    assert tidy(*context(tmp_path, days=29.5)) == 0
    assert tidy(*context(tmp_path, days=30.4)) == 0
    Ledger(tmp_path).append([line(2)])
    assert tidy(*context(tmp_path, days=30.6)) == 2
    # A clock that was far ahead does not put it off.
    (tmp_path / "ledger" / "tidied").write_text("2999-01-01T00:00:00.000Z", encoding="ascii")
    Ledger(tmp_path).append([line(3)])
    assert tidy(*context(tmp_path, days=30.7)) == 1


def test_what_a_kept_source_still_holds_is_known_for_ever(tmp_path: Path) -> None:
    transfer, there = context(tmp_path, days=1000)
    (tmp_path / "here").mkdir()
    os.utime(write(tmp_path / "here" / "1.csv"), ns=(10**9, 10**9))
    Ledger(tmp_path).append([line(1), line(2)])
    assert tidy(kept(transfer), there) == 1
    assert numbers(tmp_path) == [1]
    assert fresh(tmp_path).contains("1.csv", 3, 10**9)
    assert fresh(tmp_path).delivered == 2


def test_an_empty_source_may_be_one_that_is_not_mounted_and_a_missing_one_is_not_looked_into(
    tmp_path: Path,
) -> None:
    Ledger(tmp_path).append([line(1)])
    transfer, there = context(tmp_path, days=1000)
    with pytest.raises(Exception, match="here"):
        tidy(kept(transfer), there)
    (tmp_path / "here").mkdir()
    transfer, there = context(tmp_path, days=1000)
    assert tidy(kept(transfer), there) == 0
    assert numbers(tmp_path) == [1]


def test_where_a_record_cannot_be_read_nothing_is_forgotten(tmp_path: Path) -> None:
    Ledger(tmp_path).append([line(1), line(2)])
    (tmp_path / "intents" / "1").mkdir(parents=True)
    write(tmp_path / "intents" / "1" / f"{line(2).id}.json")
    with pytest.raises(RecordUnreadableError):
        tidy(*context(tmp_path, days=1000))
    assert numbers(tmp_path) == [1, 2]


def test_what_an_earlier_owner_writes_while_its_file_is_tidied_is_not_lost(tmp_path: Path) -> None:
    Ledger(tmp_path).append([line(1)])
    late = replace(line(5), ended_at=rfc3339(Later(1000).now()))
    transfer, there = context(
        tmp_path, epoch=2, days=1000, then=lambda: Ledger(tmp_path).append([late])
    )
    assert tidy(transfer, there) == 1
    assert numbers(tmp_path) == [5]
    assert fresh(tmp_path).delivered == 2


def test_an_owner_that_lost_the_transfer_leaves_the_ledger_as_it_was(tmp_path: Path) -> None:
    Ledger(tmp_path).append([line(1)])
    transfer, there = context(tmp_path, days=1000)
    there.ownership.lose()
    with pytest.raises(OwnershipEndedError):
        tidy(transfer, there)
    assert numbers(tmp_path) == [1]
    assert list((tmp_path / "ledger").glob(".*")) == []


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_fails_leaves_the_ledger_as_it_was_and_the_next_look_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "broken")

    Ledger(tmp_path).append([line(1)])
    transfer, there = context(tmp_path, days=1000)
    monkeypatch.setattr(os if call == "fsync" else Path, call, fail)
    with pytest.raises(StateUnavailableError, match="tidied"):
        tidy(transfer, there)
    monkeypatch.undo()
    assert numbers(tmp_path) == [1]
    write(tmp_path / "ledger" / ".1.jsonl.1.tidy")  # of one that was killed
    assert tidy(transfer, there) == 0  # not again within the hour
    assert tidy(*context(tmp_path, days=1000.1)) == 1
    assert fresh(tmp_path).delivered == 1


def test_the_file_of_a_higher_epoch_is_not_touched(tmp_path: Path) -> None:
    Ledger(tmp_path).append([line(1, epoch=3)])
    assert tidy(*context(tmp_path, epoch=2, days=1000)) == 0
    assert numbers(tmp_path) == [1]


def write(path: Path) -> Path:
    path.write_bytes(b"123")
    return path
