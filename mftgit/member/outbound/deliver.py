"""Take files to their destination, in steps each of which may be the last.

TAKEN: records, then claims by rename. SENT: temporaries beside the destination, measured and digested. READY: the
intents. Then `finish`. Where it stops, whoever comes next goes on from what is written down (docs/adr/0005 has every
step). Small files take every step together, so that one wait for a disk or a partner serves all of them.
"""

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from loguru import logger

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.endpoint import (
    Content,
    EndpointFullError,
    EndpointLostError,
    FileEntry,
    FileMissingError,
)
from mftgit.errors import MftgitError, TransientError
from mftgit.member.outbound.ahead import Reading, ahead
from mftgit.member.outbound.begun import Begun
from mftgit.member.outbound.claims import Claim
from mftgit.member.outbound.context import Endpoints, RunContext
from mftgit.member.outbound.finish import Finish, NameTakenError, into
from mftgit.member.outbound.own import OwnershipEndedError
from mftgit.member.outbound.parcel import NOTHING, DeliveryFailedError, Parcel, Results
from mftgit.model.claim import ClaimId, join, temporary_name, unique_name
from mftgit.model.config import AfterSuccess, Overwrite, Transfer
from mftgit.model.intent import Intent, Place
from mftgit.model.names import LocationName
from mftgit.model.run import DeliveryState, DeliveryStep, advance

SMALL_BYTES: Final = 1 << 20
"""Up to this size a file is held in memory as a whole, and sent side by side with others."""

S = DeliveryStep


