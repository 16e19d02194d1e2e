"""SQLite files that survive a crash and serve many threads and processes."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mftgit.errors import MftgitError

Connection = sqlite3.Connection

_BUSY_MS = 10_000
_LOOK_MS = 50
_LOG_PAGES = 1000  # SQLite's own
_LONG_LOG_PAGES = 10_000
_DAMAGED = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)


class DatabaseError(MftgitError):
    """The database file cannot be used."""


class DatabaseDamagedError(DatabaseError):
    """The file is there, and is no database, or a broken one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a table; no value of it comes from outside the code."""

    table: str
    name: str
    kind: str


class Database:
    """One file in WAL mode with a connection for each thread; a committed transaction is on disk."""

    def __init__(self, path: Path, schema: str, *, added: Sequence[Column] = ()) -> None:
        """Open or create ``path``; ``schema`` is a script of ``CREATE … IF NOT EXISTS``.

        Columns that tables of ``schema`` were given later are ``added`` where they are missing.

        Raises:
            DatabaseDamagedError: the file is no database.
            DatabaseError: it cannot be opened.
        """
        self._path = path
        self._local = threading.local()
        self._all: list[tuple[threading.Thread, sqlite3.Connection]] = []
        self._lock = threading.Lock()
        self._closed = False
        try:
            self._create(schema)
            for column in added:
                self._add(column)
        except sqlite3.Error as error:
            self.close()
            damaged = getattr(error, "sqlite_errorcode", None) in _DAMAGED
            raise (DatabaseDamagedError if damaged else DatabaseError)(
                f"{path}: {error}: see that this user may write there; a damaged file is restored from a backup"
            ) from error

    def _create(self, schema: str) -> None:
        """Make what is missing; in a new file all at once, which is one write to the disk instead of many."""
        connection = self._connection()
        (version,) = connection.execute("PRAGMA schema_version").fetchone()
        connection.executescript(schema if version else f"BEGIN IMMEDIATE;{schema};COMMIT")

    def _add(self, column: Column) -> None:
        connection = self._connection()
        connection.execute("BEGIN IMMEDIATE")  # another process may be about to add it
        if not _has(connection, column):
            connection.execute(f"ALTER TABLE {column.table} ADD COLUMN {column.name} {column.kind}")
        connection.execute("COMMIT")

    @contextmanager
    def write(self, *, flush: bool = True) -> Iterator[sqlite3.Connection]:
        """Give a connection in a write transaction; commit at the end, roll back on an exception.

        Without ``flush`` what is committed survives the end of the process, and a power cut only once a later
        transaction was flushed: transactions go to the disk in their order.
        """
        with self.read() as connection, _flushing(connection, flush):
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # SQLite may have done so by itself
                    connection.execute("ROLLBACK")
                raise

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
            for _, connection in self._all:
                connection.close()
            self._all.clear()

    def _close_left(self) -> None:
        """Close the connections of threads that have ended: some, as a probe's, live for less than a second."""
        left = [each for each in self._all if not each[0].is_alive()]
        for each in left:
            each[1].close()
            self._all.remove(each)

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            with self._lock:
                if self._closed:
                    raise sqlite3.ProgrammingError("it was closed")
                connection = sqlite3.connect(
                    self._path, isolation_level=None, check_same_thread=False
                )
                self._close_left()
                self._all.append((threading.current_thread(), connection))
            self._local.connection = connection
            connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
            _use_wal(connection)
            connection.execute("PRAGMA synchronous=FULL")
        return connection


@contextmanager
def _flushing(connection: Connection, flush: bool) -> Iterator[None]:  # noqa: FBT001  named where it is asked for
    if flush:
        yield
        return
    connection.execute("PRAGMA synchronous=NORMAL")
    # To bring the log into the file takes flushes too: others do it, unless there is no other for long.
    connection.execute(f"PRAGMA wal_autocheckpoint={_LONG_LOG_PAGES}")
    try:
        yield
    finally:
        connection.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")
        connection.execute("PRAGMA synchronous=FULL")


def _use_wal(connection: Connection) -> None:
    """Have the file in WAL mode; SQLite does not wait by itself for others who bring it there at the same time."""
    for left in reversed(range(_BUSY_MS // _LOOK_MS)):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or not left:
                raise
            threading.Event().wait(_LOOK_MS / 1000)
        else:
            return


def _has(connection: Connection, column: Column) -> bool:
    rows = connection.execute("SELECT name FROM pragma_table_info(?)", (column.table,))
    return any(name == column.name for (name,) in rows)
