"""SQLite files that survive a crash and serve many threads and processes."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mftgit.errors import MftgitError

Connection = sqlite3.Connection

_BUSY_MS = 10_000


class DatabaseError(MftgitError):
    """The database file cannot be used."""


class Database:
    """One file in WAL mode with a connection for each thread; a committed transaction is on disk."""

    def __init__(self, path: Path, schema: str) -> None:
        """Open or create ``path``; ``schema`` is a script of ``CREATE … IF NOT EXISTS``.

        Raises:
            DatabaseError: the file cannot be opened or is no database.
        """
        self._path = path
        self._local = threading.local()
        self._all: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closed = False
        try:
            self._connection().executescript(schema)
        except sqlite3.Error as error:
            self.close()
            raise DatabaseError(
                f"{path}: {error}: see that this user may write there; a damaged file is restored from a backup"
            ) from error

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Give a connection in a write transaction; commit at the end, roll back on an exception."""
        with self.read() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Give this thread's connection."""
        try:
            yield self._connection()
        except sqlite3.Error as error:
            raise DatabaseError(f"{self._path}: {error}") from error

    def close(self) -> None:
        """Close every thread's connection."""
        with self._lock:
            self._closed = (
                True  # a thread that comes late must not open a connection that nobody closes
            )
            for connection in self._all:
                connection.close()
            self._all.clear()

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            with self._lock:
                if self._closed:
                    raise sqlite3.ProgrammingError("it was closed")
                connection = sqlite3.connect(
                    self._path, isolation_level=None, check_same_thread=False
                )
                self._all.append(connection)
            self._local.connection = connection
            connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
        return connection
