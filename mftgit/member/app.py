"""One member: its parts, and the loop that keeps it on the published revision.

Resume on the last known good revision first, controller or no controller; then, whenever the head may have
moved: head, fetch, lineage, verify, activate, apply. Each step takes what the one before gave.
"""

import json
import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from loguru import logger

from mftgit import __version__
from mftgit.adapters.durable import replace_file
from mftgit.adapters.event_store import EventStore
from mftgit.adapters.git_store import GitStore
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.errors import ConfigError, MftgitError
from mftgit.member.activate import read_record, write_record
from mftgit.member.fetch import DivergedError, check_lineage
from mftgit.member.outbound.service import Outbound
from mftgit.member.report import Reporter, back_off_s
from mftgit.member.upstream import Upstream
from mftgit.member.verify import RefusedError, verify
from mftgit.model import activation
from mftgit.model.activation import Record, Stage
from mftgit.model.config import Generation
from mftgit.model.events import EventName, Fact
from mftgit.model.messages import Head, MemberState, MemberStatus
from mftgit.model.names import Epoch, Revision
from mftgit.model.plan import plan
from mftgit.model.validate import Validator

DEFAULT_POLL_S = 30.0
"""How often the head is asked for while no revision says otherwise."""

_MAX_PROBLEMS_REPORTED = 50

