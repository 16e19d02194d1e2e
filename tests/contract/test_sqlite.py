"""A database bears many threads, also those that come and go."""

import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest

from mftgit.adapters.sqlite import Database, DatabaseError


def test_threads_that_have_ended_hold_no_file_open(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    database = Database(path, "CREATE TABLE IF NOT EXISTS t (x INTEGER)")

    def add() -> None:
        with database.write() as connection:
            connection.execute("INSERT INTO t VALUES (1)")

    for _ in range(50):
        thread = threading.Thread(target=add)
        thread.start()
        thread.join()
    assert (
        held(path) <= 6
    )  # this thread's and the last one's, each with its log and that one's index
    with database.read() as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (50,)
    database.close()
    assert held(path) == 0


@pytest.mark.parametrize("flush", [True, False])
def test_a_commit_that_fails_leaves_nothing_behind_and_what_follows_is_flushed(
    tmp_path: Path,
    flush: bool,  # noqa: FBT001  a parameter of the test
) -> None:
    schema = (
        "CREATE TABLE IF NOT EXISTS t (x INTEGER PRIMARY KEY,"
        " y INTEGER REFERENCES t (x) DEFERRABLE INITIALLY DEFERRED)"
    )
    with closing(Database(tmp_path / "a.sqlite", schema)) as database:
        with database.read() as connection:
            connection.execute("PRAGMA foreign_keys=ON")
        with (
            pytest.raises(DatabaseError, match="FOREIGN KEY"),
            database.write(flush=flush) as connection,
        ):
            connection.execute("INSERT INTO t VALUES (1, 2)")  # which is seen at the commit
        with database.write(flush=flush) as connection:
            connection.execute("INSERT INTO t VALUES (3, 3)")
        with database.write() as connection:
            assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
            assert connection.execute("PRAGMA wal_autocheckpoint").fetchone() == (1000,)
            assert connection.execute("SELECT x FROM t").fetchall() == [(3,)]


def held(path: Path) -> int:
    """Return how many descriptors of this process are on ``path`` or its log."""
    found = 0
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # another thread's, or that of this list
            found += str(path) in str(each.readlink())
    return found
