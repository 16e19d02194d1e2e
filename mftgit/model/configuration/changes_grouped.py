"""What a revision changes, told once for all members on which it changes the same."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from mftgit.model.configuration.changes import MemberChange
from mftgit.model.names import MemberName

_NOBODY: Final = MemberName("")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberGroup:
    """Members on which the same changes; ``change`` is that of the first."""

    members: tuple[MemberName, ...]
    change: MemberChange


def grouped(changes: Iterable[MemberChange]) -> tuple[MemberGroup, ...]:
    """Return the members on which something changes, in groups; in the order of their first members."""
    groups: dict[MemberChange, list[MemberName]] = {}
    for each in changes:
        if each:
            groups.setdefault(replace(each, member=_NOBODY), []).append(each.member)
    return tuple(
        MemberGroup(members=tuple(names), change=replace(change, member=names[0]))
        for change, names in groups.items()
    )
