"""Firings of a schedule, whoever owns the transfer when they are due: which slot is to be run, given the last one.

A slot is a firing by its nominal time. Those of a crontab expression are the same on every member; those of an interval
are counted from the last one that was run, so that a new owner goes on in the phase of the one before it. Of several
that were missed the latest stands for all.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from typing import Final

from cronsim import CronSim

from mftgit.model.events.event import Fact
from mftgit.model.rollout.windows import Zones
from mftgit.model.transfers.triggers import CronTrigger, IntervalTrigger, Trigger

AHEAD_S: Final = 7200.0
"""A slot that was run is believed to be in the future by so much: clocks of members differ. More is a clock that was
wrong, for the sake of which no schedule stands still."""

_EARLY_S: Final = 0.5
"""An interval may be called earlier by so much, for two clocks of one machine are read one after the other."""

_SPANS_S: Final = (3600.0, 86_400.0, 7 * 86_400.0, 366 * 86_400.0)
"""How far back slots are looked for, the nearest first; who never fires in a year is not late by one."""

IsOff = Callable[[datetime], bool]
"""(due_at): whether nothing runs on the day of a slot, by the calendar of the trigger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
    """The slot that was run last, of which schedule; all that were due before it count as run."""

    due_at: datetime
    schedule: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Firing:
    """A slot that is due. ``caught_up``: it came due before the member that runs it owned the transfer."""

    due_at: datetime
    caught_up: bool = False


def firing_facts(firing: Firing | None) -> Mapping[str, Fact]:
    """Return what events tell of the firing that a run is for, None where it is for none."""
    if firing is None:
        return {"due_at": None, "caught_up": False}
    return {"due_at": tell_moment(firing.due_at), "caught_up": firing.caught_up}


def tell_moment(moment: datetime) -> str:
    """Return ``moment`` as RFC 3339 in UTC with milliseconds."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def schedule_of(trigger: Trigger | None) -> str | None:
    """Return what tells one schedule from every other; None for a trigger that has no slots."""
    match trigger:
        case CronTrigger():
            return f"cron {trigger.expression} in {trigger.timezone}"
        case IntervalTrigger():
            return f"every {trigger.every_s!r} s"
        case _:
            return None


def format_fired(fired: Fired) -> bytes:
    """Return the record of ``fired``: one JSON object."""
    told = {"due_at": fired.due_at.astimezone(UTC).isoformat(), "schedule": fired.schedule}
    return json.dumps(told).encode()


def parse_fired(content: bytes) -> Fired:
    """Return what ``content`` tells; fields of later versions are passed over.

    Raises:
        ValueError: it is no such record.
    """
    try:
        told = json.loads(content)
        due_at, schedule = datetime.fromisoformat(told["due_at"]), told["schedule"]
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"not the record of a firing: {error}") from None
    if due_at.tzinfo is None or not isinstance(schedule, str):
        raise ValueError("not the record of a firing")
    return Fired(due_at=due_at, schedule=schedule)


def base_of(
    fired: Fired | None, schedule: str, *, since: datetime | None, now: datetime
) -> datetime:
    """Return after which moment slots of ``schedule`` are still to be run.

    ``since`` is when a revision brought the schedule to this member, while it was running: no slot before that counts.
    None stands for a schedule that the member had when it started. Where no slot of the schedule was ever run, it
    begins then, or now.
    """
    if fired is None or fired.schedule != schedule:
        return min(since or now, now)
    base = fired.due_at if since is None else max(fired.due_at, since)
    return now if is_absurd(base, now) else base


def is_absurd(base: datetime, now: datetime) -> bool:
    """Tell whether a slot that was run lies so far ahead that a clock must have been wrong, then or now."""
    return base - now > timedelta(seconds=AHEAD_S)


def due_slot(
    trigger: CronTrigger | IntervalTrigger,
    *,
    base: datetime,
    now: datetime,
    within_s: float | None,
    zones: Zones,
    is_off: IsOff,
) -> datetime | None:
    """Return the latest slot after ``base`` that is due, None where none is.

    Slots that were due ``within_s`` seconds ago or longer are not made up for, None: however long ago; nor are those of
    days off.
    """
    if isinstance(trigger, IntervalTrigger):
        return _due_interval(trigger, base, now, within_s=within_s, is_off=is_off)
    spans_s = _SPANS_S if within_s is None else _spans_within(within_s)
    for span_s in spans_s:
        start = max(base, now - timedelta(seconds=span_s))
        slots = _slots(trigger, start, now, zones)
        found = max((slot for slot in slots if not is_off(slot)), default=None)
        if found is not None or start == base:
            return found
    return None


def wait_s(trigger: IntervalTrigger, *, base: datetime, now: datetime) -> float:
    """Return in how many seconds the next slot of an interval is due: never more than one, whatever clocks say."""
    every = timedelta(seconds=trigger.every_s)
    return (every if now < base else every - (now - base) % every).total_seconds()


def called_late_s(trigger: IntervalTrigger, *, due: float, now: float) -> float | None:
    """Return how long ago the latest slot of an interval was due, None where none is.

    ``due`` is when the first one is, and ``now`` what time it is, both by a clock that nobody sets (`Clock.boottime`).
    """
    late_s = now - due
    if late_s < -min(_EARLY_S, trigger.every_s / 4):
        return None
    return max(0.0, late_s) % trigger.every_s


def _due_interval(
    trigger: IntervalTrigger,
    base: datetime,
    now: datetime,
    *,
    within_s: float | None,
    is_off: IsOff,
) -> datetime | None:
    every = timedelta(seconds=trigger.every_s)
    passed = (now - base) // every
    slot = base + passed * every
    if passed < 1 or is_off(slot):
        return None
    too_old = within_s is not None and now - slot >= timedelta(seconds=within_s)
    return None if too_old else slot


def _spans_within(within_s: float) -> Iterator[float]:
    yield from (each for each in _SPANS_S if each < within_s)
    yield within_s


def _slots(
    trigger: CronTrigger, start: datetime, now: datetime, zones: Zones
) -> Iterator[datetime]:
    """Give the slots after ``start`` that are due. Where clocks are set back the library begins before ``start``."""
    following = CronSim(trigger.expression, start.astimezone(zones(trigger.timezone)))
    due = takewhile(lambda slot: slot <= now, following)
    return (slot.astimezone(UTC) for slot in due if slot > start)
