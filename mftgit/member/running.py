"""What runs on this member: prepare everything of a generation that can fail, then swap."""

from collections import deque
from dataclasses import dataclass, replace

from mftgit.member.handlers.handlers import Handlers
from mftgit.member.handlers.handlers import Prepared as PreparedHandlers
from mftgit.member.inbound.service import Inbound
from mftgit.member.inbound.services import Prepared as PreparedServices
from mftgit.member.outbound.ordered import OrderRefusedError
from mftgit.member.outbound.service import Outbound, Prepared
from mftgit.member.own_web import OwnWeb
from mftgit.member.told import Told
from mftgit.model.configuration.config import Generation
from mftgit.model.configuration.plan import Plan, jobs, plan
from mftgit.model.events.event import EventName, Fact
from mftgit.model.members.orders import Order
from mftgit.model.names import AccountName, Revision


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A revision of which everything is built that can fail."""

    revision: Revision
    prepared: Prepared
    services: PreparedServices
    handlers: PreparedHandlers


class Running:
    """The generation that was applied last, and what it is of.

    ``generation`` was applied wholly or not; ``revision`` is its revision when it was wholly.
    """

    def __init__(
        self, outbound: Outbound, inbound: Inbound, handlers: Handlers, own_web: OwnWeb, told: Told
    ) -> None:
        """Nothing runs yet."""
        self._outbound = outbound
        self._inbound = inbound
        self._handlers = handlers
        self._own_web = own_web
        self._told = told
        self.generation: Generation | None = None
        self.revision: Revision | None = None
        self._untold: deque[tuple[Plan, Revision]] = deque()

    def prepare(self, revision: Revision, generation: Generation, *, fresh: bool) -> Ready:
        """Build what can fail; what runs is not touched. See each `prepare`."""
        steps = self._steps(generation)
        self._own_web.prepare(generation, fresh=fresh)
        return Ready(
            revision=revision,
            prepared=self._outbound.prepare(steps, generation, fresh=fresh),
            services=self._inbound.prepare(generation, revision=revision, fresh=fresh),
            handlers=self._handlers.prepare(generation, fresh=fresh),
        )

    def swap(self, ready: Ready) -> None:
        """Start, change and stop what the plan says; `tell` tells it."""
        self.generation = ready.prepared.generation
        self.revision = None  # how much of it runs is not known meanwhile
        self._apply(ready.prepared, ready.revision)
        self._inbound.apply(ready.services)
        self._own_web.apply(self.generation)
        self._handlers.apply(ready.handlers)
        self.revision = ready.revision

    def tell(self) -> None:
        """Tell what was applied and is not told yet; raises MftgitError, and is to be called again."""
        while self._untold:
            steps, revision = self._untold[0]
            facts: dict[str, Fact] = {
                "started": [each.transfer.name for each in steps.start],
                "changed": [each.transfer.name for each in steps.change],
                "stopped": list(steps.stop),
            }
            if steps.services or steps.accounts:
                facts |= {"services": list(steps.services), "accounts": list(steps.accounts)}
            if steps.event_handlers:
                facts["event_handlers"] = list(steps.event_handlers)
            self._told(EventName.PLAN_APPLIED, revision=revision, facts=facts)
            self._untold.popleft()

    def stop_all(self, revision: Revision | None) -> None:
        """Run nothing from now on; runs under way end after the file at hand."""
        stop = Plan(stop=tuple(sorted({each.name for each in self._outbound.status()})))
        try:
            if self.generation is not None and stop and revision is not None:
                self._apply(self._outbound.prepare(stop, self.generation, fresh=False), revision)
        finally:
            self._outbound.stand_down()
            self._inbound.stop_all()
            self._handlers.stop_all()
            self.revision, self.generation = None, None

    def try_again(self) -> None:
        """See `OwnWeb.try_again`."""
        self._own_web.try_again()

    def drain(self, *, on: bool) -> None:
        """See `Outbound.drain` and `Inbound.drain`."""
        self._inbound.drain(on=on)
        self._outbound.drain(on=on)

    def ordered(self, order: Order) -> str | None:
        """See `Ordered.carry_out`."""
        return self._outbound.ordered.carry_out(order)

    def end_session(self, session: int, why: str, *, of: AccountName | None) -> None:
        """Hang up on a session, which is to be ``of`` that account where one is named.

        Raises:
            OrderRefusedError: there is none of that number, or it is of somebody else.
        """
        if of is not None:
            accounts = {each.session: each.account for each in self._inbound.sessions()}
            if accounts.get(session, of) != of:
                raise OrderRefusedError(
                    f"the session {session} is of {accounts[session]} by now, not of {of}"
                )
        if not self._inbound.end_session(session, why):
            raise OrderRefusedError(f"there is no session {session} any more")

    @property
    def drained(self) -> bool:
        """See `Outbound.drained` and `Inbound.drained`."""
        return self._outbound.drained and self._inbound.drained

    def _steps(self, generation: Generation) -> Plan:
        if self.revision is not None:
            return plan(self.generation, generation)
        left = {each.name for each in self._outbound.status()} - jobs(generation).keys()
        return replace(plan(None, generation), stop=tuple(sorted(left)))

    def _apply(self, prepared: Prepared, revision: Revision) -> None:
        self._outbound.apply(prepared, revision=revision)
        if prepared.plan:
            self._untold.append((prepared.plan, revision))
