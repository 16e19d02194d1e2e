"""Rules of roll-outs and change windows that no schema can express."""

from collections.abc import Iterator, Sequence
from datetime import date

from mftgit.model.configuration.config import Cluster
from mftgit.model.documents.document import Kind
from mftgit.model.documents.problem import Problem
from mftgit.model.documents.schema_words import did_you_mean, show
from mftgit.model.rollout.cohorts import REST, Cohort
from mftgit.model.rollout.windows import Window
from mftgit.model.rules.parts import Part, Parts


def check_rollout(parts: Parts, timezones: frozenset[str]) -> Iterator[Problem]:
    """Give what is wrong with the sections ``rollout`` and ``windows`` of ``cluster.yaml``."""
    part = parts[Kind.CLUSTER].get("cluster")
    sound = part.checked.sound if part else None
    if part is None or sound is None or not isinstance(sound.built, Cluster):
        return
    if sound.built.rollout is not None:
        yield from _check_cohorts(part, sound.built.rollout.cohorts, parts)
    for name in ("allow", "deny"):
        for place, window in enumerate(getattr(sound.built.windows, name)):
            yield from _check_window(part, f"/windows/{name}/{place}", window, timezones)


def _check_cohorts(part: Part, cohorts: Sequence[Cohort], parts: Parts) -> Iterator[Problem]:
    seen: set[str] = set()
    holders: dict[str, str] = {}
    for place, cohort in enumerate(cohorts):
        pointer = f"/rollout/cohorts/{place}"
        if cohort.name in seen:
            yield part.problem(
                f"{pointer}/name",
                rule="cohort",
                message=f"there is a cohort {cohort.name!r} already",
                hint="give it another name",
            )
        seen.add(cohort.name)
        yield from _check_rest(part, pointer, cohort, is_last=place == len(cohorts) - 1)
        for index, name in enumerate(cohort.members):
            at = f"{pointer}/members/{index}"
            if name not in parts[Kind.MEMBER]:
                yield part.problem(
                    at,
                    rule="reference",
                    message=f"there is no member {name!r}",
                    hint=did_you_mean(name, parts[Kind.MEMBER]) or f"add members/{name}.yaml",
                )
            if holders.setdefault(name, cohort.name) != cohort.name:
                yield part.problem(
                    at,
                    rule="cohort",
                    message=f"member {name!r} is in the cohort {holders[name]!r} already",
                    hint="take it out of one of them",
                )


def _check_rest(part: Part, pointer: str, cohort: Cohort, *, is_last: bool) -> Iterator[Problem]:
    chosen = bool(cohort.members or cohort.labels)
    if cohort.name == REST and (chosen or not is_last):
        yield part.problem(
            pointer,
            rule="cohort",
            message=f"the cohort {REST!r} is whoever is in no other",
            hint="put it last, without members and labels, or give it another name",
        )
    if cohort.name != REST and not chosen:
        yield part.problem(
            pointer,
            rule="cohort",
            message=f"nobody is in the cohort {cohort.name!r}",
            hint=f"add members or labels; whoever is in no cohort is in {REST!r}",
        )


def _check_window(
    part: Part, pointer: str, window: Window, timezones: frozenset[str]
) -> Iterator[Problem]:
    yield from check_timezone(part, pointer, window.timezone, timezones)
    for place, day in enumerate(window.dates):
        if not is_day(day):
            yield part.problem(
                f"{pointer}/dates/{place}",
                rule="date",
                message=f"{show(day)} is no day of the calendar",
                hint="write year, month and day, as 2026-12-24",
            )


def check_timezone(
    part: Part, pointer: str, timezone: str, timezones: frozenset[str]
) -> Iterator[Problem]:
    """Give what is wrong with the ``timezone`` of what stands at ``pointer``; the default is known everywhere."""
    if timezone != "UTC" and timezone not in timezones:
        yield part.problem(
            f"{pointer}/timezone",
            rule="timezone",
            message=f"the time zone {show(timezone)} is not known",
            hint=did_you_mean(timezone, timezones)
            or "use a name of the IANA database, as Europe/Berlin",
        )


def is_day(text: str) -> bool:
    """Tell whether ``text`` is a day of the calendar, as 2026-12-24."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
