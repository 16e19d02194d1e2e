"""Transfers that are not configured any more, and have deliveries under way on the members' storage."""

from collections.abc import Iterator
from pathlib import Path

from loguru import logger

from mftgit.member.outbound.intents import StateUnavailableError, left_records
from mftgit.model.config import Generation, Ownership
from mftgit.model.intent import Intent
from mftgit.model.names import MemberName, TransferName

LOOK_S = 30.0
"""How often they are looked for."""


def key_of(transfer: TransferName, ownership: Ownership, member: MemberName) -> TransferName:
    """Return what ``transfer`` is owned under: by one of all members, or by each for itself."""
    if ownership is Ownership.SINGLE:
        return transfer
    return TransferName(f"{transfer}.{member}")


def find_leftovers(
    transfers: Path, generation: Generation
) -> Iterator[tuple[TransferName, TransferName]]:
    """Give key and name of each transfer below ``transfers`` that this member has to bring to its end.

    That is one whose document is gone, or that is owned otherwise now, with a record of a delivery that this member
    might have begun: it was among those that the transfer was active on.
    """
    try:
        folders = sorted(transfers.iterdir()) if transfers.is_dir() else []
        for folder in folders:
            for intent in left_records(folder):
                if _is_left_to(intent, TransferName(folder.name), generation):
                    yield TransferName(folder.name), intent.transfer
                    break
    except (OSError, StateUnavailableError) as error:
        logger.debug("deliveries of former transfers not looked for", reason=str(error))


def _is_left_to(intent: Intent, key: TransferName, generation: Generation) -> bool:
    me, name = generation.member, intent.transfer
    if key != key_of(name, intent.ownership, me.name) or not intent.active_on.includes(me):
        return False
    if name not in generation.declared:
        return True
    now = generation.transfers.get(name)
    return now is not None and now.ownership is not intent.ownership
