"""Which events a log lets go of: by age, and by size where it would grow beyond its bound."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from mftgit.model.events.event import Event, Fact
from mftgit.model.events.kinds import KINDS, Severity

KEEP_DAYS: Final = 400
"""For how many days the controller keeps an event: a year, and what an audit takes."""

MAX_BYTES: Final = 4_000_000_000
"""How much of them it keeps: some ten million."""

MEMBER_KEEP_DAYS: Final = 30
"""For how many days a member keeps an event that the controller has."""

MEMBER_MAX_BYTES: Final = 500_000_000
"""How much of them a member keeps: some 1.4 million, 16 a second for a day without the controller."""

_ROOM: Final = 0.95
_MAX_MEMBERS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLimits:
    """``events`` of ``cluster.yaml``: how long and how much of the event log is kept; ``None`` is ``keep_days``."""

    keep_days: int = KEEP_DAYS
    keep_info_days: int | None = None
    max_bytes: int = MAX_BYTES
    member_keep_days: int = MEMBER_KEEP_DAYS
    member_max_bytes: int = MEMBER_MAX_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What holds for one log. On the controller ``is_last``: what goes there is nowhere else."""

    keep_days: int
    keep_info_days: int
    max_bytes: int
    is_last: bool


def bound(limits: EventLimits, *, is_controller: bool) -> Bound:
    """Return what ``limits`` come to for the log of the controller, or of another member."""
    if not is_controller:
        days = limits.member_keep_days
        return Bound(
            keep_days=days,
            keep_info_days=days,
            max_bytes=limits.member_max_bytes,
            is_last=False,
        )
    days = limits.keep_days
    info_days = days if limits.keep_info_days is None else min(days, limits.keep_info_days)
    return Bound(keep_days=days, keep_info_days=info_days, max_bytes=limits.max_bytes, is_last=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How far a log has come; each is the position of an event, 0 for before the first.

    ``aged`` was there ``keep_days`` ago, ``aged_info`` ``keep_info_days``; ``last`` is the newest. All that is due was
    done with those up to ``done``: the controller took them in, or on the controller, they were looked at.
    """

    aged: int
    aged_info: int
    done: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Events to remove, oldest first: those up to the position ``to`` of one of ``severities``.

    It ends when no more than ``until_bytes`` are left; None is to remove all of them. ``is_loss``: they are nowhere
    else, and were to be kept, so that they are counted.
    """

    to: int
    severities: frozenset[Severity] = frozenset(Severity)
    until_bytes: int | None = None
    is_loss: bool = False

    def takes(self, position: int, event: Event) -> bool:
        """Tell whether ``event`` is one of those."""
        return position <= self.to and KINDS[event.event].severity in self.severities


def by_age(bound: Bound, reach: Reach) -> Iterator[Sweep]:
    """Give what to remove of any log, one after the other."""
    yield Sweep(to=min(reach.aged, reach.done))
    if bound.keep_info_days < bound.keep_days:
        info = frozenset({Severity.INFO})
        yield Sweep(to=min(reach.aged_info, reach.done), severities=info)


def by_size(bound: Bound, reach: Reach) -> Iterator[Sweep]:
    """Give what to remove of a log that is too large, one after the other, as long as it is."""
    if not bound.is_last:
        yield Sweep(to=reach.done, until_bytes=_room(bound))
    for severity in Severity:  # least first
        yield Sweep(
            to=reach.last,
            severities=frozenset({severity}),
            until_bytes=_room(bound),
            is_loss=True,
        )


def is_over(bound: Bound, size_bytes: int) -> bool:
    """Tell whether a log of ``size_bytes`` has to become smaller."""
    return size_bytes > bound.max_bytes


def _room(bound: Bound) -> int:
    return int(bound.max_bytes * _ROOM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """How many events of each severity were lost to the bound, of whom, and the times of the first and the last."""

    counts: Mapping[str, int] = field(default_factory=dict)
    members: tuple[str, ...] = ()
    first_at: str = ""
    last_at: str = ""

    def and_also(self, event: Event) -> "Dropped":
        """Return this with ``event``, too."""
        severity = KINDS[event.event].severity.value
        members = self.members
        if event.member not in members and len(members) < _MAX_MEMBERS:
            members = (*members, event.member)
        return replace(
            self,
            counts={**self.counts, severity: self.counts.get(severity, 0) + 1},
            members=members,
            first_at=min(self.first_at or event.at, event.at),
            last_at=max(self.last_at, event.at),
        )

    @property
    def total(self) -> int:
        """How many there were."""
        return sum(self.counts.values())

    def as_facts(self) -> dict[str, Fact]:
        """Return the facts of ``EventsDropped``; `parse_dropped` reads them."""
        return {
            "dropped": {each.value: self.counts.get(each.value, 0) for each in Severity},
            "members": list(self.members),
            "first_at": self.first_at,
            "last_at": self.last_at,
        }


def parse_dropped(facts: Mapping[str, Any]) -> Dropped:
    """Return what `Dropped.as_facts` gave ``facts`` for."""
    return Dropped(
        counts={key: count for key, count in facts["dropped"].items() if count},
        members=tuple(facts["members"]),
        first_at=facts["first_at"],
        last_at=facts["last_at"],
    )
