"""How a roll-out goes through the members: ``rollout`` of ``cluster.yaml``."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from mftgit.model.names import MemberName

REST: Final = "rest"
"""The last cohort: whoever is in no other. It need not be written down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Members that take a revision one after the other, ``max_unavailable`` at a time, and are watched for ``soak_s``.

    A member is in it by its name, or by having all of ``labels``.
    """

    name: str
    members: tuple[MemberName, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    max_unavailable: int = 1
    soak_s: float = 0.0

    def holds(self, name: MemberName, labels: Mapping[str, str]) -> bool:
        """Tell whether the member with this name and these labels is meant."""
        by_label = bool(self.labels) and self.labels.items() <= labels.items()
        return self.name == REST or name in self.members or by_label


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """The cohorts in their order, `REST` the last; a member that is due may be silent for ``silence_s``."""

    cohorts: tuple[Cohort, ...] = (Cohort(name=REST),)
    silence_s: float = 120.0

    def sort_out(
        self, members: Iterable[tuple[MemberName, Mapping[str, str]]]
    ) -> tuple[tuple[Cohort, tuple[MemberName, ...]], ...]:
        """Return each cohort with its members by name; a member is in the first that holds it."""
        found: dict[str, list[MemberName]] = {each.name: [] for each in self.cohorts}
        for name, labels in members:
            first = next(each for each in self.cohorts if each.holds(name, labels))
            found[first.name].append(name)
        return tuple((each, tuple(sorted(found[each.name]))) for each in self.cohorts)


def build_rollout(value: Mapping[str, Any]) -> Rollout:
    """Return what a section says, which is known to fit the schema."""
    cohorts = [_build(each) for each in value.get("cohorts", ())]
    if not any(each.name == REST for each in cohorts):
        cohorts.append(Cohort(name=REST))
    return Rollout(
        cohorts=tuple(cohorts),
        **{name: float(value[name]) for name in ("silence_s",) if name in value},
    )


def _build(value: Mapping[str, Any]) -> Cohort:
    read = {"members": tuple, "max_unavailable": int, "soak_s": float}
    return Cohort(**{name: read.get(name, _same)(each) for name, each in value.items()})


def _same(value: Any) -> Any:
    return value
