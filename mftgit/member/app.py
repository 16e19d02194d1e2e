"""One member: its parts, its threads, and how it tells how it is."""

import json
import random
import threading
from collections.abc import Callable, Mapping, Sequence

from loguru import logger

from mftgit import __version__
from mftgit.adapters.channel import ControllerRefusedError
from mftgit.adapters.clock import SystemClock
from mftgit.adapters.durable import replace_file
from mftgit.adapters.events.store import EventStore
from mftgit.errors import MftgitError, RemovedError
from mftgit.member.bans import BanWatch
from mftgit.member.counting import Counting
from mftgit.member.drift import DriftWatch
from mftgit.member.event_upkeep import EventUpkeep
from mftgit.member.handlers.handlers import Handlers
from mftgit.member.inbound.service import Inbound
from mftgit.member.intake import Intake, Parts
from mftgit.member.orders import OrderWatch
from mftgit.member.outbound.service import Outbound
from mftgit.member.own_page import Now, OwnPage
from mftgit.member.own_web import OwnWeb
from mftgit.member.recovery import RecoveryWatch
from mftgit.member.report import Reporter, back_off_s
from mftgit.member.sessions import SessionsWatch
from mftgit.member.uses import UseWatch
from mftgit.model.configuration.config import Role
from mftgit.model.events.event import EventName, Fact
from mftgit.model.events.retention import EventLimits
from mftgit.model.members.messages import HEARTBEAT_S, Hint, MemberState, MemberStatus
from mftgit.model.members.record import Wait
from mftgit.model.monitoring.overview import Overview
from mftgit.model.monitoring.seen import why_not_ready
from mftgit.model.names import Epoch, Revision

_END_S = 5.0
DEFAULT_POLL_S = 60.0
"""How often the head is asked for while no revision says otherwise."""

WINDOW_POLL_S = 30.0
"""How often it is looked at least while a revision waits for a change window; none is shorter than a minute."""


