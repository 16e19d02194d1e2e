"""When a transfer runs: ``trigger`` of its document."""

from dataclasses import dataclass
from enum import Enum, unique
from typing import Final

from mftgit.model.names import TransferName

CATCH_UP_S: Final = 3600.0
"""A takeover takes half an hour at most (ttl 300 s); members that were all down for a night do not run at their start
what was due last evening."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CronTrigger:
    """Fire by a five-field crontab expression in an IANA time zone, with cron's own meaning of the fields.

    On the days that ``calendar`` names, nothing runs; so it is with every trigger that has one. A firing that came due
    while no member owned the transfer is made up for within ``catch_up_s``.
    """

    expression: str
    timezone: str = "UTC"
    calendar: str | None = None
    catch_up_s: float = CATCH_UP_S


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalTrigger:
    """Fire every so many seconds; ``catch_up_s`` as with `CronTrigger`."""

    every_s: float
    calendar: str | None = None
    catch_up_s: float = CATCH_UP_S


@unique
class WatchBy(Enum):
    """How a member learns that a file is there."""

    AUTO = "auto"
    INOTIFY = "inotify"
    POLLING = "polling"


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchTrigger:
    """Look into the source every so many seconds and run when a file is there.

    Shared and remote storage does not tell about changes. A file system of this machine does; there it is looked at
    once as well, unless ``by`` is POLLING.
    """

    every_s: float = 5.0
    by: WatchBy = WatchBy.AUTO
    calendar: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterTrigger:
    """Run when a run of another transfer has succeeded and delivered a file, whichever members own the two."""

    transfer: TransferName
    calendar: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ManualTrigger:
    """Never run by itself; what was begun is brought to its end all the same."""


Trigger = CronTrigger | IntervalTrigger | WatchTrigger | AfterTrigger | ManualTrigger


def calendar_of(trigger: Trigger) -> str | None:
    """Return the name of the calendar of days on which it does not run, None where there is none."""
    return None if isinstance(trigger, ManualTrigger) else trigger.calendar
