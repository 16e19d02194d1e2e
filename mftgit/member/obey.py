"""Carry out what an operator of this machine orders: each order once, and what holds for as long as it holds."""

from dataclasses import replace

from loguru import logger

from mftgit.adapters.state_folder import StateFolder
from mftgit.member.journal import Journal
from mftgit.member.judge import Judge
from mftgit.member.kept import DamagedError, read_orders
from mftgit.member.running import Running
from mftgit.model import activation
from mftgit.model.events import EventName, Fact
from mftgit.model.messages import Drain
from mftgit.model.orders import Order, Orders, Verb
from mftgit.model.record import Record, Stage


class Operator:
    """The orders in the state folder. ``orders`` are those that hold."""

    def __init__(
        self, folder: StateFolder, journal: Journal, judge: Judge, running: Running
    ) -> None:
        """Nothing is carried out yet."""
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
        record = self._journal.record
        if record == Record() and self.orders.given:  # the orders of a record that was lost
            self._journal.keep(replace(record, obeyed=self.orders.given[-1].number))
        for order in self.orders.after(self._journal.record.obeyed):
            self._carry_out(order)

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
        facts: dict[str, Fact] = {
            "order": order.verb.value,
            "by": order.by,
            "argument": order.revision or order.transfer or order.session,
        }
        once = f"order/{order.number}"
        self._journal.told(EventName.ORDER_CARRIED_OUT, facts=facts, once=once)
        self._run_transfer(order)
        self._end_session(order)
        before, after = self._journal.record, replace(self._ordered(order), obeyed=order.number)
        if activation.is_pending(before) and after.attempted != before.attempted:
            reason = f"{order.by} ordered {order.verb.value}"
            self._journal.settle(after, EventName.REVISION_SUPERSEDED, reason=reason)
        else:
            self._journal.keep(after)
        logger.warning("an order is carried out", order=order.verb.value, by=order.by)

    def _run_transfer(self, order: Order) -> None:
        """Begin the run that was ordered; where a crash keeps that from being written down, it begins twice."""
        if order.verb is not Verb.RUN_TRANSFER or order.transfer is None:
            return
        if not self._running.run_now(order.transfer):
            logger.error(
                "a run was ordered of a transfer that is not ours", transfer=order.transfer
            )

    def _end_session(self, order: Order) -> None:
        if order.verb is not Verb.END_SESSION or order.session is None:
            return
        if not self._running.end_session(order.session, f"ended by {order.by}"):
            logger.error("the end of a session was ordered that is over", session=order.session)

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
