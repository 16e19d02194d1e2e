"""Rules of calendars, and of triggers that name something else; they are looked at in every revision.

Neither may hold a template, so that documents tell it as they are.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from mftgit.model.configuration.config import Cluster
from mftgit.model.documents.document import Kind
from mftgit.model.documents.problem import Problem
from mftgit.model.documents.schema_words import did_you_mean, show
from mftgit.model.rules.parts import Part, Parts
from mftgit.model.rules.rollout import check_timezone, is_day
from mftgit.model.transfers.calendars import Calendar, ends_of

_HINTS: Final = 20
"""So many near words are looked for; among thousands of names each takes a tenth of a second."""

_NAMED: Final = 10
"""So many transfers of a cycle are named."""


def check_triggers(parts: Parts, timezones: frozenset[str]) -> Iterator[Problem]:
    """Give what is wrong with ``calendars`` of ``cluster.yaml``, and with what triggers name."""
    cluster = parts[Kind.CLUSTER].get("cluster")
    sound = cluster.checked.sound if cluster else None
    known: Mapping[str, Calendar] | None = None
    if cluster is not None and sound is not None and isinstance(sound.built, Cluster):
        known = sound.built.calendars
        for name, calendar in known.items():
            yield from _check_calendar(cluster, f"/calendars/{name}", calendar, timezones)
    follows: dict[str, str] = {}
    unknown = 0
    for part, kind, trigger in _triggers(parts):
        if kind == "after":
            follows[part.name] = trigger["transfer"]
        for problem in _check_names(part, kind, trigger, known, parts, hint=unknown < _HINTS):
            unknown += 1
            yield problem
    for cycle in _cycles(follows):
        shown = [*cycle[:_NAMED], "…"] if len(cycle) > _NAMED else list(cycle)
        yield parts[Kind.TRANSFER][cycle[0]].problem(
            "/trigger/after/transfer",
            rule="after-cycle",
            message=f"each of them would run after the other for ever: {' -> '.join((*shown, cycle[0]))}",
            hint="give one of them another trigger",
        )


def _triggers(parts: Parts) -> Iterator[tuple[Part, str, Mapping[str, Any]]]:
    for part in parts[Kind.TRANSFER].values():
        if part.checked.sound is not None:
            trigger: Any = part.checked.sound.document.value["trigger"]
            kind = next(iter(trigger))
            yield part, kind, trigger[kind]


def _check_calendar(
    part: Part, pointer: str, calendar: Calendar, timezones: frozenset[str]
) -> Iterator[Problem]:
    yield from check_timezone(part, pointer, calendar.timezone, timezones)
    for place, dates in enumerate(calendar.dates):
        first, last = ends_of(dates)
        wrong = next((each for each in (first, last) if not is_day(each)), None)
        if wrong is not None or first > last:
            yield part.problem(
                f"{pointer}/dates/{place}",
                rule="date",
                message=f"{show(wrong)} is no day of the calendar"
                if wrong is not None
                else f"{show(dates)} ends before it begins",
                hint="write year, month and day, as 2026-12-24, or 2026-12-24..2026-12-26",
            )


def _check_names(
    part: Part,
    kind: str,
    trigger: Mapping[str, Any],
    calendars: Mapping[str, Calendar] | None,
    parts: Parts,
    *,
    hint: bool,
) -> Iterator[Problem]:
    name = trigger.get("calendar")
    if name is not None and calendars is not None and name not in calendars:
        yield part.problem(
            f"/trigger/{kind}/calendar",
            rule="reference",
            message=f"there is no calendar {name!r}",
            hint=(did_you_mean(name, calendars) if hint else "")
            or f"add {name} to calendars in cluster.yaml",
        )
    other = trigger["transfer"] if kind == "after" else None
    if other is not None and other not in parts[Kind.TRANSFER]:
        yield part.problem(
            "/trigger/after/transfer",
            rule="reference",
            message=f"there is no transfer {other!r}",
            hint=(did_you_mean(other, parts[Kind.TRANSFER]) if hint else "")
            or f"add transfers/{other}.yaml",
        )


def _cycles(follows: Mapping[str, str]) -> Iterator[tuple[str, ...]]:
    """Give each cycle once, its first name by the alphabet in front; each transfer follows one at most."""
    done: set[str] = set()
    for start in sorted(follows):
        path: dict[str, None] = {}
        name = start
        while name in follows and name not in done and name not in path:
            path[name] = None
            name = follows[name]
        if name in path:
            yield _from_first(path, name)
        done.update(path)


def _from_first(path: Mapping[str, None], entry: str) -> tuple[str, ...]:
    names = list(path)
    ring = names[names.index(entry) :]
    at = ring.index(min(ring))
    return (*ring[at:], *ring[:at])