class Member:
    """A running member."""

    def __init__(
        self,
        parts: Parts,
        events: EventStore,
        *,
        counting: Counting,
        overview: Callable[[MemberStatus], Overview] | None = None,
    ) -> None:
        """Read the durable record; nothing runs yet.

        ``counting`` has been given to ``events``; ``overview`` tells of the whole cluster, on the controller.
        """
        self._parts = parts
        self._events = events
        self._clock = SystemClock()
        self._asked_at = self._clock.boottime()
        self._heard_at: float | None = None
        self._failures = 0
        self._not_taken_in: str | None = None
        self._left: tuple[object, ...] = ()  # the status that was left for the command line
        self._leaving = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._outbound = Outbound(
            is_ancestor=parts.store.is_ancestor,
            folder=parts.folder,
            bootstrap=parts.bootstrap,
            record=self._record_event,
        )
        self._inbound = Inbound(
            folder=parts.folder,
            bootstrap=parts.bootstrap,
            write=self._record_all,
            arrived=lambda _service, finished: self._outbound.noticed(finished.file),
            used=lambda: self._uses.poke(),  # noqa: PLW0108  made below
        )
        self._handlers = Handlers(
            folder=parts.folder, bootstrap=parts.bootstrap, log=events, told=self._record_event
        )
        self._bans = BanWatch(parts.upstream.bans, self._inbound)
        page = OwnPage(
            now=self._now,
            why_not_ready=self._why_not_ready,
            events=events,
            counting=counting,
            state=parts.folder.root,
            clock=self._clock,
            overview=overview,
        )
        self._own_web = OwnWeb(page.spots())
        self._orders = OrderWatch(
            parts.upstream.orders,
            folder=parts.folder,
            clock=self._clock,
            told=self._record_event,
            obey=self._wake.set,
        )
        self._recovery = RecoveryWatch(parts.upstream.recovery, parts.folder)
        self._sessions = SessionsWatch(parts.upstream.send_sessions, self._inbound.sessions)
        self._uses = UseWatch(parts.upstream.exchange_uses, self._inbound)
        self._asks = {
            Hint.USES: self._uses.poke,
            Hint.BANS: self._bans.poke,
            Hint.ORDERS: self._orders.poke,
            Hint.RECOVERY: self._recovery.poke,
            Hint.SESSIONS: self._sessions.poke,
        }
        self._intake = Intake(
            parts,
            self._outbound,
            self._inbound,
            self._handlers,
            told=self._record_event,
            wake=self._wake.set,
            own_web=self._own_web,
        )
        self._upkeep = EventUpkeep(
            events,
            limits=self._event_limits,
            is_controller=parts.bootstrap.role is Role.CONTROLLER,
        )
        self._drift = DriftWatch(parts.store, parts.folder, self._record_event, clock=SystemClock())
        self._reporter = Reporter(parts.upstream, events, status=self.status)
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for name, target in (
                ("follow", self._follow),
                ("listen", self._listen),
                ("beat", self._beat),
            )
        ]
        self._follower = self._threads[0]

    def start(self) -> None:
        """Resume on the active revision and begin to follow the published branch."""
        self._record_event(EventName.MEMBER_STARTED, facts={"version": __version__})
        self._outbound.start()
        self._inbound.start()
        self._handlers.start()
        self._intake.resume()
        self.status()  # what a process before this one has left is no longer true
        self._reporter.start()
        self._upkeep.start()
        self._drift.start()
        self._bans.start()
        self._orders.start()
        self._recovery.start()
        self._sessions.start()
        self._uses.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish the runs under way, give the leases back, report, and end."""
        self._stopping.set()
        self._wake.set()
        self._drift.stop()
        self._bans.stop()
        self._orders.stop()
        self._recovery.stop()
        self._sessions.stop()
        self._uses.stop()
        self._inbound.begin_stop()
        self._outbound.stop()
        self._inbound.stop()
        self._follower.join(_END_S)
        if not self._follower.is_alive():  # else it is at the record itself
            self._intake.stop()
        self._drift.join(_END_S)
        self._record_event(EventName.MEMBER_STOPPED)
        self._handlers.stop()
        self._reporter.stop()
        self._own_web.stop()
        self._upkeep.stop()
        self._parts.upstream.close()
        for thread in self._threads:
            thread.join(_END_S)

    def status(self) -> MemberStatus:
        """Return how this member is, and leave the same in its state folder for ``mftgit status``."""
        status = self._how()
        self._leave_status(status)
        return status

    def _how(self) -> MemberStatus:
        intake, bootstrap = self._intake, self._parts.bootstrap
        return MemberStatus(
            name=bootstrap.name,
            role=bootstrap.role,
            state=self._state(),
            active_revision=intake.runs or intake.record.active,
            attempted_revision=intake.record.attempted,
            reason=intake.reason() or self._not_taken_in,
            lkg_revision=intake.record.lkg,
            suspended=intake.operator.orders.suspended,
            pin=intake.operator.orders.pin,
            drain=intake.operator.drain,
            line=intake.line,
            storage=self._outbound.storage,
            renewed_at=self._outbound.renewed_at,
            services=self._inbound.status(),
            transfers=self._outbound.status(),
            events_dropped=self._upkeep.dropped,
            event_handlers=self._handlers.status(),
        )

    def _state(self) -> MemberState:
        return MemberState.STOPPED if self._stopping.is_set() else self._intake.state()

    def _now(self) -> Now:
        heard_at = self._heard_at
        return Now(
            status=self._how(),
            generation=self._intake.generation,
            head=self._intake.head,
            heard_s_ago=None if heard_at is None else self._clock.boottime() - heard_at,
            firings=self._outbound.next_firings(),
        )

    def _why_not_ready(self) -> str | None:
        drains = self._intake.operator.orders.draining
        return why_not_ready(self._state(), self._intake.runs, drains=drains)

    def wake(self) -> None:
        """Look at once: an operator has ordered something. For a signal's handler too."""
        self._wake.set()

    # Threads

    def _follow(self) -> None:
        """Look whenever the head may have moved."""
        while not self._stopping.is_set():
            wait_s = self._look()
            if (due_in_s := self._intake.due_in_s) is not None:
                wait_s = min(wait_s, due_in_s)
            self._drift.follow(self._intake.record.lkg)
            self.status()
            self._wake.wait(wait_s)
            self._wake.clear()

    def _look(self) -> float:
        """Look at the head once; return how long to wait before the next look."""
        try:
            self._intake.look()
        except MftgitError as error:
            self._failures += 1
            self._not_taken_in = str(error)
            level = "WARNING" if self._failures == 1 else "DEBUG"
            logger.log(level, "the published revision was not taken in", error=str(error))
            return back_off_s(self._failures)
        except Exception:  # noqa: BLE001  the member must outlive a fault in one revision
            self._failures += 1
            logger.opt(exception=True).error("unexpected failure while taking in a revision")
            return back_off_s(self._failures)
        self._failures, self._not_taken_in = 0, None
        self._asked_at = self._heard_at = self._clock.boottime()
        generation = self._intake.generation
        poll_s = generation.cluster.poll_s if generation else DEFAULT_POLL_S
        if self._intake.record.wait is Wait.WINDOW:
            poll_s = min(poll_s, WINDOW_POLL_S)
        return poll_s * random.uniform(1.0, 1.2)  # noqa: S311  spreads the members' polls

    def _listen(self) -> None:
        """Wait for the hint that the head has moved."""
        failures = 0
        while not self._stopping.is_set():
            try:
                for hint in self._parts.upstream.wait():
                    failures = 0
                    self._asks.get(hint, self._wake.set)()
                    if self._stopping.is_set():
                        return
            except ControllerRefusedError as error:
                logger.debug("not let in to listen", error=str(error))
                self._wake.set()  # a look tells whether this is no member any more
            except MftgitError as error:
                logger.debug("not listening for a new revision", error=str(error))
            except Exception:  # noqa: BLE001  it is a hint only, and the member polls
                logger.opt(exception=True).error("unexpected failure while listening")
            failures += 1
            self._stopping.wait(back_off_s(failures))

    def _beat(self) -> None:
        """See that the controller is asked often enough, whatever the other threads are at."""
        wait_s = HEARTBEAT_S
        while not self._stopping.wait(wait_s):
            wait_s = self._asked_at + HEARTBEAT_S - self._clock.boottime()
            if wait_s <= 0:
                self._give_sign_of_life()
                wait_s = HEARTBEAT_S

    def _give_sign_of_life(self) -> None:
        """Ask for the head; notice being removed or let in."""
        try:
            self._parts.upstream.head(self._intake.head)
            removed = False
        except RemovedError:
            removed = True
        except MftgitError as error:
            logger.debug("no sign of life given", error=str(error))
            return
        except Exception:  # noqa: BLE001  whatever it is, the next sign of life may get through
            logger.opt(exception=True).error("unexpected failure while giving a sign of life")
            return
        self._heard_at = self._clock.boottime()
        if removed != self._intake.is_removed:
            self._wake.set()

    # Writing down

    def _event_limits(self) -> EventLimits | None:
        generation = self._intake.generation
        return generation.cluster.events if generation else None

    def _record_event(
        self,
        event: EventName,
        *,
        revision: Revision | None = None,
        epoch: Epoch | None = None,
        facts: Mapping[str, Fact] | None = None,
        each: Sequence[Mapping[str, Fact]] | None = None,
        epochs: Sequence[Epoch] = (),
        once: str | None = None,
    ) -> None:
        revision = revision or self._intake.record.active
        if each is not None:
            self._events.append_each(event, each, revision=revision, epoch=epoch, epochs=epochs)
        else:
            self._events.append(event, revision=revision, epoch=epoch, facts=facts, once=once)
        self._reporter.poke()
        self._handlers.poke()

    def _record_all(
        self, facts: Sequence[tuple[EventName, Mapping[str, Fact]]], *, flush: bool
    ) -> None:
        self._events.append_all(facts, revision=self._intake.record.active, flush=flush)
        self._reporter.poke()
        self._handlers.poke()

    def _leave_status(self, status: MemberStatus) -> None:
        """Leave the status for the command line, when it changed."""
        intake = self._intake
        cluster = intake.generation.cluster.name if intake.generation else None
        revision = intake.head.oid if intake.head else intake.record.active
        firings, standings = self._outbound.next_firings(), dict(self._outbound.standings())
        told = (cluster, revision, status, firings, standings)
        with self._leaving:
            if told == self._left:  # sooner found than written out, with thousands of transfers
                return
            body = {
                "cluster": cluster,
                "revision": revision,
                "member": status.as_json(last_seen_s=0.0),
                "next_firings": firings,
                "members": {
                    name: {"draining": each.draining, "aside": sorted(each.aside)}
                    for name, each in standings.items()
                },
            }
            try:
                replace_file(self._parts.folder.status, json.dumps(body).encode())
                self._left = told
            except OSError as error:
                logger.warning("status not written", error=str(error))
