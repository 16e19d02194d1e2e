"""How one run goes, file by file, and what is told of it."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from mftgit.adapters.content.pgp_home import PgpError
from mftgit.adapters.endpoint.contract import EndpointLostError, HostKeyError, LoginError
from mftgit.errors import ConfigError, MftgitError
from mftgit.member.outbound.copying.content_keys import ContentKeysError
from mftgit.member.outbound.delivering.send import HeldBackError
from mftgit.member.outbound.given.context import FAILED_RUNS, THE_RUN, Endpoints, RunContext
from mftgit.member.outbound.given.stopped import RunStoppedError
from mftgit.member.outbound.ownership.own import OwnershipEndedError, SupersededError
from mftgit.member.outbound.records.intents import StateUnavailableError
from mftgit.member.outbound.runs.ability import may_be_alone
from mftgit.member.outbound.runs.attempts import keep, recall
from mftgit.member.outbound.runs.trouble import Ends, Trouble, again_at, trouble_of
from mftgit.member.outbound.taking.parcel import Results
from mftgit.model.events.event import EventName, Fact
from mftgit.model.names import Epoch, LocationName
from mftgit.model.transfers.claim import ClaimId
from mftgit.model.transfers.commands import When
from mftgit.model.transfers.failover import Sign
from mftgit.model.transfers.failures import Mark
from mftgit.model.transfers.firing import firing_facts
from mftgit.model.transfers.run import RunState, RunStep, SoFar, advance_run

UNREACHABLE = (EndpointLostError, HostKeyError, LoginError)
"""Errors of a whole endpoint: the next file would fail alike."""

_ENDS_THE_RUN = (*UNREACHABLE, StateUnavailableError, ContentKeysError, PgpError)
"""Those, and errors of what files are changed with."""

Known = tuple[str, Mark | None]
"""What a failure is remembered by; see `Memory.failed`."""

MAX_ERRORS_TOLD = 20
"""How many errors the event of a run carries, so that no event outgrows what a report may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """How a run ended: ``outcome`` is one of SUCCEEDED, PARTLY, FAILED, IDLE and ENDED.

    ``again_in_s``: files were there that were too fresh; a run ``settled`` in so many seconds completes this one.
    ``stopped_by``: the operator who ended it before it had come to everything.
    ``superseded_by``: the epoch that the storage knows already, where that is higher than the ownership's.
    ``sign``: what it says of this member; ``unable`` is why, where that is that it alone may be unable to do it.
    """

    outcome: RunState
    files: int
    size_bytes: int
    errors: tuple[str, ...] = ()
    again_in_s: float | None = None
    superseded_by: Epoch | None = None
    stopped_by: str | None = None
    sign: Sign = Sign.NEITHER
    unable: str = ""


