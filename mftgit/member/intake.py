"""Keep a member on the published revision: resume, take in what is news, and stand down when it was removed.

Each step takes what the one before gave: head, fetch, lineage, verify, activate, apply. One thread calls; others may
read.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from loguru import logger

from mftgit import __version__
from mftgit.adapters.git_fetch import RemoteBrokenError
from mftgit.adapters.git_objects import StoreError
from mftgit.adapters.git_store import GitStore
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.errors import ConfigError, MftgitError, TransientError
from mftgit.member.activate import read_record, write_record
from mftgit.member.fetch import DivergedError, check_lineage
from mftgit.member.outbound.service import Outbound
from mftgit.member.upstream import RemovedError, Upstream
from mftgit.member.verify import NotCheckedError, RefusedError, check_signatures, verify
from mftgit.model import activation
from mftgit.model.activation import Record, Stage
from mftgit.model.config import Generation
from mftgit.model.events import EventName, Fact
from mftgit.model.messages import Head, MemberState
from mftgit.model.names import Revision
from mftgit.model.plan import Plan, jobs, plan
from mftgit.model.validate import Validator

_MAX_PROBLEMS_REPORTED = 50

_STATES = {
    Stage.NONE: MemberState.STARTING,
    Stage.ATTEMPTED: MemberState.ACTIVE,  # it runs what it ran, while the next revision is looked at
    Stage.ACTIVATING: MemberState.ACTIVE,
    Stage.ACTIVATED: MemberState.ACTIVE,
    Stage.REFUSED: MemberState.REFUSED,
    Stage.HELD: MemberState.HOLDING,
}


class NotRunningError(TransientError):
    """The revision that should run does not; it is tried again."""


class StoreNotRenewedError(TransientError):
    """The store is broken, and no fresh one could be had; it is tried again."""


class RecordEvent(Protocol):
    """Writes down an event of this member."""

    def __call__(
        self,
        event: EventName,
        *,
        revision: Revision | None = None,
        facts: Mapping[str, Fact] | None = None,
    ) -> None:
        """Write it down; raises MftgitError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a member is built from; the command line hands it over."""

    folder: StateFolder
    bootstrap: Bootstrap
    upstream: Upstream
    store: GitStore
    validator: Validator


class Intake:
    """The durable record, what runs by it, and what becomes of a new revision.

    ``generation`` is the one that was applied last, wholly or not; ``runs`` is its revision when it was wholly.
    ``trouble`` says why the active revision does not run, or why the store cannot be mended.
    """

    def __init__(self, parts: Parts, outbound: Outbound, *, record_event: RecordEvent) -> None:
        """Read the durable record; nothing runs yet."""
        self._parts = parts
        self._outbound = outbound
        self._tell = record_event
        self.record = read_record(parts.folder.record)
        self.head: Head | None = None
        self.generation: Generation | None = None
        self.runs: Revision | None = None
        self.trouble: str | None = None

    def state(self) -> MemberState:
        """Return what the member is doing about the published revision."""
        if self.record.removed:
            return MemberState.REMOVED
        if self.runs is None and self.trouble is not None:
            return MemberState.FAILING
        if self.runs is None and (self.record.active is not None or self._is_first()):
            return MemberState.STARTING
        if self.record.stage is Stage.ATTEMPTED and self.record.reason is not None:
            return MemberState.HOLDING
        return _STATES[self.record.stage]

    def _is_first(self) -> bool:
        return self.record.stage in {Stage.NONE, Stage.ATTEMPTED}

    def reason(self) -> str | None:
        """Return why the member is not simply active."""
        if self.record.removed:
            name = self._parts.bootstrap.name
            return (
                "the controller says that this member is not of the cluster: its transfers are stopped. To let the "
                f"machine in again, `mftgit member add {name}` on the controller and `mftgit join` into a new folder"
            )
        return self.trouble or self.record.reason

    def resume(self) -> None:
        """Run what the record says is active, with what is on the disk; it is tried again at each look."""
        self._survive(self._run_active)

    def look(self) -> None:
        """Look once: see that what is active runs, ask for the head, take it in when it is news.

        Raises:
            MftgitError: not all of it went through; look again soon.
        """
        self._survive(self._keep_running)
        try:
            head = self._parts.upstream.head(self.head)
        except RemovedError:
            self._stand_down()
            raise
        if self.record.removed:
            self._keep(activation.let_in(self.record))
            logger.warning("the controller knows this member again; its transfers go on")
            self._survive(self._keep_running)
        self.head = head or self.head
        if self.head is not None:
            self._take_in(self.head)
        if self.trouble is not None:
            raise NotRunningError(self.trouble)

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

    def _keep_running(self) -> None:
        """See that the active revision runs and can be read again; where the store is broken, mend it."""
        try:
            self._run_active()
        except StoreError as error:
            self._renew(error)
            self._run_active()

    def _run_active(self) -> None:
        active = self.record.active
        if active is None or self.record.removed:
            return
        if self.runs == active and self.record.stage is not Stage.ACTIVATING:
            self._parts.store.check(active)
            return
        self._run(active, self._verify(active))
        logger.info("runs the last known good revision", revision=active)

    def _run(self, revision: Revision, generation: Generation) -> None:
        """Apply what the record has decided for, tell it, and only then call it activated.

        A crash in between leaves the record to be carried out by `resume`.
        """
        steps = self._steps(generation)
        try:
            self._apply(steps, revision, generation)
        except BaseException:
            self.runs = None  # how much of it does is not known
            raise
        self.runs = revision
        if self.record.stage is Stage.ACTIVATING:
            facts: Mapping[str, Fact] = {"head_seq": self.record.seq}
            self._tell(EventName.REVISION_ACTIVATED, revision=revision, facts=facts)
            self._keep(activation.activated(self.record))
            logger.info("revision is active", revision=revision)

    def _steps(self, generation: Generation) -> Plan:
        if self.runs is not None:
            return plan(self.generation, generation)
        left = {each.name for each in self._outbound.status()} - jobs(generation).keys()
        return replace(plan(None, generation), stop=tuple(sorted(left)))

    def _apply(self, steps: Plan, revision: Revision, generation: Generation) -> None:
        self.generation = generation
        self._outbound.apply(steps, generation=generation, revision=revision)
        if steps:
            facts: Mapping[str, Fact] = {
                "started": [each.transfer.name for each in steps.start],
                "changed": [each.transfer.name for each in steps.change],
                "stopped": list(steps.stop),
            }
            self._tell(EventName.PLAN_APPLIED, revision=revision, facts=facts)

    def _stand_down(self) -> None:
        """Run nothing from now on, restarts included; runs under way end after the file at hand."""
        try:
            if not self.record.removed:
                self._keep(activation.removed(self.record))
                logger.critical("the controller does not know this member; its transfers stop")
        finally:
            stop = Plan(stop=tuple(sorted(each.name for each in self._outbound.status())))
            if self.record.active is not None and self.generation is not None and stop:
                self._apply(stop, self.record.active, self.generation)
            self._outbound.stand_down()
            self.runs = None

    # Taking a revision in

    def _take_in(self, head: Head) -> None:
        if not self._is_news(head.oid, head):
            return
        revision = self._fetch()
        if not self._is_news(revision, head):
            return
        if (self.record.stage, self.record.attempted) != (Stage.ATTEMPTED, revision):
            facts: Mapping[str, Fact] = {"head_seq": head.seq}
            self._tell(EventName.REVISION_FETCHED, revision=revision, facts=facts)
        self._keep(activation.attempt(self.record, oid=revision, seq=head.seq))
        try:
            generation = self._judge(revision)
        except NotCheckedError as error:
            self._keep(activation.put_off(self.record, reason=str(error)))
            raise
        except DivergedError as error:
            self._hold(revision, str(error))
        except RefusedError as error:
            self._refuse(revision, error)
        except ConfigError as error:
            self._refuse(revision, RefusedError(str(error), getattr(error, "problems", ())))
        else:
            self._tell(EventName.REVISION_VERIFIED, revision=revision)
            self._keep(activation.activating(self.record))
            self._survive(lambda: self._run(revision, generation))

    def _is_news(self, oid: Revision, head: Head) -> bool:
        return activation.is_news(self.record, oid=oid, seq=head.seq, version=__version__)

    def _fetch(self) -> Revision:
        try:
            return self._parts.upstream.fetch()
        except (StoreError, RemoteBrokenError) as error:  # who is to blame, a fresh store shows
            return self._renew(error)

    def _judge(self, revision: Revision) -> Generation:
        try:
            return self._verify_growth(revision)
        except StoreError as error:
            self._renew(error)
            return self._verify_growth(revision)

    def _verify_growth(self, revision: Revision) -> Generation:
        store, anchor = self._parts.store, self.record.anchor
        check_lineage(store, anchor=anchor, tip=revision)
        check_signatures(store, anchor=anchor, tip=revision)
        return self._verify(revision)

    def _verify(self, revision: Revision) -> Generation:
        bootstrap = self._parts.bootstrap
        return verify(
            self._parts.store,
            revision,
            validator=self._parts.validator,
            member=bootstrap.name,
            role=bootstrap.role,
        )

    def _renew(self, broken: MftgitError) -> Revision:
        """Put a fresh store in the stead of a broken one; return the published revision that it holds."""
        logger.error("the store is broken; a fresh one is fetched", error=str(broken))
        try:
            tip = self._parts.upstream.renew(self.record.anchor)
        except MftgitError as error:
            raise StoreNotRenewedError(f"{broken}; no fresh copy could be had: {error}") from error
        logger.warning("a fresh store is in place", revision=tip)
        return tip

    def _refuse(self, revision: Revision, error: RefusedError) -> None:
        reason = str(error)
        problems = [dict(each.as_json()) for each in error.problems[:_MAX_PROBLEMS_REPORTED]]
        facts: Mapping[str, Fact] = {"reason": reason[:2000], "problems": problems}
        self._tell(EventName.REVISION_REFUSED, revision=revision, facts=facts)
        self._keep(activation.refused(self.record, reason=reason, version=__version__))
        logger.error("revision refused; the active one stays", revision=revision, reason=reason)

    def _hold(self, revision: Revision, reason: str) -> None:
        facts: Mapping[str, Fact] = {"reason": reason, "problems": []}
        self._tell(EventName.REVISION_REFUSED, revision=revision, facts=facts)
        self._keep(activation.held(self.record, reason=reason))
        logger.error("revision held; the active one stays", revision=revision, reason=reason)

    def _keep(self, record: Record) -> None:
        write_record(self._parts.folder.record, record)
        self.record = record
