"""End one delivery as its record says, whatever the transfer says by now.

PUBLISHED: the one rename that counts. RECORDED: the event and the ledger. DONE: the source is dealt with, the record
dropped. Where it stops, whoever comes next goes on from what is written down (docs/adr/0005 has every step).
"""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.endpoint import FileExistsAtEndpointError, FileMissingError
from mftgit.errors import MftgitError, TransientError
from mftgit.member.outbound.claims import Claim
from mftgit.member.outbound.context import Endpoints, RunContext
from mftgit.member.outbound.intents import Intents
from mftgit.member.outbound.ledger import Line
from mftgit.member.outbound.own import FencedEndpoint
from mftgit.model.claim import join, unique_name
from mftgit.model.config import AfterSuccess, Overwrite
from mftgit.model.events import EventName, Fact
from mftgit.model.intent import Intent
from mftgit.model.run import DeliveryStep, advance

CHUNK_BYTES: Final = 256 * 1024

S = DeliveryStep


class DeliveryFailedError(MftgitError):
    """The file could not be delivered as the transfer says; the message says why and what helps."""


class NameTakenError(DeliveryFailedError):
    """The destination has a file of that name, and the transfer says not to touch it."""


class TemporaryVanishedError(TransientError):
    """Somebody removed the temporary before it was published; the file is sent again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a delivery ended; ``delivered`` is False where there was nothing to deliver (any more)."""

    delivered: bool
    size_bytes: int = 0


NOTHING: Final = Outcome(delivered=False)