class FileChangedError(TransientError):
    """The file changed while it was sent; it is sent again when it is stable."""


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
        self._places: dict[LocationName, Place] = {}

    def deliver(self, transfer: Transfer, files: Mapping[ClaimId, str], results: Results) -> None:
        """Take ``files`` (paths below the source of ``transfer``) to their destination, all of them small or one.

        Raises:
            MftgitError: it cannot go on with any of those that are not in ``results``.
        """
        described = [self._describe(transfer, *file) for file in files.items()]
        parcels = [Parcel(intent=intent, claim=None) for intent in described]
        parcels = self._finish.write(parcels, S.TAKE)
        if transfer.after_success is not AfterSuccess.KEEP:
            parcels = self._claim(parcels, results)
        self._send(parcels, results)

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
        self._clear_away(parcel)
        if parcel.claim is None:  # never claimed, or kept at its place: it is seen again there
            self._begun.intents.drop([intent.id])
            results[intent.id] = NOTHING
        elif self._transfer is not None and self._begun.is_own(parcel.claim):
            described = self._describe(self._transfer, intent.id, intent.path)
            self._send_claim(described, parcel.claim, results)
        else:
            self._put_back(parcel, results)

    def adopt(self, transfer: Transfer, claim: Claim, results: Results) -> None:
        """Send a claim that has no record, as where the members' storage was lost and the source was not."""
        if claim.path is None:
            raise DeliveryFailedError(
                f"{claim.at} has no record, and its name is too short to tell what the file was called: "
                "give it its name by hand"
            )
        described = self._describe(transfer, claim.id, claim.path)
        # It may have been delivered, and only its record be lost.
        if not self._context.memory.ledger.has(claim.id):
            self._send_claim(described, claim, results)
            return
        results[claim.id] = NOTHING
        if described.after is AfterSuccess.KEEP:
            claim.put_back(claim.path)
        else:
            self._finish.settle_sources([Parcel(intent=described, claim=claim)], results)

    def is_ours(self, intent: Intent) -> bool:
        """Tell whether the file was on its way between the places that the transfer has now."""
        if self._transfer is None or not self._begun.is_at_home(intent):
            return False
        generation = self._context.generation
        there = intent.destination.find(generation, writer=intent.member)
        return there == generation.locations[self._transfer.destination.location]

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

    def _send_claim(self, described: Intent, claim: Claim, results: Results) -> None:
        """Send a file that is claimed already, under a temporary name that no earlier try bore."""
        parcels = self._finish.write([Parcel(intent=described, claim=claim)], S.TAKE)
        if described.after is AfterSuccess.KEEP:
            # it was claimed under another revision, and is kept now
            self._put_back(parcels[0], results)
        else:
            self._send(parcels, results)

    def _put_back(self, parcel: Parcel, results: Results) -> None:
        intent = parcel.intent
        if self._finish.leave([parcel]):
            raise CannotGoBackError(
                f"{intent.path} was claimed under another revision and cannot go back to {intent.source_folder!r} of "
                f"{intent.source.location.name}: another file has its name there; move that one away"
            )
        results[intent.id] = NOTHING

    def _describe(self, transfer: Transfer, claim: ClaimId, path: str) -> Intent:
        context = self._context
        final = join(transfer.destination.path, path)
        attempt = f"{context.ownership.epoch}-{context.nonce()}"
        return Intent(
            id=claim,
            state=DeliveryState.SEEN,
            transfer=transfer.name,
            ownership=transfer.ownership,
            active_on=transfer.active_on,
            path=path,
            source=self._place(transfer.source.location),
            source_folder=transfer.source.path,
            destination=self._place(transfer.destination.location),
            destination_folder=transfer.destination.path,
            temporary=temporary_name(final, claim, attempt, transfer.destination.temporary_suffix),
            final=final,
            overwrite=transfer.destination.overwrite,
            after=transfer.after_success,
            archive_path=transfer.archive_path,
            started_at=rfc3339(context.clock.now()),
            member=context.member,
            epoch=context.ownership.epoch,
            revision=context.revision,
        )

    def _place(self, name: LocationName) -> Place:
        if name not in self._places:
            generation = self._context.generation
            self._places[name] = Place.of(generation.locations[name], generation)
        return self._places[name]

    def _send(self, parcels: Sequence[Parcel], results: Results) -> None:
        """Copy the files to their temporaries, make sure of them, and publish them."""
        if not parcels:
            return
        self._endpoints.at(parcels[0].intent.destination.location, make=True)
        named = self._name(parcels, results)
        sent = self._copy(named, results)
        ready = self._finish.write(sent, S.INTEND)
        self._finish.publish(ready, results, just_sent=True)

    def _name(self, parcels: Sequence[Parcel], results: Results) -> list[Parcel]:
        """Give each file its name at the destination by the transfer's rule; what is not to be sent is dealt with."""
        if parcels[0].intent.overwrite is Overwrite.OVERWRITE:
            return list(parcels)
        destination = self._finish.destination(parcels[0].intent)
        found = destination.stat_all(each.intent.final for each in parcels)
        named, skipped = [], []
        for parcel, there in zip(parcels, found, strict=True):
            intent = parcel.intent
            if isinstance(there, FileMissingError):
                named.append(parcel)
            elif isinstance(there, MftgitError):
                results[intent.id] = there
            elif intent.overwrite is Overwrite.RENAME:
                free = unique_name(intent.final, intent.id, self._context.clock.now())
                named.append(replace(parcel, intent=replace(intent, final=free)))
            elif intent.overwrite is Overwrite.SKIP:
                skipped.append(parcel)
            else:
                self._finish.leave([parcel])
                results[intent.id] = NameTakenError(
                    f"{intent.final} is at {intent.destination.location.name} already, and the transfer's overwrite "
                    f"rule is {intent.overwrite.value}: remove it there, or choose 'overwrite' or 'rename'"
                )
        self._finish.skip(skipped, results)
        return named

    def _copy(self, parcels: Sequence[Parcel], results: Results) -> list[Parcel]:
        """Return the parcels whose temporaries are whole, were counted by their endpoint, and of files at rest."""
        if not parcels:
            return []
        source = self._endpoints.at(parcels[0].intent.source.location)
        contents = source.read_all(map(_source_path, parcels), most_bytes=SMALL_BYTES)
        small, sent = [], []
        for parcel, content in zip(parcels, contents, strict=True):
            if isinstance(content, MftgitError):
                self._not_sent(parcel, content, results)
            elif content.before.size_bytes > SMALL_BYTES:
                sent += self._copy_large(parcel, results)
            elif _mark(content.before) != _mark(content.after) or _is_short(content):
                self._not_sent(parcel, _changed(parcel.intent), results)
            else:
                small.append((parcel, content))
        return sent + self._copy_small(small, results)

    def _copy_small(
        self, small: Sequence[tuple[Parcel, Content]], results: Results
    ) -> list[Parcel]:
        if not small:
            return []
        ended = self._finish.destination(small[0][0].intent).write_all(
            (parcel.intent.temporary, content.data) for parcel, content in small
        )
        sent = []
        for (parcel, content), size in zip(small, ended, strict=True):
            if isinstance(size, MftgitError):
                self._not_sent(parcel, size, results)
            else:
                digest = hashlib.sha256(content.data).hexdigest()
                sent.append(_sent(parcel, content.after, digest))
        return sent

    def _copy_large(self, parcel: Parcel, results: Results) -> list[Parcel]:
        try:
            return [self._copy_piecewise(parcel)]
        except (EndpointLostError, OwnershipEndedError):
            raise
        except MftgitError as error:
            self._not_sent(parcel, error, results)
            return []

    def _copy_piecewise(self, parcel: Parcel) -> Parcel:
        intent, path = parcel.intent, _source_path(parcel)
        source = self._endpoints.at(intent.source.location)
        destination = self._finish.destination(intent)
        before = source.stat(path)
        reading = Reading()
        with source.open_read(path) as stream, ExitStack() as threads:
            chunks = reading.chunks(stream)
            if source is not destination:  # which is for one thread at a time
                chunks = threads.enter_context(ahead(chunks))
            size = destination.write(intent.temporary, chunks, on_chunk=lambda _: None)
        sent = reading.size_bytes
        if size != sent:
            raise EndpointFullError(
                f"{intent.destination.location.name} holds {size} bytes of {intent.path}, of {sent} that were sent"
            )
        after = source.stat(path)
        if _mark(after) != _mark(before) or sent != before.size_bytes:
            raise _changed(intent)
        return _sent(parcel, after, reading.sha256)

    def _not_sent(self, parcel: Parcel, error: MftgitError, results: Results) -> None:
        """See to a file that could not be sent: a claim stays, to be tried again."""
        results[parcel.intent.id] = error
        with into(results, parcel):
            self._finish.clear_away([parcel])
        if parcel.claim is None:
            self._finish.leave([parcel])

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


def _source_path(parcel: Parcel) -> str:
    intent, claim = parcel.intent, parcel.claim
    return claim.at if claim is not None else join(intent.source_folder, intent.path)


def _sent(parcel: Parcel, entry: FileEntry, digest: str) -> Parcel:
    intent = replace(
        parcel.intent,
        state=advance(parcel.intent.state, S.SEND),
        size_bytes=entry.size_bytes,
        mtime_ns=entry.mtime_ns,
        sha256=digest,
    )
    return replace(parcel, intent=intent)


def _changed(intent: Intent) -> FileChangedError:
    return FileChangedError(
        f"{intent.path} changed while it was sent: it is tried again once it is stable"
    )


def _is_short(content: Content) -> bool:
    return len(content.data) != content.after.size_bytes


def _mark(entry: FileEntry) -> tuple[int, int]:
    return entry.size_bytes, entry.mtime_ns
