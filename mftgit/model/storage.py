"""Which storage a member knows: its id, whether what is found is that one, and whether members share it."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, unique
from itertools import combinations
from typing import Any, Final, NewType

from mftgit.model.names import MemberName, TransferName, is_name

StorageId = NewType("StorageId", str)
"""What tells one storage from every other: 32 hexadecimal digits, made once by whoever comes first."""

MAX_REFUSED: Final = 1000
"""How many characters are told of why storage is refused."""

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
    transfers: Collection[TransferName]


def find_divided(sharers: Iterable[Sharer]) -> list[str]:
    """Say which members do not share the storage that their transfers need, each pair in one line.

    Members that have no transfer in common may well have storage of their own. Nothing is said of a member that owns
    nothing, because its storage is refused or it has not reached it yet.
    """
    known: Mapping[MemberName, Sharer] = {
        each.name: each for each in sharers if each.storage.id and not each.storage.refused
    }
    return [
        words
        for one, other in combinations(sorted(known.values(), key=lambda each: each.name), 2)
        if (common := sorted(set(one.transfers) & set(other.transfers)))
        and (words := _divided(one, other, common[0]))
    ]


def _divided(one: Sharer, other: Sharer, transfer: TransferName) -> str | None:
    pair = f"{one.name} and {other.name}"
    if one.storage.id != other.storage.id:
        return (
            f"{pair} do not share their storage ({one.storage.id} and {other.storage.id}): each of them owns "
            f"{transfer} for itself. Let both see one folder as their files root"
        )
    for by, of in ((one, other), (other, one)):
        if by.storage.sees and of.storage.sees and of.name not in by.storage.sees:
            return (
                f"{pair} have storage with one id, but the sign of life of {of.name} does not reach {by.name}: "
                "see that it is one storage, and not two that something copies between"
            )
    return None
