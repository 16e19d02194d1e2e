"""Run a transfer once: end what was begun, then take what is there, one file after another."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from mftgit.adapters.endpoint import EndpointLostError, HostKeyError, LoginError
from mftgit.errors import MftgitError
from mftgit.member.outbound.claims import Claim, Claims
from mftgit.member.outbound.context import Endpoints, RunContext
from mftgit.member.outbound.deliver import Delivery, Outcome
from mftgit.member.outbound.intents import Intent, Intents, StateUnavailableError
from mftgit.member.outbound.own import OwnershipEndedError
from mftgit.model.claim import ClaimId
from mftgit.model.config import AfterSuccess, Transfer, WatchTrigger
from mftgit.model.events import EventName, Fact
from mftgit.model.names import LocationName
from mftgit.model.run import RunState, RunStep, advance_run
from mftgit.model.selection import is_selected, look

_ENDS_THE_RUN = (EndpointLostError, HostKeyError, LoginError, StateUnavailableError)
"""Errors of a whole endpoint: the next file would fail alike."""

_THE_RUN = ""

MAX_ERRORS_TOLD = 20
"""How many errors the event of a run carries, so that no event outgrows what a report may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """How a run ended: ``outcome`` is one of SUCCEEDED, PARTLY, FAILED, IDLE and ENDED."""

    outcome: RunState
    files: int
    size_bytes: int
    errors: tuple[str, ...] = ()


def run_once(transfer: Transfer, context: RunContext, *, fresh: bool = True) -> RunOutcome:
    """Run ``transfer`` once. What goes wrong is told by events and in the outcome, not raised.

    Without ``fresh``, only what an earlier owner or run has begun is ended; no further file is taken.

    A file that fails does not keep the others from being delivered, unless its endpoint as a whole has failed. A run
    that is not started by watching waits once for files that are too fresh, for as long as they have to be stable.
    """
    return _Run(transfer, context, fresh=fresh).carry_out()


def has_work(transfer: Transfer, context: RunContext, *, fresh: bool = True) -> bool:
    """Tell whether such a run would find something to do, without an effect and without an event.

    Raises:
        MftgitError: the source or the members' storage cannot be looked at.
    """
    if context.memory.is_put_off(_THE_RUN, None, context.clock.boottime()):
        return False
    with Endpoints(context) as endpoints:
        try:
            work = _Work(transfer, context, endpoints)
            return work.is_begun() or (fresh and work.is_fresh())
        except OwnershipEndedError:
            return False


class _Work:
    """What there is to do."""

    def __init__(self, transfer: Transfer, context: RunContext, endpoints: Endpoints) -> None:
        self._transfer = transfer
        self._context = context
        self._endpoints = endpoints
        self._keeps = transfer.after_success is AfterSuccess.KEEP
        self._fence = (
            context.ownership.epoch, transfer.source.location, transfer.source.path, self._keeps
        )  # fmt: skip
        self._places: dict[tuple[LocationName, str], Claims] = {}
        self.intents = Intents(context.state, context.ownership)
        self.claims = self._claims_at(transfer.source.location, transfer.source.path)

    def is_begun(self) -> bool:
        """Tell whether something was begun and not ended, by this owner or by an earlier one."""
        if self.intents.left_over():
            return True
        if self._context.memory.adopted != self._fence:
            return self.claims.left_over()
        return any(not self._is_put_off(intent.id) for intent in self.intents.all())

    def is_fresh(self) -> bool:
        """Tell whether the source has a file that can be taken now."""
        self._context.memory.ledger.refresh()
        return any(True for _ in self.fresh(set()))

    def take_over(self) -> None:
        """Fence off every lower epoch, once; whatever is found after this was written by nobody else since."""
        if self._context.memory.adopted == self._fence:
            return
        # Records first. A predecessor drops a record only after it has dealt with the claim; were claims adopted first,
        # it would find its claim gone, take that for dealt with, and the file would look like one never sent.
        self.intents.take_over()
        self.claims.take_over(needed=not self._keeps)
        self._context.memory.adopted = self._fence

    def begun(self) -> Iterator[tuple[Intent | None, Claim | None]]:
        """Give the records, each with its claim if there is one, and the claims that have no record."""
        intents = self.intents.all()
        claims: dict[ClaimId, Claim] = {claim.id: claim for claim in self.claims.held()}
        for intent in intents:
            place = (intent.source, intent.source_folder)
            if intent.after is not AfterSuccess.KEEP and place not in self._places:
                before = self._claims_at(*place)  # the source was another one under that revision
                before.take_over(needed=False)
                claims |= {claim.id: claim for claim in before.held()}
        for intent in intents:
            claim = claims.pop(intent.id, None)
            if not self._is_put_off(intent.id):
                yield intent, claim
        for claim in claims.values():
            if not self._is_put_off(claim.id):
                yield None, claim

    def fresh(self, passed: set[str]) -> Iterator[tuple[str, tuple[int, int]]]:
        """Give path and mark of the files that can be taken now, the oldest first; list the source once."""
        memory, source = self._context.memory, self._transfer.source
        entries = self._endpoints.at(source.location).list_files(
            source.path, recursive=source.recursive
        )
        listing = [
            (entry.path, entry.size_bytes, entry.mtime_ns)
            for entry in entries
            if is_selected(entry.path, self._transfer)
        ]
        now = self._context.clock.boottime()
        memory.sightings = look(memory.sightings, listing, now)
        for path, size_bytes, mtime_ns in sorted(listing, key=lambda file: (file[2], file[0])):
            if (
                path not in passed
                and memory.sightings[path].is_stable(now, source.stable_s)
                and not memory.is_put_off(path, (size_bytes, mtime_ns), now)
                and not (self._keeps and memory.ledger.contains(path, size_bytes, mtime_ns))
            ):
                yield path, (size_bytes, mtime_ns)

    def is_too_fresh(self) -> bool:
        """Tell whether the last listing held files that have not been seen for long enough."""
        now = self._context.clock.boottime()
        sightings = self._context.memory.sightings.values()
        return any(not seen.is_stable(now, self._transfer.source.stable_s) for seen in sightings)

    def _claims_at(self, location: LocationName, folder: str) -> Claims:
        self._places[location, folder] = Claims(
            self._endpoints.at(location),
            folder=folder,
            area=self._context.area,
            epoch=self._context.ownership.epoch,
        )
        return self._places[location, folder]

    def _is_put_off(self, claim: ClaimId) -> bool:
        return self._context.memory.is_put_off(claim, None, self._context.clock.boottime())


