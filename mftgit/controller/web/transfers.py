"""The transfers of the whole cluster: who owns each, how it is, what is under way; run, stop, pause, resume, move."""

from collections.abc import Mapping, Sequence
from functools import partial
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
    not_found,
)
from mftgit.controller.web.flows import BY, EVENTS, PAGED, VOLUME, charts, history, volume
from mftgit.controller.web.ordering import ORDER, give, name_in, said_of
from mftgit.controller.web.parts import WebParts
from mftgit.model.access import OperatorRole
from mftgit.model.events.event import EventName
from mftgit.model.members.orders import Verb
from mftgit.model.monitoring.volume import Flow
from mftgit.model.names import MemberName, TransferName, is_name
from mftgit.model.transfers.status import TransferState
from mftgit.model.transfers.view import (
    MOST_ON_A_PAGE,
    NOBODY,
    PAUSED,
    Found,
    NoTargetError,
    TransferView,
    Wanted,
    choose_member,
    find,
)
from mftgit.resources import load_schema

VERBS: Final[Mapping[str, Verb]] = {
    "run": Verb.RUN_TRANSFER,
    "stop": Verb.STOP_RUN,
    "pause": Verb.PAUSE_TRANSFER,
    "resume": Verb.RESUME_TRANSFER,
    "move": Verb.MOVE_TRANSFER,
}
_DOES: Final = {
    "run": "Have its owner run a transfer now.",
    "stop": "Have its owner end the run under way, in the middle of a large file.",
    "pause": "Let a transfer begin nothing more, on all members.",
    "resume": "Let a paused transfer go on.",
    "move": "Have a transfer handed over to another member.",
}
OUTCOMES: Final[Mapping[str, EventName]] = {
    "delivered": EventName.DELIVERY_SUCCEEDED,
    "skipped": EventName.DELIVERY_SKIPPED,
    "failed": EventName.DELIVERY_FAILED,
    "given up": EventName.DELIVERY_GIVEN_UP,
}
_ALL: Final = "all"
_RUNS: Final = 10
_STATES: Final = (*(each.value for each in TransferState), PAUSED, NOBODY)
_ON_A_PAGE: Final = 100
_ORDERS: Final = 10
_NAME: Final = {"type": "string", "minLength": 1, "maxLength": 64}


