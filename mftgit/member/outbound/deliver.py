"""Take one file to its destination, in steps each of which may be the last.

TAKEN: record, then claim by rename. SENT: a temporary beside the destination, measured and digested. READY: the intent.
PUBLISHED: the one rename that counts. RECORDED: the ledger. DONE: the source is dealt with, the record dropped.
Where it stops, whoever comes next goes on from what is written down (docs/adr/0005 has the table of every step).
"""

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.endpoint import (
    EndpointFullError,
    EndpointLostError,
    FileEntry,
    FileExistsAtEndpointError,
    FileMissingError,
)
from mftgit.errors import MftgitError, TransientError
from mftgit.member.outbound.claims import Claim, Claims
from mftgit.member.outbound.context import Endpoints, RunContext
from mftgit.member.outbound.intents import Intent, Intents
from mftgit.member.outbound.ledger import Line
from mftgit.member.outbound.own import FencedEndpoint, OwnershipEndedError
from mftgit.model.claim import ClaimId, join, temporary_name, unique_name
from mftgit.model.config import AfterSuccess, Overwrite, Transfer
from mftgit.model.events import EventName
from mftgit.model.run import DeliveryState, DeliveryStep, advance

CHUNK_BYTES: Final = 256 * 1024

S = DeliveryStep


class DeliveryFailedError(MftgitError):
    """The file could not be delivered as the transfer says; the message says why and what helps."""


class FileChangedError(TransientError):
    """The file changed while it was sent; it is sent again when it is stable."""


class NameTakenError(DeliveryFailedError):
    """The destination has a file of that name, and the transfer says not to touch it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a delivery ended; ``delivered`` is False where there was nothing to deliver (any more)."""

    delivered: bool
    size_bytes: int = 0


NOTHING: Final = Outcome(delivered=False)