class _Run:
    def __init__(self, transfer: Transfer, context: RunContext, *, fresh: bool) -> None:
        self._transfer = transfer
        self._context = context
        self._fresh = fresh
        self._state = RunState.PENDING
        self._files = 0
        self._size_bytes = 0
        self._errors: list[str] = []

    def carry_out(self) -> RunOutcome:
        self._step(RunStep.START)
        self._tell(EventName.RUN_STARTED, {})
        try:
            with Endpoints(self._context) as endpoints:
                self._go(_Work(self._transfer, self._context, endpoints), endpoints)
        except OwnershipEndedError as error:
            self._errors.append(str(error))
            self._step(RunStep.LOSE)
        except MftgitError as error:
            self._errors.append(str(error))
            self._step(RunStep.FAIL)
            self._context.memory.failed(_THE_RUN, None, self._context.clock.boottime())
            self._step(RunStep.FINISH)
        else:
            self._context.memory.succeeded(_THE_RUN)
            self._step(RunStep.FINISH)
        return self._finished()

    def _go(self, work: _Work, endpoints: Endpoints) -> None:
        context = self._context
        work.take_over()
        context.memory.ledger.refresh()
        delivery = Delivery(
            self._transfer, context, endpoints=endpoints, claims=work.claims, intents=work.intents
        )
        for intent, claim in work.begun():
            self._end(delivery, intent, claim)
        if not self._fresh:
            return
        self._take_fresh(delivery, work)
        if not isinstance(self._transfer.trigger, WatchTrigger) and work.is_too_fresh():
            context.stopping.wait(self._transfer.source.stable_s)
            self._take_fresh(delivery, work)

    def _take_fresh(self, delivery: Delivery, work: _Work) -> None:
        # A file must not overtake an older one of its name that is under way still.
        under_way = {intent.path for intent in work.intents.all()}
        for path, mark in work.fresh(under_way):
            if self._context.stopping.is_set():
                return
            self._context.ownership.check()
            claim = self._context.make_id()
            delivered = self._try(claim, path, lambda c=claim, p=path: delivery.deliver(c, p))  # type: ignore[misc]
            if delivered:
                self._context.memory.succeeded(path)
                if self._transfer.after_success is not AfterSuccess.KEEP:
                    self._context.memory.sightings.pop(path, None)
            else:
                self._context.memory.failed(path, mark, self._context.clock.boottime())

    def _end(self, delivery: Delivery, intent: Intent | None, claim: Claim | None) -> None:
        if self._context.stopping.is_set():
            return
        if intent is not None:
            self._try(intent.id, intent.path, lambda: delivery.resume(intent, claim))
        elif claim is not None:
            self._try(claim.id, claim.path or claim.at, lambda: delivery.adopt(claim))

    def _try(self, claim: ClaimId, path: str, deliver: Callable[[], Outcome]) -> bool:
        """Deliver one file and take note of how it went; return False when it failed.

        Raises:
            OwnershipEndedError: stop at once.
            MftgitError: the run as a whole cannot go on.
        """
        try:
            outcome = deliver()
        except OwnershipEndedError:
            raise
        except MftgitError as error:
            self._tell(EventName.DELIVERY_FAILED, {"id": claim, "path": path, "error": str(error)})
            if isinstance(error, _ENDS_THE_RUN):
                raise
            self._errors.append(f"{path}: {error}")
            self._step(RunStep.FAIL)
            self._context.memory.failed(claim, None, self._context.clock.boottime())
            return False
        self._context.memory.succeeded(claim)
        if outcome.delivered:
            self._files += 1
            self._size_bytes += outcome.size_bytes
            self._step(RunStep.DELIVER)
        return True

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
        )

    def _tell(self, event: EventName, facts: Mapping[str, Fact]) -> None:
        self._context.record(event, {"transfer": self._transfer.name, **facts})