def doors(parts: WebParts) -> Sequence[AnyDoor]:
    """Return what there is to see and to do of transfers."""

    def listed(asked: Asked) -> dict[str, Any]:
        wanted, found = _search(parts, asked)
        return {
            "total": found.total,
            "matching": found.matching,
            "page": wanted.page,
            "limit": wanted.limit,
            "states": found.states,
            "transfers": [_tell(parts, each) for each in found.views],
        }

    def shown(asked: Asked) -> dict[str, Any]:
        views = _named(parts, asked)
        name = views[0].name
        runs, _ = parts.volumes.newest(Flow.RUN, name, limit=_RUNS)
        owners, _ = parts.volumes.newest(Flow.OWNER, name, limit=_RUNS)
        orders = parts.orders.newest(transfer=name, limit=_ORDERS)
        return {
            "name": name,
            "transfers": [_tell(parts, each) for each in views],
            "runs": [each.as_json() for each in runs],
            "owners": [each.as_json() for each in owners],
            "orders": [each.as_json() for each in orders],
        }

    def deliveries(asked: Asked) -> dict[str, Any]:
        name = _name(asked)
        word = asked.asked("outcome") or _ALL
        if word != _ALL and word not in OUTCOMES:
            raise NotServedError(400, f"outcome is one of {', '.join(OUTCOMES)}")
        named = frozenset({OUTCOMES[word]} if word in OUTCOMES else ())
        return history(parts, asked, Flow.DELIVERY, name, named=named)

    def page_of_history(asked: Asked) -> Page:
        name = _name(asked)
        values = {
            "name": name,
            "found": deliveries(asked),
            "charted": charts(parts, asked, Flow.DELIVERY, name),
            "asked": {each: asked.asked(each)[:200] for each in ("text", "outcome")},
            "outcomes": (_ALL, *OUTCOMES),
            "words": {event.value: word for word, event in OUTCOMES.items()},
        }
        title = f"History of {name}"
        return Page(template="transfer_history.html", title=title, values=values)

    def page_of_all(asked: Asked) -> Page:
        values = {"found": listed(asked), "asked": _repeated(asked), "all_states": _STATES}
        return Page(template="transfers.html", title="Transfers", values=values, live="transfers")

    def page_of_one(asked: Asked) -> Page:
        found = shown(asked)
        values = {"found": found}
        return Page(template="transfer.html", title=found["name"], values=values, live="transfers")

    return [
        ApiDoor(
            method="GET",
            path="/api/v1/transfers",
            role=OperatorRole.READ,
            summary="How the transfers are, by the member that is to be believed: page by page, failing ones first.",
            answer=_answer(),
            query={
                "text": {"type": "string", "description": "In its name, or that of its owner"},
                "state": {"enum": list(_STATES)},
                "page": {"type": "integer", "minimum": 1},
                "limit": {"type": "integer", "minimum": 1, "maximum": MOST_ON_A_PAGE},
            },
            handle=listed,
        ),
        ApiDoor(
            method="GET",
            path="/api/v1/transfers/{transfer}",
            role=OperatorRole.READ,
            summary="How one transfer is, on each member where each runs it; its latest runs, owners and orders.",
            answer=_answer_of_one(),
            handle=shown,
        ),
        ApiDoor(
            method="GET",
            path="/api/v1/transfers/{transfer}/history",
            role=OperatorRole.READ,
            summary="What became of files of a transfer, by the events that the controller has: page by page.",
            answer=EVENTS,
            query={**PAGED, "outcome": {"enum": [_ALL, *OUTCOMES]}},
            handle=deliveries,
        ),
        ApiDoor(
            method="GET",
            path="/api/v1/transfers/{transfer}/volume",
            role=OperatorRole.READ,
            summary="How much a transfer has moved, and how often it failed, by hours of two days or thirty days.",
            answer=VOLUME,
            query=BY,
            handle=lambda asked: volume(parts, asked, Flow.DELIVERY, _name(asked)),
        ),
        PageDoor(path="/transfers/{transfer}/history", handle=page_of_history),
        PageDoor(path="/transfers", handle=page_of_all),
        PageDoor(path="/transfers/{transfer}", handle=page_of_one),
        *_acting(parts),
    ]


def _acting(parts: WebParts) -> list[AnyDoor]:
    made: list[AnyDoor] = []
    for word in VERBS:
        moves = word == "move"
        properties = {"member": _NAME, **({"to": _NAME} if moves else {})}
        call = ApiDoor(
            method="POST",
            path=f"/api/v1/transfers/{{transfer}}/{word}",
            role=OperatorRole.PUBLISH,
            summary=f"{_DOES[word]} An order; `member` names one where each member runs it for itself.",
            answer=ORDER,
            body={
                "type": "object",
                "properties": properties,
                "required": ["to"] if moves else [],
                "unevaluatedProperties": False,
            },
            handle=partial(_act, parts, word),
        )
        form = FormDoor(
            path=f"/transfers/{{transfer}}/{word}", call=call, body=_of_form, to=_to_transfer
        )
        made += [call, form]
    return made


def _act(parts: WebParts, word: str, asked: Asked) -> dict[str, Any]:
    views, verb = _named(parts, asked), VERBS[word]
    to = name_in(asked.body, "to") if word == "move" else None
    member = name_in(asked.body, "member")
    try:
        target = choose_member(
            verb,
            views,
            asked=None if member is None else MemberName(member),
            controller=parts.bootstrap.name,
        )
    except NoTargetError as error:
        raise NotServedError(409, str(error)) from error
    return give(parts, asked, member=target, verb=verb, transfer=views[0].name, to=to).as_json()


