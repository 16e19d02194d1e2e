"""A log that is trimmed while its member is killed, or its disk is full, has lost nothing that it did not count."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
from clocks import SetClock
from small_disk import fill, small_disk

from mftgit.adapters.events import index as event_index
from mftgit.adapters.events.index import read_block
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.sqlite import Database
from mftgit.errors import MftgitError
from mftgit.member.event_upkeep import EventUpkeep
from mftgit.model.events.event import EventName
from mftgit.model.events.retention import EventLimits
from mftgit.model.events.terms import terms
from mftgit.model.names import MemberName

ME = MemberName("me")
KILLS = 6
NORMAL, FULL = 1, 2  # https://sqlite.org/pragma.html#pragma_synchronous
TRIMS = """
import sys
from pathlib import Path
from mftgit.adapters.events import index as event_index
from mftgit.adapters.clock import SystemClock
from mftgit.adapters.events.store import EventStore
from mftgit.member.event_upkeep import EventUpkeep
from mftgit.model.events.retention import EventLimits
from mftgit.model.events.event import EventName
from mftgit.model.names import MemberName

event_index.BLOCK = 8
log = EventStore(Path(sys.argv[1]), member=MemberName("me"), now=SystemClock().now)
limits = EventLimits(member_max_bytes=20_000)
upkeep = EventUpkeep(log, limits=lambda: limits, is_controller=False, rest_s=0)
while True:
    print("goes on", flush=True)
    log.append_each(EventName.RUN_FINISHED, [{"text": "x" * 100}] * 40)
    log.append_each(EventName.RUN_FAILED, [{"text": "x" * 100}] * 2)
    upkeep.look()
"""


LEAVES = """
import os, signal, sys
from pathlib import Path
from mftgit.adapters.clock import SystemClock
from mftgit.adapters.events.store import EventStore
from mftgit.model.events.event import EventName
from mftgit.model.names import MemberName

log = EventStore(Path(sys.argv[1]), member=MemberName("me"), now=SystemClock().now)
for number in range(50):
    log.append_all([(EventName.UPLOAD_FINISHED, {"path": str(number)})], flush=False)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_not_flushed_is_there_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite"
    killed = subprocess.run([sys.executable, "-c", LEAVES, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    with closing(EventStore(path, member=ME, now=SetClock().now)) as log:
        found = [each.facts["path"] for _, each in log.after(0)]
    assert found == [str(number) for number in range(50)]


@pytest.mark.parametrize("fails", [False, True])
def test_what_comes_after_that_is_flushed_again(tmp_path: Path, fails: bool) -> None:  # noqa: FBT001
    with closing(Database(tmp_path / "a.sqlite", "CREATE TABLE IF NOT EXISTS a (b)")) as database:
        with suppress(ZeroDivisionError), database.write(flush=False) as connection:
            assert connection.execute("PRAGMA synchronous").fetchone() == (NORMAL,)
            assert 1 / (not fails)
        with database.write() as connection:
            assert connection.execute("PRAGMA synchronous").fetchone() == (FULL,)


def test_a_member_that_is_killed_while_it_trims_has_counted_every_event_that_is_gone(
    tmp_path: Path,
) -> None:
    path = tmp_path / "events.sqlite"
    for number in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", TRIMS, str(path)], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            for _ in range(1 + 2 * number):
                assert process.stdout.readline()
            time.sleep(0.02 + 0.05 * number)  # noqa: TID251  anywhere in its work
            process.send_signal(signal.SIGKILL)
        check(path, block=8)
    with closing(EventStore(path, member=ME, now=SetClock().now)) as log:
        assert log.keeping.dropped() > 0


def check(path: Path, *, block: int) -> None:
    """See that numbers, counts and index agree with what is there."""
    with closing(EventStore(path, member=ME, now=SetClock().now)) as log:
        last, dropped = log.last_seq(ME), log.keeping.dropped()
    with closing(sqlite3.connect(path)) as database:
        (left,) = database.execute("SELECT count(*) FROM events").fetchone()
        assert left + dropped == last
        size, event_index.BLOCK = event_index.BLOCK, block
        try:
            for number, events in database.execute("SELECT block, events FROM blocks").fetchall():
                rows = read_block(database, number)
                assert len(rows) == events
                found = database.execute("SELECT term FROM terms WHERE block = ?", (number,))
                meant = {each for _, event, _ in rows if event for each in terms(event)}
                assert {term for (term,) in found} == meant
        finally:
            event_index.BLOCK = size


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a disk")
def test_a_full_disk_keeps_the_log_as_it_was_until_there_is_room(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    with small_disk(folder, mib=24):
        limits = EventLimits(member_max_bytes=100_000)
        path = folder / "events.sqlite"
        with closing(EventStore(path, member=ME, now=SetClock().now)) as log:
            upkeep = EventUpkeep(log, limits=lambda: limits, is_controller=False, rest_s=0)
            log.append_each(EventName.RUN_FINISHED, [{"text": "x" * 1000}] * 3000)
            filler = fill(folder)

            def write_and_trim() -> None:
                for _ in range(20):
                    log.append_each(EventName.RUN_FINISHED, [{"text": "x" * 1000}] * 9000)
                    upkeep.look()

            with pytest.raises(MftgitError, match="full"):
                write_and_trim()
            filler.unlink()
            upkeep.look()
            assert log.keeping.size_bytes() <= 110_000
            assert log.append(EventName.RUN_FAILED).seq == log.last_seq(ME)
        check(path, block=event_index.BLOCK)
