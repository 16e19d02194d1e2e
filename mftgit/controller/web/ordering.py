"""Orders that operators give from pages and calls: what they look like, and what becomes of them."""

from collections.abc import Sequence
from typing import Any, Final

from mftgit.adapters.http_server.doors import NotServedError
from mftgit.adapters.registry.orders import TooManyOrdersError, UnknownOrderError
from mftgit.controller.members.orders import UnknownMemberError
from mftgit.controller.web.doors import AnyDoor, ApiDoor, FormDoor, GoTo, Page, PageDoor, Topic
from mftgit.controller.web.doors import Asked as AskedOfDoor
from mftgit.controller.web.parts import WebParts
from mftgit.model.access import OperatorRole
from mftgit.model.members.orders import Verb
from mftgit.model.members.passed_orders import ABOUT, About, Asked, OrderState, PassedOrder
from mftgit.model.names import AccountName, MemberName, TransferName, is_name

_MOST: Final = 200
_MOST_NUMBER: Final = 10**15

ORDER: Final = {
    "type": "object",
    "properties": {
        "number": {"type": "integer", "description": "Rises with each order"},
        "member": {"type": "string", "description": "Who is to carry it out"},
        "order": {"enum": [each.value for each in ABOUT]},
        "transfer": {"type": ["string", "null"]},
        "session": {"type": ["integer", "null"]},
        "account": {"type": ["string", "null"], "description": "Whose session is meant"},
        "to": {"type": ["string", "null"], "description": "The member that it moves to"},
        "by": {"type": "string", "description": "Who gave it"},
        "at": {"type": "string", "description": "When, RFC 3339"},
        "until": {"type": "string", "description": "When it is void where nobody took it"},
        "state": {"enum": [each.value for each in OrderState]},
        "outcome": {
            "type": ["string", "null"],
            "description": "What its member says of it, or why it is void",
        },
        "settled_at": {"type": ["string", "null"]},
    },
    "unevaluatedProperties": False,
}
_NAME: Final = {"type": "string", "minLength": 1, "maxLength": 64}
_ASK: Final = {
    "type": "object",
    "properties": {
        "member": _NAME,
        "order": {"enum": [each.value for each in ABOUT]},
        "transfer": _NAME,
        "session": {"type": "integer", "minimum": 1, "maximum": _MOST_NUMBER},
        "account": {
            **_NAME,
            "description": "Whose session is meant: numbers begin anew with a member",
        },
        "to": _NAME,
    },
    "required": ["member", "order"],
    "unevaluatedProperties": False,
}


def doors(parts: WebParts) -> Sequence[AnyDoor]:
    """Return what there is to see and to give of orders."""

    def newest(asked: AskedOfDoor) -> dict[str, Any]:
        limit = min(_number(asked.asked("limit", "50")), _MOST)
        before = asked.asked("before")
        member, transfer = asked.asked("member") or None, asked.asked("transfer") or None
        found = parts.orders.newest(
            member=None if member is None else MemberName(member),
            transfer=None if transfer is None else TransferName(transfer),
            before=_number(before) if before else None,
            limit=limit,
        )
        return {"orders": [each.as_json() for each in found]}

    def one(asked: AskedOfDoor) -> dict[str, Any]:
        try:
            return parts.orders.find(_number(asked.params["number"])).as_json()
        except UnknownOrderError as error:
            raise NotServedError(404, str(error)) from error

    def ask(asked: AskedOfDoor) -> dict[str, Any]:
        body = asked.body
        return give(
            parts,
            asked,
            member=MemberName(name_in(body, "member") or ""),
            verb=_verb(body["order"]),
            transfer=name_in(body, "transfer"),
            session=None if body.get("session") is None else int(body["session"]),
            account=name_in(body, "account"),
            to=name_in(body, "to"),
        ).as_json()

    def page(asked: AskedOfDoor) -> Page:
        values = {
            "found": newest(asked),
            "members": parts.registry.joined(),
            "verbs": [each.value for each, about in ABOUT.items() if about is About.MEMBER],
        }
        return Page(template="orders.html", title="Orders", values=values, live="transfers")

    answer = {
        "type": "object",
        "properties": {"orders": {"type": "array", "items": ORDER}},
        "unevaluatedProperties": False,
    }
    called = ApiDoor(
        method="POST",
        path="/api/v1/orders",
        role=OperatorRole.PUBLISH,
        summary="Give a member an order; what becomes of it is told by its number.",
        answer=ORDER,
        body=_ASK,
        handle=ask,
    )
    return [
        ApiDoor(
            method="GET",
            path="/api/v1/orders",
            role=OperatorRole.READ,
            summary="The newest orders and what became of them.",
            answer=answer,
            query={
                "member": _NAME,
                "transfer": _NAME,
                "before": {"type": "integer", "description": "Only those with lower numbers"},
                "limit": {"type": "integer", "minimum": 1, "maximum": _MOST},
            },
            handle=newest,
        ),
        ApiDoor(
            method="GET",
            path="/api/v1/orders/{number}",
            role=OperatorRole.READ,
            summary="One order and what became of it.",
            answer=ORDER,
            handle=one,
        ),
        called,
        PageDoor(path="/orders", handle=page),
        FormDoor(path="/orders", call=called, body=_of_form, to=_to_page),
        Topic(name="transfers", mark=lambda: _mark(parts)),
    ]


