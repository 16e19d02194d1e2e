"""Send what was taken: names, copies, intents; then `finish`. Files go by themselves, those of a batch all or none."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from mftgit.adapters.endpoint.contract import (
    EndpointFullError,
    EndpointLostError,
)
from mftgit.errors import MftgitError, TransientError
from mftgit.member.outbound.copying.content import Changing
from mftgit.member.outbound.copying.copy import Copying
from mftgit.member.outbound.copying.resume import Resuming
from mftgit.member.outbound.copying.whole import Noting
from mftgit.member.outbound.given.context import Endpoints, RunContext
from mftgit.member.outbound.given.stopped import look_whether_stopped
from mftgit.member.outbound.ownership.own import OwnershipEndedError
from mftgit.member.outbound.places.fenced import FencedEndpoint
from mftgit.member.outbound.publishing import sidecars
from mftgit.member.outbound.publishing.finish import Finish, NameTakenError
from mftgit.member.outbound.records.claims import archive
from mftgit.member.outbound.taking.begun import Begun
from mftgit.member.outbound.taking.duplicates import not_sure, sort_out
from mftgit.member.outbound.taking.expected import (
    ChecksumDiffersError,
)
from mftgit.member.outbound.taking.name import Named, name
from mftgit.member.outbound.taking.parcel import (
    Parcel,
    Results,
    cannot_go_back,
    into,
    reworded,
)
from mftgit.member.outbound.taking.rounds import NameWaitsError, has_to_wait, one_name, rounds
from mftgit.model.configuration.config import Destination, Transfer, Verify
from mftgit.model.events.event import EventName, Fact
from mftgit.model.transfers.claim import ClaimId, join
from mftgit.model.transfers.intent import Intent
from mftgit.model.transfers.run import DeliveryStep

S = DeliveryStep

AT_ONCE: Final = 32
"""So many files of a batch are copied at once; small ones are in memory meanwhile."""


_GOES_ON_AFTER = (EndpointFullError, NameWaitsError)
"""Errors of one file after which what has arrived of it stays. After one of a whole endpoint everything does."""


class HeldBackError(TransientError):
    """The file is of a batch that cannot be delivered as a whole."""


class Sending:
    """The sending of one run of a transfer that is configured."""

    def __init__(
        self,
        transfer: Transfer,
        context: RunContext,
        *,
        endpoints: Endpoints,
        begun: Begun,
        finish: Finish,
        resuming: Resuming,
    ) -> None:
        self._transfer = transfer
        self._context = context
        self._endpoints = endpoints
        self._begun = begun
        self._finish = finish
        self._resuming = resuming

    def send(self, parcels: Sequence[Parcel], results: Results) -> None:
        """Send the files; those that go to one name one after the other, and behind what waits for that name."""
        self._endpoints.turns.hold({one_name(parcel.intent.final) for parcel in parcels})
        waiting = self._begun.intents.ready_names()
        free = []
        for parcel in parcels:
            name = one_name(parcel.intent.final)
            if waiting.get(name, parcel.intent.id) == parcel.intent.id:
                free.append(parcel)
            else:
                self._not_sent(parcel, has_to_wait(parcel.intent), results)
        for together in rounds(free):
            self._send_together(together, results)

    def _send_together(self, parcels: Sequence[Parcel], results: Results) -> None:
        """Copy the files to their temporaries, make sure of them, and publish them."""
        if not parcels:
            return
        named = self._named(self._transfer.destination, parcels, results)
        self._clear_away_unsent(named)
        self._finish.skip(named.skipped, results)
        self._refuse(named.taken, results)
        sent = self._copied(self._transfer, named.sent, results)
        while sent:
            fresh, sent = self._new(sent, results)
            ready = self._finish.write(self._with_sidecars(fresh, results), S.INTEND)
            self._finish.publish(ready, results, just_sent=True)

    def _new(self, sent: list[Parcel], results: Results) -> tuple[list[Parcel], list[Parcel]]:
        """Skip those whose content was delivered; return those that are to be, and those to be seen to after these."""
        rule = self._transfer.deduplicate
        if rule is None:
            return sent, []
        fresh, same, later = sort_out(
            sent, rule, context=self._context, intents=self._begun.intents
        )
        waiting = not_sure(same, self._begun.intents)
        for parcel in same:
            if parcel.intent.id in waiting:
                self._not_sent(parcel, waiting[parcel.intent.id], results)
        same = [each for each in same if each.intent.id not in waiting]
        self._finish.settle_skipped(self._finish.write(same, S.SKIP), results)
        return fresh, later

    def send_batch(self, parcels: Sequence[Parcel], results: Results, *, size: int) -> None:
        """Send ``size`` files all or none: they share one record, and are published once that says so of all of them.

        Where one cannot be sent, each goes back to its place. Whoever finds the record goes on: with publishing where
        it was written, and else by sending what is not whole yet (`go_on_with`), or by putting them back (`resume`).
        """
        if not self._is_free(parcels, results) or len(parcels) < size:
            self._hold_back(parcels, results)
            return
        named = self._named(self._transfer.destination, parcels, results)
        self._clear_away_unsent(named)
        self._refuse(named.taken, results)
        sent: list[Parcel] = []
        noting = self._noting()
        with noting.where_cut():
            for at in range(0, len(named.sent), AT_ONCE):
                if not results:
                    some = named.sent[at : at + AT_ONCE]
                    copied = self._copied(self._transfer, some, results, is_whole=noting.add)
                    noting.add(*copied)
                    sent += self._with_sidecars(copied, results)
        if len(sent) + len(named.skipped) < size:
            self._hold_back(parcels, results)
            return
        steps = (sent, S.INTEND), (named.skipped, S.SKIP)
        ready, skipped = self._finish.write_together(*steps)
        self._finish.publish(ready, results, just_sent=True)
        self._finish.settle_skipped(skipped, results)

    def _clear_away_unsent(self, named: Named) -> None:
        """Remove what an earlier try has brought there of files that are not sent now."""
        for parcel in (*named.skipped, *named.taken):
            if parcel.partial is not None or parcel.whole is not None:
                self._finish.clear_away([parcel])

    def _noting(self) -> Noting:
        sent, clock = self._begun.intents.sent, self._context.clock
        return Noting(sent, clock.boottime, wanted=self._transfer.destination.resume)

    def _is_free(self, parcels: Sequence[Parcel], results: Results) -> bool:
        """Tell whether no other file goes to the name of one of these, in the batch or before it."""
        taken = self._begun.intents.ready_names()
        for parcel in parcels:
            name = one_name(parcel.intent.final)
            if taken.setdefault(name, parcel.intent.id) != parcel.intent.id:
                results[parcel.intent.id] = has_to_wait(parcel.intent)
        return not results

    def _hold_back(self, parcels: Sequence[Parcel], results: Results) -> None:
        why = next((each for each in results.values() if isinstance(each, MftgitError)), None)
        for parcel in parcels:
            results.setdefault(parcel.intent.id, _held_back(parcel.intent, why))
            if self._begun.intents.holds(parcel.intent.id):
                with into(results, parcel):
                    self._finish.clear_away([parcel])
                    if self._finish.leave([parcel], results):
                        raise cannot_go_back(parcel.intent)

    def _named(self, rules: Destination, parcels: Sequence[Parcel], results: Results) -> Named:
        destination = parcels[0].intent.destination.location
        self._endpoints.at(destination, make=True)
        return name(
            parcels,
            results,
            context=self._context,
            endpoints=self._endpoints,
            destination=self._finish.destination(parcels[0].intent),
            ask=rules.verify is Verify.DIGEST,
        )

    def _copied(
        self,
        transfer: Transfer,
        parcels: Sequence[Parcel],
        results: Results,
        *,
        is_whole: Callable[[Parcel], None] = lambda _parcel: None,
    ) -> list[Parcel]:
        """Copy the files to their temporaries, and return those that are whole there.

        ``is_whole`` is told of large ones as soon as they are.
        """
        not_sent = partial(self._not_sent, results=results)
        parcels = sidecars.check_names(parcels, not_sent)
        if not parcels:
            return []
        destination = self._finish.destination(parcels[0].intent)
        if transfer.destination.temporary_folder is not None:
            parcels = self._with_folders(parcels, destination, results)
        copying = Copying(
            transfer.destination,
            content=Changing(transfer, self._context.secrets),
            endpoints=self._endpoints,
            progress=self._context.progress,
            moved=partial(self._context.moved, transfer.destination.location),
            not_sent=not_sent,
            look=lambda: look_whether_stopped(self._context.stopped_by),
            resuming=self._resuming,
            clear_away=lambda parcel, there: self._finish.clear_away([parcel], there),
            is_whole=is_whole,
        )
        taken, rest = copying.take_whole(parcels, self._begun.intents.sent, destination)
        return taken + copying.copy(rest, results, destination)

    def _with_sidecars(self, parcels: Sequence[Parcel], results: Results) -> list[Parcel]:
        """Send what is to lie beside the files, and return those of which that is there."""
        if not parcels:
            return []
        destination = self._finish.destination(parcels[0].intent)
        return sidecars.write(parcels, destination, partial(self._not_sent, results=results))

    def _with_folders(
        self, parcels: Sequence[Parcel], destination: FencedEndpoint, results: Results
    ) -> list[Parcel]:
        """Make the folders of the names, and return the files whose folders are there."""
        made: set[str] = set()
        good = []
        for parcel in parcels:
            folder = parcel.intent.final.rpartition("/")[0] or "."
            try:
                if folder not in made:
                    destination.make_folder(folder)
                    made.add(folder)
            except (EndpointLostError, OwnershipEndedError):
                raise
            except MftgitError as error:
                self._not_sent(parcel, error, results)
            else:
                good.append(parcel)
        return good

    def _refuse(self, parcels: Sequence[Parcel], results: Results) -> None:
        self._finish.leave(parcels, results)
        for parcel in parcels:
            intent = parcel.intent
            results[intent.id] = NameTakenError(
                f"{intent.final} is at {intent.destination.location.name} already, and the transfer's overwrite rule "
                f"is {intent.overwrite.value}: remove it there, or choose 'overwrite' or 'rename'"
            )

    def _not_sent(self, parcel: Parcel, error: MftgitError, results: Results) -> None:
        """See to a file that could not be sent: a claim stays, to be tried again."""
        results[parcel.intent.id] = error
        arrived = self._begun.intents.partials.of(parcel.intent.id)
        if isinstance(error, _GOES_ON_AFTER) and arrived is not None:
            return
        try:
            self._finish.clear_away([parcel])
        except (EndpointLostError, OwnershipEndedError):
            raise
        except MftgitError as more:
            # The record stays, since only that tells of what is left there.
            results[parcel.intent.id] = reworded(error, f"{error}; its temporary stays: {more}")
            return
        if parcel.claim is None:
            self._finish.leave([parcel], results)
        elif isinstance(error, ChecksumDiffersError):
            self.make_way(parcel, results)

    def make_way(self, parcel: Parcel, results: Results) -> bool:
        """Let a file go back, or aside where the next one is at its place already; return whether it did."""
        before = results.get(parcel.intent.id)
        if not self._finish.leave([parcel], results):
            return True
        if results.get(parcel.intent.id) is not before:  # its place may be free all the same
            return False
        intent, target = parcel.intent, join(self._transfer.retry.quarantine, parcel.intent.path)
        if parcel.claim is None or archive([(parcel.claim, target)]) != [None]:
            return False
        tell_given_up(self._context, intent.id, intent.path, moved_to=target)
        self._begun.intents.drop([intent.id])
        return True


def tell_given_up(context: RunContext, claim: ClaimId, path: str, *, moved_to: str | None) -> None:
    """Tell that no further try is made to deliver a file."""
    facts: dict[str, Fact] = {"id": claim, "path": path, "moved_to": moved_to}
    context.record(EventName.DELIVERY_GIVEN_UP, facts)


def _held_back(intent: Intent, why: MftgitError | None) -> HeldBackError:
    reason = str(why) if why is not None else "another one was taken away from the source"
    return HeldBackError(
        f"{intent.path} is of a batch, which is delivered as a whole or not at all: {reason}"
    )
