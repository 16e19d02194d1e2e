"""APScheduler 3: when to do something. What is done must be short; long work goes to a pool of its own.

Decided here, because the library's defaults drop work in silence: a late firing is never dropped
(``misfire_grace_time=None``), several late ones become one (``coalesce``), and a job that did not change is
never touched, since adding it again would restart its interval.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.interval import IntervalTrigger as EverySoOften
from cronsim import CronSim

from mftgit.adapters.clock import SystemClock
from mftgit.model.config import CronTrigger, IntervalTrigger, Trigger, WatchTrigger

_THREADS = 4


class _Cron(BaseTrigger):  # type: ignore[misc]  # apscheduler has no types
    """Crontab's own meaning, which APScheduler's is not: Sunday is 0, and a day matches by either day field.

    In the hour that a change of clocks repeats, a fixed time fires once (Debian's cron, as cronsim has it).
    """

    def __init__(self, cron: CronTrigger) -> None:
        self._expression = cron.expression
        self._zone = ZoneInfo(cron.timezone)

    def get_next_fire_time(
        self, previous_fire_time: datetime | None, now: datetime
    ) -> datetime | None:
        """Return the first moment after the previous firing, or after now when there was none."""
        start = (previous_fire_time or now).astimezone(self._zone)
        return next(CronSim(self._expression, start), None)


class Scheduler:
    """Calls by key, each on its trigger."""

    def __init__(self) -> None:
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(_THREADS)},
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
            timezone=UTC,
        )

    def start(self) -> None:
        """Begin to call."""
        self._scheduler.start()

    def put(self, key: str, trigger: Trigger, call: Callable[[], None]) -> None:
        """Call ``call`` on ``trigger`` from now on, instead of what ``key`` stood for."""
        extra = {"next_run_time": SystemClock().now()} if isinstance(trigger, WatchTrigger) else {}
        self._scheduler.add_job(
            call, _apscheduler_trigger(trigger), id=key, replace_existing=True, **extra
        )

    def remove(self, key: str) -> None:
        """Call no more for ``key``."""
        if self._scheduler.get_job(key) is not None:
            self._scheduler.remove_job(key)

    def stop(self) -> None:
        """Call no more at all; what is being called now is waited for."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)


def _apscheduler_trigger(trigger: Trigger) -> BaseTrigger:
    match trigger:
        case CronTrigger():
            return _Cron(trigger)
        case IntervalTrigger(every_s=every_s) | WatchTrigger(every_s=every_s):
            return EverySoOften(seconds=every_s, timezone=UTC)
