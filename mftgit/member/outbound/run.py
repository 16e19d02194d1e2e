"""Run a transfer once: end what was begun, then take what is there, one file after another."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from mftgit.adapters.endpoint import EndpointLostError, HostKeyError, LoginError
from mftgit.errors import MftgitError
from mftgit.member.outbound.attempts import keep, recall
from mftgit.member.outbound.batches import File, together
from mftgit.member.outbound.begun import Begun
from mftgit.member.outbound.context import Endpoints, RunContext
from mftgit.member.outbound.deliver import Delivery
from mftgit.member.outbound.intents import StateUnavailableError
from mftgit.member.outbound.own import OwnershipEndedError, SupersededError
from mftgit.member.outbound.parcel import Results
from mftgit.member.outbound.select import Selection
from mftgit.model.claim import ClaimId
from mftgit.model.config import AfterSuccess, Transfer
from mftgit.model.events import EventName, Fact
from mftgit.model.names import Epoch
from mftgit.model.run import RunState, RunStep, advance_run
from mftgit.model.triggers import WatchTrigger

_ENDS_THE_RUN = (EndpointLostError, HostKeyError, LoginError, StateUnavailableError)
"""Errors of a whole endpoint: the next file would fail alike."""

_THE_RUN = ""

MAX_ERRORS_TOLD = 20
"""How many errors the event of a run carries, so that no event outgrows what a report may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """How a run ended: ``outcome`` is one of SUCCEEDED, PARTLY, FAILED, IDLE and ENDED.

    ``again_in_s``: files were there that were too fresh; a run ``settled`` in so many seconds completes this one.
    ``superseded_by``: the epoch that the storage knows already, where that is higher than the ownership's.
    """

    outcome: RunState
    files: int
    size_bytes: int
    errors: tuple[str, ...] = ()
    again_in_s: float | None = None
    superseded_by: Epoch | None = None


def run_once(
    transfer: Transfer, context: RunContext, *, fresh: bool = True, settled: bool = False
) -> RunOutcome:
    """Run ``transfer`` once. What goes wrong is told by events and in the outcome, not raised.

    Without ``fresh`` only what an earlier owner or run has begun is ended, and no further file is taken; but a run on
    a schedule that did not come to its end is gone on with. ``settled`` completes a run that said ``again_in_s``.

    A file that fails does not keep the others from being delivered, unless its endpoint as a whole has failed.
    """
    run = _Run(context)
    return run.carry_out(
        lambda endpoints: _Going(transfer, run, endpoints).go(fresh=fresh, settled=settled)
    )


def end_begun(context: RunContext) -> RunOutcome:
    """End what was begun of a transfer that is not configured any more; tell and return as `run_once` does."""
    run = _Run(context)
    return run.carry_out(
        lambda endpoints: _end_begun(run, Begun(context, endpoints, transfer=None), endpoints, None)
    )


def has_work(transfer: Transfer | None, context: RunContext, *, fresh: bool = True) -> bool:
    """Tell whether such a run would find something to do, without an effect and without an event.

    Raises:
        MftgitError: the source or the members' storage cannot be looked at.
    """
    recall(context)
    if context.memory.is_put_off(_THE_RUN, None, context.clock.boottime()):
        return False
    with Endpoints(context) as endpoints:
        try:
            begun = Begun(context, endpoints, transfer=transfer)
            if begun.is_any():
                return True
            if transfer is None or not fresh:
                return False
            context.memory.ledger.refresh()
            return Selection(transfer, context, endpoints).has_work(begun)
        except OwnershipEndedError:
            context.memory.adopted = None
            return context.ownership.valid()  # then the run finds out what became of its folders