class Tally:
    """How one run goes, and what is told of it."""

    def __init__(self, context: RunContext, ends: Ends) -> None:
        self.context = context
        self.ends = ends
        self.prepared = False
        self.again_in_s: float | None = None
        self._state = RunState.PENDING
        self._files = 0
        self._size_bytes = 0
        self._errors: list[str] = []
        self._whole: Trouble | None = None
        self._places: dict[str | None, Trouble] = {}  # the last one of each location
        self._superseded_by: Epoch | None = None
        self._unable = ""
        self._elsewhere = False
        self._was_whole = False  # what those before it failed by
        self.is_clearing = False  # what was left behind; that there are no files says nothing then

    def carry_out(self, go: Callable[[Endpoints], object]) -> RunOutcome:
        """Do ``go`` from the beginning to the end of the run, and return how that went."""
        self._step(RunStep.START)
        self._tell(EventName.RUN_STARTED, firing_facts(self.context.firing))
        recall(self.context)
        memory = self.context.memory
        self._was_whole = memory.count(THE_RUN) > 0
        try:
            with Endpoints(self.context) as endpoints:
                go(endpoints)
        except OwnershipEndedError as error:
            self._errors.append(str(error))
            self._superseded_by = error.by if isinstance(error, SupersededError) else None
            # What somebody removed is raised again, where there is no successor.
            memory.adopted = memory.so_far = None
            self._step(RunStep.LOSE)
        except RunStoppedError:  # which is told by whom, and no failure
            self._after_run()
        except MftgitError as error:
            self._note_ability(error)
            self._errors.append(str(self._as_whole(error)))
            self._step(RunStep.FAIL)
            self._after_run()
        else:
            memory.succeeded(THE_RUN)
            self._after_run()
        outcome = self._finished()
        self._note_run()
        keep(self.context)
        return outcome

    def _after_run(self) -> None:
        """Finish, and run what is to be run after it, by which it may still fail.

        Where another part of the run follows, it is for the last one to run it, for all of them.
        """
        memory = self.context.memory
        part = SoFar(
            state=self._state,
            files=self._files,
            size_bytes=self._size_bytes,
            failed=len(self._errors),
            error=self._errors[0] if self._errors else None,
        )
        whole = part if memory.so_far is None else memory.so_far.then(part)
        if self.again_in_s is not None:
            memory.so_far = whole
            self._step(RunStep.FINISH)
            return
        memory.so_far = None
        try:
            self._tell_program(whole)
        except OwnershipEndedError as error:
            self._errors.append(str(error))
            self._step(RunStep.LOSE)
        else:
            self._step(RunStep.FINISH)

    def end_former(self) -> None:
        """Run what is to be run after a run whose next part did not come, as where its transfer was paused."""
        former, self.context.memory.so_far = self.context.memory.so_far, None
        if former is not None and former.state is not RunState.EMPTY:
            self._tell_program(former)

    def _tell_program(self, run: SoFar) -> None:
        facts = {
            "outcome": advance_run(run.state, RunStep.FINISH).value,
            "files": run.files,
            "size_bytes": run.size_bytes,
            "failed": run.failed,
            "error": run.error,
        }
        self._run_program(When.AFTER_RUN, facts, {})

    def _run_program(self, when: When, facts: Mapping[str, Fact], told: Mapping[str, Fact]) -> None:
        """Run a program after something; that it fails is told with ``told``, and no more."""
        try:
            self.context.run_program(when, facts)
        except OwnershipEndedError:
            raise
        except MftgitError as error:
            self._command_failed(when, error, told)

    def _command_failed(self, when: When, error: MftgitError, told: Mapping[str, Fact]) -> None:
        self._tell(EventName.COMMAND_FAILED, {"command": when.value, **told, "error": str(error)})
        self._errors.append(f"{when.value}: {error}")
        self._step(RunStep.FAIL)

    def attempt(
        self,
        files: Mapping[ClaimId, str],
        deliver: Callable[[Results], None],
        *,
        elsewhere: Collection[LocationName] = (),
        for_ever: bool = False,
        known_by: Callable[[ClaimId], Known] = lambda claim: (claim, None),
        ends: Ends | None = None,
    ) -> set[ClaimId]:
        """Deliver files together and take note of how each went; return those that failed.

        ``elsewhere``: a failure of these locations says nothing of other files. ``for_ever``: none
        of the files is ever given up. ``known_by`` says under what failures of a file are counted. ``ends`` are those
        of the transfer, unless the files go between others.

        Raises:
            OwnershipEndedError, RunStoppedError: stop at once.
            MftgitError: the run as a whole cannot go on.
        """
        results: Results = {}

        def note() -> set[ClaimId]:
            return self._take_note(files, results, known_by, ends, for_ever=for_ever)

        try:
            deliver(results)
        except (OwnershipEndedError, RunStoppedError):
            note()
            raise
        except MftgitError as error:
            at_home = not elsewhere or error.location not in {None, *elsewhere}
            if isinstance(error, _ENDS_THE_RUN) and at_home:
                note()
                at_hand = next((each for each in files.items() if each[0] not in results), None)
                if at_hand is not None and self._whole is None:  # else another lot has told it
                    self._tell_failed(*at_hand, self._as_whole(error))
                raise
            if isinstance(error, ConfigError) and at_home:  # of the endpoint, and of no file
                self._note_ability(error)
            results = {claim: results.get(claim, error) for claim in files}
        return note()

    def _take_note(
        self,
        files: Mapping[ClaimId, str],
        results: Results,
        known_by: Callable[[ClaimId], Known],
        ends: Ends | None,
        *,
        for_ever: bool,
    ) -> set[ClaimId]:
        context = self.context
        failed = set()
        cause_told = any(map(_is_cause, results.values()))
        for claim, outcome in results.items():
            path = files[claim]
            if isinstance(outcome, MftgitError):
                failed.add(claim)
                now = context.clock.boottime()
                failure = context.memory.failed(*known_by(claim), now, for_ever=for_ever)
                if cause_told and not _is_cause(outcome):
                    continue  # of a whole batch it is told once why it is held back
                cause_told = True
                trouble = trouble_of(
                    outcome,
                    failure,
                    ends=[*([ends] if ends else []), self.ends],
                    context=context,
                    counts=not for_ever,
                )
                self._places[trouble.location] = trouble
                self._tell_failed(claim, path, trouble)
                self._errors.append(f"{path}: {trouble}")
                self._step(RunStep.FAIL)
                told = {"id": claim, "path": path}
                facts = {"delivery_id": claim, "path": path} | trouble.facts()
                self._run_program(When.AFTER_FAILURE, facts, told)
                continue
            context.memory.succeeded(claim)
            if outcome.delivered:
                self._files += 1
                self._size_bytes += outcome.size_bytes
                self._step(RunStep.DELIVER)
            if outcome.after is not None:
                self._command_failed(When.AFTER_FILE, outcome.after, {"id": claim, "path": path})
        return failed

    def forgive(self, error: MftgitError) -> None:
        """Go on at the fallback after ``error``, which would have ended the run."""
        self._note_ability(error)
        self._whole = None

    def go_elsewhere(self, ends: Ends) -> None:
        """Take note that the files go between ``ends`` now, and say nothing of the destination any more."""
        self.ends, self._elsewhere = ends, True

    def _note_ability(self, error: MftgitError) -> None:
        if may_be_alone(error):
            self._unable = str(error)

    def _sign(self) -> Sign:
        if self._unable and (self._elsewhere or self._state is RunState.FAILED):
            return Sign.UNABLE
        went = self._state in {RunState.SUCCEEDED, RunState.PARTLY} or (
            self._state is RunState.IDLE and not self.is_clearing
        )
        return Sign.ABLE if went and not self._elsewhere else Sign.NEITHER

    def _as_whole(self, error: MftgitError) -> Trouble:
        """Return what is told of an error that ends the run, which counts once."""
        if self._whole is None:
            failure = self.context.memory.failed(THE_RUN, None, self.context.clock.boottime())
            self._whole = trouble_of(
                error, failure, ends=[self.ends], context=self.context, counts=False
            )
        return self._whole

    def _tell_failed(self, claim: ClaimId, path: str, trouble: Trouble) -> None:
        self._tell(EventName.DELIVERY_FAILED, {"id": claim, "path": path} | trouble.facts())

    def _step(self, step: RunStep) -> None:
        self._state = advance_run(self._state, step)

    def _finished(self) -> RunOutcome:
        failed = self._state in {RunState.FAILED, RunState.ENDED}
        stopped_by = self.context.stopped_by()
        self._tell(
            EventName.RUN_FAILED if failed else EventName.RUN_FINISHED,
            {
                "outcome": self._state.value,
                "files": self._files,
                "size_bytes": self._size_bytes,
                "errors": self._errors[:MAX_ERRORS_TOLD],  # each has a DeliveryFailed of its own
                "retried_at": self._retried_at(),
                **firing_facts(self.context.firing),
                **self._place(),
                **({} if stopped_by is None else {"stopped_by": stopped_by}),
            },
        )
        return RunOutcome(
            outcome=self._state,
            files=self._files,
            size_bytes=self._size_bytes,
            errors=tuple(self._errors),
            again_in_s=self.again_in_s,
            superseded_by=self._superseded_by,
            stopped_by=stopped_by,
            sign=self._sign(),
            unable=self._unable,
        )

    def _note_run(self) -> None:
        """Count a run that failed, or tell that those before it are over."""
        memory, now = self.context.memory, self.context.clock.boottime()
        if self._state is RunState.FAILED:
            memory.failed(FAILED_RUNS, None, now)
        elif self._proves_more() and not self._errors and self.again_in_s is None:
            count = memory.recovered(now)
            if count:
                self._tell(EventName.TRANSFER_RECOVERED, {"failed_runs": count})

    def _proves_more(self) -> bool:
        """Tell whether it did what those before it could not: to find no file says only that the source is reached."""
        if self._state is RunState.IDLE and not self._was_whole:
            return False
        return self._sign() is Sign.ABLE

    def _place(self) -> Mapping[str, Fact]:
        """Return where it was that ended the run, or that all which failed had to do with, if that is one location."""
        if self._whole is not None:
            return self._whole.place()
        if self._state is not RunState.FAILED or len(self._places) != 1:
            return {}
        (trouble,) = self._places.values()
        return {} if trouble.location is None else trouble.place()

    def _retried_at(self) -> str | None:
        """Return from when on the first of what failed is tried again; a run that ended is its successor's to tell."""
        context = self.context
        now = context.clock.boottime()
        retry_in_s = context.memory.retry_in_s(now)
        if self._state is RunState.ENDED or retry_in_s is None:
            return None
        return again_at(now + retry_in_s, context)

    def _tell(self, event: EventName, facts: Mapping[str, Fact]) -> None:
        self.context.record(event, facts)


def _is_cause(outcome: object) -> bool:
    """Tell whether a file failed by itself, and not for the sake of another one of its batch."""
    return isinstance(outcome, MftgitError) and not isinstance(outcome, HeldBackError)
