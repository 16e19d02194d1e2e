"""A database bears many threads, also those that come and go."""

import threading
from pathlib import Path

from mftgit.adapters.sqlite import Database


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


def held(path: Path) -> int:
    """Return how many descriptors of this process are on ``path`` or its log."""
    every = [each for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    return sum(str(path) in str(each.readlink()) for each in every)
