"""The event log: append-only facts, numbered per member, kept in SQLite."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.events import index as event_index
from mftgit.adapters.events import trim as event_trim
from mftgit.adapters.events.numbers import (
    INSERT,
    last_number,
    last_seen,
    raise_floor,
    removed,
    row_of,
)
from mftgit.adapters.events.search import Searched, search
from mftgit.adapters.events.trim import EventKeeping
from mftgit.adapters.sqlite import Connection, Database
from mftgit.model.events.event import Event, EventName, Fact, parse_event
from mftgit.model.events.query import EventQuery
from mftgit.model.names import Epoch, MemberName, Revision

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    member TEXT NOT NULL, seq INTEGER NOT NULL, body TEXT NOT NULL,
    UNIQUE (member, seq)
);
CREATE TABLE IF NOT EXISTS progress (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS once (name TEXT PRIMARY KEY, position INTEGER NOT NULL);
"""


ACKNOWLEDGED: Final = "acknowledged"
"""How far the controller has taken in a member's events is told by `EventStore.progress` under this name."""

ROLLOUT: Final = "rollout"
"""How far the controller has looked at events for the roll-out."""


class EventStore:
    """Events of one member, or on the controller of all of them."""

    def __init__(self, path: Path, *, member: MemberName, now: Callable[[], datetime]) -> None:
        """Open or create the log at ``path``; ``member`` is who appends."""
        self._database = Database(path, _SCHEMA + event_index.SCHEMA + event_trim.SCHEMA)
        self._keeping = EventKeeping(self._database, member=member, now=now)
        self._member = member
        self._now = now
        self._written: Callable[[Sequence[Event]], None] = lambda _events: None

    def tell(self, written: Callable[[Sequence[Event]], None]) -> None:
        """Have ``written`` called with each fact of this member that is on disk, by the thread that wrote it."""
        self._written = written

    def append(
        self,
        event: EventName,
        *,
        revision: Revision | None = None,
        epoch: Epoch | None = None,
        facts: Mapping[str, Fact] | None = None,
        once: str | None = None,
    ) -> Event:
        """Write down a fact of this member and return it; it is on disk when this returns.

        With ``once``, the fact that was written under that name before is returned, and no other is written.
        """
        with self._database.write() as connection:
            if once is not None and (before := _once(connection, once)):
                return before
            fact = Event(
                member=self._member,
                seq=last_number(connection, self._member) + 1,
                at=rfc3339(self._now()),
                event=event,
                revision=revision,
                epoch=epoch,
                facts=facts or {},
            )
            done = connection.execute(INSERT, row_of(fact))
            if once is not None:
                connection.execute(
                    "INSERT OR REPLACE INTO once VALUES (?, ?)", (once, done.lastrowid)
                )
        self._written((fact,))
        return fact

    def append_each(
        self,
        event: EventName,
        facts: Sequence[Mapping[str, Fact]],
        *,
        revision: Revision | None = None,
        epoch: Epoch | None = None,
        epochs: Sequence[Epoch | None] = (),
    ) -> None:
        """Write one fact down for each of ``facts``: all of them are on disk when this returns, or none.

        ``epochs``: one for each of them, where they have not one ``epoch``.
        """
        each = zip(facts, epochs or [epoch] * len(facts), strict=True)
        self._append([(event, one, its) for one, its in each], revision)

    def append_all(
        self,
        facts: Sequence[tuple[EventName, Mapping[str, Fact]]],
        *,
        revision: Revision | None = None,
        flush: bool = True,
    ) -> None:
        """Write ``facts`` down in their order: all of them are on disk when this returns, or none.

        Without ``flush`` a power cut may lose them, as long as nothing else was written down after them.
        """
        self._append([(event, each, None) for event, each in facts], revision, flush=flush)

    def _append(
        self,
        facts: Sequence[tuple[EventName, Mapping[str, Fact], Epoch | None]],
        revision: Revision | None,
        *,
        flush: bool = True,
    ) -> None:
        with self._database.write(flush=flush) as connection:
            at, first = rfc3339(self._now()), last_number(connection, self._member) + 1
            made = [
                Event(
                    member=self._member,
                    seq=seq,
                    at=at,
                    event=event,
                    revision=revision,
                    epoch=epoch,
                    facts=each,
                )
                for seq, (event, each, epoch) in enumerate(facts, first)
            ]
            connection.executemany(INSERT, map(row_of, made))
        self._written(made)

    def collect(self, events: Sequence[Event]) -> int:
        """Take in events of other members, up to the first whose number another event has; return how many are here.

        One that is here already counts as taken in. Of a number that was removed here nobody can tell whether it was
        this event's, so that it counts as another's.
        """
        with self._database.write() as connection:
            for count, each in enumerate(events):
                made = row_of(each)
                row = connection.execute(
                    "SELECT body FROM events WHERE member = ? AND seq = ?", made[:2]
                ).fetchone()
                if row is None and each.seq > removed(connection, each.member):
                    connection.execute(INSERT, made)
                elif row is None or row[0] != made[2]:
                    return count
        return len(events)

    def renumber(self, position: int, *, above: int) -> None:
        """Give this member's events after ``position`` new numbers, above ``above`` and all that were used here."""
        with self._database.write() as connection:
            rows = connection.execute(
                "SELECT position, body FROM events WHERE position > ? AND member = ? ORDER BY position",
                (position, self._member),
            ).fetchall()
            first = max(above, last_number(connection, self._member)) + 1
            connection.executemany(
                "UPDATE events SET seq = ?, body = ? WHERE position = ?",
                [
                    (seq, json.dumps({**json.loads(body), "seq": seq}), place)
                    for seq, (place, body) in enumerate(rows, first)
                ],
            )
            raise_floor(connection, above)

    def after(self, position: int, *, limit: int = 1000) -> list[tuple[int, Event]]:
        """Return up to ``limit`` events written after ``position``, each with its own position."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT position, body FROM events WHERE position > ? ORDER BY position LIMIT ?",
                (position, limit),
            ).fetchall()
        return [(position, parse_event(json.loads(body))) for position, body in rows]

    def find(self, positions: Sequence[int]) -> list[tuple[int, Event]]:
        """Return the events at these positions, the newest first; those that are not here any more are missing."""
        marks = ", ".join("?" * len(positions))
        with self._database.read() as connection:
            rows = connection.execute(
                f"SELECT position, body FROM events WHERE position IN ({marks}) ORDER BY position DESC",  # noqa: S608  question marks
                tuple(positions),
            ).fetchall()
        return [(position, parse_event(json.loads(body))) for position, body in rows]

    def search(
        self,
        query: EventQuery,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 100,
    ) -> list[tuple[int, Event]]:
        """Return up to ``limit`` events that ``query`` asks for, each with its position.

        They come oldest first from those written after the position ``after``; without it newest first, from those
        written before the position ``before``.
        """
        return self.look(query, before=before, after=after, limit=limit).found

    def look(
        self,
        query: EventQuery,
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 100,
        within_s: float | None = None,
    ) -> Searched:
        """Do as `search` does, but for no longer than ``within_s``, and tell how far that came."""
        return search(
            self._database, query, before=before, after=after, limit=limit, within_s=within_s
        )

    @property
    def keeping(self) -> EventKeeping:
        """What lets go of old events."""
        return self._keeping

    def tell_dropped(self) -> Event | None:
        """Write down which events were lost to the bound since that was told last; None where none were."""
        fact = self._keeping.tell_dropped()
        if fact:
            self._written([fact])
        return fact

    def count_after(self, position: int) -> int:
        """Return how many events of this member were written after ``position``."""
        with self._database.read() as connection:
            (count,) = connection.execute(
                "SELECT count(*) FROM events WHERE position > ? AND member = ?",
                (position, self._member),
            ).fetchone()
        return int(count)

    def last_position(self) -> int:
        """Return the position of what was written last, 0 when nothing was."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT seq FROM sqlite_sequence WHERE name = 'events'"  # also where all were removed
            ).fetchone()
        return int(row[0]) if row else 0

    def last_seq(self, member: MemberName) -> int:
        """Return the highest number that an event of ``member`` had here, 0 when there was none."""
        with self._database.read() as connection:
            return last_seen(connection, member)

    def progress(self, name: str) -> int:
        """Return how far ``name`` has come: 0 at first."""
        with self._database.read() as connection:
            row = connection.execute(
                "SELECT value FROM progress WHERE name = ?", (name,)
            ).fetchone()
        return int(row[0]) if row else 0

    def advance(self, name: str, value: int) -> None:
        """Note that ``name`` has come as far as ``value``."""
        with self._database.write() as connection:
            connection.execute("INSERT OR REPLACE INTO progress VALUES (?, ?)", (name, value))

    def start_after(self, seq: int) -> None:
        """Number this member's next event above ``seq``: a member that joins anew reuses no number."""
        with self._database.write() as connection:
            raise_floor(connection, seq)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


def _once(connection: Connection, once: str) -> Event | None:
    """Return the event that was written under that name, also one that was removed since."""
    row = connection.execute(
        "SELECT body FROM events JOIN once USING (position) WHERE name = ?1"
        " UNION ALL SELECT body FROM once_removed WHERE name = ?1",
        (once,),
    ).fetchone()
    return None if row is None else parse_event(json.loads(row[0]))
