"""One's own account: who one is here, the sessions that are open, and how to end them."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.registry.web_sessions import WebSession
from mftgit.controller.web.doors import (
    AnyDoor,
    ApiDoor,
    Asked,
    FormDoor,
    GoTo,
    Page,
    PageDoor,
    not_found,
)
from mftgit.controller.web.parts import WebParts
from mftgit.controller.web.sessions import session_cookie
from mftgit.model.access import OperatorRole
from mftgit.model.events.event import EventName, Fact

_SHOWN_DIGITS = 16
_SESSION = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "What it is called where it is ended"},
        "opened_at": {"type": "string", "format": "date-time"},
        "seen_at": {"type": "string", "format": "date-time", "description": "To the minute"},
        "client": {"type": "string", "description": "The address from which it was opened"},
        "agent": {"type": "string", "description": "What the browser calls itself"},
        "is_this": {"type": "boolean", "description": "Whether this asks by it"},
    },
    "required": ["id", "opened_at", "seen_at", "client", "agent", "is_this"],
    "unevaluatedProperties": False,
}
_ACCOUNT = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "role": {"enum": [each.value for each in OperatorRole]},
        "sessions": {"type": "array", "items": _SESSION},
    },
    "required": ["name", "role", "sessions"],
    "unevaluatedProperties": False,
}
_ENDED = {
    "type": "object",
    "properties": {"ended": {"type": "integer", "description": "How many sessions"}},
    "required": ["ended"],
    "unevaluatedProperties": False,
}


def doors(parts: WebParts) -> Sequence[AnyDoor]:
    """Return what there is to see and to do of one's own account."""
    sessions = parts.sessions

    def account(asked: Asked) -> dict[str, Any]:
        return {
            "name": asked.who.name,
            "role": asked.who.role.value,
            "sessions": [_described(each, asked) for each in sessions.of(asked.who.name)],
        }

    end_one = ApiDoor(
        method="DELETE",
        path="/api/v1/account/sessions/{session}",
        role=OperatorRole.READ,
        summary="End one of your own sessions.",
        answer=_ENDED,
        handle=lambda asked: _end_one(parts, asked),
    )
    end_all = ApiDoor(
        method="DELETE",
        path="/api/v1/account/sessions",
        role=OperatorRole.READ,
        summary="End all of your own sessions, everywhere.",
        answer=_ENDED,
        handle=lambda asked: _end(parts, asked, sessions.of(asked.who.name)),
    )
    end_this = ApiDoor(
        method="DELETE",
        path="/api/v1/account/session",
        role=OperatorRole.READ,
        summary="End the session by which this is asked.",
        answer=_ENDED,
        handle=lambda asked: _end(
            parts, asked, [each for each in sessions.of(asked.who.name) if each.id == asked.session]
        ),
    )
    return [
        ApiDoor(
            method="GET",
            path="/api/v1/account",
            role=OperatorRole.READ,
            summary="Who you are here, and your sessions in browsers.",
            answer=_ACCOUNT,
            handle=account,
        ),
        end_one,
        end_all,
        end_this,
        PageDoor(
            path="/account",
            handle=lambda asked: Page(
                template="account.html", title="Your account", values={"account": account(asked)}
            ),
        ),
        FormDoor(path="/account/sessions/{session}/end", call=end_one, to=_to_account),
        FormDoor(path="/account/log-out-everywhere", call=end_all, to=_to_login),
        FormDoor(path="/logout", call=end_this, to=_to_login),
    ]


def _described(session: WebSession, asked: Asked) -> dict[str, Any]:
    return {
        "id": session.id[:_SHOWN_DIGITS],
        "opened_at": _time(session.opened_at),
        "seen_at": _time(session.seen_at),
        "client": session.client,
        "agent": session.agent,
        "is_this": session.id == asked.session,
    }


def _time(at: float) -> str:
    return rfc3339(datetime.fromtimestamp(at, tz=UTC))


def _end_one(parts: WebParts, asked: Asked) -> dict[str, int]:
    meant = asked.params["session"]
    found = [each for each in parts.sessions.of(asked.who.name) if each.id[:_SHOWN_DIGITS] == meant]
    if not found:
        raise not_found("session of yours of that name")
    return _end(parts, asked, found)


def _end(parts: WebParts, asked: Asked, found: Sequence[WebSession]) -> dict[str, int]:
    parts.sessions.end(*(each.id for each in found))
    if found:
        facts: dict[str, Fact] = {
            "operator": asked.who.name,
            "sessions": len(found),
            "client": asked.client,
        }
        parts.events.append(EventName.OPERATOR_LOGGED_OUT, facts=facts)
    return {"ended": len(found)}


def _to_account(_asked: Asked, _answer: Any) -> GoTo:
    return GoTo(path="/account", said="The session is ended.")


def _to_login(_asked: Asked, _answer: Any) -> GoTo:
    return GoTo(path="/login", headers={"Set-Cookie": session_cookie("")})
