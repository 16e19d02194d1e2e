"""The time, handed in wherever it is needed so that tests can hand in another."""

import time
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo


class Clock(Protocol):
    """What the time is, in the two ways that matter."""

    def boottime(self) -> float:
        """Return seconds that never jump and go on through a suspend (``CLOCK_BOOTTIME``)."""

    def now(self) -> datetime:
        """Return the wall clock in UTC: for people and for certificates, never for ordering."""


class SystemClock:
    """The clocks of this machine."""

    def boottime(self) -> float:
        """See `Clock.boottime`."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def now(self) -> datetime:
        """See `Clock.now`."""
        return datetime.now(tz=UTC)  # noqa: TID251  this is the one place


def boot_id() -> str:
    """Return what tells this boot of the machine from every other one (Linux, random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def find_zone(name: str) -> tzinfo:
    """Return the time zone of the IANA database that is called ``name``."""
    return ZoneInfo(name)


def rfc3339(moment: datetime) -> str:
    """Return ``moment`` as RFC 3339 in UTC with milliseconds, as ``2026-11-23T08:00:00.000Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
