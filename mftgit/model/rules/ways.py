"""The ways that files go in a valid revision, and whether a few other ways leave it without rings."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

from mftgit.model.rules.rings import Leg, Place, going_round, outer_places


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """The legs of a revision by transfer and by where they begin, and those from which it may go round for ever."""

    legs: Mapping[str, tuple[Leg, ...]] = field(default_factory=dict)
    starts: Mapping[Place, tuple[Leg, ...]] = field(default_factory=dict)
    around: frozenset[Leg] = frozenset()

    @classmethod
    def of(cls, legs: Iterable[Leg]) -> Self:
        """Return the ways of a whole revision."""
        by_name: dict[str, list[Leg]] = {}
        by_start: dict[Place, list[Leg]] = {}
        for leg in legs:
            by_name.setdefault(leg.name, []).append(leg)
            by_start.setdefault(leg.taken, []).append(leg)
        return cls(
            legs={name: tuple(some) for name, some in by_name.items()},
            starts={place: tuple(some) for place, some in by_start.items()},
            around=going_round(leg for some in by_name.values() for leg in some),
        )

    def but_for(self, names: Collection[str], fresh: Collection[Leg]) -> "Ways | None":
        """Return the ways with ``fresh`` as those of the transfers ``names``; None when that may make another ring.

        A ring that there was not before leads over a fresh leg. Where no fresh leg leads on to one that may go round,
        nor to a fresh one, and none that is gone did, what may go round is what it was.
        """
        gone = [leg for name in names for leg in self.legs.get(name, ())]
        if not self.around.isdisjoint(gone):
            return None
        legs, starts = dict(self.legs), dict(self.starts)
        for leg in gone:
            legs.pop(leg.name, None)
            left = tuple(each for each in starts.pop(leg.taken) if each is not leg)
            starts |= {leg.taken: left} if left else {}
        for leg in fresh:
            legs[leg.name] = (*legs.get(leg.name, ()), leg)
            starts[leg.taken] = (*starts.get(leg.taken, ()), leg)
        if _leads_to(fresh, self.around.union(fresh), starts):
            return None
        return Ways(legs=legs, starts=starts, around=self.around)


def _leads_to(
    begin: Collection[Leg], ends: Collection[Leg], starts: Mapping[Place, tuple[Leg, ...]]
) -> bool:
    """Tell whether a file that takes one of ``begin`` may come to one of ``ends``."""
    todo, seen = list(begin), set(begin)
    while todo:
        for leg in _following(todo.pop(), starts):
            if leg in ends:
                return True
            if leg not in seen:
                seen.add(leg)
                todo.append(leg)
    return False


def _following(leg: Leg, starts: Mapping[Place, tuple[Leg, ...]]) -> Iterator[Leg]:
    yield from starts.get(leg.given, ())
    for above in outer_places(leg.given):
        for each in starts.get(above, ()):
            if each.transfer.source.recursive:
                yield each