_STATES = {
    Stage.NONE: MemberState.STARTING,
    Stage.ATTEMPTED: MemberState.STARTING,
    Stage.ACTIVATED: MemberState.ACTIVE,
    Stage.REFUSED: MemberState.REFUSED,
    Stage.HELD: MemberState.HOLDING,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a member is built from; the command line hands it over."""

    folder: StateFolder
    bootstrap: Bootstrap
    upstream: Upstream
    store: GitStore
    validator: Validator
    events: EventStore


class Member:
    """A running member."""

    def __init__(self, parts: Parts) -> None:
        """Read the durable record; nothing runs yet."""
        self._parts = parts
        self._record = read_record(parts.folder.record)
        self._generation: Generation | None = None
        self._head: Head | None = None
        self._failures = 0
        self._left = b""
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._outbound = Outbound(
            folder=parts.folder, bootstrap=parts.bootstrap, record=self._record_event
        )
        self._reporter = Reporter(parts.upstream, parts.events, status=self.status)
        self._threads = [
            threading.Thread(target=self._follow, name="follow", daemon=True),
            threading.Thread(target=self._listen, name="listen", daemon=True),
        ]

    def start(self) -> None:
        """Resume on the active revision and begin to follow the published branch."""
        self._record_event(EventName.MEMBER_STARTED, facts={"version": __version__})
        self._outbound.start()
        self._resume()
        self._reporter.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Finish the runs under way, give the leases back, report, and end."""
        self._stopping.set()
        self._wake.set()
        self._outbound.stop()
        self._record_event(EventName.MEMBER_STOPPED)
        self._reporter.stop()
        self._parts.upstream.close()
        for thread in self._threads:
            thread.join(5.0)

    def status(self) -> MemberStatus:
        """Return how this member is, and leave the same in its state folder for ``mftgit status``."""
        record, bootstrap = self._record, self._parts.bootstrap
        status = MemberStatus(
            name=bootstrap.name,
            role=bootstrap.role,
            state=self._state(),
            active_revision=record.active,
            attempted_revision=record.attempted,
            reason=record.reason,
            transfers=self._outbound.status(),
        )
        self._leave_status(status)
        return status

    def _state(self) -> MemberState:
        if self._stopping.is_set():
            return MemberState.STOPPED
        if self._record.stage is Stage.ATTEMPTED and self._record.active is not None:
            return MemberState.ACTIVE  # it runs what it ran, while the next revision is looked at
        return _STATES[self._record.stage]

    # Following the published branch

    def _follow(self) -> None:
        while not self._stopping.is_set():
            wait_s = self._look()
            self._wake.wait(wait_s)
            self._wake.clear()

    def _look(self) -> float:
        """Look at the head once; return how long to wait before the next look."""
        try:
            if self._generation is None:
                self._resume()  # again, where it did not go through at the start
            head = self._parts.upstream.head(self._head)
            self._head = head or self._head
            if self._head is not None:
                self._take_in(self._head)
        except MftgitError as error:
            self._failures += 1
            level = "WARNING" if self._failures == 1 else "DEBUG"
            logger.log(level, "the published revision was not taken in", error=str(error))
            return back_off_s(self._failures)
        except Exception:  # noqa: BLE001  the member must outlive a fault in one revision
            self._failures += 1
            logger.opt(exception=True).error("unexpected failure while taking in a revision")
            return back_off_s(self._failures)
        self._failures = 0
        poll_s = self._generation.cluster.poll_s if self._generation else DEFAULT_POLL_S
        return poll_s * random.uniform(0.8, 1.2)  # noqa: S311  spreads the members' polls

    def _listen(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                for _ in self._parts.upstream.wait():
                    failures = 0
                    self._wake.set()
                    if self._stopping.is_set():
                        return
            except MftgitError as error:
                logger.debug("not listening for a new revision", error=str(error))
            failures += 1
            self._stopping.wait(back_off_s(failures))

    # Taking a revision in

    def _take_in(self, head: Head) -> None:
        if not activation.is_news(self._record, oid=head.oid, seq=head.seq, version=__version__):
            return
        revision = self._parts.upstream.fetch()
        if not activation.is_news(self._record, oid=revision, seq=head.seq, version=__version__):
            return
        self._record_event(
            EventName.REVISION_FETCHED, revision=revision, facts={"head_seq": head.seq}
        )
        self._keep(activation.attempt(self._record, oid=revision, seq=head.seq))
        try:
            check_lineage(self._parts.store, anchor=self._record.anchor, tip=revision)
            generation = self._verify(revision)
        except DivergedError as error:
            self._hold(revision, str(error))
        except RefusedError as error:
            self._refuse(revision, error)
        except ConfigError as error:
            self._refuse(revision, RefusedError(str(error), getattr(error, "problems", ())))
        else:
            self._record_event(EventName.REVISION_VERIFIED, revision=revision)
            self._activate(revision, generation)

    def _verify(self, revision: Revision) -> Generation:
        bootstrap = self._parts.bootstrap
        return verify(
            self._parts.store,
            revision,
            validator=self._parts.validator,
            member=bootstrap.name,
            role=bootstrap.role,
        )

    def _activate(self, revision: Revision, generation: Generation) -> None:
        self._keep(activation.activated(self._record))
        self._apply(revision, generation)
        self._record_event(
            EventName.REVISION_ACTIVATED, revision=revision, facts={"head_seq": self._record.seq}
        )
        logger.info("revision is active", revision=revision)
        self._reporter.poke()

    def _apply(self, revision: Revision, generation: Generation) -> None:
        steps = plan(self._generation, generation)
        self._outbound.apply(steps, generation=generation, revision=revision)
        self._generation = generation
        if steps:
            facts: Mapping[str, Fact] = {
                "started": [each.transfer.name for each in steps.start],
                "changed": [each.transfer.name for each in steps.change],
                "stopped": list(steps.stop),
            }
            self._record_event(EventName.PLAN_APPLIED, revision=revision, facts=facts)

    def _refuse(self, revision: Revision, error: RefusedError) -> None:
        reason = str(error)
        self._keep(activation.refused(self._record, reason=reason, version=__version__))
        problems = [dict(each.as_json()) for each in error.problems[:_MAX_PROBLEMS_REPORTED]]
        self._record_event(
            EventName.REVISION_REFUSED,
            revision=revision,
            facts={"reason": reason[:2000], "problems": problems},
        )
        logger.error("revision refused; the active one stays", revision=revision, reason=reason)

    def _hold(self, revision: Revision, reason: str) -> None:
        self._keep(activation.held(self._record, reason=reason))
        self._record_event(
            EventName.REVISION_REFUSED, revision=revision, facts={"reason": reason, "problems": []}
        )
        logger.error("revision held; the active one stays", revision=revision, reason=reason)

    def _resume(self) -> None:
        """Run what the record says is active; a member that cannot says so loudly and goes on following."""
        revision = self._record.active
        if revision is None:
            return
        try:
            self._apply(revision, self._verify(revision))
        except MftgitError as error:
            logger.bind(error=str(error)).critical("the last known good revision cannot run")
            return
        logger.info("resumed on the last known good revision", revision=revision)

    # Writing down

    def _keep(self, record: Record) -> None:
        write_record(self._parts.folder.record, record)
        self._record = record

    def _record_event(
        self,
        event: EventName,
        *,
        revision: Revision | None = None,
        epoch: Epoch | None = None,
        facts: Mapping[str, Fact] | None = None,
    ) -> None:
        self._parts.events.append(
            event, revision=revision or self._record.active, epoch=epoch, facts=facts
        )
        self._reporter.poke()

    def _leave_status(self, status: MemberStatus) -> None:
        """Leave the status for the command line, when it changed."""
        body = {
            "cluster": self._generation.cluster.name if self._generation else None,
            "revision": self._head.oid if self._head else self._record.active,
            "member": status.as_json(last_seen_s=0.0),
        }
        content = json.dumps(body).encode()
        if content == self._left:
            return
        try:
            replace_file(self._parts.folder.status, content)
            self._left = content
        except OSError as error:
            logger.warning("status not written", error=str(error))
