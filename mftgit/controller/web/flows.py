"""What was moved: histories page by page, and charts by the hour and the day; for transfers and for accounts."""

from collections.abc import Mapping
from typing import Any, Final

from mftgit.adapters.http_server.doors import NotServedError
from mftgit.controller.web.doors import Asked
from mftgit.controller.web.parts import WebParts
from mftgit.model.events.event import EventName
from mftgit.model.monitoring.chart import HEIGHT, WIDTH, draw_failures, draw_volume
from mftgit.model.monitoring.volume import Flow, Step

ON_A_PAGE: Final = 50
MOST: Final = 500

EVENTS: Final = {
    "type": "object",
    "properties": {
        "events": {
            "type": "array",
            "description": "The newest first, as `mftgit events --json` prints them",
            "items": {"type": "object"},
        },
        "before": {
            "type": ["integer", "null"],
            "description": "Ask with this to go on; null where there are no more",
        },
    },
    "required": ["events", "before"],
    "unevaluatedProperties": False,
}
VOLUME: Final = {
    "type": "object",
    "properties": {
        "by": {"enum": [each.value for each in Step]},
        "bars": {
            "type": "array",
            "description": "One for each hour or day, the oldest first, empty ones too",
            "items": {
                "type": "object",
                "properties": {
                    "since": {"type": "string", "description": "When it began, UTC"},
                    "files": {"type": "integer"},
                    "bytes": {"type": "integer"},
                    "failures": {"type": "integer"},
                },
                "unevaluatedProperties": False,
            },
        },
    },
    "unevaluatedProperties": False,
}
BY: Final[Mapping[str, Any]] = {"by": {"enum": [each.value for each in Step]}}
PAGED: Final[Mapping[str, Any]] = {
    "text": {"type": "string", "description": "Every word of it is somewhere in the event"},
    "before": {"type": "integer"},
    "limit": {"type": "integer", "minimum": 1, "maximum": MOST},
}


def history(
    parts: WebParts,
    asked: Asked,
    flow: Flow,
    name: str,
    *,
    named: frozenset[EventName] = frozenset(),
) -> dict[str, Any]:
    """Return a page of what was told of ``name``, with what was asked for."""
    found, before = parts.volumes.newest(
        flow,
        name,
        text=asked.asked("text")[:200],
        named=named,
        before=number(asked, "before", None),
        limit=min(number(asked, "limit", ON_A_PAGE) or ON_A_PAGE, MOST),
    )
    return {"events": [each.as_json() for each in found], "before": before}


def volume(parts: WebParts, asked: Asked, flow: Flow, name: str) -> dict[str, Any]:
    """Return what was moved, in the shape of the API."""
    step = step_of(asked)
    told = [
        {
            "since": each.since,
            "files": each.amount.files,
            "bytes": each.amount.size_bytes,
            "failures": each.amount.failures,
        }
        for each in parts.volumes.bars(flow, name, step)
    ]
    return {"by": step.value, "bars": told}


def charts(parts: WebParts, asked: Asked, flow: Flow, name: str) -> dict[str, Any]:
    """Return what a page draws of it."""
    step = step_of(asked)
    found = parts.volumes.bars(flow, name, step)
    return {
        "by": step.value,
        "drawn": (draw_volume(found), draw_failures(found)),
        "bars": [each for each in reversed(found) if each.amount.files or each.amount.failures],
        "width": WIDTH,
        "height": HEIGHT,
    }


def step_of(asked: Asked) -> Step:
    """Return by what is asked for: hours where nothing else is said."""
    try:
        return Step(asked.asked("by", Step.HOUR.value) or Step.HOUR.value)
    except ValueError:
        raise NotServedError(400, "by is hour or day") from None


def number(asked: Asked, name: str, default: int | None) -> int | None:
    """Return a parameter of the URL that is a number, from 1 on."""
    text = asked.asked(name)
    if not text:
        return default
    if not text.isdecimal() or not 0 < len(text) <= 18 or not int(text):  # noqa: PLR2004  what SQLite can hold
        raise NotServedError(400, f"{name} is not a number from 1 on")
    return int(text)
