"""Let go of events, a block at a time, so that others who write do not wait long."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.events.index import (
    Row,
    block_of,
    find_blocks,
    first_open,
    last_position,
    open_blocks,
    read_block,
    reindex,
    seal,
    size_bytes,
)
from mftgit.adapters.events.numbers import INSERT, last_number, raise_floor, removed, row_of
from mftgit.adapters.sqlite import Connection, Database
from mftgit.model.events.event import Event, EventName
from mftgit.model.events.kinds import KINDS, Severity
from mftgit.model.events.retention import Dropped, Sweep, parse_dropped
from mftgit.model.events.terms import name_terms
from mftgit.model.names import MemberName

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS days (
    number INTEGER PRIMARY KEY AUTOINCREMENT, began_at REAL NOT NULL, position INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS dropped (
    one INTEGER PRIMARY KEY CHECK (one = 1), untold TEXT NOT NULL, total INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS once_removed (name TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS once_position ON once (position);
"""

_DAY: Final = timedelta(days=1)
_EVERY: Final = frozenset(Severity)


class EventKeeping:
    """What is done to an event log from time to time: its index grows, and what is old goes."""

    def __init__(
        self, database: Database, *, member: MemberName, now: Callable[[], datetime]
    ) -> None:
        """See to the log in ``database``, which is ``member``'s."""
        self._database = database
        self._member = member
        self._now = now

    def seal(self) -> bool:
        """Index the oldest events that are not; tell whether there were enough of them for that."""
        with self._database.write() as connection:
            return seal(connection)

    def note_day(self, *, keep: int) -> bool:
        """Note how far the log has come, once a day, to know what has been here for how many days, up to ``keep``.

        Tell whether it was time for that.
        """
        with self._database.write() as connection:
            return note_day(connection, self._now(), keep=keep)

    def last_of_day(self, days: int) -> int:
        """Return the position of the newest event that has been here for ``days`` days, 0 where none has."""
        with self._database.read() as connection:
            return last_of_day(connection, days)

    def remove(self, sweep: Sweep, start: int) -> int | None:
        """Remove some of what ``sweep`` takes from the block ``start`` on; return the next block, None at the end."""
        with self._database.read() as connection:
            block = find_block(connection, sweep, start)
        if block is None:
            return None
        with self._database.write() as connection:
            if sweep.until_bytes is not None and size_bytes(connection) <= sweep.until_bytes:
                return None
            remove(connection, block, sweep)
            raise_floor(connection, removed(connection, self._member))  # for earlier versions
        return block + 1

    def size_bytes(self) -> int:
        """Return how much the events take; the file is about a third larger."""
        with self._database.read() as connection:
            return size_bytes(connection)

    def last_position(self) -> int:
        """Return the highest position that an event was ever given, 0 before the first."""
        with self._database.read() as connection:
            return last_position(connection)

    def dropped(self) -> int:
        """Return how many events were lost to the bound, ever."""
        with self._database.read() as connection:
            return dropped(connection)[1]

    def tell_dropped(self) -> Event | None:
        """Write down which events were lost to the bound since that was told last; None where none were."""
        with self._database.write() as connection:
            lost, _ = dropped(connection)
            if not lost.total:
                return None
            fact = Event(
                member=self._member,
                seq=last_number(connection, self._member) + 1,
                at=rfc3339(self._now()),
                event=EventName.EVENTS_DROPPED,
                facts=lost.as_facts(),
            )
            connection.execute(INSERT, row_of(fact))
            told(connection)
        return fact


def note_day(connection: Connection, now: datetime, *, keep: int) -> bool:
    """Note how far the log has come, once a day, and forget of that what is older than ``keep`` days.

    A clock that is set forth or back by years makes one day of it: nothing grows old by a wrong clock.
    """
    row = connection.execute("SELECT number, began_at FROM days ORDER BY number DESC LIMIT 1")
    number, began_at = row.fetchone() or (0, None)
    if began_at is not None and abs(now.timestamp() - began_at) < _DAY.total_seconds():
        return False
    connection.execute(
        "INSERT INTO days (began_at, position) VALUES (?, ?)",
        (now.timestamp(), last_position(connection)),
    )
    connection.execute("DELETE FROM days WHERE number < ?", (number - keep,))
    return True


def last_of_day(connection: Connection, days: int) -> int:
    """Return the position of the newest event that has been here for ``days`` days, 0 where none has."""
    row = connection.execute(
        "SELECT position FROM days ORDER BY number DESC LIMIT 1 OFFSET ?", (days,)
    ).fetchone()
    return int(row[0]) if row else 0


def find_block(connection: Connection, sweep: Sweep, start: int) -> int | None:
    """Return the first block from ``start`` on that may have what ``sweep`` takes."""
    names = [name for name, kind in KINDS.items() if kind.severity in sweep.severities]
    wanted = () if sweep.severities == _EVERY else (name_terms(names),)
    last = block_of(sweep.to)
    for found in find_blocks(connection, start, last, wanted=wanted):
        return found
    return next(open_blocks(connection, start, last), None)


def remove(connection: Connection, block: int, sweep: Sweep) -> Sequence[Row]:
    """Remove what ``sweep`` takes of ``block`` and return it; it is counted where it is lost."""
    rows = read_block(connection, block)
    gone = [row for row in rows if _goes(row, sweep)]
    if not gone:
        return gone
    positions = json.dumps([position for position, _, _ in gone])
    _keep_numbers(connection, positions)
    connection.execute(
        "INSERT OR REPLACE INTO once_removed SELECT name, body FROM once JOIN events USING (position)"
        " WHERE position IN (SELECT value FROM json_each(?))",
        (positions,),
    )
    connection.execute(
        "DELETE FROM events WHERE position IN (SELECT value FROM json_each(?))", (positions,)
    )
    if block < first_open(connection):
        left = [row for row in rows if not _goes(row, sweep)]
        reindex(connection, block, before=rows, after=left)
    if sweep.is_loss:
        _count(connection, gone)
    return gone


def _goes(row: Row, sweep: Sweep) -> bool:
    position, event, _ = row
    if event is None:  # a newer version's; it goes with its block
        return sweep.severities == _EVERY and position <= sweep.to
    return sweep.takes(position, event)


def _keep_numbers(connection: Connection, positions: str) -> None:
    """Remember the highest number of each member that goes, so that none is ever used again."""
    connection.execute(
        "INSERT INTO progress SELECT 'removed/' || member, max(seq) FROM events"
        " WHERE position IN (SELECT value FROM json_each(?)) GROUP BY member"
        " ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
        (positions,),
    )


def _count(connection: Connection, gone: Sequence[Row]) -> None:
    lost, total = dropped(connection)
    for _, event, _ in gone:
        if event:
            lost = lost.and_also(event)
    _put(connection, lost, total + len(gone))


def dropped(connection: Connection) -> tuple[Dropped, int]:
    """Return what was lost since that was told last, and how many were lost in all."""
    row = connection.execute("SELECT untold, total FROM dropped").fetchone()
    return (Dropped(), 0) if row is None else (parse_dropped(json.loads(row[0])), int(row[1]))


def told(connection: Connection) -> None:
    """Note that what was lost was told."""
    _put(connection, Dropped(), dropped(connection)[1])


def _put(connection: Connection, lost: Dropped, total: int) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO dropped VALUES (1, ?, ?)", (json.dumps(lost.as_facts()), total)
    )
