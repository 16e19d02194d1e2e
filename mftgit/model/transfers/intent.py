"""The record of a delivery under way: everything that is needed to end it, also by a member with another revision."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, Self

from mftgit.model.configuration.build import build_sidecar
from mftgit.model.configuration.config import (
    ActiveOn,
    AfterSuccess,
    Generation,
    Overwrite,
    Ownership,
    Role,
)
from mftgit.model.locations.document import build_location, format_location
from mftgit.model.locations.location import Location
from mftgit.model.names import Epoch, LocationName, MemberName, Revision, TransferName
from mftgit.model.transfers.checksum import ALGORITHMS, Expected, Sidecar
from mftgit.model.transfers.claim import ClaimId
from mftgit.model.transfers.failures import Mark
from mftgit.model.transfers.run import DeliveryState


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A location as the member had it that wrote it down.

    ``alike``: every member had it so, and any of them may use it as it stands here.
    """

    location: Location
    alike: bool

    @classmethod
    def of(cls, location: Location, generation: Generation) -> Self:
        """Return ``location``, which is one of ``generation``, as a place."""
        others = generation.elsewhere.values()
        return cls(location=location, alike=not any(location.name in other for other in others))

    def find(self, generation: Generation, *, writer: MemberName) -> Location | None:
        """Return where ``generation``'s member finds this place of ``writer``, None where it cannot tell.

        A location that ``writer`` would have at the same place today is it, by whatever keys it is entered now. A place
        that is not configured any more is used as it was written down.
        """
        theirs = generation.elsewhere.get(writer, {})
        mine = generation.locations
        first = [name for name in mine if name == self.location.name]
        for name in (*first, *mine):
            if theirs.get(name, mine[name]).place == self.location.place:
                return mine[name]
        return self.location if self.alike or writer == generation.member.name else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """One delivery under way, as ``member`` wrote it down.

    Paths are as their endpoint takes them, except ``path``, which is below ``source_folder``. Size, time and digest are
    those of what was sent and mean nothing before READY; ``source_bytes`` and ``source_sha256`` are those of the file
    that it was made of, where the transfer changes content. ``duplicate_of`` is the delivery for whose sake it is
    skipped. ``final`` is the name to be, ``plain`` what it is where that is free; ``sidecar`` comes beside it.
    ``expected`` is what the file at the source has to be. ``claimed`` are size and time of a file that this record
    alone claims: it lies at its place, and its source is dealt with only while it is this very file. ``ownership`` and
    ``active_on`` tell who may end it when the transfer is not configured any more.
    """

    id: ClaimId
    state: DeliveryState
    transfer: TransferName
    ownership: Ownership
    active_on: ActiveOn
    path: str
    source: Place
    source_folder: str
    destination: Place
    destination_folder: str
    temporary: str
    plain: str
    final: str
    overwrite: Overwrite
    after: AfterSuccess
    archive_path: str | None
    sidecar: Sidecar | None = None
    expected: Expected | None = None
    size_bytes: int = 0
    mtime_ns: int = 0
    sha256: str = ""
    source_bytes: int | None = None
    source_sha256: str | None = None
    duplicate_of: ClaimId | None = None
    claimed: Mark | None = None
    started_at: str = ""
    member: MemberName
    epoch: Epoch
    revision: Revision | None

    @property
    def stays(self) -> bool:
        """Return whether the file lies at its own place at the source while it is under way."""
        return self.after is AfterSuccess.KEEP or self.claimed is not None

    @property
    def read_sha256(self) -> str:
        """Return the digest of the file at its source."""
        return self.sha256 if self.source_sha256 is None else self.source_sha256


_NAMES: Final = tuple(Intent.__slots__)
_values: Final = attrgetter(*_NAMES)


