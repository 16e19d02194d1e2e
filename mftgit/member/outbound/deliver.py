"""Take one file to its destination, in steps each of which may be the last.

TAKEN: record, then claim by rename. SENT: a temporary beside the destination, measured and digested. READY: the intent.
Then `finish`. Where it stops, whoever comes next goes on from what is written down (docs/adr/0005 has every step).
"""

import hashlib
from collections.abc import Iterator
from dataclasses import replace

from loguru import logger

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.endpoint import (
    EndpointFullError,
    EndpointLostError,
    FileEntry,
    FileMissingError,
)
from mftgit.errors import MftgitError, TransientError
from mftgit.member.outbound.begun import Begun
from mftgit.member.outbound.claims import Claim
from mftgit.member.outbound.context import Endpoints, RunContext
from mftgit.member.outbound.finish import (
    CHUNK_BYTES,
    NOTHING,
    DeliveryFailedError,
    Finish,
    NameTakenError,
    Outcome,
)
from mftgit.member.outbound.own import OwnershipEndedError
from mftgit.model.claim import ClaimId, join, temporary_name, unique_name
from mftgit.model.config import AfterSuccess, Overwrite, Transfer
from mftgit.model.intent import Intent, Place
from mftgit.model.run import DeliveryState, DeliveryStep, advance

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

    def deliver(self, transfer: Transfer, claim_id: ClaimId, path: str) -> Outcome:
        """Take the file ``path`` below the source of ``transfer``, and to its destination."""
        intent = self._finish.write(self._describe(transfer, claim_id, path), S.TAKE)
        if intent.after is AfterSuccess.KEEP:
            return self._send(intent, None)
        claim = self._begun.claims.take(claim_id, path)
        if claim is None:
            self._begun.intents.drop(claim_id)  # somebody else took the file away before us
            return NOTHING
        return self._send(intent, claim)

    def resume(self, intent: Intent) -> Outcome:
        """Go on with what this epoch or an earlier one has begun and not ended.

        What is whole at its destination ends there, as the record says. What is not is sent as the transfer says now,
        where it came from the transfer's source as it is now, and goes back to where it was otherwise.
        """
        claim = self._begun.claim_of(intent)
        if intent.state is DeliveryState.READY:
            return self._finish.publish(intent, claim)
        if intent.state is DeliveryState.SKIPPED:
            return self._finish.settle_skipped(intent, claim)
        self._clear_away(intent)
        if claim is None:  # never claimed, or kept at its place: it is seen again there
            self._begun.intents.drop(intent.id)
            return NOTHING
        if self._transfer is not None and self._begun.is_own(claim):
            return self._send_claim(self._describe(self._transfer, intent.id, intent.path), claim)
        return self._put_back(intent, claim)

    def adopt(self, transfer: Transfer, claim: Claim) -> Outcome:
        """Send a claim that has no record, as where the members' storage was lost and the source was not."""
        if claim.path is None:
            raise DeliveryFailedError(
                f"{claim.at} has no record, and its name is too short to tell what the file was called: "
                "give it its name by hand"
            )
        described = self._describe(transfer, claim.id, claim.path)
        # It may have been delivered, and only its record be lost.
        if self._context.memory.ledger.has(claim.id):
            if described.after is AfterSuccess.KEEP:
                claim.put_back(claim.path)
            else:
                self._finish.settle_source(described, claim)
            return NOTHING
        return self._send_claim(described, claim)

    def _send_claim(self, described: Intent, claim: Claim) -> Outcome:
        """Send a file that is claimed already, under a temporary name that no earlier try bore."""
        intent = self._finish.write(described, S.TAKE)
        if intent.after is not AfterSuccess.KEEP:
            return self._send(intent, claim)
        return self._put_back(
            intent, claim
        )  # it was claimed under another revision, and is kept now

    def _put_back(self, intent: Intent, claim: Claim) -> Outcome:
        if not self._finish.leave(intent, claim):
            raise CannotGoBackError(
                f"{intent.path} was claimed under another revision and cannot go back to {intent.source_folder!r} of "
                f"{intent.source.location.name}: another file has its name there; move that one away"
            )
        return NOTHING

    def _describe(self, transfer: Transfer, claim: ClaimId, path: str) -> Intent:
        context = self._context
        locations = context.generation.locations
        final = join(transfer.destination.path, path)
        attempt = f"{context.ownership.epoch}-{context.nonce()}"
        return Intent(
            id=claim,
            state=DeliveryState.SEEN,
            transfer=transfer.name,
            ownership=transfer.ownership,
            active_on=transfer.active_on,
            path=path,
            source=Place.of(locations[transfer.source.location], context.generation),
            source_folder=transfer.source.path,
            destination=Place.of(locations[transfer.destination.location], context.generation),
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

    def _send(self, intent: Intent, claim: Claim | None) -> Outcome:
        """Copy the file to its temporary, make sure of it, and publish it."""
        self._make_destination(intent)
        try:
            intent = replace(intent, final=self._free_final(intent))
        except NameTakenError:
            if intent.overwrite is Overwrite.SKIP:
                return self._finish.skip(intent, claim)
            self._finish.leave(intent, claim)
            raise
        try:
            sent = self._copy(intent, claim)
        except (EndpointLostError, OwnershipEndedError):
            raise
        except MftgitError:
            self._finish.clear_away(intent)
            if claim is None:
                self._finish.leave(intent, claim)
            raise
        ready = self._finish.write(sent, S.INTEND)
        return self._finish.publish(ready, claim, just_sent=True)

    def _make_destination(self, intent: Intent) -> None:
        self._endpoints.at(intent.destination.location, make=True)

    def _free_final(self, intent: Intent) -> str:
        """Return the name at the destination by the transfer's rule.

        Raises:
            NameTakenError: there is a file of that name, and the rule is to fail or to skip.
        """
        if intent.overwrite is Overwrite.OVERWRITE:
            return intent.final
        try:
            self._finish.destination(intent).stat(intent.final)
        except FileMissingError:
            return intent.final
        if intent.overwrite is Overwrite.RENAME:
            return unique_name(intent.final, intent.id, self._context.clock.now())
        raise NameTakenError(
            f"{intent.final} is at {intent.destination.location.name} already, and the transfer's overwrite rule is "
            f"{intent.overwrite.value}: remove it there, or choose 'overwrite' or 'rename'"
        )

    def _copy(self, intent: Intent, claim: Claim | None) -> Intent:
        """Return the intent of a temporary that is whole, was counted by its endpoint, and of a file at rest."""
        source = self._endpoints.at(intent.source.location)
        path = claim.at if claim else join(intent.source_folder, intent.path)
        before = source.stat(path)
        digest = hashlib.sha256()
        sent = 0

        def chunks() -> Iterator[bytes]:
            nonlocal sent
            while chunk := stream.read(CHUNK_BYTES):
                digest.update(chunk)
                sent += len(chunk)
                yield chunk

        with source.open_read(path) as stream:
            size = self._finish.destination(intent).write(
                intent.temporary, chunks(), on_chunk=lambda _: None
            )
        if size != sent:
            raise EndpointFullError(
                f"{intent.destination.location.name} holds {size} bytes of {intent.path}, of {sent} that were sent"
            )
        after = source.stat(path)
        if _mark(after) != _mark(before) or sent != before.size_bytes:
            raise FileChangedError(
                f"{intent.path} changed while it was sent: it is tried again once it is stable"
            )
        return replace(
            intent,
            state=advance(intent.state, S.SEND),
            size_bytes=sent,
            mtime_ns=after.mtime_ns,
            sha256=digest.hexdigest(),
        )

    def _clear_away(self, intent: Intent) -> None:
        """Remove what was sent of it; where its place is not the transfer's any more, as far as that goes."""
        try:
            self._finish.clear_away(intent)
        except OwnershipEndedError:
            raise
        except MftgitError as error:
            if self.is_ours(intent):
                raise
            logger.warning(
                "a temporary was left behind", temporary=intent.temporary, reason=str(error)
            )

    def is_ours(self, intent: Intent) -> bool:
        """Tell whether the file was on its way between the places that the transfer has now."""
        if self._transfer is None or not self._begun.is_at_home(intent):
            return False
        generation = self._context.generation
        there = intent.destination.find(generation, writer=intent.member)
        return there == generation.locations[self._transfer.destination.location]


def _mark(entry: FileEntry) -> tuple[int, int]:
    return entry.size_bytes, entry.mtime_ns
