"""Events that are not too large for whom they are sent to."""

import json
from dataclasses import replace
from typing import Any, Final

from mftgit.model.events.event import Event, Fact

MOST_BYTES: Final = 262_144
"""So many bytes an event may have that is sent elsewhere; receivers bound what they take."""

_MOST_TEXT: Final = 1000
_MOST_ITEMS: Final = 20


def bounded(event: Event, most_bytes: int = MOST_BYTES) -> Event:
    """Return ``event``, or, where it is too large, what fits of it: long texts and lists are cut, or left out.

    One that was cut has the fact ``shortened``.
    """
    if _size(event) <= most_bytes:
        return event
    facts: dict[str, Fact] = {name: _cut(fact) for name, fact in event.facts.items()}
    short = replace(event, facts={**facts, "shortened": True})
    while _size(short) > most_bytes:
        largest = max(facts, key=lambda name: len(json.dumps(facts[name])))
        del facts[largest]
        short = replace(event, facts={**facts, "shortened": True})
    return short


def _size(event: Event) -> int:
    return len(json.dumps(event.as_json()))


def _cut(fact: Any) -> Any:
    if isinstance(fact, str):
        return fact if len(fact) <= _MOST_TEXT else f"{fact[:_MOST_TEXT]}…"
    if isinstance(fact, list):
        return [_cut(each) for each in fact[:_MOST_ITEMS]]
    if isinstance(fact, dict):
        return {name: _cut(each) for name, each in list(fact.items())[:_MOST_ITEMS]}
    return fact