def _mark(parts: WebParts) -> str:
    """Return what changes with what pages of transfers show: the events of a run come after the state that it left."""
    return f"{parts.reported.mark}/{parts.orders.changes}/{parts.volumes.changes}"


def give(
    parts: WebParts,
    asked: AskedOfDoor,
    *,
    member: MemberName,
    verb: Verb,
    transfer: str | None = None,
    session: int | None = None,
    account: str | None = None,
    to: str | None = None,
) -> PassedOrder:
    """Give an order in the name of who asks; what is wrong with it is told as that."""
    try:
        order = Asked(
            member=member,
            verb=verb,
            transfer=None if transfer is None else TransferName(transfer),
            session=session,
            account=None if account is None else AccountName(account),
            to=None if to is None else MemberName(to),
        )
        return parts.orders.give(order, by=str(asked.who))
    except ValueError as error:
        raise NotServedError(400, str(error)) from error
    except UnknownMemberError as error:
        raise NotServedError(404, str(error)) from error
    except TooManyOrdersError as error:
        raise NotServedError(429, str(error)) from error


def name_in(body: Any, field: str) -> str | None:
    """Return a name in what was sent, which fits its schema; None where it has none."""
    value: str | None = body.get(field)
    if value is not None and not is_name(value):
        raise NotServedError(400, f"{field} is not a name")
    return value


def said_of(order: dict[str, Any]) -> str:
    """Return what the next page says of an order that was given."""
    return f"Order {order['order']} is given to {order['member']}; below is what becomes of it."


def _of_form(asked: AskedOfDoor) -> dict[str, Any]:
    """Return what a button orders of a member."""
    body: dict[str, Any] = {"member": asked.text("member"), "order": asked.text("order")}
    session = asked.text("session")
    if ABOUT.get(_verb(body["order"])) is About.SESSION:
        if not session.isdecimal() or len(session) > 15 or not int(session):  # noqa: PLR2004
            raise NotServedError(400, f"{session[:40]!r} is no number of a session")
        body["session"] = int(session)
        body["account"] = asked.text("account")
    return body


def _verb(text: str) -> Verb:
    try:
        return Verb(text)
    except ValueError:
        raise NotServedError(400, f"there is no order {text[:40]!r}") from None


def _to_page(asked: AskedOfDoor, order: Any) -> GoTo:
    inbound = asked.text("back") == "inbound"
    return GoTo(path="/inbound" if inbound else "/orders", said=said_of(order))


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 18:  # noqa: PLR2004  what SQLite can hold
        raise NotServedError(400, f"{text[:40]!r} is no number")
    return int(text)
