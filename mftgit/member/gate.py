"""Whether a revision that is good is taken now: what an operator has ordered, and whose turn it is."""

from mftgit.model.members.orders import Orders, Verb
from mftgit.model.members.record import Wait
from mftgit.model.names import Revision


def waits_for(orders: Orders, revision: Revision) -> tuple[Wait, str] | None:
    """Return what ``revision`` waits for, and that in words; None when it is to be activated now."""
    if orders.suspended:
        return Wait.SUSPENDED, f"suspended{_by(orders, Verb.SUSPEND)}: `mftgit resume` goes on"
    if orders.pin is not None and orders.pin != revision:
        return (
            Wait.PINNED,
            f"pinned to {orders.pin[:12]}{_by(orders, Verb.PIN)}: `mftgit unpin` follows main again",
        )
    return None


def _by(orders: Orders, verb: Verb) -> str:
    order = next((each for each in reversed(orders.given) if each.verb is verb), None)
    return "" if order is None else f" by {order.by} at {order.at}"
