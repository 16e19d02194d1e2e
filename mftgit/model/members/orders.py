"""What operators have ordered of a member, there or by the controller, and what holds until it is taken back."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from enum import Enum, unique
from typing import Any, Final

from mftgit.model.names import (
    AccountName,
    MemberName,
    Revision,
    TransferName,
    parse_name,
    parse_revision,
)

KEPT: Final = 32
"""So many orders are remembered; a member that does not run carries out no more than these."""


@unique
class Verb(Enum):
    """An order."""

    SUSPEND = "suspend"
    RESUME = "resume"
    PIN = "pin"
    UNPIN = "unpin"
    ROLLBACK = "rollback"
    REANCHOR = "reanchor"
    DRAIN = "drain"
    END_DRAIN = "end-drain"
    RUN_TRANSFER = "run-transfer"
    STOP_RUN = "stop-run"
    PAUSE_TRANSFER = "pause-transfer"
    RESUME_TRANSFER = "resume-transfer"
    MOVE_TRANSFER = "move-transfer"
    END_SESSION = "end-session"


ONCE: Final = frozenset(
    {
        Verb.RUN_TRANSFER,
        Verb.STOP_RUN,
        Verb.PAUSE_TRANSFER,
        Verb.RESUME_TRANSFER,
        Verb.MOVE_TRANSFER,
        Verb.END_SESSION,
    }
)
"""What is done at one time; what the others make so is in the member's own records, and outlives it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order; ``number`` only rises. ``at`` is RFC 3339, ``by`` the user of the machine, for people.

    ``revision``, ``transfer`` or ``session`` is what it is about, where it is about one; ``to`` is where it moves,
    ``account`` whose session is meant.
    One that the controller passed on has that one's number, ``passed``, and is void after ``until`` (RFC 3339).
    """

    number: int
    verb: Verb
    revision: Revision | None = None
    transfer: TransferName | None = None
    session: int | None = None
    account: AccountName | None = None
    to: MemberName | None = None
    passed: int | None = None
    until: str | None = None
    by: str
    at: str

    @property
    def argument(self) -> Revision | TransferName | int | None:
        """Return what it is about."""
        return self.revision or self.transfer or self.session


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """All of them: ``given`` are the newest, the newest last; the rest is what holds now.

    ``taken`` is the number of the last one that was taken from the controller; it is kept with the order itself.
    """

    given: tuple[Order, ...] = ()
    taken: int = 0
    suspended: bool = False
    pin: Revision | None = None
    draining: bool = False

    def after(self, number: int) -> tuple[Order, ...]:
        """Return those that were given after the order ``number``, in order."""
        return tuple(each for each in self.given if each.number > number)


def give(orders: Orders, order: Order) -> Orders:
    """Return the orders with one more, whose number is raised above those that were given."""
    last = orders.given[-1].number if orders.given else 0
    verb, revision = order.verb, order.revision
    order = replace(order, number=max(last + 1, order.number))
    given = (*orders.given, order)[-KEPT:]
    match verb:
        case Verb.SUSPEND | Verb.RESUME:
            return replace(orders, given=given, suspended=verb is Verb.SUSPEND)
        case Verb.PIN | Verb.UNPIN:
            return replace(orders, given=given, pin=revision)
        case Verb.DRAIN | Verb.END_DRAIN:
            return replace(orders, given=given, draining=verb is Verb.DRAIN)
        case _:  # what is done once, and does not hold
            return replace(orders, given=given)


def take(orders: Orders, order: Order) -> Orders:
    """Return the orders with one more that the controller passed on; the same where it was taken already."""
    if order.passed is None or order.passed <= orders.taken:
        return orders
    return replace(give(orders, order), taken=order.passed)


def format_orders(orders: Orders) -> bytes:
    """Return ``orders`` as JSON."""
    given = [{**asdict(each), "verb": each.verb.value} for each in orders.given]
    return json.dumps({**asdict(orders), "given": given}, indent=2).encode() + b"\n"


def parse_orders(content: bytes) -> Orders:
    """Return the orders that ``format_orders`` gave ``content`` for.

    Raises:
        ValueError: it is damaged.
    """
    value: Any = json.loads(content)
    try:
        return Orders(
            given=tuple(_parse_all(value["given"])),
            taken=int(value.get("taken", 0)),
            suspended=bool(value["suspended"]),
            pin=_revision(value["pin"]),
            draining=bool(value["draining"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"orders without {error}") from None


def _parse_all(values: Iterable[Any]) -> Iterable[Order]:
    for value in values:
        yield Order(
            number=int(value["number"]),
            verb=Verb(value["verb"]),
            revision=_revision(value["revision"]),
            transfer=_transfer(value.get("transfer")),
            session=_number(value.get("session")),
            account=_account(value.get("account")),
            to=_member(value.get("to")),
            passed=_number(value.get("passed")),
            until=_text(value.get("until")),
            by=str(value["by"]),
            at=str(value["at"]),
        )


def _transfer(value: Any) -> TransferName | None:
    return None if value is None else TransferName(parse_name(value))


def _account(value: Any) -> AccountName | None:
    return None if value is None else AccountName(parse_name(value))


def _member(value: Any) -> MemberName | None:
    return None if value is None else MemberName(parse_name(value))


def _number(value: Any) -> int | None:
    return None if value is None else int(value)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _revision(value: Any) -> Revision | None:
    return None if value is None else parse_revision(value)
