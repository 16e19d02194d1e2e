"""Orders that the controller passes on: what an operator gives, what a member is told, what becomes of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, unique
from typing import Any, Final, TypeVar

from mftgit.model.events.event import Event, EventName, Fact
from mftgit.model.members.orders import Order, Verb
from mftgit.model.names import AccountName, MemberName, TransferName, parse_name
from mftgit.model.printable import printable

ORDER_S: Final = 600.0
"""An order that its member has not taken after so long is void: nobody expects it any more."""

MOST_OPEN: Final = 16
"""So many orders of one member may wait for their outcome; half of what a member keeps of orders."""

MOST_KEPT: Final = 2_000
"""So many are remembered; the events tell of all."""

MAX_OUTCOME: Final = 500
"""How many characters are kept of what a member says of an order."""

_MAX_BY: Final = 100
_MAX_TIME: Final = 40

_T = TypeVar("_T")


@unique
class About(Enum):
    """What an order is about."""

    MEMBER = "member"
    TRANSFER = "transfer"
    SESSION = "session"
    MOVE = "move"


ABOUT: Final[Mapping[Verb, About]] = {
    Verb.SUSPEND: About.MEMBER,
    Verb.RESUME: About.MEMBER,
    Verb.DRAIN: About.MEMBER,
    Verb.END_DRAIN: About.MEMBER,
    Verb.RUN_TRANSFER: About.TRANSFER,
    Verb.STOP_RUN: About.TRANSFER,
    Verb.PAUSE_TRANSFER: About.TRANSFER,
    Verb.RESUME_TRANSFER: About.TRANSFER,
    Verb.MOVE_TRANSFER: About.MOVE,
    Verb.END_SESSION: About.SESSION,
}
"""The orders that are passed on. What sets which history a member trusts (pin, rollback, reanchor) is given there."""


@unique
class OrderState(Enum):
    """What has become of an order.

    GIVEN: its member has not taken it yet. TAKEN: it has, and is to carry it out once. CARRIED_OUT and REFUSED are its
    own word. EXPIRED: it did not take it in time.
    """

    GIVEN = "given"
    TAKEN = "taken"
    CARRIED_OUT = "carried out"
    REFUSED = "refused"
    EXPIRED = "expired"

    @property
    def is_open(self) -> bool:
        """Tell whether something is still to come."""
        return self in {OrderState.GIVEN, OrderState.TAKEN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What an operator asks of ``member``; by the verb, ``transfer``, ``session``, or ``transfer`` and ``to``.

    ``account`` is whose session is meant: after a restart a member gives the numbers of sessions again.
    """

    member: MemberName
    verb: Verb
    transfer: TransferName | None = None
    session: int | None = None
    to: MemberName | None = None
    account: AccountName | None = None

    def __post_init__(self) -> None:
        """Refuse what makes no sense; raises ValueError, whose text is for the operator."""
        about = ABOUT.get(self.verb)
        if about is None:
            raise ValueError(
                f"{self.verb.value} is not passed on: it is ordered on the machine of the member"
            )
        wanted = {
            "transfer": about in {About.TRANSFER, About.MOVE},
            "session": about is About.SESSION,
            "to": about is About.MOVE,
        }
        if self.account is not None and about is not About.SESSION:
            raise ValueError(f"{self.verb.value} has no account")
        for field, is_wanted in wanted.items():
            if is_wanted is (getattr(self, field) is None):
                word = "needs" if is_wanted else "has no"
                raise ValueError(f"{self.verb.value} {word} {field}")

    def facts(self) -> dict[str, Fact]:
        """Return what events tell of it."""
        return {
            "order": self.verb.value,
            "for": self.member,
            "argument": self.transfer or self.session,
            **({} if self.transfer is None else {"transfer": self.transfer}),
            **({} if self.to is None else {"to": self.to}),
            **({} if self.account is None else {"account": self.account}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOrder:
    """One order as the controller knows it; ``number`` only rises, all times are RFC 3339.

    ``outcome`` is what its member says of it, or why there is none; ``settled_at`` when that came.
    """

    number: int
    asked: Asked
    by: str
    at: str
    until: str
    state: OrderState
    outcome: str | None = None
    settled_at: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the shape that the API documents."""
        asked = self.asked
        return {
            "number": self.number,
            "member": asked.member,
            "order": asked.verb.value,
            "transfer": asked.transfer,
            "session": asked.session,
            "account": asked.account,
            "to": asked.to,
            "by": self.by,
            "at": self.at,
            "until": self.until,
            "state": self.state.value,
            "outcome": self.outcome,
            "settled_at": self.settled_at,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One order as its member is told of it; it is void ``left_s`` after that."""

    number: int
    asked: Asked
    by: str
    at: str
    left_s: float

    def as_json(self) -> dict[str, Any]:
        """Return the shape that goes over the wire."""
        asked = self.asked
        return {
            "number": self.number,
            "verb": asked.verb.value,
            "transfer": asked.transfer,
            "session": asked.session,
            "account": asked.account,
            "to": asked.to,
            "by": self.by,
            "at": self.at,
            "left_s": round(self.left_s, 3),
        }

    def order(self, number: int, until: str) -> Order:
        """Return the same as an order of the member, which has its own numbers and its own clock."""
        asked = self.asked
        return Order(
            number=number,
            verb=asked.verb,
            transfer=asked.transfer,
            session=asked.session,
            account=asked.account,
            to=asked.to,
            passed=self.number,
            until=until,
            by=self.by,
            at=self.at,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderNews:
    """What a member has yet to take, in order; what it does not know is among ``unknown``, by number."""

    orders: tuple[Told, ...] = ()
    unknown: tuple[int, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the shape that goes over the wire."""
        return {"orders": [each.as_json() for each in self.orders]}


def parse_order_news(value: Any, member: MemberName) -> OrderNews:
    """Return the news for ``member`` that ``as_json`` gave ``value`` for; orders of a newer version are ``unknown``.

    Raises:
        ValueError: it is not of that shape, or more than a controller tells.
    """
    match value:
        case {"orders": [*orders]} if len(orders) <= MOST_OPEN:
            told, unknown = [], []
            for each in orders:
                number = _number(each)
                try:
                    told.append(_parse(each, number, member))
                except (KeyError, TypeError, ValueError, OverflowError):
                    unknown.append(number)
            return OrderNews(orders=tuple(told), unknown=tuple(unknown))
        case _:
            raise ValueError("not a list of orders, or too long a one")


def _number(value: Any) -> int:
    match value:
        case {"number": int(number)} if 0 < number < 1 << 63:
            return number
        case _:
            raise ValueError("an order without a number")


def _parse(value: Any, number: int, member: MemberName) -> Told:
    asked = Asked(
        member=member,
        verb=Verb(value["verb"]),
        transfer=_optional(value["transfer"], lambda name: TransferName(parse_name(name))),
        session=_optional(value["session"], int),
        account=_optional(value["account"], lambda name: AccountName(parse_name(name))),
        to=_optional(value["to"], lambda name: MemberName(parse_name(name))),
    )
    return Told(
        number=number,
        asked=asked,
        by=str(value["by"])[:_MAX_BY],
        at=str(value["at"])[:_MAX_TIME],
        left_s=min(float(value["left_s"]), ORDER_S),
    )


def _optional(value: Any, parse: Callable[[Any], _T]) -> _T | None:
    return None if value is None else parse(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What a member says of the order ``number``, by an event of its own."""

    number: int
    state: OrderState
    outcome: str | None


_SAID: Final = {
    EventName.ORDER_CARRIED_OUT: (OrderState.CARRIED_OUT, "outcome"),
    EventName.ORDER_REFUSED: (OrderState.REFUSED, "reason"),
}


def settled(event: Event) -> Settled | None:
    """Return what ``event`` says of an order that was passed on; None where it says nothing of one."""
    said, number = _SAID.get(event.event), event.facts.get("number")
    if said is None or not isinstance(number, int) or isinstance(number, bool):
        return None
    if not 0 < number < 1 << 63:
        return None
    state, fact = said
    outcome = event.facts.get(fact)
    told = printable(str(outcome)[:MAX_OUTCOME])[:MAX_OUTCOME] if outcome is not None else None
    return Settled(number=number, state=state, outcome=told)
