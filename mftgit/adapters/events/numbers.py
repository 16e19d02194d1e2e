"""The numbers of events: each member counts its own, and none is used twice, also when what had it is gone."""

import json
from typing import Final

from mftgit.adapters.sqlite import Connection
from mftgit.model.events.event import Event
from mftgit.model.names import MemberName

INSERT: Final = "INSERT INTO events (member, seq, body) VALUES (?, ?, ?)"
"""Writes down what `row_of` gives."""

_FLOOR: Final = "seq_floor"


def row_of(event: Event) -> tuple[str, int, str]:
    """Return what a log keeps of ``event``: ASCII only, as a search counts on."""
    return event.member, event.seq, json.dumps(event.as_json())


def last_number(connection: Connection, member: MemberName) -> int:
    """Return the highest number that ``member``, whose log this is, is known to have used."""
    (floor,) = connection.execute(
        "SELECT coalesce((SELECT value FROM progress WHERE name = ?), 0)", (_FLOOR,)
    ).fetchone()
    return max(last_seen(connection, member), int(floor))


def last_seen(connection: Connection, member: MemberName) -> int:
    """Return the highest number that an event of ``member`` had here, 0 where there was none."""
    (last,) = connection.execute(
        "SELECT coalesce(max(seq), 0) FROM events WHERE member = ?", (member,)
    ).fetchone()
    return max(int(last), removed(connection, member))


def removed(connection: Connection, member: MemberName) -> int:
    """Return the highest number of ``member``'s events that were removed here."""
    row = connection.execute(
        "SELECT value FROM progress WHERE name = 'removed/' || ?", (member,)
    ).fetchone()
    return int(row[0]) if row else 0


def raise_floor(connection: Connection, seq: int) -> None:
    """Have what comes next numbered above ``seq``, and above what it had to be so far."""
    connection.execute(
        "INSERT INTO progress VALUES (?, ?)"
        " ON CONFLICT (name) DO UPDATE SET value = max(value, excluded.value)",
        (_FLOOR, seq),
    )
