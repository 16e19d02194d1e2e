"""How the API tells events, and what it is asked for."""

from collections.abc import Collection
from datetime import datetime
from typing import Any, Final

from mftgit.adapters.http_server.doors import NotServedError
from mftgit.controller.web.doors import Asked, Schema
from mftgit.model.events.event import Event
from mftgit.model.events.kinds import KINDS, Group, Severity, account, component
from mftgit.model.events.query import FILTERS, EventQuery, QueryError, parse_query
from mftgit.model.events.words import say
from mftgit.resources import load_schema

POSITION: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": 2**62}
"""Where an event stands in the controller's log."""

ASKED: Final[dict[str, Schema]] = {
    "since": {"type": "string", "description": "At that time or later: RFC 3339, or as 2h ago"},
    "until": {"type": "string", "description": "Before that time"},
    "member": {"type": "string", "description": "Written by it; may come several times"},
    "event": {"type": "string", "description": "Its name, as RunFailed; may come several times"},
    "group": {
        "type": "string",
        "enum": [each.value for each in Group],
        "description": "What it belongs to; may come several times",
    },
    "severity": {
        "type": "string",
        "enum": [each.value for each in Severity],
        "description": "Matters so much, or more",
    },
    "component": {"type": "string", "description": "About transfer/NAME or service/NAME"},
    "account": {"type": "string", "description": "About this account"},
    "revision": {"type": "string", "description": "Under the revision that begins so"},
    "epoch": {"type": "integer", "description": "Under this ownership of a transfer"},
    "text": {"type": "string", "description": "With each of these words in some field"},
}
"""The filters; those that are given have to agree."""


def told_schema() -> Schema:
    """Return the schema of what `tell` gives."""
    event = load_schema("output-event")
    return {
        "type": "object",
        "properties": {
            "position": {**POSITION, "description": "Where it stands in the controller's log"},
            "group": {"enum": [each.value for each in Group]},
            "severity": {"enum": [each.value for each in Severity]},
            "component": {"type": ["string", "null"], "description": "As transfer/invoices"},
            "account": {"type": ["string", "null"]},
            "words": {"type": "string", "description": "What it tells, in plain words"},
            "event": {key: event[key] for key in event if not key.startswith("$")},
        },
        "required": ["position", "group", "severity", "component", "account", "words", "event"],
    }


def tell(position: int, event: Event) -> dict[str, Any]:
    """Return one event as the API tells it."""
    kind, about = KINDS[event.event], component(event)
    return {
        "position": position,
        "group": kind.group.value,
        "severity": kind.severity.value,
        "component": None if about is None else str(about),
        "account": account(event),
        "words": say(event),
        "event": event.as_json(),
    }


def query_of(asked: Asked, *, now: datetime, also: Collection[str] = ()) -> EventQuery:
    """Return what the parameters of the URL ask for; those that ``also`` may be there are not looked at.

    Raises:
        NotServedError: there is no such filter, or value of one.
    """
    filters = {key: found for key, found in asked.query.items() if key not in also}
    try:
        return parse_query(filters, now=now)
    except QueryError as error:
        raise NotServedError(400, str(error)) from error


def whole_number(text: str, name: str, *, most: int = 2**62) -> int:
    """Return ``text`` as a number from 0 to ``most``.

    Raises:
        NotServedError: it is none.
    """
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= most):  # noqa: PLR2004  2**62 has 19
        raise NotServedError(400, f"{name} is to be a whole number from 0 to {most}")
    return int(text)


def filters_of(asked: Asked) -> dict[str, str]:
    """Return the filters as a form shows them again."""
    return {key: " ".join(asked.query.get(key, ())) for key in FILTERS}
