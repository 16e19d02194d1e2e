"""Event handlers: how each is on the members on which it is active, by what they last said."""

from collections.abc import Sequence
from typing import Any, Final

from mftgit.controller.web.doors import AnyDoor, ApiDoor, Page, PageDoor, Topic
from mftgit.controller.web.parts import WebParts
from mftgit.model.access import OperatorRole
from mftgit.model.transfers.view import NOT_HEARD
from mftgit.resources import load_schema

_MEMBER: Final = {"type": "string", "minLength": 1, "maxLength": 64}


def doors(parts: WebParts) -> Sequence[AnyDoor]:
    """Return what there is to see of event handlers."""
    return [
        ApiDoor(
            method="GET",
            path="/api/v1/event-handlers",
            role=OperatorRole.READ,
            summary="How each event handler is on each member on which it is active.",
            answer=_answer(),
            handle=lambda _: {"event_handlers": _told(parts)},
        ),
        PageDoor(
            path="/event-handlers",
            handle=lambda _: Page(
                template="event-handlers.html",
                title="Event handlers",
                values={"handlers": _told(parts)},
                live="event-handlers",
            ),
        ),
        Topic(name="event-handlers", mark=lambda: parts.reported.mark),
    ]


def _told(parts: WebParts) -> list[dict[str, Any]]:
    """Return them by name, then by member; ``heard`` is false where the member says nothing any more."""
    found = [
        {"member": member.name, "heard": member.state not in NOT_HEARD, **each.as_json()}
        for member in parts.reported.members()
        for each in member.event_handlers
    ]
    return sorted(found, key=lambda each: (each["name"], each["member"]))


def _answer() -> dict[str, Any]:
    members = load_schema("output-status")["properties"]["members"]["items"]["properties"]
    told = members["event_handlers"]["items"]
    added = {"member": _MEMBER, "heard": {"type": "boolean"}}
    handler = {
        **told,
        "properties": {**added, **told["properties"]},
        "required": [*added, *told["required"]],
    }
    properties = {"event_handlers": {"type": "array", "items": handler}}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "unevaluatedProperties": False,
    }
