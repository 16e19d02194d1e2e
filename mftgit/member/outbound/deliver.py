"""Take files to their destination, in steps each of which may be the last.

TAKEN: records, then claims by rename. SENT: temporaries beside the destination, measured and digested. READY: the
intents. Then `finish`. Where it stops, whoever comes next goes on from what is written down (docs/adr/0005 has every
step). Small files take every step together, so that one wait for a disk or a partner serves all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from loguru import logger

from mftgit.adapters.endpoint import (
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
    FileMissingError,
)
from mftgit.errors import MftgitError, TransientError
from mftgit.member.outbound import sidecars
from mftgit.member.outbound.begun import Begun
from mftgit.member.outbound.claims import Claim, archive
from mftgit.member.outbound.content import Changing
from mftgit.member.outbound.context import Endpoints, RunContext
from mftgit.member.outbound.copy import Copying
from mftgit.member.outbound.describe import Describing
from mftgit.member.outbound.duplicates import sort_out
from mftgit.member.outbound.expected import (
    ChecksumDiffersError,
    move,
    read_expected,
    settle,
)
from mftgit.member.outbound.fenced import FencedEndpoint
from mftgit.member.outbound.finish import Finish, NameTakenError, into
from mftgit.member.outbound.name import Named, name
from mftgit.member.outbound.own import OwnershipEndedError
from mftgit.member.outbound.parcel import (
    NOTHING,
    DeliveryFailedError,
    Parcel,
    Results,
    reworded,
    source_path,
)
from mftgit.member.outbound.resume import Resuming
from mftgit.member.outbound.rounds import NameWaitsError, has_to_wait, one_name, rounds
from mftgit.model.checksum import Expected
from mftgit.model.claim import ClaimId, join
from mftgit.model.config import AfterSuccess, Destination, Transfer, Verify
from mftgit.model.events import EventName, Fact
from mftgit.model.intent import Intent
from mftgit.model.names import LocationName
from mftgit.model.partial import Partial
from mftgit.model.run import DeliveryState, DeliveryStep, advance
from mftgit.model.selection import is_selected

S = DeliveryStep

AT_ONCE: Final = 32
"""So many files of a batch are copied at once; small ones are in memory meanwhile."""


_GOES_ON_AFTER = (EndpointFullError, NameWaitsError)
"""Errors of one file after which what has arrived of it stays. After one of a whole endpoint everything does."""


class HeldBackError(TransientError):
    """The file is of a batch that cannot be delivered as a whole."""


class CannotGoBackError(DeliveryFailedError):
    """A file that is not to be sent any more cannot have its own name again."""


class Delivery:
    """The steps of the deliveries of one run; ``transfer`` is None for one that is not configured any more."""

    def __init__(
        self, transfer: Transfer | None, context: RunContext, *, endpoints: Endpoints, begun: Begun
    ) -> None:
        self._transfer = transfer
        self._context = context
        self._endpoints = endpoints
        self._begun = begun
        self._finish = Finish(context, endpoints=endpoints, intents=begun.intents)
        wanted = transfer is not None and transfer.resumes
        self._resuming = Resuming(context, begun.intents, wanted=wanted)
        self._describing = Describing(context)

    def deliver(self, transfer: Transfer, files: Mapping[ClaimId, str], results: Results) -> None:
        """Take ``files`` (paths below the source of ``transfer``) to their destination, all of them small or one.

        Raises:
            MftgitError: it cannot go on with any of those that are not in ``results``.
        """
        described = [self._describing.describe(transfer, *file) for file in files.items()]
        described = self._expecting(transfer, described, results)
        parcels = [Parcel(intent=intent, claim=None) for intent in described]
        parcels = self._finish.write(parcels, S.TAKE)
        if transfer.after_success is not AfterSuccess.KEEP:
            parcels = self._claim(parcels, results)
        if transfer.batch is None:
            self._send(parcels, results)
        else:
            self._send_batch(parcels, results, size=len(files))

    def resume(self, intent: Intent, results: Results) -> None:
        """Go on with what this epoch or an earlier one has begun and not ended.

        What is whole at its destination ends there, as the record says. What is not is sent as the transfer says now,
        where it came from the transfer's source as it is now, and goes back to where it was otherwise.
        """
        parcel = Parcel(intent=intent, claim=self._begun.claim_of(intent))
        if intent.state is DeliveryState.READY:
            self._finish.publish([parcel], results)
            return
        if intent.state is DeliveryState.SKIPPED:
            self._finish.settle_skipped([parcel], results)
            return
        partial = self._find_partial(parcel)
        if partial is None:
            self._clear_away(parcel)
        else:
            sidecars.clear_away([parcel], self._finish.destination(intent))
        if self._transfer is not None and (
            partial is not None or self._sends_again(self._transfer, parcel.claim)
        ):
            described = self._describing.describe(self._transfer, intent.id, intent.path)
            described = replace(described, expected=intent.expected)
            self._send_again(replace(parcel, intent=described, partial=partial), results)
        elif parcel.claim is None:  # never claimed, or kept at its place: it is seen again there
            self._begun.intents.drop([intent.id])
            results[intent.id] = NOTHING
        else:
            self._put_back(parcel, results)

    def _expecting(
        self, transfer: Transfer, described: Sequence[Intent], results: Results
    ) -> list[Intent]:
        """Return those that can be taken, with what the checksum files beside them tell, where there are any."""
        source = self._context.generation.locations[transfer.source.location]
        rules = transfer.source.checksum
        return read_expected(described, rules, self._endpoints.at(source), results)

    def _sends_again(self, transfer: Transfer, claim: Claim | None) -> bool:
        """Tell whether a claim is sent by itself; of a batch it goes back, to be taken with the others."""
        return transfer.batch is None and claim is not None and self._begun.is_own(claim)

    def _find_partial(self, parcel: Parcel) -> Partial | None:
        """Return what has arrived of a file, where it is sent between the same places as before and may go on there."""
        intent, transfer = parcel.intent, self._transfer
        if transfer is None or not self.is_ours(intent):
            return None
        keeps = transfer.after_success is AfterSuccess.KEEP
        if keeps != (parcel.claim is None) or keeps != (intent.after is AfterSuccess.KEEP):
            return None
        partial = self._resuming.find(intent, self._finish.destination(intent))
        if keeps and partial is not None and not self._is_kept_as(partial, parcel, transfer):
            return None
        return partial

    def _is_kept_as(self, partial: Partial, parcel: Parcel, transfer: Transfer) -> bool:
        """Tell whether a file that is kept at its source is still taken there, and has not changed."""
        if not is_selected(parcel.intent.path, transfer):
            return False
        source = self._endpoints.at(parcel.intent.source.location)
        try:
            there = source.stat(source_path(parcel))
        except (FileMissingError, EndpointRefusedError):
            return False
        return partial.mark == (there.size_bytes, there.mtime_ns)

    def give_up(self, intent: Intent, results: Results) -> None:
        """Set a file aside that failed too often; what is whole at its destination is gone on with all the same."""
        claim = self._begun.claim_of(intent)
        partial = self._begun.intents.partials.of(intent.id)
        kept = partial if intent.after is AfterSuccess.KEEP else None
        nothing_left = claim is None and kept is None
        if intent.state is not DeliveryState.TAKEN or self._transfer is None or nothing_left:
            self.resume(intent, results)
            return
        parcel = Parcel(intent=intent, claim=claim)
        self._clear_away(parcel)
        if claim is not None:
            self._quarantine(self._transfer, [parcel], results)
        elif kept is not None:
            self._begun.intents.drop([intent.id])
            results[intent.id] = NOTHING
            self._context.memory.failed_as(intent.id, intent.path, kept.mark)
            self.tell_given_up(intent.id, intent.path, moved_to=None)

    def set_aside(self, transfer: Transfer, files: Mapping[ClaimId, str], results: Results) -> None:
        """Set ``files`` aside that failed too often and lie at their source; raises as `deliver`."""
        described = [self._describing.describe(transfer, *file) for file in files.items()]
        taken = self._finish.write(
            [Parcel(intent=intent, claim=None) for intent in described], S.TAKE
        )
        self._quarantine(transfer, self._claim(taken, results), results)

    def tell_given_up(self, claim: ClaimId, path: str, *, moved_to: str | None) -> None:
        """Tell that no further try is made to deliver a file."""
        facts: dict[str, Fact] = {"id": claim, "path": path, "moved_to": moved_to}
        self._context.record(EventName.DELIVERY_GIVEN_UP, facts)

    def _quarantine(self, transfer: Transfer, parcels: Sequence[Parcel], results: Results) -> None:
        moves = [
            (each.claim, join(transfer.retry.quarantine, each.intent.path))
            for each in parcels
            if each.claim is not None
        ]
        for parcel, (_, target), error in zip(parcels, moves, archive(moves), strict=True):
            intent = parcel.intent
            results[intent.id] = error or NOTHING
            if error is None:
                self._set_checksum_aside(transfer, intent, results)
            if not isinstance(results[intent.id], MftgitError):
                advance(intent.state, S.GIVE_UP)
                self.tell_given_up(intent.id, intent.path, moved_to=target)
                self._begun.intents.drop([intent.id])

    def _set_checksum_aside(self, transfer: Transfer, intent: Intent, results: Results) -> None:
        """Let the checksum file go along; also one that cannot be read, and is why the file is given up."""
        rules = transfer.source.checksum
        if rules is None:
            return
        source = self._endpoints.at(self._context.generation.locations[transfer.source.location])
        where = partial(join, transfer.retry.quarantine)
        if intent.expected is not None:
            settle([intent], source, results, target=lambda each: where(each.path))
            return
        unread = replace(intent, expected=Expected(suffix=rules.suffix, digest=""))
        move([unread], source, results, target=lambda each: where(each.path))

    def adopt(self, transfer: Transfer, claim: Claim, results: Results) -> None:
        """Send a claim that has no record, as where the members' storage was lost and the source was not."""
        if claim.path is None:
            raise DeliveryFailedError(
                f"{claim.at} has no record, and its name is too short to tell what the file was called: "
                "give it its name by hand"
            )
        described = self._describing.describe(transfer, claim.id, claim.path)
        # It may have been delivered, and only its record be lost.
        if not self._context.memory.ledger.has(claim.id):
            if transfer.batch is None:
                self._send_again(Parcel(intent=described, claim=claim), results)
            else:
                self._put_back(Parcel(intent=described, claim=claim), results)
            return
        results[claim.id] = NOTHING
        if described.after is AfterSuccess.KEEP:
            claim.put_back(claim.path)
        else:
            self._finish.settle_sources([Parcel(intent=described, claim=claim)], results)

    def is_ours(self, intent: Intent) -> bool:
        """Tell whether the file was on its way between the places that the transfer has now."""
        return not self.elsewhere(intent)

    def elsewhere(self, intent: Intent) -> frozenset[LocationName]:
        """Return the locations of the file that are not the transfer's as it is now."""
        source, destination = intent.source.location.name, intent.destination.location.name
        if self._transfer is None:
            return frozenset({source, destination})
        generation = self._context.generation
        there = intent.destination.find(generation, writer=intent.member)
        same = there == generation.locations[self._transfer.destination.location]
        at_home = self._begun.is_at_home(intent)
        return frozenset({*(() if at_home else (source,)), *(() if same else (destination,))})

    def _claim(self, parcels: Sequence[Parcel], results: Results) -> list[Parcel]:
        """Claim the files; those that somebody else took away before us are done with."""
        taken = self._begun.claims.take([(each.intent.id, each.intent.path) for each in parcels])
        claimed = []
        for parcel, claim in zip(parcels, taken, strict=True):
            if isinstance(claim, MftgitError):
                results[parcel.intent.id] = claim
            elif claim is None:
                self._begun.intents.drop([parcel.intent.id])
                results[parcel.intent.id] = NOTHING
            else:
                claimed.append(replace(parcel, claim=claim))
        return claimed

    def _send_again(self, parcel: Parcel, results: Results) -> None:
        """Send a file that was taken already, under a temporary name that no earlier try bore."""
        parcels = self._finish.write([parcel], S.TAKE)
        if not self._is_as_asked(parcel.intent):
            # it was taken under another revision, and is to be found at its place now
            self._clear_away(parcels[0])
            self._put_back(parcels[0], results)
        elif parcel.claim is not None and parcel.intent.after is AfterSuccess.KEEP:
            # it was claimed under another revision, and is kept now
            self._put_back(parcels[0], results)
        else:
            self._send(parcels, results)

    def _is_as_asked(self, described: Intent) -> bool:
        """Tell whether it is known what the file has to be, where that has to be known."""
        rules = None if self._transfer is None else self._transfer.source.checksum
        return rules is None or not rules.required or described.expected is not None

    def _put_back(self, parcel: Parcel, results: Results) -> None:
        intent = parcel.intent
        if self._finish.leave([parcel], results):
            raise _cannot_go_back(intent)
        results[intent.id] = NOTHING

    def _send(self, parcels: Sequence[Parcel], results: Results) -> None:
        """Send the files; those that go to one name one after the other, and behind what waits for that name."""
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
        if not parcels or self._transfer is None:
            return
        named = self._named(self._transfer.destination, parcels, results)
        for parcel in (*named.skipped, *named.taken):
            if parcel.partial is not None:
                self._finish.clear_away([parcel])
        self._finish.skip(named.skipped, results)
        self._refuse(named.taken, results)
        sent = self._copied(self._transfer, named.sent, results)
        ready = self._finish.write(sent, S.INTEND)
        self._finish.publish(ready, results, just_sent=True)

    def _send_batch(self, parcels: Sequence[Parcel], results: Results, *, size: int) -> None:
        """Send ``size`` files all or none: they share one record, and are published once that says so of all of them.

        Where one cannot be sent, each goes back to its place. Whoever finds the record goes on: with publishing where
        it was written, and else by putting them back (`resume`).
        """
        if self._transfer is None or not self._is_free(parcels, results) or len(parcels) < size:
            self._hold_back(parcels, results)
            return
        named = self._named(self._transfer.destination, parcels, results)
        self._refuse(named.taken, results)
        sent: list[Parcel] = []
        for at in range(0, len(named.sent), AT_ONCE):
            if not results:
                some = named.sent[at : at + AT_ONCE]
                sent += self._copied(self._transfer, some, results)
        if len(sent) + len(named.skipped) < size:
            self._hold_back(parcels, results)
            return
        ready = self._finish.write(sent, S.INTEND)
        self._finish.publish(ready, results, just_sent=True)
        self._finish.skip(named.skipped, results)

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
                        raise _cannot_go_back(parcel.intent)

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
        self, transfer: Transfer, parcels: Sequence[Parcel], results: Results
    ) -> list[Parcel]:
        """Copy the files to their temporaries, and return those that are whole there."""
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
            moved=self._context.moved,
            not_sent=not_sent,
            resuming=self._resuming,
            clear_away=lambda parcel, there: self._finish.clear_away([parcel], there),
        )
        sent = copying.copy(parcels, results, destination)
        if transfer.deduplicate is not None:
            sent, same = sort_out(
                sent,
                transfer.deduplicate,
                context=self._context,
                intents=self._begun.intents,
            )
            self._finish.settle_skipped(self._finish.write(same, S.SKIP), results)
        return sidecars.write(sent, destination, not_sent)

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
            self._make_way(parcel, results)

    def _make_way(self, parcel: Parcel, results: Results) -> None:
        """Let a file that is not what it has to be go back, or aside where the next one is at its place already."""
        if not self._finish.leave([parcel], results) or self._transfer is None:
            return
        intent, target = parcel.intent, join(self._transfer.retry.quarantine, parcel.intent.path)
        if parcel.claim is not None and archive([(parcel.claim, target)]) == [None]:
            self.tell_given_up(intent.id, intent.path, moved_to=target)
            self._begun.intents.drop([intent.id])

    def _clear_away(self, parcel: Parcel) -> None:
        """Remove what was sent of it; where its place is not the transfer's any more, as far as that goes."""
        try:
            self._finish.clear_away([parcel])
        except OwnershipEndedError:
            raise
        except MftgitError as error:
            if self.is_ours(parcel.intent):
                raise
            temporary = parcel.intent.temporary
            logger.warning("a temporary was left behind", temporary=temporary, reason=str(error))


def _held_back(intent: Intent, why: MftgitError | None) -> HeldBackError:
    reason = str(why) if why is not None else "another one was taken away from the source"
    return HeldBackError(
        f"{intent.path} is of a batch, which is delivered as a whole or not at all: {reason}"
    )


def _cannot_go_back(intent: Intent) -> CannotGoBackError:
    return CannotGoBackError(
        f"{intent.path} was claimed and cannot go back to {intent.source_folder!r} of "
        f"{intent.source.location.name}: another file has its name there; move that one away"
    )
