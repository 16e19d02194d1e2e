"""A member's event log, and event handlers that are at work on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from waiting import until

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.handlers.records import HandlerRecords
from mftgit.adapters.location_secrets import SecretsHere
from mftgit.adapters.state_folder import StateFolder
from mftgit.member.handlers.opening import Surroundings, open_work
from mftgit.member.handlers.running_handler import Again, RunningHandler
from mftgit.model.events.event import Event, EventName, Fact
from mftgit.model.handlers.coverage import Coverage
from mftgit.model.handlers.handler import AnyEventHandler
from mftgit.model.handlers.status import EventHandlerStatus
from mftgit.model.names import MemberName, SecretName
from mftgit.model.secrets.value import SecretValue

ME = MemberName("node-1")
SOON_S = 0.05
"""How long a handler of a test waits before it tries again."""


@dataclass(kw_only=True)
class HandlerSite:
    """What a member has that handles events."""

    root: Path
    log: EventStore
    records: HandlerRecords
    secrets: dict[SecretName, SecretValue] = field(default_factory=dict)
    told: list[tuple[EventName, dict[str, Fact]]] = field(default_factory=list)
    running: dict[str, RunningHandler] = field(default_factory=dict)

    @property
    def folder(self) -> StateFolder:
        """Return the member's state folder."""
        return StateFolder(self.root)

    @property
    def around(self) -> Surroundings:
        """Return where handlers work."""
        return Surroundings(
            folder=self.folder,
            cluster="acme",
            member=ME,
            secrets=SecretsHere(folder=self.folder.secrets, values=self.secrets),
            clock=SystemClock(),
        )

    def happen(self, name: EventName = EventName.RUN_FAILED, **facts: Any) -> Event:
        """Write an event down, and say so."""
        event = self.log.append(name, facts=facts)
        for each in self.running.values():
            each.poke()
        return event

    def happen_together(self, *each: dict[str, Any]) -> None:
        """Write failed runs with these facts down in one step, so that no other event has a number among theirs."""
        self.log.append_each(EventName.RUN_FAILED, each)
        for running in self.running.values():
            running.poke()

    def start(
        self, handler: AnyEventHandler, *, again_in_s: Again = lambda _: SOON_S
    ) -> RunningHandler:
        """Have a handler at work, in the place of one of that name."""
        self.stop(handler)
        running = RunningHandler(
            handler,
            open_work(handler, self.around),
            Coverage(me=ME),
            log=self.log,
            records=self.records,
            told=self._tell,
            clock=SystemClock(),
            again_in_s=again_in_s,
        )
        self.running[handler.name] = running
        running.start()
        return running

    def stop(self, handler: AnyEventHandler) -> None:
        """Stop it, if it is at work."""
        running = self.running.pop(handler.name, None)
        if running is not None:
            running.stop()

    def status(self, handler: AnyEventHandler) -> EventHandlerStatus:
        """Return how it is."""
        return self.running[handler.name].status()

    def settle(self, handler: AnyEventHandler) -> None:
        """Wait until it has handled everything."""
        newest = self.log.last_position()
        until(lambda: self._is_done(handler, newest))

    def _is_done(self, handler: AnyEventHandler, newest: int) -> bool:
        status = self.status(handler)
        record = self.records.read(handler.name)
        lanes = record["lanes"]
        return status.behind == 0 and lanes["head"] >= newest and not lanes["lanes"]

    def _tell(
        self,
        event: EventName,
        *,
        revision: object = None,  # noqa: ARG002  as `Told` has it
        facts: Any = None,
        once: str | None = None,  # noqa: ARG002
    ) -> None:
        self.told.append((event, dict(facts)))
        self.log.append(event, facts=facts)


@contextmanager
def handler_site(root: Path) -> Iterator[HandlerSite]:
    """Give a member whose event log is empty."""
    folder = StateFolder(root)
    for each in (folder.secrets, folder.logs, folder.commands):
        each.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = EventStore(folder.events, member=ME, now=lambda: datetime.now(tz=UTC))  # noqa: TID251
    site = HandlerSite(root=root, log=log, records=HandlerRecords(folder.events))
    try:
        yield site
    finally:
        for running in site.running.values():
            running.stop()
        site.records.close()
        log.close()
