"""Pass orders of operators on to members, and keep what becomes of each."""

import threading
from collections.abc import Callable, Collection, Sequence

from loguru import logger

from mftgit.adapters.registry.orders import OrderRecords
from mftgit.controller.members.keys import Record
from mftgit.errors import MftgitError
from mftgit.model.events.event import Event, EventName
from mftgit.model.members.passed_orders import Asked, OrderNews, PassedOrder, settled
from mftgit.model.names import MemberName, TransferName

LOOK_EVERY_S = 2.0
"""How often it is looked whether an order is void by now."""


class UnknownMemberError(MftgitError):
    """Nobody of that name is in the cluster."""


class Orders:
    """The orders; one thread tells of those that nobody took. For any thread."""

    def __init__(
        self,
        records: OrderRecords,
        *,
        record: Record,
        wake: Callable[[Collection[MemberName]], None],
        is_member: Callable[[MemberName], bool],
    ) -> None:
        """Keep orders in ``records``; ``record`` writes events, ``wake`` tells members to ask."""
        self._records = records
        self._record = record
        self._wake = wake
        self._is_member = is_member
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._changes = 0
        self._thread = threading.Thread(target=self._run, name="orders", daemon=True)

    def start(self) -> None:
        """Begin to look. What was given before is asked for by every member that begins to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    # For operators

    def give(self, asked: Asked, *, by: str) -> PassedOrder:
        """Give an order to a member, in the name of ``by``, and return it.

        Raises:
            UnknownMemberError: there is no such member, or it has not joined.
            TooManyOrdersError: too many wait for it already.
        """
        if not self._is_member(asked.member):
            raise UnknownMemberError(f"there is no member {asked.member}, or it has not joined")
        given = self._records.give(asked, by=by)
        logger.info("an order is given", order=asked.verb.value, member=asked.member, by=by)
        self._record(
            EventName.ORDER_GIVEN,
            {**asked.facts(), "number": given.number, "by": by, "until": given.until},
        )
        self._change()
        self._wake([asked.member])
        return given

    def find(self, number: int) -> PassedOrder:
        """Return one order; raises UnknownOrderError."""
        return self._records.find(number)

    def newest(
        self,
        *,
        member: MemberName | None = None,
        transfer: TransferName | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[PassedOrder]:
        """Return the newest orders first; see `OrderRecords.newest`."""
        return self._records.newest(member=member, transfer=transfer, before=before, limit=limit)

    @property
    def changes(self) -> int:
        """Return a number that rises with every change of an order, for who watches them."""
        return self._changes

    # For members

    def news(self, member: MemberName, after: int) -> OrderNews:
        """Return what ``member``, which asks itself, has yet to take; those up to ``after`` it has taken."""
        news = self._records.news(member, after)
        if not news.orders:
            self._change()  # what was given is taken, if anything was
        return news

    def reported(self, events: Sequence[Event]) -> None:
        """Take in what the events of one member say of its orders; raises DatabaseError."""
        said = [found for found in map(settled, events) if found is not None]
        if said and self._records.settle(events[0].member, said):
            self._change()

    # The thread

    def look(self) -> None:
        """Tell of orders that are void by now; raises MftgitError."""
        for each in self._records.expire():
            facts = {**each.asked.facts(), "number": each.number, "by": each.by}
            self._record(EventName.ORDER_EXPIRED, {**facts, "reason": each.outcome})
            self._change()

    def _change(self) -> None:
        with self._lock:
            self._changes += 1

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            try:
                self.look()
            except MftgitError as error:
                logger.warning("orders were not looked at", error=str(error))
