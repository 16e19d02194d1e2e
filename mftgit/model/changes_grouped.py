"""What a revision changes, told once for all members on which it changes the same, and what it restarts."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from mftgit.model.changes import Action, ComponentChange, MemberChange
from mftgit.model.names import MemberName

_NOBODY: Final = MemberName("")
_RESTARTING: Final = frozenset({Action.STARTED, Action.CHANGED, Action.STOPPED})


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberGroup:
    """Members on which the same changes; ``change`` is that of the first."""

    members: tuple[MemberName, ...]
    change: MemberChange


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """What is started, stopped or changed while it runs, and where."""

    kind: str
    name: str
    action: Action
    members: tuple[MemberName, ...]


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


def restarts(changes: Iterable[MemberChange]) -> tuple[Restart, ...]:
    """Return the transfers and services that members start, change or stop, each with its members.

    Runs and sessions under way end as they began; what waits for its next run is not broken off.
    """
    found: dict[tuple[str, str, Action], list[MemberName]] = {}
    for change in changes:
        for kind, component in _running(change):
            if component.action in _RESTARTING:
                key = (kind, component.name, component.action)
                found.setdefault(key, []).append(change.member)
    return tuple(
        Restart(kind=kind, name=name, action=action, members=tuple(members))
        for (kind, name, action), members in found.items()
    )


def _running(change: MemberChange) -> Iterator[tuple[str, ComponentChange]]:
    for kind, components in (("transfer", change.transfers), ("service", change.services)):
        for component in components:
            yield kind, component
