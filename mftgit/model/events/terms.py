"""What an index over blocks of events holds: numbers for what the events of a block are about."""

import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

from mftgit.model.events.event import Event, EventName
from mftgit.model.events.kinds import Component, account, component
from mftgit.model.events.query import EventQuery

_PREFIX: Final = 4
"""How much of a revision is in the index; what begins with it is told apart by looking."""

_MAX_PAIRS: Final = 300


@lru_cache(maxsize=16_384)
def term(kind: str, value: str, event: str = "") -> int:
    """Return a signed 64-bit number for events about ``value``, or for those of them that are called ``event``.

    Two different ones hardly ever share a number; where they do, a search looks once in vain.
    """
    digest = hashlib.blake2b(f"{kind}\0{value}\0{event}".encode(errors="surrogatepass"))
    return int.from_bytes(digest.digest()[:8], "big", signed=True)


def terms(event: Event) -> frozenset[int]:
    """Return the numbers under which ``event`` is found."""
    return frozenset(_terms(event))


def name_terms(names: Iterable[EventName]) -> frozenset[int]:
    """Return the numbers of events that have one of ``names``."""
    return frozenset(term("event", each.value) for each in names)


def needed(query: EventQuery) -> tuple[frozenset[int], ...]:
    """Return sets of numbers: every event that ``query`` asks for has at least one of each."""
    return tuple(_needed(query))


def _subjects(event: Event) -> Iterator[tuple[str, str]]:
    yield "member", event.member
    if found := component(event):
        yield "component", str(found)
    if name := account(event):
        yield "account", name


def _terms(event: Event) -> Iterator[int]:
    name = event.event.value
    yield term("event", name)
    for kind, value in _subjects(event):
        yield term(kind, value)
        yield term(kind, value, name)
    if event.revision:
        yield term("revision", event.revision[:_PREFIX])
    if event.epoch is not None:
        yield term("epoch", str(event.epoch))


def _needed(query: EventQuery) -> Iterator[frozenset[int]]:
    names = query.names
    if names is not None:
        yield name_terms(names)
    for kind, values in _asked(query.component, query.account, query.members):
        if names is not None and len(names) * len(values) <= _MAX_PAIRS:
            yield frozenset(term(kind, each, name.value) for each in values for name in names)
        else:
            yield frozenset(term(kind, each) for each in values)
    if query.revision and len(query.revision) >= _PREFIX:
        yield frozenset({term("revision", query.revision[:_PREFIX])})
    if query.epoch is not None:
        yield frozenset({term("epoch", str(query.epoch))})


def _asked(
    about: Component | None, name: str | None, members: Iterable[str]
) -> Iterator[tuple[str, list[str]]]:
    if about is not None:
        yield "component", [str(about)]
    if name is not None:
        yield "account", [name]
    if found := sorted(members):
        yield "member", found
