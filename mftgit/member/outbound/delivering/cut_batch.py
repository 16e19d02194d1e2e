"""Batches that were cut while they were sent: some files are whole at the destination, large ones perhaps in part."""

from collections.abc import Sequence
from dataclasses import replace

from mftgit.adapters.endpoint.contract import FileEntry
from mftgit.errors import MftgitError
from mftgit.member.outbound.copying.resume import Resuming
from mftgit.member.outbound.given.context import RunContext
from mftgit.member.outbound.ownership.own import OwnershipEndedError
from mftgit.member.outbound.places.fenced import FencedEndpoint
from mftgit.member.outbound.publishing import sidecars
from mftgit.member.outbound.publishing.finish import Finish
from mftgit.member.outbound.taking.begun import Begun
from mftgit.member.outbound.taking.describe import Describing
from mftgit.member.outbound.taking.parcel import Parcel
from mftgit.model.configuration.config import Transfer
from mftgit.model.transfers.intent import Intent
from mftgit.model.transfers.run import DeliveryState


class CutBatches:
    """Those of a transfer, for one run."""

    def __init__(
        self,
        transfer: Transfer,
        context: RunContext,
        *,
        begun: Begun,
        finish: Finish,
        resuming: Resuming,
    ) -> None:
        self._transfer = transfer
        self._context = context
        self._begun = begun
        self._finish = finish
        self._resuming = resuming
        self._describing = Describing(context)

    def find(self) -> list[list[Intent]]:
        """Return the records of each batch that can be gone on with as it is, without taking other files to it.

        It was begun under this revision, all of it is as it was when it was taken, and something of it has arrived.
        """
        if self._transfer.batch is None or not self._transfer.destination.resume:
            return []
        self._begun.intents.all()
        return [each for each in self._begun.intents.together() if self._goes_on(each)]

    def parcels(self, intents: Sequence[Intent]) -> list[Parcel]:
        """Return the files of one of them for another try; what is worth nothing is removed at the destination.

        Raises:
            MftgitError: it cannot be removed, or be looked for.
        """
        old = [Parcel(intent=each, claim=self._begun.claim_of(each)) for each in intents]
        destination = self._finish.destination(intents[0])
        self._note_names(intents, destination)
        made = [self._again(each) for each in old]
        lost = [
            before
            for before, parcel in zip(old, made, strict=True)
            if parcel.whole is None and parcel.partial is None
        ]
        self._finish.clear_away(lost)
        lost_ids = {each.intent.id for each in lost}
        sidecars.clear_away([each for each in old if each.intent.id not in lost_ids], destination)
        return made

    def _note_names(self, intents: Sequence[Intent], destination: FencedEndpoint) -> None:
        """Write down which of them a try since has given its name: there will be another one."""
        sent = self._begun.intents.sent
        both = [(each, whole) for each in intents if (whole := sent.of(each.id)) is not None]
        since = [pair for pair in both if pair[0].temporary != pair[1].temporary]
        if not since:
            return
        found = destination.stat_all(intent.temporary for intent, _ in since)
        sent.save(
            [
                replace(whole, temporary=intent.temporary)
                for (intent, whole), entry in zip(since, found, strict=True)
                if isinstance(entry, FileEntry)
            ]
        )

    def _again(self, old: Parcel) -> Parcel:
        intent = old.intent
        described = self._describing.describe(
            self._transfer, intent.id, intent.path, mark=intent.claimed
        )
        described = replace(described, expected=intent.expected)
        whole = self._begun.intents.sent.of(intent.id)
        destination = self._finish.destination(intent)
        partial = self._resuming.find(intent, destination) if whole is None else None
        return replace(old, intent=described, whole=whole, partial=partial, before=intent.temporary)

    def _goes_on(self, intents: Sequence[Intent]) -> bool:
        batch, kept = self._transfer.batch, self._begun.intents
        return (
            batch is not None
            and len(intents) >= batch.at_least
            and any(kept.sent.of(each.id) or kept.partials.of(each.id) for each in intents)
            and all(map(self._is_as_taken, intents))
        )

    def _is_as_taken(self, intent: Intent) -> bool:
        memory, stays = self._context.memory, not self._transfer.claims
        if (
            intent.state is not DeliveryState.TAKEN
            or intent.revision != self._context.revision
            or intent.stays != stays
            or memory.is_spent(intent.id, None)
            or self._begun.is_put_off(intent.id)
            or not self._begun.is_at_home(intent)
        ):
            return False
        try:
            return stays == (self._begun.claim_of(intent) is None)
        except OwnershipEndedError:
            raise
        except MftgitError:
            return False
