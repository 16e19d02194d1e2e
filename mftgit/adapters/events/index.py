"""The index of the event log: for each block of positions, what its events are about.

An index of every event would be half as large as the log and slow down what is written. A block is indexed once, after
it is full; what is not indexed yet is looked through.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Final

from mftgit.adapters.sqlite import Connection
from mftgit.model.events.event import Event, parse_event
from mftgit.model.events.terms import terms

BLOCK = 1024
"""How many positions a block has."""

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS blocks (
    block INTEGER PRIMARY KEY, events INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
    first_at TEXT NOT NULL, last_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS terms (
    term INTEGER NOT NULL, block INTEGER NOT NULL, PRIMARY KEY (term, block)
) WITHOUT ROWID;
"""

_SEALED = "sealed"
_PAGE = 64

Row = tuple[int, Event | None, int]
"""Position, event, and the size of its body in bytes."""


def block_of(position: int) -> int:
    """Return the block that ``position`` is in."""
    return position // BLOCK


def first_of(block: int) -> int:
    """Return the first position of ``block``."""
    return block * BLOCK


def read_block(connection: Connection, block: int) -> list[Row]:
    """Return the events of ``block``, oldest first; None for one that this version cannot read."""
    rows = connection.execute(
        "SELECT position, body FROM events WHERE position >= ? AND position < ? ORDER BY position",
        (first_of(block), first_of(block + 1)),
    )
    return [(position, read(body), len(body)) for position, body in rows]


def read(body: str) -> Event | None:
    """Return the event in ``body``; None where a newer version wrote one that this one does not know."""
    try:
        return parse_event(json.loads(body))
    except ValueError:
        return None


def last_position(connection: Connection) -> int:
    """Return the highest position that was ever given, 0 before the first."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    return int(row[0]) if row else 0


def first_open(connection: Connection) -> int:
    """Return the first block that is not indexed."""
    row = connection.execute("SELECT value FROM progress WHERE name = ?", (_SEALED,)).fetchone()
    return int(row[0]) if row else 0


def seal(connection: Connection) -> bool:
    """Index the first block that is full and is not indexed; tell whether there was one."""
    block = first_open(connection)
    if last_position(connection) < first_of(block + 1):
        return False
    reindex(connection, block, before=(), after=read_block(connection, block))
    connection.execute("INSERT OR REPLACE INTO progress VALUES (?, ?)", (_SEALED, block + 1))
    return True


def reindex(
    connection: Connection, block: int, *, before: Sequence[Row], after: Sequence[Row]
) -> None:
    """Have ``block``, which had the events ``before``, in the index with ``after``."""
    old, new = _terms(before), _terms(after)
    connection.executemany(
        "DELETE FROM terms WHERE term = ? AND block = ?", [(each, block) for each in old - new]
    )
    connection.executemany(
        "INSERT OR IGNORE INTO terms VALUES (?, ?)", [(each, block) for each in new - old]
    )
    connection.execute("DELETE FROM blocks WHERE block = ?", (block,))
    if after:
        ats = [event.at for _, event, _ in after if event]
        sizes = sum(size for _, _, size in after)
        connection.execute(
            "INSERT INTO blocks VALUES (?, ?, ?, ?, ?)",
            (block, len(after), sizes, min(ats, default=""), max(ats, default="")),
        )


def _terms(rows: Sequence[Row]) -> set[int]:
    return {term for _, event, _ in rows if event for term in terms(event)}


def find_blocks(
    connection: Connection,
    low: int,
    high: int,
    *,
    wanted: Sequence[frozenset[int]] = (),
    span: tuple[str, str] = ("", ""),
    newest_first: bool = False,
) -> list[int]:
    """Return some of the indexed blocks from ``low`` to ``high`` that may have what is ``wanted``, none if none has.

    These are events within ``span``, with a number of each set of ``wanted``.
    """
    clauses, values = ["block BETWEEN ? AND ?"], [low, high, *filter(None, span)]
    clauses += ["last_at >= ?"] * bool(span[0]) + ["first_at < ?"] * bool(span[1])
    for each in wanted:
        marks = ", ".join("?" * len(each))
        clauses.append(
            "EXISTS (SELECT 1 FROM terms WHERE terms.block = blocks.block"  # noqa: S608  only marks
            f" AND term IN ({marks}))"
        )
        values += sorted(each)
    turned = "DESC" if newest_first else "ASC"
    rows = connection.execute(
        f"SELECT block FROM blocks WHERE {' AND '.join(clauses)}"  # noqa: S608  constants and marks
        f" ORDER BY block {turned} LIMIT {_PAGE}",
        values,
    )
    return [int(block) for (block,) in rows]


def size_bytes(connection: Connection) -> int:
    """Return how much the bodies of all events take."""
    (indexed,) = connection.execute("SELECT coalesce(sum(size_bytes), 0) FROM blocks").fetchone()
    (beyond,) = connection.execute(
        "SELECT coalesce(sum(length(body)), 0) FROM events WHERE position >= ?",
        (first_of(first_open(connection)),),
    ).fetchone()
    return int(indexed) + int(beyond)


def open_blocks(connection: Connection, low: int, high: int) -> Iterator[int]:
    """Give the blocks from ``low`` to ``high`` that are not indexed, oldest first."""
    top = min(high, block_of(last_position(connection)))
    yield from range(max(low, first_open(connection)), top + 1)
