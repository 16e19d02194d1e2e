"""Transfers that are not configured any more, and have deliveries under way on the members' storage."""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from loguru import logger

from mftgit.member.outbound.records.intents import StateUnavailableError, left_records
from mftgit.model.configuration.config import Generation, Ownership
from mftgit.model.names import MemberName, Revision, TransferName
from mftgit.model.transfers.intent import Intent

LOOK_S = 30.0
"""How often they are looked for."""


def key_of(transfer: TransferName, ownership: Ownership, member: MemberName) -> TransferName:
    """Return what ``transfer`` is owned under: by one of all members, or by each for itself."""
    if ownership is Ownership.SINGLE:
        return transfer
    return TransferName(f"{transfer}.{member}")


def keys_of(transfer: TransferName, member: MemberName) -> tuple[TransferName, ...]:
    """Return every key under which ``member`` may have ``transfer``."""
    return tuple(key_of(transfer, ownership, member) for ownership in Ownership)


def find_leftovers(
    transfers: Path,
    generation: Generation,
    *,
    knows: Callable[[Revision], bool],
    active: Collection[TransferName] = (),
) -> Iterator[tuple[TransferName, TransferName]]:
    """Give key and name of each transfer below ``transfers`` that this member has to bring to its end.

    That is one whose document is gone, or that is owned otherwise now, or is this member's own and not active here any
    more, with a record of a delivery that is for this member to end. ``knows`` tells whether a revision is the one in
    force here or came before it: of what others began under a newer one, a member that is behind knows nothing. Below
    the keys ``active``, those of configured transfers, nothing is left over, and nothing is read.
    """
    try:
        folders = transfers.iterdir() if transfers.is_dir() else ()
        for folder in sorted(each for each in folders if each.name not in active):
            key = TransferName(folder.name)
            for intent in left_records(folder):
                known = intent.revision is None or knows(intent.revision)
                if known and _is_left_to(intent, key, generation):
                    yield key, intent.transfer
                    break
    except (OSError, StateUnavailableError) as error:
        logger.debug("deliveries of former transfers not looked for", reason=str(error))


def _is_left_to(intent: Intent, key: TransferName, generation: Generation) -> bool:
    me, name = generation.member, intent.transfer
    if key != key_of(name, intent.ownership, me.name) or name in generation.disabled:
        return False
    now = generation.transfers.get(name)
    if now is not None:
        return now.ownership is not intent.ownership
    if name in generation.declared:  # it is active elsewhere, where what all own is gone on with
        return intent.ownership is Ownership.EACH
    return intent.active_on.includes(me)
