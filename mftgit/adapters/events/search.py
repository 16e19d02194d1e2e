"""Look through the event log: block by block, and only through blocks that may have what is asked for."""

import json
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from mftgit.adapters.events.index import block_of, find_blocks, first_of, open_blocks, read
from mftgit.adapters.sqlite import Connection, Database
from mftgit.model.events.event import Event
from mftgit.model.events.query import EventQuery
from mftgit.model.events.terms import needed
from mftgit.model.events.text import as_written

_MAX: Final = 2**62
_MAX_LOOKED_FOR: Final = 3
"""So many texts are found in a body in the time in which SQLite reads it as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """What a search has found; it has looked through everything up to the position ``reached``.

    It goes on from there, with ``before`` or ``after`` as before, unless ``is_whole``: there is nothing beyond it.
    """

    found: list[tuple[int, Event]]
    reached: int
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """Positions between ``low`` and ``high``, neither of them included, and from which end they are looked at."""

    low: int
    high: int
    newest_first: bool

    def blocks(self) -> tuple[int, int]:
        """Return the first and the last block that may have such a position."""
        return block_of(max(self.low + 1, 0)), block_of(self.high - 1)


def search(
    database: Database,
    query: EventQuery,
    *,
    before: int | None,
    after: int | None,
    limit: int,
    within_s: float | None,
    clock: Callable[[], float] = time.monotonic,
) -> Searched:
    """Look for up to ``limit`` events for as long as ``within_s``, at least through one block."""
    way = _Way(
        low=-1 if after is None else after,
        high=_MAX if before is None else min(before, _MAX),
        newest_first=after is None,
    )
    until = None if within_s is None else clock() + within_s
    found: list[tuple[int, Event]] = []
    for block in _blocks(database, query, way):
        found += _look(database, query, block, way, limit - len(found))
        if len(found) >= limit:
            return Searched(found=found, reached=found[-1][0], is_whole=False)
        if until is not None and clock() >= until:
            edge = first_of(block) if way.newest_first else first_of(block + 1) - 1
            return Searched(found=found, reached=edge, is_whole=False)
    return Searched(found=found, reached=way.low if way.newest_first else way.high, is_whole=True)


def _blocks(database: Database, query: EventQuery, way: _Way) -> Iterator[int]:
    """Give the blocks that may have what ``query`` asks for, in the order of ``way``."""
    if query.names is not None and not query.names:
        return
    low, high = way.blocks()
    with database.read() as connection:
        beyond = list(open_blocks(connection, low, high))
    indexed = _indexed(database, query, low, min(high, beyond[0] - 1) if beyond else high, way)
    if way.newest_first:
        yield from reversed(beyond)
        yield from indexed
    else:
        yield from indexed
        yield from beyond


def _indexed(
    database: Database, query: EventQuery, low: int, high: int, way: _Way
) -> Iterator[int]:
    wanted = needed(query)
    while low <= high:
        with database.read() as connection:
            page = find_blocks(
                connection,
                low,
                high,
                wanted=wanted,
                span=query.span,
                newest_first=way.newest_first,
            )
        if not page:
            return
        yield from page
        low, high = (low, page[-1] - 1) if way.newest_first else (page[-1] + 1, high)


def _look(
    database: Database, query: EventQuery, block: int, way: _Way, limit: int
) -> list[tuple[int, Event]]:
    found: list[tuple[int, Event]] = []
    with database.read() as connection, closing(_rows(connection, query, block, way)) as rows:
        for position, body in rows:
            event = read(body)
            if event and query.matches(event):
                found.append((position, event))
                if len(found) >= limit:
                    break
    return found


def _rows(
    connection: Connection, query: EventQuery, block: int, way: _Way
) -> Generator[tuple[int, str], None, None]:
    clauses, values = _needed(query)
    turned = "DESC" if way.newest_first else "ASC"
    cursor = connection.execute(
        f"SELECT position, body FROM events WHERE position >= ? AND position < ?{clauses}"  # noqa: S608  constants
        f" ORDER BY position {turned}",
        (max(first_of(block), way.low + 1), min(first_of(block + 1), way.high), *values),
    )
    with closing(cursor):
        yield from cursor


def _needed(query: EventQuery) -> tuple[str, list[object]]:
    """Return conditions that every row fulfils that ``query`` asks for, and their values; others may do so too.

    A body is what ``json.dumps`` gives, so that a field of it is found as text, which is faster.
    """
    clauses, values = list[str](), list[object]()
    if query.members:
        clauses.append(f"member IN ({', '.join('?' * len(query.members))})")
        values += sorted(query.members)
    if query.names is not None and len(query.names) > _MAX_LOOKED_FOR:
        clauses.append(f"json_extract(body, '$.event') IN ({', '.join('?' * len(query.names))})")
        values += sorted(each.value for each in query.names)
    for fields in _fields(query):
        either = " OR ".join(["instr(body, ?)"] * len(fields))
        clauses.append(f"({either})")
        values += fields
    for word in query.words:
        for piece in as_written(word):
            clauses.append("body LIKE ? ESCAPE '!'")
            values.append(f"%{piece.replace('!', '!!').replace('%', '!%').replace('_', '!_')}%")
    return "".join(f" AND {each}" for each in clauses), values


def _fields(query: EventQuery) -> Iterator[list[str]]:
    """Give texts of which a body has at least one each."""
    if query.component is not None:
        yield [_field(query.component.kind, query.component.name)]
    if query.account is not None:
        yield [_field("account", query.account)]
    if query.epoch is not None:
        yield [_field("epoch", query.epoch)]
    if query.revision is not None:
        yield [_field("revision", query.revision)[:-1]]
    if query.names is not None and len(query.names) <= _MAX_LOOKED_FOR:
        yield [_field("event", each.value) for each in query.names]


def _field(key: str, value: object) -> str:
    return json.dumps({key: value})[1:-1]
