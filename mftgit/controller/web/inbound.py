"""Inbound: who is logged in at which member, how the services are, who is kept out, and what came and went."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final

from mftgit.adapters.http_server.doors import NotServedError
from mftgit.controller.web.doors import (
    AnyDoor,
    ApiDoor,
    Asked,
    FormDoor,
    GoTo,
    Page,
    PageDoor,
    Topic,
)
from mftgit.controller.web.flows import BY, EVENTS, PAGED, VOLUME, charts, history, volume
from mftgit.controller.web.parts import WebParts
from mftgit.model.access import OperatorRole
from mftgit.model.events.event import EventName
from mftgit.model.inbound.bans import covering
from mftgit.model.members.messages import MemberStatus
from mftgit.model.monitoring.volume import ALL, Flow
from mftgit.model.names import is_name
from mftgit.model.transfers.view import NOT_HEARD
from mftgit.resources import load_schema

_WAITS_S: Final = 1.0
_FLOWS: Final = {"upload": Flow.UPLOAD, "download": Flow.DOWNLOAD}
_NAME: Final = {"type": "string", "minLength": 1, "maxLength": 64}
_SOURCE: Final = {"type": "string", "minLength": 2, "maxLength": 50}


def doors(parts: WebParts) -> Sequence[AnyDoor]:
    """Return what there is to see and to do of clients."""

    def sessions(asked: Asked) -> dict[str, Any]:
        return _sessions(parts, asked, within_s=_WAITS_S)

    def page(asked: Asked) -> Page:
        values = {
            "found": _by_account(parts, asked),
            "services": _services(parts),
            "bans": [each.as_json() for each in parts.bans.in_force()],
            "orders": [
                each.as_json()
                for each in parts.orders.newest(limit=20)
                if each.asked.session is not None
            ],
            "asked": {"account": asked.asked("account")[:64]},
        }
        return Page(template="inbound.html", title="Inbound", values=values, live="inbound")

    def page_of_history(asked: Asked) -> Page:
        flow, account = _flow(asked), asked.asked("account")[:64]
        values = {
            "found": history(parts, asked, flow, account or ALL),
            "charted": charts(parts, asked, flow, account or ALL),
            "of": flow.value,
            "asked": {"account": account, "text": asked.asked("text")[:200]},
        }
        return Page(template="inbound_history.html", title="What came and went", values=values)

    lift = ApiDoor(
        method="POST",
        path="/api/v1/inbound/bans/lift",
        role=OperatorRole.PUBLISH,
        summary="Let a source in again on all members: what `mftgit ban lift --json` prints.",
        answer="output-ban-lift",
        body={
            "type": "object",
            "properties": {"source": _SOURCE},
            "required": ["source"],
            "unevaluatedProperties": False,
        },
        handle=lambda asked: _lift(parts, asked),
    )
    return [
        ApiDoor(
            method="GET",
            path="/api/v1/inbound/sessions",
            role=OperatorRole.READ,
            summary="Who is logged in at which member, as the members say when they are asked.",
            answer=_answer_of_sessions(),
            query={"account": _NAME, "member": _NAME},
            handle=sessions,
        ),
        ApiDoor(
            method="GET",
            path="/api/v1/inbound/services",
            role=OperatorRole.READ,
            summary="How the services are on each member.",
            answer=_answer_of_services(),
            handle=lambda _: {"services": _services(parts)},
        ),
        ApiDoor(
            method="GET",
            path="/api/v1/inbound/bans",
            role=OperatorRole.READ,
            summary="Who is kept out: what `mftgit ban list --json` prints.",
            answer="output-ban-list",
            handle=lambda _: [each.as_json() for each in parts.bans.in_force()],
        ),
        lift,
        *_flow_doors(parts),
        PageDoor(path="/inbound", handle=page),
        PageDoor(path="/inbound/history", handle=page_of_history),
        FormDoor(
            path="/inbound/bans/lift",
            call=lift,
            body=lambda asked: {"source": asked.text("source")},
            to=lambda asked, _: GoTo(path="/inbound", said=f"{asked.text('source')} may come in."),
        ),
        Topic(name="inbound", mark=lambda: _mark(parts)),
    ]


def _flow_doors(parts: WebParts) -> list[AnyDoor]:
    made: list[AnyDoor] = []
    for word, flow in _FLOWS.items():
        made += [
            ApiDoor(
                method="GET",
                path=f"/api/v1/inbound/{word}s",
                role=OperatorRole.READ,
                summary=f"The {word}s that came to their end, by the events that the controller has: page by page.",
                answer=EVENTS,
                query={**PAGED, "account": _NAME},
                handle=lambda asked, flow=flow: history(  # type: ignore[misc]
                    parts, asked, flow, asked.asked("account") or ALL
                ),
            ),
            ApiDoor(
                method="GET",
                path=f"/api/v1/inbound/{word}s/volume",
                role=OperatorRole.READ,
                summary=f"How much {word}s have moved, by hours of two days or thirty days.",
                answer=VOLUME,
                query={**BY, "account": _NAME},
                handle=lambda asked, flow=flow: volume(  # type: ignore[misc]
                    parts, asked, flow, asked.asked("account") or ALL
                ),
            ),
        ]
    return made


def _flow(asked: Asked) -> Flow:
    flow = _FLOWS.get(asked.asked("of") or Flow.UPLOAD.value)
    if flow is None:
        raise NotServedError(400, "of is upload or download")
    return flow


def _serving(parts: WebParts) -> list[MemberStatus]:
    """Return the members in touch that have services."""
    return [
        each for each in parts.reported.members() if each.services and each.state not in NOT_HEARD
    ]


def _sessions(parts: WebParts, asked: Asked, *, within_s: float) -> dict[str, Any]:
    members = [each.name for each in _serving(parts)]
    found, missing = parts.visits.all(members, within_s=within_s)
    account, member = asked.asked("account"), asked.asked("member")
    return {
        "sessions": [
            each.as_json()
            for each in found
            if account in ("", each.told["account"]) and member in ("", each.member)
        ],
        "more": parts.visits.more(members),
        "not_heard": missing,
    }


def _by_account(parts: WebParts, asked: Asked) -> dict[str, Any]:
    found = _sessions(parts, asked, within_s=0.0)
    ordered = sorted(found["sessions"], key=lambda each: (each["account"], each["since"]))
    accounts = [
        {"name": name, "sessions": list(some), "is_name": is_name(name)}
        for name, some in groupby(ordered, key=lambda each: each["account"])
    ]
    return {**found, "accounts": accounts}


def _services(parts: WebParts) -> list[dict[str, Any]]:
    return [
        {"member": member.name, "heard": member.state not in NOT_HEARD, **each.as_json()}
        for member in parts.reported.members()
        for each in member.services
    ]


def _lift(parts: WebParts, asked: Asked) -> list[dict[str, Any]]:
    source = asked.body["source"]
    try:
        found = covering(source, parts.bans.in_force())
    except ValueError:
        raise NotServedError(400, f"{source[:50]!r} is no address and no network") from None
    if not found:
        raise NotServedError(404, f"{source} is not banned")
    for each in found:
        # Written down before it is done: rather twice than never.
        facts = {"source": each.source, "by": str(asked.who)}
        parts.events.append(EventName.SOURCE_UNBANNED, facts=facts)
        parts.bans.lift(each.source)
    return [each.as_json() for each in found]


def _mark(parts: WebParts) -> str:
    """Return what changes with what the page shows; that it is asked for tells members that somebody looks."""
    visits, bans, orders = parts.visits.watch(), parts.bans.number(), parts.orders.changes
    return f"{parts.reported.mark}/{visits}/{bans}/{orders}"


def _answer_of_sessions() -> dict[str, Any]:
    told = load_schema("output-session-list")["items"]
    session = {
        **told,
        "properties": {"member": _NAME, **told["properties"]},
        "required": ["member", *told["required"]],
    }
    properties = {
        "sessions": {"type": "array", "items": session},
        "more": {"type": "integer", "description": "So many are there that are not told"},
        "not_heard": {
            "type": "array",
            "items": _NAME,
            "description": "Members with services that have not said who is logged in",
        },
    }
    return {"type": "object", "properties": properties, "unevaluatedProperties": False}


def _answer_of_services() -> dict[str, Any]:
    members = load_schema("output-status")["properties"]["members"]["items"]["properties"]
    told = members["services"]["items"]
    added = {"member": _NAME, "heard": {"type": "boolean"}}
    service = {
        **told,
        "properties": {**added, **told["properties"]},
        "required": [*added, *told["required"]],
    }
    properties = {"services": {"type": "array", "items": service}}
    return {"type": "object", "properties": properties, "unevaluatedProperties": False}