class Finish:
    """The steps after a file is whole at its destination, and those that give a file up."""

    def __init__(self, context: RunContext, *, endpoints: Endpoints, intents: Intents) -> None:
        self._context = context
        self._endpoints = endpoints
        self._intents = intents
        self._ledger = context.memory.ledger

    def write(self, intent: Intent, step: DeliveryStep) -> Intent:
        """Take ``step`` and write down where that leads."""
        after = replace(intent, state=advance(intent.state, step))
        self._intents.write(after)
        return after

    def publish(self, intent: Intent, claim: Claim | None, *, just_sent: bool = False) -> Outcome:
        """Rename the temporary, which is whole; one that is gone was published. Then do what follows.

        ``just_sent``: nobody can have tried this before. Then one that is gone was published only where its file is
        there, as when the reply to the rename was lost; else somebody removed it.

        Raises:
            TemporaryVanishedError: the file is as good as not sent.
            NameTakenError: the name was taken meanwhile, and the rule is to fail.
        """
        try:
            self.destination(intent).rename(
                intent.temporary, intent.final, replace=intent.overwrite is Overwrite.OVERWRITE
            )
        except FileMissingError:
            if just_sent and not self._is_published(intent):
                raise self._vanished(intent, claim) from None
            # a folder that is gone proves nothing
            self.destination(intent).list_names(intent.destination_folder)
        except FileExistsAtEndpointError:
            return self._publish_elsewhere(intent, claim, just_sent=just_sent)
        intent = replace(intent, state=advance(intent.state, S.PUBLISH))
        return self._settle(self._note(intent), claim)

    def skip(self, intent: Intent, claim: Claim | None) -> Outcome:
        """Decide not to deliver, as if it had been done."""
        return self.settle_skipped(self.write(intent, S.SKIP), claim)

    def settle_skipped(self, intent: Intent, claim: Claim | None) -> Outcome:
        """Treat the source as if it had been delivered."""
        self.clear_away(intent)
        if not self._ledger.has(intent.id):
            if intent.after is AfterSuccess.KEEP:
                intent = self._as_seen(intent)  # the ledger keeps it from being looked at again
            self._tell(EventName.DELIVERY_SKIPPED, intent)
            self._append(intent, skipped=True)
        self.settle_source(intent, claim)
        advance(intent.state, S.SETTLE)
        self._intents.drop(intent.id)
        return NOTHING

    def leave(self, intent: Intent, claim: Claim | None) -> bool:
        """Let the file be as if it had never been taken; where its name is taken meanwhile, it stays claimed."""
        advance(intent.state, S.LEAVE)
        left = claim is None or claim.put_back(intent.path)
        if left:
            self._intents.drop(intent.id)
        return left

    def clear_away(self, intent: Intent) -> None:
        """Remove a temporary that no intent stands for; no other try, of whichever owner, bears its name."""
        with suppress(FileMissingError):
            self.destination(intent).remove(intent.temporary)

    def destination(self, intent: Intent) -> FencedEndpoint:
        """Return the endpoint of where the record says that it goes; no folder is made there by opening it."""
        location = self._endpoints.find(intent.destination, writer=intent.member)
        return self._endpoints.at(location, make=False)

    def _is_published(self, intent: Intent) -> bool:
        """Tell whether the destination has this very file under its name."""
        destination = self.destination(intent)
        try:
            if destination.stat(intent.final).size_bytes != intent.size_bytes:
                return False
            digest = hashlib.sha256()
            with destination.open_read(intent.final) as stream:
                while chunk := stream.read(CHUNK_BYTES):
                    digest.update(chunk)
        except FileMissingError:
            return False
        return digest.hexdigest() == intent.sha256

    def _vanished(self, intent: Intent, claim: Claim | None) -> TemporaryVanishedError:
        taken = self.write(intent, S.VANISH)
        if claim is None:
            self.leave(taken, claim)
        return TemporaryVanishedError(
            f"the temporary {intent.temporary} at {intent.destination.location.name} was removed before it was "
            "renamed: see that nothing there removes hidden files; the file is sent again"
        )

    def _publish_elsewhere(
        self, intent: Intent, claim: Claim | None, *, just_sent: bool
    ) -> Outcome:
        """The name was taken after it was found to be free; the whole temporary stays what it is, an intent."""
        place = intent.destination.location.name
        if intent.overwrite is Overwrite.SKIP:
            return self.skip(intent, claim)
        if intent.overwrite is Overwrite.FAIL:
            raise NameTakenError(
                f"{intent.final} came to be at {place} while {intent.path} was sent: "
                "remove it there, and the file is published by the next try"
            )
        moment = self._context.clock.now()
        plain = join(intent.destination_folder, intent.path)
        renamed = replace(intent, final=unique_name(plain, intent.id, moment))
        if renamed.final == intent.final:
            raise NameTakenError(f"{intent.final} is at {place} already")
        return self.publish(self.write(renamed, S.INTEND), claim, just_sent=just_sent)

    def _note(self, intent: Intent) -> Intent:
        """Tell of the delivery and write it down; a crash between the two tells of it again, with the same id."""
        after = replace(intent, state=advance(intent.state, S.RECORD))
        if not self._ledger.has(intent.id):
            self._tell(EventName.DELIVERY_SUCCEEDED, intent)
            self._append(intent, skipped=False)
        return after

    def _settle(self, intent: Intent, claim: Claim | None) -> Outcome:
        """Deal with the source and drop the record."""
        self.settle_source(intent, claim)
        advance(intent.state, S.SETTLE)
        self._intents.drop(intent.id)
        return Outcome(delivered=True, size_bytes=intent.size_bytes)

    def _as_seen(self, intent: Intent) -> Intent:
        source = self._endpoints.find(intent.source, writer=intent.member)
        try:
            seen = self._endpoints.at(source).stat(join(intent.source_folder, intent.path))
        except FileMissingError:
            return intent
        return replace(intent, size_bytes=seen.size_bytes, mtime_ns=seen.mtime_ns)

    def settle_source(self, intent: Intent, claim: Claim | None) -> None:
        """Do with a claimed file what is done after a success: delete or archive it."""
        if claim is None:
            return
        if intent.after is AfterSuccess.DELETE:
            claim.delete()
        else:
            claim.archive(join(intent.archive_path or "archive", intent.path))

    def _append(self, intent: Intent, *, skipped: bool) -> None:
        context = self._context
        context.ownership.check()
        self._ledger.append(
            Line(
                id=intent.id,
                transfer=intent.transfer,
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
        facts: Mapping[str, Fact] = {
            "transfer": intent.transfer,
            "id": intent.id,
            "path": intent.path,
            "final": intent.final,
            "size_bytes": intent.size_bytes,
            "sha256": intent.sha256 or None,
        }
        self._context.record(event, facts)