class _Run:
    """How one run goes, and what is told of it."""

    def __init__(self, context: RunContext) -> None:
        self.context = context
        self.again_in_s: float | None = None
        self._state = RunState.PENDING
        self._files = 0
        self._size_bytes = 0
        self._errors: list[str] = []
        self._superseded_by: Epoch | None = None

    def carry_out(self, go: Callable[[Endpoints], object]) -> RunOutcome:
        self._step(RunStep.START)
        self._tell(EventName.RUN_STARTED, {})
        recall(self.context)
        memory = self.context.memory
        try:
            with Endpoints(self.context) as endpoints:
                go(endpoints)
        except OwnershipEndedError as error:
            self._errors.append(str(error))
            self._superseded_by = error.by if isinstance(error, SupersededError) else None
            # What somebody removed is raised again, where there is no successor.
            memory.adopted = None
            self._step(RunStep.LOSE)
        except MftgitError as error:
            self._errors.append(str(error))
            self._step(RunStep.FAIL)
            memory.failed(_THE_RUN, None, self.context.clock.boottime())
            self._step(RunStep.FINISH)
        else:
            memory.succeeded(_THE_RUN)
            self._step(RunStep.FINISH)
        keep(self.context)
        return self._finished()

    def attempt(
        self,
        files: Mapping[ClaimId, str],
        deliver: Callable[[Results], None],
        *,
        alone: bool = False,
    ) -> set[ClaimId]:
        """Deliver files together and take note of how each went; return those that failed.

        ``alone``: a failure of their endpoints says nothing of other files.

        Raises:
            OwnershipEndedError: stop at once.
            MftgitError: the run as a whole cannot go on.
        """
        results: Results = {}
        try:
            deliver(results)
        except OwnershipEndedError:
            self._take_note(files, results)
            raise
        except MftgitError as error:
            if isinstance(error, _ENDS_THE_RUN) and not alone:
                self._take_note(files, results)
                at_hand = next((each for each in files.items() if each[0] not in results), None)
                if at_hand is not None:
                    facts = {"id": at_hand[0], "path": at_hand[1], "error": str(error)}
                    self._tell(EventName.DELIVERY_FAILED, facts)
                raise
            results = {claim: results.get(claim, error) for claim in files}
        return self._take_note(files, results)

    def _take_note(self, files: Mapping[ClaimId, str], results: Results) -> set[ClaimId]:
        failed = set()
        for claim, outcome in results.items():
            path = files[claim]
            if isinstance(outcome, MftgitError):
                failed.add(claim)
                self._tell(
                    EventName.DELIVERY_FAILED, {"id": claim, "path": path, "error": str(outcome)}
                )
                self._errors.append(f"{path}: {outcome}")
                self._step(RunStep.FAIL)
                self.context.memory.failed(claim, None, self.context.clock.boottime())
                continue
            self.context.memory.succeeded(claim)
            if outcome.delivered:
                self._files += 1
                self._size_bytes += outcome.size_bytes
                self._step(RunStep.DELIVER)
        return failed

    def _step(self, step: RunStep) -> None:
        self._state = advance_run(self._state, step)

    def _finished(self) -> RunOutcome:
        failed = self._state in {RunState.FAILED, RunState.ENDED}
        self._tell(
            EventName.RUN_FAILED if failed else EventName.RUN_FINISHED,
            {
                "outcome": self._state.value,
                "files": self._files,
                "size_bytes": self._size_bytes,
                "errors": self._errors[:MAX_ERRORS_TOLD],  # each has a DeliveryFailed of its own
            },
        )
        return RunOutcome(
            outcome=self._state,
            files=self._files,
            size_bytes=self._size_bytes,
            errors=tuple(self._errors),
            again_in_s=self.again_in_s,
            superseded_by=self._superseded_by,
        )

    def _tell(self, event: EventName, facts: Mapping[str, Fact]) -> None:
        self.context.record(event, facts)


def _end_begun(
    run: _Run, begun: Begun, endpoints: Endpoints, transfer: Transfer | None
) -> Delivery:
    """Take over, and end every delivery that was begun; return what delivers further files."""
    context = run.context
    begun.take_over()
    context.memory.ledger.refresh()
    delivery = Delivery(transfer, context, endpoints=endpoints, begun=begun)
    for intent in begun.records():
        if context.stopping.is_set():
            return delivery
        spent = context.memory.is_spent(intent.id, None)
        go_on = delivery.give_up if spent else delivery.resume
        run.attempt(
            {intent.id: intent.path},
            lambda results, i=intent, go=go_on: go(i, results),  # type: ignore[misc]
            alone=not delivery.is_ours(intent),
        )
        keep(context)
    begun.intents.tidy()
    return delivery


