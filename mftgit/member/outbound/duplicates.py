"""Find out whether the content of a file was delivered before, by the ledger and by what is under way."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from mftgit.member.outbound.context import RunContext
from mftgit.member.outbound.intents import Intents
from mftgit.member.outbound.parcel import Parcel
from mftgit.model.claim import ClaimId
from mftgit.model.config import Deduplicate
from mftgit.model.run import DeliveryState


def sort_out(
    parcels: Sequence[Parcel], rule: Deduplicate, *, context: RunContext, intents: Intents
) -> tuple[list[Parcel], list[Parcel]]:
    """Return those of ``parcels`` whose content is new, and the others, which then say what they are duplicates of.

    What is whole at the destination and waits for its name counts as delivered; so does the first of ``parcels``
    with a content.
    """
    since = context.clock.now() - timedelta(days=rule.within_days)
    known: dict[str, ClaimId] = {
        each.read_sha256: each.id for each in intents.known() if each.state is DeliveryState.READY
    }
    fresh, same = [], []
    for parcel in parcels:
        intent = parcel.intent
        before = known.get(intent.read_sha256) or context.memory.ledger.delivery_of(
            intent.read_sha256, since
        )
        if before is None:
            known[intent.read_sha256] = intent.id
            fresh.append(parcel)
        else:
            same.append(replace(parcel, intent=replace(intent, duplicate_of=before)))
    return fresh, same
