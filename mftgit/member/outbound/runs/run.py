"""Run a transfer once: end what was begun, then take what is there, one file after another."""

from collections.abc import Iterator, Sequence

from mftgit.errors import MftgitError
from mftgit.member.outbound.delivering.deliver import Delivery
from mftgit.member.outbound.delivering.send import tell_given_up
from mftgit.member.outbound.given.context import THE_RUN, Endpoints, RunContext
from mftgit.member.outbound.given.turns import AT_ONCE
from mftgit.member.outbound.ownership.own import OwnershipEndedError
from mftgit.member.outbound.runs.attempts import keep, recall
from mftgit.member.outbound.runs.fallback import with_fallback
from mftgit.member.outbound.runs.select import Selection
from mftgit.member.outbound.runs.tally import Known, RunOutcome, Tally
from mftgit.member.outbound.runs.trouble import ends_of
from mftgit.member.outbound.taking.batches import File, Lot, together
from mftgit.member.outbound.taking.begun import Begun
from mftgit.model.configuration.config import AfterSuccess, Transfer
from mftgit.model.locations.location import LocalLocation
from mftgit.model.transfers.claim import ClaimId
from mftgit.model.transfers.commands import When
from mftgit.model.transfers.run import MOST_TOGETHER, DeliveryState
from mftgit.model.transfers.triggers import WatchTrigger


def run_once(
    transfer: Transfer, context: RunContext, *, fresh: bool = True, settled: bool = False
) -> RunOutcome:
    """Run ``transfer`` once. What goes wrong is told by events and in the outcome, not raised.

    Without ``fresh`` only what an earlier owner or run has begun is ended, and no further file is taken; but a run on
    a schedule that did not come to its end is gone on with. ``settled`` completes a run that said ``again_in_s``.

    A file that fails does not keep the others from being delivered, unless its endpoint as a whole has failed.
    """
    run = Tally(context, ends_of(transfer))

    def go(endpoints: Endpoints) -> None:
        with_fallback(
            transfer,
            run,
            endpoints,
            lambda way: _Going(way, run, endpoints).go(fresh=fresh, settled=settled),
        )

    return run.carry_out(go)


def end_begun(context: RunContext) -> RunOutcome:
    """End what was begun of a transfer that is not configured any more; tell and return as `run_once` does."""
    run = Tally(context, {})
    return run.carry_out(
        lambda endpoints: _end_begun(
            run, Begun(context, endpoints, transfer=None), endpoints, None
        ).clear_left()
    )


def refuse(error: MftgitError, context: RunContext) -> RunOutcome:
    """Tell of a run that cannot begin because of ``error``, and return as `run_once` does."""

    def go(_: Endpoints) -> None:
        raise error

    return Tally(context, {}).carry_out(go)


def has_work(transfer: Transfer | None, context: RunContext, *, fresh: bool = True) -> bool:
    """Tell whether such a run would find something to do, without an effect and without an event.

    Raises:
        MftgitError: the source or the members' storage cannot be looked at.
    """
    recall(context)
    if context.memory.is_put_off(THE_RUN, None, context.clock.boottime()):
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


def _end_begun(
    run: Tally, begun: Begun, endpoints: Endpoints, transfer: Transfer | None
) -> Delivery:
    """Take over, and end every delivery that was begun; return what delivers further files."""
    context = run.context
    begun.take_over()
    context.memory.ledger.refresh()
    delivery = Delivery(transfer, context, endpoints=endpoints, begun=begun)
    for batch in delivery.cut_batches():
        run.attempt(
            {intent.id: intent.path for intent in batch},
            lambda results, b=batch: delivery.go_on_with(b, results),  # type: ignore[misc]
        )
    for at, intent in enumerate(begun.records(), 1):
        if context.stopping.is_set():
            return delivery
        spent = context.memory.is_spent(intent.id, None)
        go_on = delivery.give_up if spent else delivery.resume
        run.attempt(
            {intent.id: intent.path},
            lambda results, i=intent, go=go_on: go(i, results),  # type: ignore[misc]
            elsewhere=delivery.elsewhere(intent),
            for_ever=intent.state is not DeliveryState.TAKEN,
            ends=ends_of(intent),
        )
        if at % MOST_TOGETHER == 0:  # the file has all failures; the run's end writes it anyway
            keep(context)
    begun.intents.tidy()
    return delivery