class _Going:
    """A run of a transfer that is configured."""

    def __init__(self, transfer: Transfer, run: _Run, endpoints: Endpoints) -> None:
        self._transfer = transfer
        self._run = run
        self._context = run.context
        self._endpoints = endpoints
        self._begun = Begun(run.context, endpoints, transfer=transfer)
        self._selection = Selection(transfer, run.context, endpoints)
        self._keeps = transfer.after_success is AfterSuccess.KEEP
        self._on_schedule = not isinstance(transfer.trigger, WatchTrigger)

    def go(self, *, fresh: bool, settled: bool) -> None:
        transfer, stopping = self._transfer, self._context.stopping
        delivery = _end_begun(self._run, self._begun, self._endpoints, transfer)
        for claim in self._begun.unrecorded():
            if not stopping.is_set():
                self._run.attempt(
                    {claim.id: claim.path or claim.at},
                    lambda results, c=claim: delivery.adopt(transfer, c, results),  # type: ignore[misc]
                )
        if not self._on_schedule:
            if self._begun.intents.is_run_open():
                self._begun.intents.close_run()  # it was on a schedule when that run began
            if fresh:
                self._take_fresh(delivery)
                # What was too fresh is found by the next look.
                self._run.again_in_s = self._selection.again_in_s(settled=True)
        elif fresh or self._begun.intents.is_run_open():
            self._take_all(delivery, settled=settled)

    def _take_all(self, delivery: Delivery, *, settled: bool) -> None:
        """Take what a firing takes. A run that is cut short stays open, and whoever comes next goes on with it."""
        intents, context = self._begun.intents, self._context
        intents.open_run()
        try:
            self._take_fresh(delivery)
        except OwnershipEndedError:
            raise
        except MftgitError:
            intents.close_run()  # it is tried again by the next firing
            raise
        if context.stopping.is_set() and not context.unwanted():
            return
        self._run.again_in_s = self._selection.again_in_s(settled=settled)
        if self._run.again_in_s is None:
            intents.close_run()

    def _take_fresh(self, delivery: Delivery) -> None:
        # A file must not overtake an older one of its name that is under way still.
        begun = self._begun
        under_way = {each.path for each in begun.intents.all() if begun.is_at_home(each)}
        for files in self._together(under_way):
            if self._context.stopping.is_set():
                return
            self._context.ownership.check()
            self._take_together(delivery, files)
        self._selection.remove_markers()

    def _together(self, under_way: set[str]) -> Iterator[Sequence[File]]:
        if self._transfer.batch is None:
            return together(self._selection.fresh(under_way), self._context.clock)
        batch = self._selection.batch(under_way)
        return iter([batch] if batch else [])

    def _take_together(self, delivery: Delivery, files: Sequence[File]) -> None:
        memory, clock = self._context.memory, self._context.clock
        spent = [file for file in files if memory.is_spent(*file)]
        if spent:
            asked = {self._context.make_id(): path for path, _ in spent}
            self._run.attempt(
                asked, lambda results: delivery.set_aside(self._transfer, asked, results)
            )
        claims = {self._context.make_id(): file for file in files if file not in spent}
        failed = self._run.attempt(
            {claim: path for claim, (path, _) in claims.items()},
            lambda results: delivery.deliver(
                self._transfer, {claim: path for claim, (path, _) in claims.items()}, results
            ),
        )
        self._begun.intents.tidy()
        for claim, (path, mark) in claims.items():
            if claim in failed:
                held = self._begun.intents.holds(claim)
                if held and not self._keeps:
                    continue  # it is claimed, and known by its id
                if not held:
                    memory.succeeded(claim)  # it is at its place, and known by its path
                memory.failed(path, mark, clock.boottime())
                if memory.is_spent(path, mark) and self._keeps:
                    delivery.tell_given_up(claim, path, moved_to=None)
                continue
            memory.succeeded(path)
            self._selection.done(path)
            if self._transfer.after_success is not AfterSuccess.KEEP:
                memory.sightings.pop(path, None)
        keep(self._context)
