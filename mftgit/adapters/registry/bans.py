"""The bans that the controller knows of, beside its other records: they survive its restart."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from mftgit.adapters.sqlite import Connection, Database
from mftgit.model.inbound.bans import LONGEST_BAN_S, MOST_BANS, Ban, BanNews, Reported, bounded_s
from mftgit.model.names import MemberName, ServiceName

_SCHEMA = """
CREATE TABLE IF NOT EXISTS bans (
    source TEXT PRIMARY KEY, until REAL NOT NULL, number INTEGER NOT NULL UNIQUE,
    member TEXT NOT NULL, seq INTEGER NOT NULL, service TEXT NOT NULL, failures INTEGER NOT NULL,
    lifted INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS bans_changed (
    one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL
);
"""
_COLUMNS = "source, until, member, service, failures"


class BanRecords:
    """Bans by source. Every change has a number that is above all before; usable from many threads and processes.

    What was lifted is kept for as long as any ban lasts, so that who asks for changes learns of it.
    """

    def __init__(self, path: Path, *, now: Callable[[], datetime]) -> None:
        """Open or create the records at ``path``, which may hold other tables."""
        self._database = Database(path, _SCHEMA)
        self._now = now

    def take(self, bans: Sequence[Reported]) -> None:
        """Keep what members reported. A report that is here already changes nothing, nor does one that ends sooner."""
        now_s = self._now().timestamp()
        with self._database.write() as connection:
            for each in bans:
                if _is_news(connection, each, until=now_s + each.left_s):
                    connection.execute(
                        "INSERT OR REPLACE INTO bans VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
                        (
                            each.source,
                            now_s + each.left_s,
                            self._next(connection),
                            each.by,
                            each.seq,
                            each.service,
                            each.failures,
                        ),
                    )
            connection.execute("DELETE FROM bans WHERE until < ?", (now_s - LONGEST_BAN_S,))
            connection.execute(
                "DELETE FROM bans WHERE number IN"
                " (SELECT number FROM bans ORDER BY until DESC, number DESC LIMIT -1 OFFSET ?)",
                (MOST_BANS,),
            )

    def lift(self, source: str) -> None:
        """Let a source in again, from now on."""
        with self._database.write() as connection:
            connection.execute(
                "UPDATE bans SET until = min(until, ?), number = ?, lifted = 1 WHERE source = ?",
                (self._now().timestamp(), self._next(connection), source),
            )

    def in_force(self) -> list[Ban]:
        """Return the bans that have not ended; what ends first comes first."""
        now_s = self._now().timestamp()
        with self._database.read() as connection:
            rows = connection.execute(
                f"SELECT {_COLUMNS} FROM bans WHERE until > ? ORDER BY until",  # noqa: S608  our own words
                (now_s,),
            ).fetchall()
        return [_ban(row, now_s) for row in rows]

    def number(self) -> int:
        """Return the number of the last change, 0 where there was none."""
        with self._database.read() as connection:
            return _number(connection)

    def news(self, after: int, *, limit: int) -> BanNews:
        """Return up to ``limit`` bans that changed after the change ``after``; with 0, none that was lifted."""
        now_s = self._now().timestamp()
        with self._database.read() as connection:
            last = _number(connection)  # first: what changes meanwhile is told once more
            rows = connection.execute(
                f"SELECT {_COLUMNS}, number FROM bans WHERE number > ? AND (until > ? OR lifted AND ?)"  # noqa: S608  our own words
                " ORDER BY number LIMIT ?",
                (after, now_s, after > 0, limit),
            ).fetchall()
        more = len(rows) == limit
        bans = tuple(_ban(row[:-1], now_s) for row in rows)
        return BanNews(number=rows[-1][-1] if more else last, bans=bans, more=more)

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _next(self, connection: Connection) -> int:
        """Return the next number; it is at least the time, so that a restored backup gives none a second time."""
        number = max(_number(connection) + 1, int(self._now().timestamp() * 1000))
        connection.execute("INSERT OR REPLACE INTO bans_changed VALUES (1, ?)", (number,))
        return number


def _is_news(connection: Connection, ban: Reported, *, until: float) -> bool:
    row = connection.execute(
        "SELECT until, member, seq FROM bans WHERE source = ?", (ban.source,)
    ).fetchone()
    if row is None:
        return ban.left_s > 0
    return bool(until > row[0]) and not (row[1] == ban.by and row[2] >= ban.seq)


def _number(connection: Connection) -> int:
    row = connection.execute("SELECT number FROM bans_changed").fetchone()
    return int(row[0]) if row else 0


def _ban(row: tuple[Any, ...], now_s: float) -> Ban:
    source, until, member, service, failures = row
    return Ban(
        source=source,
        left_s=bounded_s(until - now_s),
        by=MemberName(member),
        service=ServiceName(service),
        failures=failures,
    )
