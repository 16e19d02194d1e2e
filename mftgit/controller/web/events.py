"""The events: searched by page and by the API, followed as they come, and exported."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from mftgit.adapters.events.search import Searched
from mftgit.adapters.http_server.doors import NotServedError, Pool
from mftgit.controller.web.doors import AnyDoor, ApiDoor, Asked, Page, PageDoor, StreamDoor
from mftgit.controller.web.event_lines import EventLines
from mftgit.controller.web.event_told import (
    ASKED,
    POSITION,
    filters_of,
    query_of,
    tell,
    told_schema,
    whole_number,
)
from mftgit.controller.web.parts import WebParts
from mftgit.model.access import OperatorRole
from mftgit.model.events.event import EventName
from mftgit.model.events.kinds import Group, Severity
from mftgit.model.printable import json_line
from mftgit.resources import load_schema

MOST_AT_ONCE: Final = 1000
_AT_ONCE: Final = 100
_WITHIN_S: Final = 2.0
_PLACES: Final = ("before", "after")
_OFTEN: Final = frozenset({"text", "since", "severity", "member"})


def doors(parts: WebParts) -> Sequence[AnyDoor]:
    """Return what there is to see of events."""
    lines = EventLines(parts.events, parts.sessions, parts.registry, parts.clock)
    return [
        ApiDoor(
            method="GET",
            path="/api/v1/events",
            role=OperatorRole.READ,
            summary="Events, newest first; with `after`, oldest first. A search that takes long tells how far it came.",
            answer=_found_schema(),
            query={
                **ASKED,
                "before": {**POSITION, "description": "Those before it: `reached` of the last"},
                "after": {**POSITION, "description": "Those after it, oldest first"},
                "limit": {"type": "integer", "minimum": 1, "maximum": MOST_AT_ONCE},
            },
            handle=lambda asked: _as_json(_search(parts, asked)),
            pool=Pool.SEARCH,
        ),
        StreamDoor(
            path="/api/v1/events/live",
            role=OperatorRole.READ,
            summary="Events as they are written: server-sent events, which go on after Last-Event-ID or `after`.",
            answer=told_schema(),
            query={**ASKED, "after": {**POSITION, "description": "Begin with those after it"}},
            media_type="text/event-stream",
            stream=lines.follow,
            stop=lines.stop,
        ),
        StreamDoor(
            path="/api/v1/events/export",
            role=OperatorRole.READ,
            summary="All events that are asked for, oldest first, one a line: what `mftgit events --json` prints.",
            answer=_event_schema(),
            query=ASKED,
            media_type="application/jsonl",
            headers={"Content-Disposition": 'attachment; filename="events.jsonl"'},
            stream=lines.export,
        ),
        PageDoor(path="/events", handle=lambda asked: _page(parts, asked), pool=Pool.SEARCH),
    ]


def _search(parts: WebParts, asked: Asked) -> Searched:
    query = query_of(asked, now=parts.clock.now(), also=(*_PLACES, "limit"))
    before, after = (_number(asked, each) for each in _PLACES)
    if before is not None and after is not None:
        raise NotServedError(400, "before and after do not go together: give one of them")
    limit = min(_number(asked, "limit") or _AT_ONCE, MOST_AT_ONCE)
    last = parts.events.keeping.last_position()
    top = last + 1 if before is None else min(before, last + 1)
    return parts.events.look(query, before=top, after=after, limit=limit, within_s=_WITHIN_S)


def _number(asked: Asked, name: str) -> int | None:
    text = asked.asked(name)
    return whole_number(text, name) if text else None


def _as_json(found: Searched) -> dict[str, Any]:
    return {
        "events": [tell(position, event) for position, event in found.found],
        "reached": max(0, found.reached),
        "is_whole": found.is_whole,
    }


def _found_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "events": {"type": "array", "items": told_schema()},
            "reached": {
                **POSITION,
                "description": "Everything up to here was looked through; ask on with it as `before`, or as `after`",
            },
            "is_whole": {"type": "boolean", "description": "There is nothing beyond"},
        },
        "required": ["events", "reached", "is_whole"],
    }


def _event_schema() -> dict[str, Any]:
    event = load_schema("output-event")
    return {key: event[key] for key in event if not key.startswith("$")}


# The page

_NOTHING: Final[Mapping[str, Any]] = {
    "refused": None,
    "found": (),
    "searched_all": True,
    "newest": None,
    "older": None,
    "follows": None,
}


def _page(parts: WebParts, asked: Asked) -> Page:
    filters = filters_of(asked)
    values: dict[str, Any] = {
        "filters": filters,
        "more": any(value for key, value in filters.items() if key not in _OFTEN),
        "groups": [each.value for each in Group],
        "severities": [each.value for each in Severity],
        "names": sorted(each.value for each in EventName),
        "members": [each.name for each in parts.registry.outlines()],
        "exported": _url("/api/v1/events/export", filters),
        **_NOTHING,
    }
    last = parts.events.keeping.last_position()
    try:
        found = _search(parts, asked)
    except NotServedError as error:
        refused = {**values, "refused": str(error)}
        return Page(template="events.html", title="Events", values=refused, status=error.status)
    return Page(
        template="events.html", title="Events", values={**values, **_shown(asked, found, last)}
    )


def _shown(asked: Asked, found: Searched, last: int) -> dict[str, Any]:
    filters, is_newest = filters_of(asked), not any(map(asked.asked, _PLACES))
    told = _as_json(found)
    return {
        "found": [{**each, "facts": _facts(each["event"])} for each in told["events"]],
        "searched_all": found.is_whole,
        "newest": None if is_newest else _url("/events", filters),
        "older": None if found.is_whole else _url("/events", filters, before=told["reached"]),
        "follows": None if not is_newest else _url("/api/v1/events/live", filters, after=last),
    }


def _facts(event: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (key, value if isinstance(value, str) else json_line(value))
        for key, value in event.items()
        if value is not None and key not in {"at", "event"}
    ]


def _url(path: str, filters: Mapping[str, str], **more: object) -> str:
    given = {key: value for key, value in {**filters, **more}.items() if value != ""}
    return f"{path}?{urlencode(given)}" if given else path
