"""Which storage a member knows: its id, whether what is found is that one, and whether members share it."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, unique
from itertools import combinations, islice
from typing import Any, Final, NewType

from mftgit.model.names import MemberName, TransferName, is_name

StorageId = NewType("StorageId", str)
"""What tells one storage from every other: 32 hexadecimal digits, made once by whoever comes first."""

MAX_REFUSED: Final = 1000
"""How many characters are told of why storage is refused."""

MAX_DIVIDED: Final = 20
"""How many pairs of members are named that do not share their storage."""

_ID: Final = re.compile(r"[0-9a-f]{32}")
_MAX_SEEN: Final = 10_000


def parse_storage_id(text: str) -> StorageId:
    """Return ``text`` as the id of a storage.

    Raises:
        ValueError: it is none.
    """
    if not _ID.fullmatch(text):
        raise ValueError("not 32 hexadecimal digits")
    return StorageId(text)


@unique
class Finding(Enum):
    """What to do about the storage that is there."""

    KNOWN = "known"
    """It is the one that this member knows."""
    FIRST = "first"
    """This member knew none: remember this one."""
    NEW = "new"
    """It has no id, and this member knew none: make one."""
    MISSING = "missing"
    """It has no id, and this member knows one: most likely it is not mounted."""
    OTHER = "other"
    """It has another id than the one that this member knows."""


def judge_storage(found: StorageId | None, known: StorageId | None) -> Finding:
    """Say what to do about storage with the id ``found``, where ``known`` is remembered."""
    if known is None:
        return Finding.NEW if found is None else Finding.FIRST
    if found is None:
        return Finding.MISSING
    return Finding.KNOWN if found == known else Finding.OTHER


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageStatus:
    """How the members' storage is for one member.

    ``id`` is None before it was first reached; ``refused`` says why nothing is owned on it; ``sees`` are the members
    whose sign of life reaches this one through it.
    """

    id: StorageId | None = None
    refused: str | None = None
    sees: tuple[MemberName, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the shape that ``status --json`` documents."""
        return {"id": self.id, "refused": self.refused, "sees": list(self.sees)}


def parse_storage_status(value: Any) -> StorageStatus | None:
    """Return what ``StorageStatus.as_json`` gave ``value`` for; a member of an older version says nothing.

    Raises:
        ValueError: it is not of that shape.
    """
    match value:
        case None:
            return None
        case {"id": str() | None as found, "refused": str() | None as refused, "sees": [*sees]}:
            if len(sees) > _MAX_SEEN or not all(
                isinstance(each, str) and is_name(each) for each in sees
            ):
                raise ValueError("sees is not a list of members, or too long a one")
            return StorageStatus(
                id=None if found is None else parse_storage_id(found),
                refused=None if refused is None else refused[:MAX_REFUSED],
                sees=tuple(MemberName(each) for each in sees),
            )
        case _:
            raise ValueError("storage is not an id, a reason and a list of members")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharer:
    """A member that is heard of: its storage, and the transfers in it that one member is to own."""

    name: MemberName
    storage: StorageStatus
    transfers: frozenset[TransferName]


def find_divided(sharers: Iterable[Sharer]) -> list[str]:
    """Say which members do not share the storage that their transfers need, each pair in one line, up to `MAX_DIVIDED`.

    Members that have no transfer in common may well have storage of their own. Nothing is said of a member that owns
    nothing, because its storage is refused or it has not reached it yet.
    """
    known = sorted(
        (each for each in sharers if each.storage.id and not each.storage.refused),
        key=lambda each: each.name,
    )
    sees = {each.name: frozenset(each.storage.sees) for each in known}
    return list(islice(_divided(known, sees), MAX_DIVIDED))


def _divided(
    known: Iterable[Sharer], sees: Mapping[MemberName, frozenset[MemberName]]
) -> Iterator[str]:
    for one, other in combinations(known, 2):
        unseen = _unseen(one.name, other.name, sees)
        if one.storage.id == other.storage.id and unseen is None:
            continue
        common = one.transfers & other.transfers
        if not common:
            continue
        pair = f"{one.name} and {other.name}"
        if one.storage.id != other.storage.id:
            yield (
                f"{pair} do not share their storage ({one.storage.id} and {other.storage.id}): each of them owns "
                f"{min(common)} for itself. Let both see one folder as their files root"
            )
        else:
            yield (
                f"{pair} have storage with one id, but the sign of life of {unseen} does not reach the other: "
                "see that it is one storage, and not two that something copies between"
            )


def _unseen(
    one: MemberName, other: MemberName, sees: Mapping[MemberName, frozenset[MemberName]]
) -> MemberName | None:
    """Return the one of two members that the other does not see; None where both do, or one has not looked yet."""
    if not sees[one] or not sees[other]:
        return None
    if other not in sees[one]:
        return other
    return one if one not in sees[other] else None
