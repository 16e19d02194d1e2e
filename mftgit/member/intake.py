"""Keep a member on the published revision, or on the one that an operator wants.

RESOLVE, FETCH, LINEAGE, VERIFY, VALIDATE, GATE, and then `mftgit.member.activate`: each step takes what the one before
gave, and the record says how far it came (`mftgit.model.members.activation`). One thread calls; others may read.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from loguru import logger

from mftgit.adapters.clock import Clock, SystemClock, find_zone
from mftgit.adapters.git.store import GitStore
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.errors import ConfigError, MftgitError, RemovedError, TransientError
from mftgit.member.activate import Activation
from mftgit.member.fetch import DivergedError
from mftgit.member.followed import require_followed
from mftgit.member.gate import waits_for
from mftgit.member.handlers.handlers import Handlers
from mftgit.member.inbound.service import Inbound
from mftgit.member.journal import Journal
from mftgit.member.judge import Judge
from mftgit.member.move import Move
from mftgit.member.obey import Operator
from mftgit.member.outbound.service import Outbound
from mftgit.member.own_web import OwnWeb
from mftgit.member.probes import Probes
from mftgit.member.running import Running
from mftgit.member.secrets import Unsealer
from mftgit.member.told import Told
from mftgit.member.turn import waits_for_turn
from mftgit.member.upstream import Upstream
from mftgit.member.verify import NotCheckedError, RefusedError, UnapprovedError
from mftgit.model.configuration.config import Generation
from mftgit.model.events.event import EventName, Fact
from mftgit.model.members import activation
from mftgit.model.members.incarnation import Shown
from mftgit.model.members.messages import Head, LineStatus, MemberState
from mftgit.model.members.record import Record, Stage, Wait
from mftgit.model.names import Revision
from mftgit.model.rules.validate import Validator

SUPERSEDE_AFTER_S: Final = 2.0
"""A newer revision ends the wait for a confirmation after this, and the next one after twice as long as the one before:
so a stream of revisions keeps none from it that would be confirmed, however long its probes take."""

_MAX_PROBLEMS_REPORTED = 50

_STATES = {
    Stage.NONE: MemberState.STARTING,
    Stage.ATTEMPTED: MemberState.ACTIVE,  # it runs what it ran, while the next revision is looked at
    Stage.WAITING: MemberState.WAITING,
    Stage.REFUSED: MemberState.REFUSED,
    Stage.DIVERGED: MemberState.DIVERGED,
    Stage.ACTIVATING: MemberState.CONFIRMING,
    Stage.CONFIRMING: MemberState.CONFIRMING,
    Stage.CONFIRMED: MemberState.ACTIVE,
    Stage.ROLLING_BACK: MemberState.ROLLED_BACK,
    Stage.ROLLED_BACK: MemberState.ROLLED_BACK,
    Stage.SAFE_MODE: MemberState.SAFE_MODE,
}


class NotRunningError(TransientError):
    """The revision that should run does not; it is tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a member is built from; the command line hands it over."""

    folder: StateFolder
    bootstrap: Bootstrap
    upstream: Upstream
    store: GitStore
    validator: Validator


class Intake:
    """What becomes of a new revision.

    ``trouble`` says why the active revision does not run, or why the store cannot be mended.
    """

    def __init__(
        self,
        parts: Parts,
        outbound: Outbound,
        inbound: Inbound,
        handlers: Handlers,
        *,
        told: Told,
        wake: Callable[[], None] = lambda: None,
        clock: Clock | None = None,
        own_web: OwnWeb | None = None,
    ) -> None:
        """Read the durable record; nothing runs yet. ``wake`` is called when a look is due at once."""
        folder, bootstrap, upstream = parts.folder, parts.bootstrap, parts.upstream
        self._name, self._cluster_id, self._folder = bootstrap.name, bootstrap.cluster_id, folder
        self._clock = clock or SystemClock()
        self._upstream = upstream
        self._journal = Journal(folder.record, told)
        self._judge = Judge(
            folder=folder,
            bootstrap=bootstrap,
            upstream=upstream,
            store=parts.store,
            validator=parts.validator,
            unsealer=Unsealer(folder.age_key),
        )
        self._running = Running(outbound, inbound, handlers, own_web or OwnWeb({}), told)
        self.operator = Operator(
            folder, self._journal, self._judge, self._running, now=self._clock.now
        )
        self._move = Move(
            folder,
            now=self._clock.now,
            moved=upstream.moved,
            told=told,
            is_behind=self._has_behind_it,
            shown=self._shown,
        )
        self._activation = Activation(
            journal=self._journal,
            judge=self._judge,
            running=self._running,
            probes=Probes(
                folder=folder,
                bootstrap=bootstrap,
                upstream=upstream,
                outbound=outbound,
                inbound=inbound,
                move=self._move,
            ),
            move=self._move,
            clock=self._clock,
            wake=wake,
        )
        self._judged: tuple[tuple[Revision, Revision | None], Generation] | None = None
        self._no_help: Revision | None = None
        self._stood_down = False
        self._superseded = 0  # in a row
        self.head: Head | None = None
        self.trouble: str | None = None

    # What others read

    @property
    def record(self) -> Record:
        """Return the durable record."""
        return self._journal.record

    @property
    def is_removed(self) -> bool:
        """Tell whether the controller said that this member is not of the cluster, written down or not."""
        return self.record.removed or self._stood_down

    @property
    def generation(self) -> Generation | None:
        """Return the generation that was applied last, wholly or not."""
        return self._running.generation

    @property
    def runs(self) -> Revision | None:
        """Return the revision that runs wholly."""
        return self._running.revision

    @property
    def line(self) -> LineStatus | None:
        """Return by which line the member reaches the controller."""
        return self._move.status

    @property
    def due_in_s(self) -> float | None:
        """Return when a look is due for a confirmation, None for none."""
        return self._activation.due_in_s

    def state(self) -> MemberState:
        """Return what the member is doing about the published revision."""
        if self.is_removed:
            return MemberState.REMOVED
        if self.record.stage is Stage.SAFE_MODE:
            return MemberState.SAFE_MODE
        if self.runs is None and self.trouble is not None:
            return MemberState.FAILING
        if self.runs is None and (self.record.active is not None or self._is_first()):
            return MemberState.STARTING
        return _STATES[self.record.stage]

    def _is_first(self) -> bool:
        return self.record.stage in {Stage.NONE, Stage.ATTEMPTED}

    def reason(self) -> str | None:
        """Return why the member is not simply active."""
        if self.is_removed:
            return (
                "the controller says that this member is not of the cluster: its transfers are stopped. "
                f"To let the machine in again, `mftgit member add {self._name}` on the controller and "
                "`mftgit join` into a new folder"
            )
        return self.trouble or self.record.reason

    # What is called

    def resume(self) -> None:
        """Run what the record says is active, with what is on the disk; it is tried again at each look."""
        self._survive(self._carry_on)

    def look(self) -> None:
        """Look once: obey, see that what is active runs and proves itself, ask for the head, take in what is news.

        Raises:
            MftgitError: not all of it went through; look again soon.
        """
        self._survive(self._carry_on)
        self._running.try_again()
        try:
            head = self._upstream.head(self.head, self._shown())
        except RemovedError:
            self._stand_down()
            raise
        if head is not None:
            self._follow(head)
        if self.is_removed:
            self._journal.keep(activation.let_in(self.record))
            self._stood_down = False
            logger.warning("the controller knows this member again; its transfers go on")
            self._survive(self._carry_on)
        self.head = head or self.head
        if self.head is not None:
            self._take_in(self.head)
        if self.trouble is None:
            self._survive(self._journal.tell)
        if self.trouble is not None:
            raise NotRunningError(self.trouble)

    def _shown(self) -> Shown:
        return Shown(incarnation=self.record.incarnation, warrant=self.record.warrant)

    def _follow(self, head: Head) -> None:
        """See that ``head`` is of no controller that was replaced, and keep in mind of which it is."""
        shown, known = head.shown, self._shown()
        if shown == known:
            return
        require_followed(
            known, shown, cluster_id=self._cluster_id, ca_pem=self._folder.ca_file.read_bytes()
        )
        fresh = replace(self.record, incarnation=shown.incarnation, warrant=shown.warrant)
        self._journal.keep(fresh)
        if shown.incarnation > known.incarnation:
            logger.warning("this is a controller that was made anew", incarnation=shown.incarnation)

    def stop(self) -> None:
        """Note that the process ends in order."""
        self._survive(self._activation.end)

    # What is active

    def _survive(self, step: Callable[[], None]) -> None:
        """Do ``step``; what keeps it from going through is ``trouble`` until it does."""
        before = self.trouble
        try:
            step()
        except Exception as error:  # noqa: BLE001  the member must outlive a fault in one revision
            self.trouble = str(error) or type(error).__name__
            if self.trouble != before:
                what = logger if isinstance(error, MftgitError) else logger.opt(exception=True)
                what.bind(error=self.trouble).critical("the last known good revision is in trouble")
        else:
            self.trouble = None
            if before is not None:
                logger.info("the trouble is over", revision=self.runs)

    def _carry_on(self) -> None:
        was = self.record.stage
        try:
            self.operator.obey()
        finally:  # an order that cannot be written down keeps nothing from running
            if not self.is_removed:
                self._activation.carry_on()
        self._journal.tell()
        if was is not Stage.CONFIRMED and self.record.stage is Stage.CONFIRMED:
            self._activation.carry_on()  # looks at the store now, and not when the next revision waits

    def _stand_down(self) -> None:
        """Run nothing from now on, restarts included; runs under way end after the file at hand."""
        self._stood_down = True
        try:
            if not self.record.removed:
                self._journal.keep(activation.removed(self.record))
                logger.critical("the controller does not know this member; its transfers stop")
        finally:
            self._activation.stop_all()

    # Take a revision in

    def _take_in(self, head: Head) -> None:
        wanted, seq = self._wanted(head)
        self._hear(wanted)
        if self.record.stage is Stage.ROLLING_BACK or not self._is_news(wanted, seq):
            return
        if activation.is_unconfirmed(self.record):
            self._supersede(wanted, seq)
            return
        revision = self._fetch(wanted)
        if self._is_news(revision, seq):
            self._attempt(revision, seq)
            self._decide(revision)

    def _hear(self, wanted: Revision) -> None:
        """Let a revision that lacked approvals be tried again, once people have said more, and that is enough."""
        checker = self._judge.checker
        if not activation.lacks_approvals(self.record, wanted, checker=checker):
            return
        try:
            if not self._judge.is_more_said():
                return
            self._judgement(wanted)
        except UnapprovedError:
            return
        except MftgitError as error:  # whatever else it is, an attempt tells
            logger.info("approvals that came later cannot be judged", error=str(error))
            if not isinstance(error, RefusedError):
                return
        self._journal.keep(activation.approved(self.record, oid=wanted))

    def _wanted(self, head: Head) -> tuple[Revision, int]:
        """Return what is to run, and the number of the head that it is attempted under."""
        pin = self.operator.orders.pin
        return (head.oid, head.seq) if pin is None else (pin, max(head.seq, self.record.floor))

    def _has_behind_it(self, oid: Revision) -> bool:
        """Tell whether this member has ``oid`` behind it, by what it runs or by what it confirmed."""
        record = self.record
        return any(self._judge.is_behind(oid, each) for each in (record.active, record.anchor))

    def _is_news(self, oid: Revision, seq: int) -> bool:
        return activation.is_news(self.record, oid=oid, seq=seq, checker=self._judge.checker)

    def _fetch(self, wanted: Revision) -> Revision:
        anchor = self.record.anchor
        if self._judge.is_behind(wanted, anchor):
            return wanted
        return self._judge.fetch(
            wanted, anchor, published=None if self.head is None else self.head.oid
        )

    def _attempt(self, revision: Revision, seq: int) -> None:
        self._superseded = 0
        number = int(self._clock.now().timestamp() * 1000)
        fresh = activation.attempt(self.record, oid=revision, seq=seq, number=number)
        if activation.is_pending(self.record) and self.record.attempted != revision:
            self._journal.settle(fresh, EventName.REVISION_SUPERSEDED, by=revision)
        else:
            self._journal.keep(fresh)
        self._journal.step(EventName.REVISION_FETCHED)

    def _decide(self, revision: Revision) -> None:
        """Activate what was attempted, or say why not."""
        try:
            generation = self._judgement(revision)
            self._journal.step(EventName.REVISION_VERIFIED)
            self._tell_distrust(revision)
            if (waits := self._waits_for(revision)) is not None:
                self._put_off(*waits)
                return
            ready = self._running.prepare(revision, generation, fresh=True)
        except DivergedError as error:
            self._diverge(revision, str(error))
        except (RefusedError, ConfigError) as error:
            self._refuse(revision, error)
        except (MftgitError, OSError) as error:
            self._put_off(Wait.CHECK, str(error))
            raise
        else:
            self._journal.keep(activation.activating(self.record))
            self._survive(lambda: self._activation.activate(ready))

    def _waits_for(self, revision: Revision) -> tuple[Wait, str] | None:
        """Return what a good revision waits for: an operator's word first, which a pin has given already."""
        orders, generation = self.operator.orders, self.generation
        ordered = waits_for(orders, revision)
        if ordered is not None or orders.pin == revision or self.head is None:
            return ordered
        return waits_for_turn(
            self.head,
            revision,
            active=None if generation is None else generation.cluster,
            is_first=self.record.lkg is None,
            me=self._name,
            now=self._clock.now(),
            zones=find_zone,
        )

    def _judgement(self, revision: Revision) -> Generation:
        """Return what ``revision`` means here; while it waits it is judged once."""
        anchor = self.record.anchor
        if self._judged is None or self._judged[0] != (revision, anchor):
            behind = self._judge.is_behind(revision, anchor)
            pinned = behind and revision == self.operator.orders.pin
            judge = self._judge.judge_earlier if pinned else self._judge.judge
            try:
                self._judged = ((revision, anchor), judge(revision, self.record))
            except (MftgitError, OSError, MemoryError):
                raise
            except Exception as error:  # a fault of mftgit, which the same revision meets each time
                logger.opt(exception=True).critical("a revision cannot be judged")
                raise RefusedError(
                    f"revision {revision[:12]} cannot be judged by this version of mftgit "
                    f"({type(error).__name__}; its log has more): publish another, or install another version"
                ) from error
        return self._judged[1]

    def _supersede(self, wanted: Revision, seq: int) -> None:
        """End the wait for a confirmation where a newer revision is good; otherwise that is attempted afterwards."""
        due_in_s, generation = self._activation.due_in_s, self.generation
        if due_in_s is None or generation is None or wanted == self._no_help:
            return
        confirm_s = generation.cluster.confirm_s
        after_s = min(SUPERSEDE_AFTER_S, confirm_s / 2) * 2**self._superseded
        if confirm_s - due_in_s < after_s:
            return
        try:
            revision = self._fetch(wanted)
            ready = self._running.prepare(revision, self._judgement(revision), fresh=True)
        except (RefusedError, DivergedError, NotCheckedError, ConfigError) as error:
            self._no_help = wanted
            logger.bind(reason=str(error)).warning(
                "a newer revision does not help", revision=wanted
            )
            return
        if revision != self.record.attempted and self._waits_for(revision) is None:
            self._superseded += 1
            fresh = activation.superseding(self.record, oid=revision, seq=seq)
            self._journal.settle(fresh, EventName.REVISION_SUPERSEDED, by=revision)
            self._journal.step(EventName.REVISION_VERIFIED)
            self._survive(lambda: self._activation.activate(ready))

    def _put_off(self, wait: Wait, reason: str) -> None:
        self._journal.keep(activation.put_off(self.record, reason=reason, wait=wait))
        logger.info("revision waits", revision=self.record.attempted, reason=reason)

    def _refuse(self, revision: Revision, error: MftgitError) -> None:
        reason, found = str(error), getattr(error, "problems", ())
        problems = [dict(each.as_json()) for each in found[:_MAX_PROBLEMS_REPORTED]]
        refused = (
            activation.unapproved if isinstance(error, UnapprovedError) else activation.refused
        )
        record = refused(self.record, reason=reason, checker=self._judge.checker)
        self._journal.settle(record, EventName.REVISION_REFUSED, reason=reason, problems=problems)
        logger.error("revision refused; the active one stays", revision=revision, reason=reason)

    def _diverge(self, revision: Revision, reason: str) -> None:
        record = activation.diverged(self.record, reason=reason)
        self._journal.settle(record, EventName.REVISION_REFUSED, reason=reason)
        logger.error("revision held; the active one stays", revision=revision, reason=reason)

    def _tell_distrust(self, by: Revision) -> None:
        """Tell loudly when who signed what runs may not sign any more; it goes on running."""
        active = self.record.active
        wrong = None if active in {None, by} else self._judge.distrusted(active, by)
        if wrong is not None:
            facts: dict[str, Fact] = {"reason": wrong, "by": by}
            once = f"distrusted/{active}/{by}"
            told = self._journal.told
            told(EventName.SIGNER_DISTRUSTED, revision=active, facts=facts, once=once)
            logger.critical("the active revision would not pass any more", reason=wrong)
