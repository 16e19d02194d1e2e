"""Change windows: at which hours of which days members take a new revision.

What counts is what the clock on the wall shows in the window's time zone, so that a window lasts longer or shorter
where that clock is set. The zones come in as arguments.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Final

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LOOK_AHEAD_DAYS: Final = 370

_DAY: Final = timedelta(days=1)
_MINUTE: Final = timedelta(minutes=1)
_NAMES: Final = {"from": "begins", "to": "ends"}

Zones = Callable[[str], tzinfo]
"""Gives a time zone by its name, which validation has found to be known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From ``begins`` to ``ends``, ``HH:MM``, on ``days`` of the week and on ``dates``; with neither, on every day.

    One that does not end after its beginning ends on the day after. The end is not in it.
    """

    days: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    begins: str = "00:00"
    ends: str = "24:00"
    timezone: str = "UTC"

    def covers(self, wall: datetime) -> bool:
        """Tell whether it is open when the clock on the wall shows ``wall``."""
        at, day = wall.strftime("%H:%M"), wall.date()
        if self.begins < self.ends:
            return self.is_on(day) and self.begins <= at < self.ends
        return (self.is_on(day) and at >= self.begins) or (
            at < self.ends and self.is_on(day - _DAY)
        )

    def is_on(self, day: date) -> bool:
        """Tell whether one begins on ``day``."""
        return (
            not (self.days or self.dates)
            or DAYS[day.weekday()] in self.days
            or day.isoformat() in self.dates
        )

    def __str__(self) -> str:
        on = " ".join((*self.days, *self.dates)) or "every day"
        return f"{on} {self.begins}-{self.ends} {self.timezone}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """``windows`` of ``cluster.yaml``: outside of all of ``allow``, and within one of ``deny``, members wait."""

    allow: tuple[Window, ...] = ()
    deny: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """Why no revision is taken now, and when that ends; None: not within a year."""

    reason: str
    opens_at: datetime | None

    def __str__(self) -> str:
        until = self.opens_at.isoformat() if self.opens_at else "not within a year"
        return f"{self.reason}; opens: {until}"


def window_opens(
    windows: Windows, now: datetime, zones: Zones, *, known: Closed | None = None
) -> Closed | None:
    """Return None where a revision may be taken ``now``, otherwise why not and when.

    ``known`` is what was found earlier for the same windows; until it opens nothing is searched for.
    """
    reason = why_closed(windows, now, zones)
    if reason is None:
        return None
    if known is not None and (known.opens_at is None or now < known.opens_at):
        return Closed(reason=reason, opens_at=known.opens_at)
    return Closed(reason=reason, opens_at=next(_openings(windows, now, zones), None))


def why_closed(windows: Windows, moment: datetime, zones: Zones) -> str | None:
    """Return why no revision is taken at ``moment``, None where one is."""

    def is_open(window: Window) -> bool:
        return window.covers(moment.astimezone(zones(window.timezone)))

    for denied in filter(is_open, windows.deny):
        return f"the change window is closed (windows.deny: {denied})"
    if windows.allow and not any(map(is_open, windows.allow)):
        return "outside of the change windows (windows.allow)"
    return None


def _openings(windows: Windows, now: datetime, zones: Zones) -> Iterator[datetime]:
    """Give every moment after ``now`` at which it begins to be open or goes on being so, in order, in UTC."""
    first = datetime.combine(now.astimezone(UTC), time(), UTC)
    allow, deny = (_Calendar(each, first.date()) for each in (windows.allow, windows.deny))
    for ahead in range(LOOK_AHEAD_DAYS):
        of_day = Windows(allow=allow.about(ahead), deny=deny.about(ahead))
        if windows.allow and not of_day.allow:
            continue
        for moment in _moments(of_day, now, first + ahead * _DAY, zones):
            if why_closed(of_day, moment, zones) is None:
                yield moment


class _Calendar:
    """Which windows begin on which days, from ``first`` on; only these are asked about a day."""

    def __init__(self, windows: Iterable[Window], first: date) -> None:
        self._on: dict[int, list[Window]] = {}
        for window in windows:
            dates = frozenset(window.dates)
            always = not (window.days or dates)
            for ahead in range(-2, LOOK_AHEAD_DAYS + 1):
                day = first + ahead * _DAY
                if always or DAYS[day.weekday()] in window.days or day.isoformat() in dates:
                    self._on.setdefault(ahead, []).append(window)

    def about(self, ahead: int) -> tuple[Window, ...]:
        """Return the windows that may be open on a day of UTC, in whichever time zone."""
        found = (window for day in range(ahead - 2, ahead + 2) for window in self._on.get(day, ()))
        return tuple(dict.fromkeys(found))


def _moments(windows: Windows, now: datetime, day: datetime, zones: Zones) -> list[datetime]:
    """Return every moment of ``day`` after ``now`` at which it may begin to be open, in order."""
    edges = {(each.begins, each.timezone) for each in windows.allow} | {
        (each.ends, each.timezone) for each in windows.deny
    }
    found = {moment for edge, name in edges for moment in _shown(edge, day, zones(name))}
    for name in {name for _, name in edges}:
        found.update(_set_clock(day, zones(name)))
    return sorted(each for each in found if max(now, day) < each <= day + _DAY)


def _shown(edge: str, day: datetime, zone: tzinfo) -> Iterator[datetime]:
    """Give when the clock on the wall shows ``edge``, about ``day``: twice where it was set back."""
    hours, minutes = map(int, edge.split(":"))
    for offset in (-1, 0, 1):
        midnight = datetime.combine(day.date() + offset * _DAY, time())
        wall = midnight + timedelta(hours=hours, minutes=minutes)
        for fold in (0, 1):
            yield wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)


def _set_clock(day: datetime, zone: tzinfo) -> Iterator[datetime]:
    """Give when, within ``day``, the clock on the wall is set."""
    before, after = day, day + _DAY
    old = before.astimezone(zone).utcoffset()
    if old == after.astimezone(zone).utcoffset():
        return
    while after - before > _MINUTE:
        middle = before + (after - before) // _MINUTE // 2 * _MINUTE
        if middle.astimezone(zone).utcoffset() == old:
            before = middle
        else:
            after = middle
    yield after


def build_windows(value: Mapping[str, Any]) -> Windows:
    """Return what a section says, which is known to fit the schema."""
    return Windows(**{name: tuple(map(_build, each)) for name, each in value.items()})


def _build(value: Mapping[str, Any]) -> Window:
    fields: dict[str, Any] = {
        _NAMES.get(name, name): tuple(each) if isinstance(each, list) else each
        for name, each in value.items()
    }
    return Window(**fields)
