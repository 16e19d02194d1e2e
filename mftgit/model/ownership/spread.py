"""Which member is to own which key: by preference, else evenly. Every member comes to the same answer by itself.

What is owned stays where it is, unless its owner may not or cannot have it any more, another member is preferred, or
one has two more than another. What is free goes to whom it was given, to who is preferred, or to who has the fewest.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mftgit.model.names import MemberName, TransferName
from mftgit.model.ownership.standing import Standing
from mftgit.model.ownership.view import FREE, Sight

_TOO_UNEVEN: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """Who may own a key, None for every member; and who is preferred, the first one most."""

    eligible: frozenset[MemberName] | None = None
    prefer: tuple[MemberName, ...] = ()


def assign(
    wants: Mapping[TransferName, Want], sight: Sight, *, stays: Collection[TransferName] = ()
) -> dict[TransferName, MemberName]:
    """Return who is to own each of ``wants``; one that nobody can own is left out.

    ``stays`` are keys that an operator moved to their owner: preference and balance leave them there.
    """
    able = {key: able_members(key, want, sight.members) for key, want in wants.items()}
    loads = Counter(view.owner for view in sight.views.values() if view.owner is not None)
    targets: dict[TransferName, MemberName] = {}
    open_keys: list[TransferName] = []
    for key in sorted(wants):
        if target := _settled(key, wants[key], able[key], sight, stays=key in stays):
            targets[key] = target
            _move(loads, sight.views.get(key, FREE).owner, target)
        elif able[key]:
            open_keys.append(key)
    for key in open_keys:
        targets[key] = _least(key, able[key], loads)
        _move(loads, sight.views.get(key, FREE).owner, targets[key])
    loose = [
        key
        for key in targets
        if not (
            key in stays or _preferred(wants[key], able[key]) or _given_to(key, able[key], sight)
        )
    ]
    targets.update(_evened(loose, targets, able, loads))
    return targets


def able_members(
    key: TransferName, want: Want, members: Mapping[MemberName, Standing]
) -> frozenset[MemberName]:
    """Return who can own ``key`` now; those that stand aside only where nobody else is there."""
    there = members_there(want, members)
    willing = frozenset(name for name in there if key not in members[name].aside)
    return willing or there


def members_there(want: Want, members: Mapping[MemberName, Standing]) -> frozenset[MemberName]:
    """Return who may own a key and is not drained, whether it stands aside or not."""
    return frozenset(
        name
        for name, standing in members.items()
        if not standing.draining and (want.eligible is None or name in want.eligible)
    )


def _settled(
    key: TransferName, want: Want, able: Collection[MemberName], sight: Sight, *, stays: bool
) -> MemberName | None:
    """Return who is to own ``key`` whatever else there is, None where that goes by what each has."""
    owner = sight.views.get(key, FREE).owner
    if owner is not None and owner in able and stays:
        return owner
    if given := _given_to(key, able, sight):
        return given
    if preferred := _preferred(want, able):
        return preferred
    return owner if owner in able else None


def _given_to(key: TransferName, able: Collection[MemberName], sight: Sight) -> MemberName | None:
    view = sight.views.get(key, FREE)
    if view.owner is not None or view.handover is None or view.handover.to not in able:
        return None
    return view.handover.to


def _preferred(want: Want, able: Collection[MemberName]) -> MemberName | None:
    return next((name for name in want.prefer if name in able), None)


def _least(
    key: TransferName, able: Collection[MemberName], loads: Mapping[MemberName, int]
) -> MemberName:
    """Return who has the fewest; among equals each key has an order of its own, the same for every member."""
    return min(able, key=lambda name: (loads.get(name, 0), _rank(key, name)))


def _rank(key: TransferName, name: MemberName) -> bytes:
    return hashlib.sha256(f"{key}\0{name}".encode()).digest()


def _move(loads: Counter[MemberName], owner: MemberName | None, target: MemberName) -> None:
    if owner != target:
        if owner is not None:
            loads[owner] -= 1
        loads[target] += 1


def _evened(
    keys: Collection[TransferName],
    targets: Mapping[TransferName, MemberName],
    able: Mapping[TransferName, Collection[MemberName]],
    loads: Counter[MemberName],
) -> Iterator[tuple[TransferName, MemberName]]:
    """Give the keys that move so that nobody has two more than another who could have them."""
    for key in keys:
        owner = targets[key]
        least = _least(key, able[key], loads)
        if loads[owner] - loads[least] >= _TOO_UNEVEN:
            _move(loads, owner, least)
            yield key, least
