"""Find out whether the content of a file was delivered before, by the ledger and by what is under way."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from mftgit.errors import TransientError
from mftgit.member.outbound.given.context import RunContext
from mftgit.member.outbound.records.intents import Intents
from mftgit.member.outbound.taking.parcel import Parcel
from mftgit.model.configuration.config import Deduplicate, Overwrite
from mftgit.model.transfers.claim import ClaimId
from mftgit.model.transfers.run import DeliveryState


class DuplicateWaitsError(TransientError):
    """An earlier file of this content waits for its name, and is skipped where that is taken."""


def not_sure(parcels: Sequence[Parcel], intents: Intents) -> dict[ClaimId, DuplicateWaitsError]:
    """Return which of these duplicates cannot be skipped yet, because the first one may come to nothing still."""
    waiting = {
        each.id: each
        for each in intents.known()
        if each.state is DeliveryState.READY and each.overwrite is Overwrite.SKIP
    }
    firsts = [
        (each.intent, waiting.get(each.intent.duplicate_of or each.intent.id)) for each in parcels
    ]
    return {
        intent.id: DuplicateWaitsError(
            f"{intent.path} has the content of {first.path}, which waits at {first.destination.location.name} for the "
            f"name {first.final}: see why that one failed"
        )
        for intent, first in firsts
        if first is not None
    }


def sort_out(
    parcels: Sequence[Parcel], rule: Deduplicate, *, context: RunContext, intents: Intents
) -> tuple[list[Parcel], list[Parcel], list[Parcel]]:
    """Return those of ``parcels`` whose content is new, those whose is not, and those that are like one of the new.

    The second ones say what they are duplicates of. The last ones are duplicates only once that one was delivered: ask
    again then. What is whole at the destination and waits for its name counts as delivered.
    """
    since = context.clock.now() - timedelta(days=rule.within_days)
    known: dict[str, ClaimId] = {
        each.read_sha256: each.id for each in intents.known() if each.state is DeliveryState.READY
    }
    fresh: dict[str, Parcel] = {}
    same, later = [], []
    for parcel in parcels:
        intent = parcel.intent
        content = intent.read_sha256
        before = known.get(content) or context.memory.ledger.delivery_of(content, since)
        if before is not None:
            same.append(replace(parcel, intent=replace(intent, duplicate_of=before)))
        elif content in fresh:
            later.append(parcel)
        else:
            fresh[content] = parcel
    return [*fresh.values()], same, later
