"""Take the orders that operators gave to this member by the controller: each once, and only in time."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from loguru import logger

from mftgit.adapters.channel import ControllerRefusedError
from mftgit.adapters.clock import Clock, rfc3339
from mftgit.adapters.process_lock import one_at_a_time
from mftgit.adapters.state_folder import StateFolder
from mftgit.member.kept import read_orders, write_orders
from mftgit.member.told import Told
from mftgit.member.watch import Watch
from mftgit.model.events.event import EventName, Fact
from mftgit.model.members.messages import NOT_FOUND
from mftgit.model.members.orders import Orders, take
from mftgit.model.members.passed_orders import OrderNews


class OrderWatch(Watch):
    """Asks which orders there are, and puts them to those that were given on this machine.

    The number of the last one is kept in the file that has the order itself, so that a crash, and an answer that is
    lost, leaves each taken once. To ask again with that number tells the controller that it was.
    """

    def __init__(
        self,
        ask: Callable[[int], OrderNews],
        *,
        folder: StateFolder,
        clock: Clock,
        told: Told,
        obey: Callable[[], None],
    ) -> None:
        """``ask`` as `Upstream.orders`; ``obey`` has the member look at its orders."""
        super().__init__(self.look, name="orders")
        self._ask = ask
        self._folder = folder
        self._clock = clock
        self._told = told
        self._obey = obey

    def look(self) -> None:
        """Take what there is; raises MftgitError."""
        while not self.stopping:
            asked_at = self._clock.boottime()
            try:
                news = self._ask(read_orders(self._folder.orders).taken)
            except ControllerRefusedError as error:
                if error.status != NOT_FOUND:
                    raise
                return  # a controller of an older version has none
            if not self._take(news, asked_at):
                return

    def _take(self, news: OrderNews, asked_at: float) -> bool:
        """Keep what is new; tell whether anything was. ``asked_at`` is `Clock.boottime` before it was asked."""
        with one_at_a_time(self._folder.root):
            before = read_orders(self._folder.orders)
            after = self._with(before, news, self._clock.boottime() - asked_at)
            if after == before:
                return False
            write_orders(self._folder.orders, after)
        if after.given != before.given:
            self._obey()
        return True

    def _with(self, orders: Orders, news: OrderNews, took_s: float) -> Orders:
        """Return ``orders`` with what is new, in its order; what this version does not know is refused."""
        now, known = self._clock.now(), {each.number: each for each in news.orders}
        for number in sorted({*known, *news.unknown}):
            each = known.get(number)
            if each is None:
                self._refuse(number, orders)
                orders = replace(orders, taken=max(orders.taken, number))
                continue
            left_s = each.left_s - took_s
            if left_s <= 0:  # the controller may have told by now that it is void
                logger.warning("an order came too late", order=each.asked.verb.value, by=each.by)
                break
            until = rfc3339(now + timedelta(seconds=left_s))
            orders = take(orders, each.order(int(now.timestamp() * 1000), until))
        return orders

    def _refuse(self, number: int, orders: Orders) -> None:
        if number <= orders.taken:
            return
        reason = "the member's version of mftgit does not know this order"
        facts: dict[str, Fact] = {"order": "unknown", "number": number, "reason": reason}
        self._told(EventName.ORDER_REFUSED, facts=facts, once=f"passed/{number}")
