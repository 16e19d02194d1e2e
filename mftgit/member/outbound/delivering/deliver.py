"""Take files to their destination, in steps each of which may be the last.

TAKEN: records, then claims by rename. SENT: temporaries beside the destination, measured and digested. READY: the
intents. Then `finish`. Where it stops, whoever comes next goes on from what is written down (docs/adr/0005 has every
step). Small files take every step together, so that one wait for a disk or a partner serves all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from loguru import logger

from mftgit.adapters.endpoint.contract import (
    EndpointRefusedError,
    FileMissingError,
)
from mftgit.errors import MftgitError
from mftgit.member.outbound.copying.resume import Resuming
from mftgit.member.outbound.delivering.cut_batch import CutBatches
from mftgit.member.outbound.delivering.send import Sending, tell_given_up
from mftgit.member.outbound.given.context import Endpoints, RunContext
from mftgit.member.outbound.ownership.own import OwnershipEndedError
from mftgit.member.outbound.publishing import sidecars
from mftgit.member.outbound.publishing.clearing import Clearing
from mftgit.member.outbound.publishing.finish import Finish
from mftgit.member.outbound.records.claims import Claim, archive
from mftgit.member.outbound.taking.batches import File
from mftgit.member.outbound.taking.begun import Begun
from mftgit.member.outbound.taking.describe import Describing
from mftgit.member.outbound.taking.expected import (
    move,
    read_expected,
    settle,
)
from mftgit.member.outbound.taking.parcel import (
    NOTHING,
    DeliveryFailedError,
    Parcel,
    Results,
    cannot_go_back,
    source_path,
)
from mftgit.model.configuration.config import AfterSuccess, Transfer
from mftgit.model.names import LocationName
from mftgit.model.transfers.checksum import Expected
from mftgit.model.transfers.claim import ClaimId, join
from mftgit.model.transfers.intent import Intent
from mftgit.model.transfers.partial import Partial
from mftgit.model.transfers.run import DeliveryState, DeliveryStep, advance
from mftgit.model.transfers.selection import is_selected

S = DeliveryStep


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
        changes = transfer is not None and bool(transfer.content)
        self._resuming = Resuming(context, begun.intents, wanted=wanted, changes=changes)
        self._describing = Describing(context)
        self._clearing = Clearing(context, endpoints, begun.intents.left)

    def deliver(self, transfer: Transfer, files: Mapping[ClaimId, File], results: Results) -> None:
        """Take ``files`` (below the source of ``transfer``) to their destination, all of them small or one.

        Raises:
            MftgitError: it cannot go on with any of those that are not in ``results``.
        """
        described = [
            self._describing.describe(transfer, claim, path, mark=mark)
            for claim, (path, mark) in files.items()
        ]
        described = self._expecting(transfer, described, results)
        parcels = [
            Parcel(intent=intent, claim=None, seen_bytes=files[intent.id][1][0])
            for intent in described
        ]
        parcels = self._finish.write(parcels, S.TAKE)
        if transfer.claims:
            parcels = self._claim(parcels, results)
        if transfer.batch is None:
            self._sending(transfer).send(parcels, results)
        else:
            self._sending(transfer).send_batch(parcels, results, size=len(files))

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
        in_batch = self._transfer is not None and self._transfer.batch is not None
        partial = None if in_batch else self._find_partial(parcel)
        if partial is None:
            self._clear_away(parcel)
        else:
            sidecars.clear_away([parcel], self._finish.destination(intent))
        if self._transfer is not None and (
            partial is not None or self._sends_again(self._transfer, parcel.claim)
        ):
            mark = partial.mark if partial is not None and parcel.claim is None else None
            described = self._describing.describe(self._transfer, intent.id, intent.path, mark=mark)
            described = replace(described, expected=intent.expected)
            seen_bytes = None if partial is None else partial.mark[0]
            parcel = replace(parcel, intent=described, partial=partial, seen_bytes=seen_bytes)
            self._send_again(self._transfer, parcel, results)
        elif parcel.claim is None:  # never claimed, or kept at its place: it is seen again there
            self._begun.intents.drop([intent.id])
            results[intent.id] = NOTHING
        else:
            self._put_back(parcel, results)

    def cut_batches(self) -> list[list[Intent]]:
        """Return the batches for `go_on_with`; whatever else was begun is for `resume`, file by file."""
        if self._transfer is None:
            return []
        found = self._cut(self._transfer).find()
        return [each for each in found if all(map(self.is_ours, each))]

    def go_on_with(self, batch: Sequence[Intent], results: Results) -> None:
        """Send what is not whole yet of a batch that was cut, and publish all of it; raises as `deliver`."""
        if self._transfer is not None:
            parcels = self._finish.write(self._cut(self._transfer).parcels(batch), S.TAKE)
            self._sending(self._transfer).send_batch(parcels, results, size=len(batch))

    def _cut(self, transfer: Transfer) -> CutBatches:
        return CutBatches(
            transfer,
            self._context,
            begun=self._begun,
            finish=self._finish,
            resuming=self._resuming,
        )

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
        stays = not transfer.claims
        if stays != (parcel.claim is None) or stays != intent.stays:
            return None
        partial = self._resuming.find(intent, self._finish.destination(intent))
        if stays and partial is not None and not self._is_kept_as(partial, parcel, transfer):
            return None
        return partial

    def _is_kept_as(self, partial: Partial, parcel: Parcel, transfer: Transfer) -> bool:
        """Tell whether a file that stays at its source is still taken there, and has not changed."""
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
        kept = partial if intent.stays else None
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
            tell_given_up(self._context, intent.id, intent.path, moved_to=None)

    def set_aside(self, transfer: Transfer, files: Mapping[ClaimId, str], results: Results) -> None:
        """Set ``files`` aside that failed too often and lie at their source; raises as `deliver`."""
        described = [self._describing.describe(transfer, *file) for file in files.items()]
        taken = self._finish.write(
            [Parcel(intent=intent, claim=None) for intent in described], S.TAKE
        )
        self._quarantine(transfer, self._claim(taken, results), results)

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
                tell_given_up(self._context, intent.id, intent.path, moved_to=target)
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
                self._send_again(transfer, Parcel(intent=described, claim=claim), results)
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

    def _sending(self, transfer: Transfer) -> Sending:
        return Sending(
            transfer,
            self._context,
            endpoints=self._endpoints,
            begun=self._begun,
            finish=self._finish,
            resuming=self._resuming,
        )

    def _send_again(self, transfer: Transfer, parcel: Parcel, results: Results) -> None:
        """Send a file that was taken already, under a temporary name that no earlier try bore."""
        parcels = self._finish.write([parcel], S.TAKE)
        if not _is_as_asked(transfer, parcel.intent):
            # it was taken under another revision, and is to be found at its place now
            self._clear_away(parcels[0])
            self._put_back(parcels[0], results)
        elif parcel.claim is not None and parcel.intent.after is AfterSuccess.KEEP:
            # it was claimed under another revision, and is kept now
            self._put_back(parcels[0], results)
        else:
            self._sending(transfer).send(parcels, results)

    def _put_back(self, parcel: Parcel, results: Results) -> None:
        intent, transfer = parcel.intent, self._transfer
        if (
            transfer is not None and transfer.batch is not None
        ):  # which waits for all that is under way
            is_back = self._sending(transfer).make_way(parcel, results)
        else:
            is_back = not self._finish.leave([parcel], results)
        if not is_back:
            raise cannot_go_back(intent)
        results[intent.id] = NOTHING

    def _clear_away(self, parcel: Parcel) -> None:
        """Remove what was sent of it; where its place is not the transfer's any more and is away, when it is back."""
        try:
            self._finish.clear_away([parcel])
        except OwnershipEndedError:
            raise
        except MftgitError as error:
            if self.is_ours(parcel.intent):
                raise
            names = tuple(self._finish.temporaries([parcel]))
            logger.warning("a temporary is left behind for now", names=names, reason=str(error))
            self._clearing.keep(parcel.intent, names)

    def clear_left(self) -> None:
        """Remove what earlier runs have left behind, where its place is back; raises as `Clearing.go`."""
        self._clearing.go()


def _is_as_asked(transfer: Transfer, described: Intent) -> bool:
    """Tell whether it is known what the file has to be, where that has to be known."""
    rules = transfer.source.checksum
    return rules is None or not rules.required or described.expected is not None
