"""The event log: append-only facts, numbered per member, kept in SQLite."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.sqlite import Connection, Database
from mftgit.model.event_query import EventQuery
from mftgit.model.event_text import as_written
from mftgit.model.events import Event, EventName, Fact, parse_event
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

_MAX = 2**63 - 1
_LOOKED = 1000
_FLOOR = "seq_floor"
_INSERT = "INSERT INTO events (member, seq, body) VALUES (?, ?, ?)"


class EventStore:
    """Events of one member, or on the controller of all of them."""

    def __init__(self, path: Path, *, member: MemberName, now: Callable[[], datetime]) -> None:
        """Open or create the log at ``path``; ``member`` is who appends."""
        self._database = Database(path, _SCHEMA)
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
            row = connection.execute(
                "SELECT body FROM events JOIN once USING (position) WHERE name = ?", (once,)
            ).fetchone()
            if row is not None:
                return parse_event(json.loads(row[0]))
            fact = Event(
                member=self._member,
                seq=self._last(connection) + 1,
                at=rfc3339(self._now()),
                event=event,
                revision=revision,
                epoch=epoch,
                facts=facts or {},
            )
            done = connection.execute(_INSERT, _row(fact))
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
    ) -> None:
        """Write ``facts`` down in their order: all of them are on disk when this returns, or none."""
        self._append([(event, each, None) for event, each in facts], revision)

    def _append(
        self,
        facts: Sequence[tuple[EventName, Mapping[str, Fact], Epoch | None]],
        revision: Revision | None,
    ) -> None:
        with self._database.write() as connection:
            at, first = rfc3339(self._now()), self._last(connection) + 1
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
            connection.executemany(_INSERT, map(_row, made))
        self._written(made)

    def collect(self, events: Sequence[Event]) -> int:
        """Take in events of other members, up to the first whose number another event has; return how many are here.

        One that is here already counts as taken in.
        """
        with self._database.write() as connection:
            for count, each in enumerate(events):
                made = _row(each)
                row = connection.execute(
                    "SELECT body FROM events WHERE member = ? AND seq = ?", made[:2]
                ).fetchone()
                if row is None:
                    connection.execute(_INSERT, made)
                elif row[0] != made[2]:
                    return count
        return len(events)

    def renumber(self, position: int, *, above: int) -> None:
        """Give this member's events after ``position`` new numbers, above ``above`` and all that were used here."""
        with self._database.write() as connection:
            rows = connection.execute(
                "SELECT position, body FROM events WHERE position > ? AND member = ? ORDER BY position",
                (position, self._member),
            ).fetchall()
            first = max(above, self._last(connection)) + 1
            connection.executemany(
                "UPDATE events SET seq = ?, body = ? WHERE position = ?",
                [
                    (seq, json.dumps({**json.loads(body), "seq": seq}), place)
                    for seq, (place, body) in enumerate(rows, first)
                ],
            )
            connection.execute("INSERT OR REPLACE INTO progress VALUES (?, ?)", (_FLOOR, above))

    def after(self, position: int, *, limit: int = 1000) -> list[tuple[int, Event]]:
        """Return up to ``limit`` events written after ``position``, each with its own position."""
        with self._database.read() as connection:
            rows = connection.execute(
                "SELECT position, body FROM events WHERE position > ? ORDER BY position LIMIT ?",
                (position, limit),
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
        turned = "ASC" if after is not None else "DESC"
        low, high = after if after is not None else -1, before if before is not None else _MAX
        clauses, values = _needed(query)
        asked = (
            f"SELECT position, body FROM events WHERE position > ? AND position < ?{clauses}"  # noqa: S608  constants
            f" ORDER BY position {turned} LIMIT ?"
        )
        found: list[tuple[int, Event]] = []
        while low < high:
            with self._database.read() as connection:
                rows = connection.execute(asked, (low, high, *values, _LOOKED)).fetchall()
            for position, body in rows:
                event = parse_event(json.loads(body))
                if query.matches(event):
                    found.append((position, event))
                    if len(found) >= limit:
                        return found
            if len(rows) < _LOOKED:
                return found
            low, high = (rows[-1][0], high) if after is not None else (low, rows[-1][0])
        return found

    def count_after(self, position: int) -> int:
        """Return how many events of this member were written after ``position``."""
        with self._database.read() as connection:
            (count,) = connection.execute(
                "SELECT count(*) FROM events WHERE position > ? AND member = ?",
                (position, self._member),
            ).fetchone()
        return int(count)

    def last_seq(self, member: MemberName) -> int:
        """Return the highest number of ``member``'s events here, 0 when there is none."""
        with self._database.read() as connection:
            (last,) = connection.execute(
                "SELECT coalesce(max(seq), 0) FROM events WHERE member = ?", (member,)
            ).fetchone()
        return int(last)

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
        self.advance(_FLOOR, seq)

    def _last(self, connection: Connection) -> int:
        """Return the highest number that this member is known to have used."""
        (last,) = connection.execute(
            "SELECT max("
            " coalesce((SELECT max(seq) FROM events WHERE member = ?), 0),"
            " coalesce((SELECT value FROM progress WHERE name = ?), 0))",
            (self._member, _FLOOR),
        ).fetchone()
        return int(last)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


def _needed(query: EventQuery) -> tuple[str, list[object]]:
    """Return conditions that every row fulfils that ``query`` asks for, and their values; others may do so too."""
    clauses, values = [], list[object]()
    if query.members:
        clauses.append(f"member IN ({', '.join('?' * len(query.members))})")
        values += sorted(query.members)
    if query.names is not None:
        clauses.append(f"json_extract(body, '$.event') IN ({', '.join('?' * len(query.names))})")
        values += sorted(each.value for each in query.names)
    for word in query.words:
        for piece in as_written(word):
            clauses.append("body LIKE ? ESCAPE '!'")
            values.append(f"%{piece.replace('!', '!!').replace('%', '!%').replace('_', '!_')}%")
    return "".join(f" AND {each}" for each in clauses), values


def _row(event: Event) -> tuple[str, int, str]:
    return event.member, event.seq, json.dumps(event.as_json())