def _of_form(asked: Asked) -> dict[str, str]:
    fields = {name: asked.text(name) for name in ("member", "to")}
    return {name: value for name, value in fields.items() if value}


def _to_transfer(asked: Asked, order: Any) -> GoTo:
    return GoTo(path=f"/transfers/{asked.params['transfer']}", said=said_of(order))


def _name(asked: Asked) -> str:
    """Return the transfer that the path names, which may be one of the past."""
    name = asked.params["transfer"]
    if not is_name(name):
        raise not_found(f"transfer {name[:64]}")
    return name


def _named(parts: WebParts, asked: Asked) -> Sequence[TransferView]:
    name = asked.params["transfer"]
    views = parts.reported.find(TransferName(name)) if is_name(name) else ()
    if not views:
        raise not_found(f"transfer {name[:64]} that any member tells of")
    return views


def _search(parts: WebParts, asked: Asked) -> tuple[Wanted, Found]:
    wanted = Wanted(
        text=asked.asked("text")[:100].strip(),
        state=asked.asked("state")[:20],
        page=_number(asked.asked("page", "1"), 1, 100_000),
        limit=_number(asked.asked("limit", str(_ON_A_PAGE)), 1, MOST_ON_A_PAGE),
    )
    return wanted, find(parts.reported.transfers(), wanted)


def _number(text: str, least: int, most: int) -> int:
    if not text.isdecimal() or len(text) > 9 or not least <= int(text) <= most:  # noqa: PLR2004
        raise NotServedError(400, f"{text[:40]!r} is not a number from {least} to {most}")
    return int(text)


def _repeated(asked: Asked) -> dict[str, str]:
    """Return what a page was asked for, to be asked again."""
    return {name: asked.asked(name)[:100] for name in ("text", "state")}


def _tell(parts: WebParts, view: TransferView) -> dict[str, Any]:
    known = parts.definitions.all().get(view.name)
    return {
        **view.as_json(),
        "schedule": None if known is None else known.schedule,
        "source": None if known is None else known.source,
        "destination": None if known is None else known.destination,
    }


def _item() -> dict[str, Any]:
    """Return the schema of one transfer: that of ``transfer list --json``, and what the controller adds."""
    told = load_schema("output-transfer-list")["properties"]["transfers"]["items"]
    words = {"type": ["string", "null"]}
    added = {
        "told_by": {"type": "string", "description": "The member that says so"},
        "heard": {"type": "boolean", "description": "Whether that one is in touch"},
        "members": {"type": "array", "items": _NAME, "description": "Who has it"},
        "schedule": {**words, "description": "When it fires, in words"},
        "source": {**words, "description": "Location and path"},
        "destination": {**words, "description": "Location and path"},
    }
    return {
        **told,
        "properties": {**told["properties"], **added},
        "required": [*told["required"], *added],
    }


def _answer() -> dict[str, Any]:
    number = {"type": "integer", "minimum": 0}
    properties = {
        "total": {**number, "description": "How many there are"},
        "matching": {**number, "description": "How many are asked for, on all pages"},
        "page": number,
        "limit": number,
        "states": {"type": "object", "additionalProperties": number},
        "transfers": {"type": "array", "items": _item()},
    }
    return {"type": "object", "properties": properties, "unevaluatedProperties": False}


def _answer_of_one() -> dict[str, Any]:
    events = {"type": "array", "items": {"type": "object"}}
    properties = {
        "name": _NAME,
        "transfers": {"type": "array", "items": _item()},
        "runs": {**events, "description": "Events of its latest runs, the newest first"},
        "owners": {**events, "description": "Events of who came to own it, the newest first"},
        "orders": {"type": "array", "items": ORDER},
    }
    return {"type": "object", "properties": properties, "unevaluatedProperties": False}
