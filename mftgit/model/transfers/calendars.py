"""Calendars of days on which transfers do not run: ``calendars`` of ``cluster.yaml``."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mftgit.model.rollout.windows import DAYS, Zones


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """``days`` of the week and ``dates``, each a day or ``FIRST..LAST``, as the clock on the wall shows them."""

    days: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    timezone: str = "UTC"

    def is_off(self, moment: datetime, zones: Zones) -> bool:
        """Tell whether nothing runs at ``moment``."""
        day = moment.astimezone(zones(self.timezone)).date()
        at = day.isoformat()
        return DAYS[day.weekday()] in self.days or any(
            first <= at <= last for first, last in map(ends_of, self.dates)
        )


def ends_of(dates: str) -> tuple[str, str]:
    """Return the first and the last day of ``dates``, which may be one."""
    first, _, last = dates.partition("..")
    return first, last or first


def build_calendars(value: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Calendar]:
    """Return what a section says, which is known to fit the schema."""
    return {
        name: Calendar(
            days=tuple(each.get("days", ())),
            dates=tuple(each.get("dates", ())),
            timezone=each.get("timezone", "UTC"),
        )
        for name, each in value.items()
    }
