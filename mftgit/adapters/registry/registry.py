"""What only the controller knows: operators, members, invitations, the head pointer, the roll-out, last reports."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.registry.carried import read_carried, write_carried
from mftgit.adapters.registry.members import MemberRows
from mftgit.adapters.registry.operators import OperatorRows
from mftgit.adapters.sqlite import Column, Connection, Database
from mftgit.model.members.messages import Head
from mftgit.model.names import Revision
from mftgit.model.rollout.rollout import Progress, format_progress, parse_progress

_SCHEMA = """
CREATE TABLE IF NOT EXISTS operators (
    name TEXT PRIMARY KEY, password_hash TEXT NOT NULL, added_at TEXT NOT NULL,
    role TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS members (
    name TEXT PRIMARY KEY, role TEXT NOT NULL, public_key TEXT,
    token_hash TEXT, token_until REAL, added_at TEXT NOT NULL,
    status TEXT, last_seen REAL
);
CREATE TABLE IF NOT EXISTS head (
    one INTEGER PRIMARY KEY CHECK (one = 1), oid TEXT NOT NULL, seq INTEGER NOT NULL,
    issued_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS replaced (
    one INTEGER PRIMARY KEY CHECK (one = 1), incarnation INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS settling (one INTEGER PRIMARY KEY CHECK (one = 1));
CREATE TABLE IF NOT EXISTS broken_glass (
    one INTEGER PRIMARY KEY CHECK (one = 1), revision TEXT NOT NULL, who TEXT NOT NULL,
    reason TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS rollout (
    one INTEGER PRIMARY KEY CHECK (one = 1), progress TEXT NOT NULL
);
"""
_ADDED = (
    Column(table="members", name="next_key", kind="TEXT"),
    Column(table="members", name="cut_off", kind="REAL"),
    Column(table="members", name="lost", kind="INTEGER"),
    Column(table="head", name="incarnation", kind="INTEGER"),
    Column(table="head", name="warrant", kind="TEXT"),
)

_HEAD = "SELECT oid, seq, issued_at, incarnation, warrant FROM head"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenGlass:
    """A revision that ``who`` published without the approvals that were asked for."""

    revision: Revision
    who: str
    reason: str


class Registry(OperatorRows, MemberRows):
    """The controller's own records; usable from many threads, and by the CLI beside a running controller."""

    def __init__(self, path: Path, *, now: Callable[[], datetime]) -> None:
        """Open or create the records at ``path``."""
        self._database = Database(path, _SCHEMA, added=_ADDED)
        self._now = now

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    # The roll-out

    def rollout(self) -> Progress | None:
        """Return where the roll-out of the newest revision stands."""
        with self._database.read() as connection:
            return _progress(connection)

    def change_rollout(self, step: Callable[[Progress | None], Progress | None]) -> Progress | None:
        """Let ``step`` say where the roll-out stands, from where it stood, and return that; nobody comes between."""
        with self._database.write() as connection:
            before = _progress(connection)
            after = step(before)
            if after is not None and after != before:
                connection.execute(
                    "INSERT OR REPLACE INTO rollout VALUES (1, ?)", (format_progress(after),)
                )
        return after

    # What was published without approvals

    def note_glass(self, glass: BrokenGlass) -> None:
        """Keep in mind what was published last without the approvals that were asked for."""
        with self._database.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO broken_glass VALUES (1, ?, ?, ?)",
                (glass.revision, glass.who, glass.reason),
            )

    def glass(self) -> BrokenGlass | None:
        """Return what was published last without the approvals that were asked for."""
        with self._database.read() as connection:
            row = connection.execute("SELECT revision, who, reason FROM broken_glass").fetchone()
        return BrokenGlass(revision=Revision(row[0]), who=row[1], reason=row[2]) if row else None

    # The head pointer

    def head(self) -> Head | None:
        """Return where the published branch was last said to stand."""
        with self._database.read() as connection:
            row = connection.execute(_HEAD).fetchone()
        return _head(row) if row else None

    def raise_head(self, oid: Revision) -> Head:
        """Say that the published branch stands at ``oid``; ``seq`` rises with each call.

        It is at least the time in milliseconds. So it is above every number that was given before, also where this
        database was put back from a backup, or lost; and where the clock was set back it goes on by one.
        """
        now = self._now()
        with self._database.write() as connection:
            row = connection.execute(_HEAD).fetchone()
            before = _head(row) if row else None
            following = before.seq + 1 if before else 1
            head = Head(
                oid=oid,
                seq=max(following, int(now.timestamp() * 1000)),
                issued_at=rfc3339(now),
                incarnation=before.incarnation if before else 0,
                warrant=before.warrant if before else "",
            )
            _put_head(connection, head)
        return head

    def begin(self, head: Head) -> None:
        """Let a controller that was restored begin with ``head``: its number, and its incarnation."""
        with self._database.write() as connection:
            _put_head(connection, head)

    # Replacement

    def replaced_by(self) -> int | None:
        """Return the incarnation that has taken this controller's place, None where none has."""
        with self._database.read() as connection:
            row = connection.execute("SELECT incarnation FROM replaced").fetchone()
        return int(row[0]) if row else None

    def replaced(self, incarnation: int) -> None:
        """Keep in mind that another controller has taken this one's place."""
        with self._database.write() as connection:
            connection.execute("INSERT OR REPLACE INTO replaced VALUES (1, ?)", (incarnation,))

    def settles(self) -> bool:
        """Tell whether it is not known yet that no member has a newer revision than this restored controller."""
        with self._database.read() as connection:
            return connection.execute("SELECT 1 FROM settling").fetchone() is not None

    def settle(self, *, begin: bool = False) -> None:
        """Begin to wait for every member's word, or wait no more."""
        with self._database.write() as connection:
            connection.execute("DELETE FROM settling")
            if begin:
                connection.execute("INSERT INTO settling VALUES (1)")

    # What outlives it

    def carried(self) -> dict[str, list[dict[str, Any]]]:
        """Return what has to outlive this database: members, operators and the roll-out, with all their columns.

        What passes is left out: invitations, reports and signs of life.
        """
        with self._database.read() as connection:
            return read_carried(connection)

    def take_over(self, carried: Mapping[str, list[dict[str, Any]]]) -> None:
        """Fill this database, which is new, with what `carried` gave.

        Tables are to be there, as all who keep theirs here make them; columns that are not known are left out.
        """
        with self._database.write() as connection:
            write_carried(connection, carried)


def _progress(connection: Connection) -> Progress | None:
    row = connection.execute("SELECT progress FROM rollout").fetchone()
    return parse_progress(row[0]) if row else None


def _head(row: Any) -> Head:
    oid, seq, issued_at, incarnation, warrant = row
    return Head(
        oid=Revision(oid),
        seq=seq,
        issued_at=issued_at,
        incarnation=incarnation or 0,
        warrant=warrant or "",
    )


def _put_head(connection: Connection, head: Head) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO head (one, oid, seq, issued_at, incarnation, warrant)"
        " VALUES (1, ?, ?, ?, ?, ?)",
        (head.oid, head.seq, head.issued_at, head.incarnation, head.warrant),
    )