def format_intents(intents: Sequence[Intent]) -> bytes:
    """Return the records as lines of JSON: the first one whole, of the others what differs from it.

    Fields of `_ADDED` are left out where they say nothing, so that members of an earlier version read the record.
    """
    first = _values(intents[0])
    told = zip(_NAMES, first, strict=True)
    lines = [
        _format({name: value for name, value in told if name not in _ADDED or value is not None})
    ]
    for intent in intents[1:]:
        both = zip(_NAMES, _values(intent), first, strict=True)
        # what is the same object need not be compared, which takes long for places
        differing = {name: value for name, value, its in both if value is not its and value != its}
        lines.append(_format(differing))
    return "".join(f"{line}\n" for line in lines).encode()


def parse_intents(content: bytes) -> list[Intent]:
    """Return the records that `format_intents` gave ``content`` for.

    Raises:
        ValueError: it did not.
    """
    try:
        told: list[dict[str, Any]] = [json.loads(line) for line in content.splitlines() or [b""]]
        first = _parse(told[0])
        return [Intent(**(first | _parse(each))) for each in told]
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a record of a delivery: {error}") from error


def _format(fields: dict[str, Any]) -> str:
    made = {name: _FORMATS[name](value) for name, value in fields.items() if name in _FORMATS}
    return json.dumps(fields | made)


def _parse(fields: dict[str, Any]) -> dict[str, Any]:
    made = {name: _PARSERS[name](value) for name, value in fields.items() if name in _PARSERS}
    return fields | made


def _format_active_on(value: ActiveOn) -> dict[str, Any]:
    return {
        "roles": sorted(role.value for role in value.roles),
        "members": sorted(value.members),
        "labels": dict(sorted(value.labels)),
    }


def _parse_active_on(value: Mapping[str, Any]) -> ActiveOn:
    return ActiveOn(
        roles=frozenset(map(Role, value["roles"])),
        members=frozenset(map(MemberName, value["members"])),
        labels=frozenset(value["labels"].items()),
    )


def _format_sidecar(sidecar: Sidecar | None) -> dict[str, str] | None:
    if sidecar is None:
        return None
    return {"suffix": sidecar.suffix, "format": sidecar.format.value}


def _parse_sidecar(value: Mapping[str, str] | None) -> Sidecar | None:
    return None if value is None else build_sidecar(value)


def _format_expected(expected: Expected | None) -> dict[str, str] | None:
    return None if expected is None else {"suffix": expected.suffix, "digest": expected.digest}


def _parse_expected(value: Mapping[str, str] | None) -> Expected | None:
    if value is None:
        return None
    if len(value["digest"]) not in ALGORITHMS:
        raise ValueError(f"{value['digest']!r} is no digest")
    return Expected(suffix=value["suffix"], digest=value["digest"])


def _format_place(place: Place) -> dict[str, Any]:
    """Return the place in the words of a location's document, with its name."""
    location = place.location
    return {"alike": place.alike, "name": location.name} | format_location(location)


def _parse_place(value: Mapping[str, Any]) -> Place:
    location = build_location(LocationName(value["name"]), value)
    return Place(location=location, alike=bool(value["alike"]))


def _parse_claimed(value: Sequence[Any] | None) -> Mark | None:
    if value is None:
        return None
    size_bytes, mtime_ns = value
    if not isinstance(size_bytes, int) or not isinstance(mtime_ns, int):
        raise ValueError(f"{value!r} is no size with a time")  # noqa: TRY004  damage, as any other
    return size_bytes, mtime_ns


_ADDED: Final = frozenset(
    {"expected", "sidecar", "source_bytes", "source_sha256", "duplicate_of", "claimed"}
)
"""An older version does not know every field, and needs those that it does."""

_FORMATS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "active_on": _format_active_on,
    "source": _format_place,
    "destination": _format_place,
    "sidecar": _format_sidecar,
    "expected": _format_expected,
    **dict.fromkeys(("state", "ownership", "overwrite", "after"), attrgetter("value")),
}
_PARSERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "active_on": _parse_active_on,
    "source": _parse_place,
    "destination": _parse_place,
    "sidecar": _parse_sidecar,
    "expected": _parse_expected,
    "claimed": _parse_claimed,
    "state": DeliveryState,
    "ownership": Ownership,
    "overwrite": Overwrite,
    "after": AfterSuccess,
}
