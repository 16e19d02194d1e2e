"""An event as one line for people: the ``{field}`` of templates, and what stands there without one."""

import re
from collections.abc import Callable, Mapping
from typing import Final

from mftgit.model.events.event import Event
from mftgit.model.events.kinds import KINDS, account, component
from mftgit.model.printable import json_line, printable

LONGEST_FACT: Final = 1000
"""So many characters of one field stand in a line."""

PLAIN: Final = "{severity} {event} {component} on {member}: {facts}"
"""The line where no template says another."""

_FIELD: Final = re.compile(r"\{([a-z]+)(?:\.([a-z][a-z0-9_]{0,62}))?\}")
_FACTS: Final = "facts"


def event_id(event: Event) -> str:
    """Return what names ``event`` in the cluster, and is the same however often it is sent."""
    return f"{event.member}/{event.seq}"


_FIELDS: Final[Mapping[str, Callable[[Event], object]]] = {
    "id": event_id,
    "member": lambda event: event.member,
    "seq": lambda event: event.seq,
    "at": lambda event: event.at,
    "event": lambda event: event.event.value,
    "revision": lambda event: event.revision,
    "epoch": lambda event: event.epoch,
    "group": lambda event: KINDS[event.event].group.value,
    "severity": lambda event: KINDS[event.event].severity.value,
    "component": component,
    "account": account,
    _FACTS: lambda event: ", ".join(f"{name}={_text(fact)}" for name, fact in event.facts.items()),
}

FIELDS: Final = tuple(_FIELDS)


def wrong_template(template: str, fields: tuple[str, ...] = FIELDS) -> str | None:
    """Return what is wrong with a template that may have ``fields``, as the end of a sentence, or None."""
    for found in _FIELD.finditer(template):
        if found[1] not in fields or (found[2] is not None and found[1] != _FACTS):
            known = ", ".join(f"{{{each}}}" for each in fields)
            facts = f" and {{{_FACTS}.NAME}}" if _FACTS in fields else ""
            return f"has the field {found[0]}, which there is not: use {known}{facts}"
    rest = _FIELD.sub("", template)
    return "has a brace that belongs to no field" if "{" in rest or "}" in rest else None


def fill_template(template: str, event: Event) -> str:
    """Return ``template`` with the fields of ``event``: one line, whatever stands in the event."""
    return fill(template, lambda name, fact: _value(event, name, fact))


def fill(template: str, value: Callable[[str, str | None], object]) -> str:
    """Return ``template`` with what ``value`` gives for name and fact of each field; fields in that stay text."""
    return _FIELD.sub(lambda found: _text(value(found[1], found[2])), template)


def _value(event: Event, name: str, fact: str | None) -> object:
    return _FIELDS[name](event) if fact is None else event.facts.get(fact)


def _text(value: object) -> str:
    """Return ``value`` as it stands in a line: nothing of it can end the line, or be more than some of it."""
    if value is None:
        return ""
    text = json_line(value) if isinstance(value, dict | list | bool) else str(value)
    return printable(text[:LONGEST_FACT]) + ("…" if len(text) > LONGEST_FACT else "")