class Delivery:
    """The steps of the deliveries of one run."""

    def __init__(
        self,
        transfer: Transfer,
        context: RunContext,
        *,
        endpoints: Endpoints,
        claims: Claims,
        intents: Intents,
    ) -> None:
        self._transfer = transfer
        self._context = context
        self._endpoints = endpoints
        self._claims = claims
        self._intents = intents
        self._ledger = context.memory.ledger

    def deliver(self, claim_id: ClaimId, path: str) -> Outcome:
        """Take the file ``path`` below the source, and to its destination."""
        intent = self._write(self._describe(claim_id, path), S.TAKE)
        if intent.after is AfterSuccess.KEEP:
            return self._send(intent, None)
        claim = self._claims.take(claim_id, path)
        if claim is None:
            self._intents.drop(claim_id)  # somebody else took the file away before us
            return NOTHING
        return self._send(intent, claim)

    def resume(self, intent: Intent, claim: Claim | None) -> Outcome:
        """Go on with what this epoch or an earlier one has begun and not ended.

        Args:
            intent: the record.
            claim: its claimed file, None where there is none (any more).
        """
        if intent.state is DeliveryState.READY:
            return self._publish(intent, claim)
        if intent.state is DeliveryState.SKIPPED:
            return self._settle_skipped(intent, claim)
        self._clear_away(intent)
        if claim is None:
            self._intents.drop(
                intent.id
            )  # never claimed, or kept at its place: it is seen again there
            return NOTHING
        again = self._describe(intent.id, intent.path)
        return self._send_claim(
            replace(again, source=intent.source, source_folder=intent.source_folder), claim
        )

    def adopt(self, claim: Claim) -> Outcome:
        """Send a claim that has no record, as where the members' storage was lost and the source was not."""
        if claim.path is None:
            raise DeliveryFailedError(
                f"{claim.at} has no record, and its name is too short to tell what the file was called: "
                "give it its name by hand"
            )
        return self._send_claim(self._describe(claim.id, claim.path), claim)

    def _send_claim(self, described: Intent, claim: Claim) -> Outcome:
        """Send a file that is claimed already, under a temporary name that no earlier try bore."""
        intent = self._write(described, S.TAKE)
        if intent.after is not AfterSuccess.KEEP:
            return self._send(intent, claim)
        self._leave(intent, claim)  # it was claimed under another revision, and is to be kept since
        return NOTHING

    def _describe(self, claim: ClaimId, path: str) -> Intent:
        transfer, context = self._transfer, self._context
        final = join(transfer.destination.path, path)
        attempt = f"{context.ownership.epoch}-{context.nonce()}"
        return Intent(
            id=claim,
            state=DeliveryState.SEEN,
            path=path,
            source=transfer.source.location,
            source_folder=transfer.source.path,
            destination=transfer.destination.location,
            destination_folder=transfer.destination.path,
            temporary=temporary_name(final, claim, attempt, transfer.destination.temporary_suffix),
            final=final,
            overwrite=transfer.destination.overwrite,
            after=transfer.after_success,
            archive_path=transfer.archive_path,
            started_at=rfc3339(context.clock.now()),
            epoch=context.ownership.epoch,
            revision=context.revision,
        )

    def _write(self, intent: Intent, step: DeliveryStep) -> Intent:
        """Take ``step`` and write down where that leads."""
        after = replace(intent, state=advance(intent.state, step))
        self._intents.write(after)
        return after

    def _send(self, intent: Intent, claim: Claim | None) -> Outcome:
        """Copy the file to its temporary, make sure of it, and publish it."""
        try:
            intent = replace(intent, final=self._free_final(intent))
        except NameTakenError:
            if intent.overwrite is Overwrite.SKIP:
                return self._skip(intent, claim)
            self._leave(intent, claim)
            raise
        try:
            sent = self._copy(intent, claim)
        except (EndpointLostError, OwnershipEndedError):
            raise
        except MftgitError:
            self._clear_away(intent)
            if claim is None:
                self._leave(intent, claim)
            raise
        return self._publish(self._write(sent, S.INTEND), claim)

    def _free_final(self, intent: Intent) -> str:
        """Return the name at the destination by the transfer's rule.

        Raises:
            NameTakenError: there is a file of that name, and the rule is to fail or to skip.
        """
        if intent.overwrite is Overwrite.OVERWRITE:
            return intent.final
        try:
            self._destination(intent).stat(intent.final)
        except FileMissingError:
            return intent.final
        if intent.overwrite is Overwrite.RENAME:
            return unique_name(intent.final, intent.id, self._context.clock.now())
        raise NameTakenError(
            f"{intent.final} is at {intent.destination} already, and the transfer's overwrite rule is "
            f"{intent.overwrite.value}: remove it there, or choose 'overwrite' or 'rename'"
        )

    def _copy(self, intent: Intent, claim: Claim | None) -> Intent:
        """Return the intent of a temporary that is whole, was counted by its endpoint, and of a file at rest."""
        source = self._endpoints.at(intent.source)
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
            size = self._destination(intent).write(
                intent.temporary, chunks(), on_chunk=lambda _: None
            )
        if size != sent:
            raise EndpointFullError(
                f"{intent.destination} holds {size} bytes of {intent.path}, of {sent} that were sent"
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

    def _publish(self, intent: Intent, claim: Claim | None) -> Outcome:
        """Rename the temporary, which is whole; one that is gone was published. Then do what follows."""
        destination = self._destination(intent)
        try:
            destination.rename(
                intent.temporary, intent.final, replace=intent.overwrite is Overwrite.OVERWRITE
            )
        except FileMissingError:
            destination.list_names(
                intent.destination_folder
            )  # a folder that is gone proves nothing
        except FileExistsAtEndpointError:
            return self._publish_elsewhere(intent, claim)
        intent = replace(intent, state=advance(intent.state, S.PUBLISH))
        return self._settle(self._note(intent), claim)

    def _publish_elsewhere(self, intent: Intent, claim: Claim | None) -> Outcome:
        """The name was taken after it was found to be free; the whole temporary stays what it is, an intent."""
        if intent.overwrite is Overwrite.SKIP:
            return self._skip(intent, claim)
        if intent.overwrite is Overwrite.FAIL:
            raise NameTakenError(
                f"{intent.final} came to be at {intent.destination} while {intent.path} was sent: "
                "remove it there, and the file is published by the next try"
            )
        moment = self._context.clock.now()
        plain = join(intent.destination_folder, intent.path)
        renamed = replace(intent, final=unique_name(plain, intent.id, moment))
        if renamed.final == intent.final:
            raise NameTakenError(f"{intent.final} is at {intent.destination} already")
        return self._publish(self._write(renamed, S.INTEND), claim)

    def _note(self, intent: Intent) -> Intent:
        """Write the delivery down, once."""
        after = replace(intent, state=advance(intent.state, S.RECORD))
        if not self._ledger.has(intent.id):
            self._append(intent, skipped=False)
            self._tell(EventName.DELIVERY_SUCCEEDED, intent)
        return after

    def _settle(self, intent: Intent, claim: Claim | None) -> Outcome:
        """Deal with the source and drop the record."""
        self._after_action(intent, claim)
        advance(intent.state, S.SETTLE)
        self._intents.drop(intent.id)
        return Outcome(delivered=True, size_bytes=intent.size_bytes)

    def _skip(self, intent: Intent, claim: Claim | None) -> Outcome:
        return self._settle_skipped(self._write(intent, S.SKIP), claim)

    def _settle_skipped(self, intent: Intent, claim: Claim | None) -> Outcome:
        """Treat the source as if it had been delivered."""
        self._clear_away(intent)
        if not self._ledger.has(intent.id):
            if (
                intent.after is AfterSuccess.KEEP
            ):  # the ledger is what keeps it from being looked at again
                with suppress(FileMissingError):
                    seen = self._endpoints.at(intent.source).stat(
                        join(intent.source_folder, intent.path)
                    )
                    intent = replace(intent, size_bytes=seen.size_bytes, mtime_ns=seen.mtime_ns)
            self._append(intent, skipped=True)
            self._tell(EventName.DELIVERY_SKIPPED, intent)
        self._after_action(intent, claim)
        advance(intent.state, S.SETTLE)
        self._intents.drop(intent.id)
        return NOTHING

    def _leave(self, intent: Intent, claim: Claim | None) -> None:
        """Let the file be as if it had never been taken; where its name is taken meanwhile, it stays claimed."""
        advance(intent.state, S.LEAVE)
        if claim is None or claim.put_back(intent.path):
            self._intents.drop(intent.id)

    def _after_action(self, intent: Intent, claim: Claim | None) -> None:
        if claim is None:
            return
        if intent.after is AfterSuccess.DELETE:
            claim.delete()
        else:
            claim.archive(join(intent.archive_path or "archive", intent.path))

    def _clear_away(self, intent: Intent) -> None:
        """Remove a temporary that no intent stands for; no other try, of whichever owner, bears its name."""
        with suppress(FileMissingError):
            self._destination(intent).remove(intent.temporary)

    def _destination(self, intent: Intent) -> FencedEndpoint:
        return self._endpoints.at(intent.destination)

    def _append(self, intent: Intent, *, skipped: bool) -> None:
        context = self._context
        context.ownership.check()
        self._ledger.append(
            Line(
                id=intent.id,
                transfer=self._transfer.name,
                member=context.member,
                epoch=context.ownership.epoch,
                revision=intent.revision,
                path=intent.path,
                final=intent.final,
                size_bytes=intent.size_bytes,
                mtime_ns=intent.mtime_ns,
                sha256=intent.sha256,
                started_at=intent.started_at,
                ended_at=rfc3339(context.clock.now()),
                skipped=skipped,
            )
        )

    def _tell(self, event: EventName, intent: Intent) -> None:
        self._context.record(
            event,
            {
                "transfer": self._transfer.name,
                "id": intent.id,
                "path": intent.path,
                "final": intent.final,
                "size_bytes": intent.size_bytes,
                "sha256": intent.sha256 or None,
            },
        )


def _mark(entry: FileEntry) -> tuple[int, int]:
    return entry.size_bytes, entry.mtime_ns
