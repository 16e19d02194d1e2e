"""Carry out what operators order, here or by the controller: each order once, and what holds as long as it holds."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from loguru import logger

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.state_folder import StateFolder
from mftgit.member.journal import MAX_REASON, Journal
from mftgit.member.judge import Judge
from mftgit.member.kept import DamagedError, read_orders
from mftgit.member.outbound.ordered import OrderRefusedError
from mftgit.member.running import Running
from mftgit.model.events.event import EventName, Fact
from mftgit.model.members import activation
from mftgit.model.members.messages import Drain
from mftgit.model.members.orders import ONCE, Order, Orders, Verb
from mftgit.model.members.record import Record, Stage

_NOT_KNOWN: Final = "the member ended while it was at it: look whether it was done"


class Operator:
    """The orders in the state folder. ``orders`` are those that hold."""

    def __init__(
        self,
        folder: StateFolder,
        journal: Journal,
        judge: Judge,
        running: Running,
        *,
        now: Callable[[], datetime],
    ) -> None:
        """Nothing is carried out yet; ``now`` tells which orders came too late."""
        self._clock_now = now
        self._folder = folder
        self._journal = journal
        self._judge = judge
        self._running = running
        self.orders = Orders()
        self._damage: str | None = None

    @property
    def drain(self) -> Drain | None:
        """Return how far the member is drained, None when that was not ordered."""
        if not self.orders.draining:
            return None
        return Drain.DRAINED if self._running.drained else Drain.DRAINING

    def obey(self) -> None:
        """Carry out what was ordered since the last look; raises MftgitError where that cannot be written down."""
        self.orders = self._read()
        self._running.drain(on=self.orders.draining)
        self._tell_left()
        record = self._journal.record
        if record == Record() and self.orders.given:  # the orders of a record that was lost
            self._journal.keep(replace(record, obeyed=self.orders.given[-1].number))
        for order in self.orders.after(self._journal.record.obeyed):
            self._carry_out(order)

    def _now(self) -> str:
        return rfc3339(self._clock_now())

    def _read(self) -> Orders:
        try:
            orders, damage = read_orders(self._folder.orders), None
        except DamagedError as error:
            orders, damage = replace(self.orders, suspended=True), str(error)
        if damage not in {None, self._damage}:  # told once, and not at each look
            logger.error("orders are damaged; no revision is taken in", error=damage)
        self._damage = damage
        return orders

    def _carry_out(self, order: Order) -> None:
        """Carry out one order: that it was is on the disk before it has an effect, so that a crash leaves it once."""
        before = self._journal.record
        after = replace(self._ordered(order), obeyed=order.number, obeying=True)
        if activation.is_pending(before) and after.attempted != before.attempted:
            reason = f"{order.by} ordered {order.verb.value}"
            self._journal.settle(after, EventName.REVISION_SUPERSEDED, reason=reason)
        else:
            self._journal.keep(after)
        try:
            outcome, refused = self._do(order), None
        except OrderRefusedError as error:
            outcome, refused = None, str(error)
        self._tell(order, outcome, refused)

    def _tell(self, order: Order, outcome: str | None, refused: str | None) -> None:
        """Tell what became of an order; where that cannot be written down, the next look does it."""
        facts: dict[str, Fact] = {
            "order": order.verb.value,
            "by": order.by,
            "argument": order.argument,
            **({} if order.transfer is None else {"transfer": order.transfer}),
            **({} if order.to is None else {"to": order.to}),
            **({} if order.passed is None else {"number": order.passed}),
        }
        event = EventName.ORDER_CARRIED_OUT
        if refused is not None:
            event, facts = EventName.ORDER_REFUSED, {**facts, "reason": refused[:MAX_REASON]}
        elif outcome is not None:
            facts = {**facts, "outcome": outcome[:MAX_REASON]}
        self._journal.told(event, facts=facts, once=f"order/{order.number}")
        self._journal.keep(replace(self._journal.record, obeying=False))
        word = "an order is carried out" if refused is None else "an order is not carried out"
        logger.warning(word, order=order.verb.value, by=order.by, reason=refused)

    def _tell_left(self) -> None:
        """Tell of the order that was being carried out when the process ended, or could not write that down."""
        record = self._journal.record
        if not record.obeying:
            return
        order = next((each for each in self.orders.given if each.number == record.obeyed), None)
        if order is None:  # a newer one has taken its place
            self._journal.keep(replace(record, obeying=False))
        else:
            self._tell(order, None, _NOT_KNOWN if order.verb in ONCE else None)

    def _do(self, order: Order) -> str | None:
        """Do what is done once, and return what is to be said of it; raises OrderRefusedError."""
        if order.verb in ONCE and order.until is not None and self._now() > order.until:
            raise OrderRefusedError(
                f"it was to be carried out before {order.until}: it came too late"
            )
        if order.verb is Verb.END_SESSION and order.session is not None:
            self._running.end_session(order.session, f"ended by {order.by}", of=order.account)
        elif order.transfer is not None:
            return self._running.ordered(order)
        return None

    def _ordered(self, order: Order) -> Record:
        """Return the record with ``order`` carried out; what was ordered in vain changes nothing."""
        record = self._journal.record
        match order.verb:
            case Verb.RESUME:
                return activation.released(record)
            case Verb.REANCHOR if order.revision is not None:
                return activation.reanchored(record, anchor=order.revision)
            case Verb.ROLLBACK:
                return self._rolled_back(order, record)
            case _:
                return record

    def _rolled_back(self, order: Order, record: Record) -> Record:
        reason = f"rolled back by {order.by}: `mftgit resume` takes it again"
        checker = self._judge.checker
        if activation.is_unconfirmed(record):
            return activation.failed(record, reason=reason, checker=checker)
        if not record.earlier or record.stage is Stage.ROLLING_BACK:
            logger.error("there is no revision to go back to")
            return record
        facts: dict[str, Fact] = {"reason": reason, "to": record.earlier[-1]}
        once = f"recalled/{order.number}"
        told = self._journal.told
        told(EventName.REVISION_RECALLED, revision=record.active, facts=facts, once=once)
        return activation.recalled(record, reason=reason, checker=checker)