class _Going:
    """A run of a transfer that is configured."""

    def __init__(self, transfer: Transfer, run: Tally, endpoints: Endpoints) -> None:
        self._transfer = transfer
        self._run = run
        self._context = run.context
        self._endpoints = endpoints
        self._begun = Begun(run.context, endpoints, transfer=transfer)
        endpoints.parallel = transfer.parallel
        self._selection = Selection(transfer, run.context, endpoints)
        self._stays = not transfer.claims
        self._is_cut_short = False
        self._on_schedule = not isinstance(transfer.trigger, WatchTrigger)

    def go(self, *, fresh: bool, settled: bool) -> None:
        transfer, stopping = self._transfer, self._context.stopping
        try:
            delivery = _end_begun(self._run, self._begun, self._endpoints, transfer)
        except OwnershipEndedError:
            raise
        except MftgitError:
            if fresh:
                self._begun.intents.close_run()  # it is tried again by the next firing
            raise
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
                self._take_some(delivery, settled=settled)
        elif fresh or self._begun.intents.is_run_open():
            self._take_all(delivery, settled=settled)
        self._run.is_clearing = bool(self._begun.intents.left.known)
        delivery.clear_left()

    def _take_some(self, delivery: Delivery, *, settled: bool) -> None:
        """Take what is there now. What was too fresh is found by the next look."""
        self._before_run(settled=settled)
        self._take_fresh(delivery)
        if self._context.stopped_by() is None:
            self._run.again_in_s = self._selection.again_in_s(settled=True)

    def _take_all(self, delivery: Delivery, *, settled: bool) -> None:
        """Take what a firing takes. A run that is cut short stays open, and whoever comes next goes on with it."""
        intents, context = self._begun.intents, self._context
        intents.open_run()
        try:
            self._before_run(settled=settled)
            self._take_fresh(delivery)
        except OwnershipEndedError:
            raise
        except MftgitError:
            intents.close_run()  # it is tried again by the next firing
            raise
        if context.stopping.is_set() and not context.unwanted():
            if context.stopped_by() is not None:
                intents.close_run()  # what it has not come to is for the next firing
            return
        self._run.again_in_s = self._selection.again_in_s(settled=settled)
        if self._run.again_in_s is None:
            intents.close_run()

    def _before_run(self, *, settled: bool) -> None:
        """Run the program that may say that nothing is taken; what completes a run is no run of its own."""
        if not settled and not self._run.prepared:
            self._run.end_former()
            self._context.run_program(When.BEFORE_RUN, {})
            self._run.prepared = True

    def _take_fresh(self, delivery: Delivery) -> None:
        # A file must not overtake an older one of its name that is under way still.
        begun = self._begun
        under_way = begun.under_way()
        from_here = filter(begun.is_at_home, begun.intents.known())
        # What is whole at a destination that is away waits there, and no batch that goes elsewhere for it.
        waits = any(map(delivery.is_ours, from_here))
        self._endpoints.turns.carry_out(
            self._until_stopped(self._together(under_way, waits=waits)),
            lambda lot: self._take_lot(delivery, lot),
            at_once=self._at_once,
        )
        if not self._is_cut_short:
            self._selection.remove_markers()

    def _until_stopped(self, lots: Iterator[Lot]) -> Iterator[Lot]:
        for lot in lots:
            if self._context.stopping.is_set():
                self._is_cut_short = True
                return
            yield lot

    @property
    def _at_once(self) -> int:
        """Return how many lots may be under way; what is to be done with each file in turn leaves it at one."""
        transfer, locations = self._transfer, self._context.generation.locations
        ends = transfer.source.location, transfer.destination.location
        waits_for_partner = not all(isinstance(locations[end], LocalLocation) for end in ends)
        return AT_ONCE if waits_for_partner and transfer.is_plain else 1

    def _together(self, under_way: set[str], *, waits: bool) -> Iterator[Lot]:
        if self._transfer.batch is None:
            return together(self._selection.fresh(under_way), parallel=self._transfer.parallel)
        batch = self._selection.batch(under_way, waits=waits)
        return iter([Lot(files=batch)] if batch else [])

    def _take_lot(self, delivery: Delivery, lot: Lot) -> None:
        self._context.ownership.check()
        began = self._context.clock.boottime()
        self._take_together(delivery, lot.files)
        lot.took(self._context.clock.boottime() - began)

    def _take_together(self, delivery: Delivery, files: Sequence[File]) -> None:
        memory, clock = self._context.memory, self._context.clock
        spent = [file for file in files if memory.is_spent(*file)]
        if spent:
            asked = {self._context.make_id(): path for path, _ in spent}
            self._run.attempt(
                asked, lambda results: delivery.set_aside(self._transfer, asked, results)
            )
        claims = {self._context.make_id(): file for file in files if file not in spent}

        def known_by(claim: ClaimId) -> Known:
            """By its id where it is claimed, or delivered and not dealt with at its source; else by its path."""
            transfer, intents = self._transfer, self._begun.intents
            held = transfer.claims and intents.holds(claim)
            whole = transfer.claims_by_record and intents.is_decided(claim)
            return (claim, None) if held or whole else claims[claim]

        failed = self._run.attempt(
            {claim: path for claim, (path, _) in claims.items()},
            lambda results: delivery.deliver(self._transfer, claims, results),
            known_by=known_by,
        )
        self._begun.intents.tidy()
        for claim, (path, mark) in claims.items():
            if claim in failed:
                by_path = known_by(claim) == (path, mark)
                if self._begun.intents.holds(claim) and by_path:
                    memory.failed(claim, None, clock.boottime())  # its record waits as it does
                if memory.is_spent(path, mark) and self._stays:
                    tell_given_up(self._context, claim, path, moved_to=None)
                continue
            memory.succeeded(path)
            self._selection.done(path)
            if self._transfer.after_success is not AfterSuccess.KEEP:
                memory.sightings.pop(path, None)
        keep(self._context)
