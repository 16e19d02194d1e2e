"""APScheduler 3: when to do something. What is done must be short; long work goes to a pool of its own.

Decided here, because the library's defaults drop work in silence: a late firing is never dropped
(``misfire_grace_time=None``), several late ones become one (``coalesce``), and a job that did not change is
never touched, since adding it again would restart its interval.

APScheduler goes by the wall clock alone. When that is set, what counts seconds is moved along with it, and a schedule
is looked up anew where the clock was set back by more than `SET_BACK_S`; one that is set forward may let an interval
fire once too early, before that is noticed. The triggers are our own, since those of the
library count through every firing that a clock set forward has passed over, one by one.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.job import Job
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from cronsim import CronSim
from loguru import logger

from mftgit.adapters.clock import Clock
from mftgit.model.transfers.triggers import (
    AfterTrigger,
    CronTrigger,
    IntervalTrigger,
    ManualTrigger,
    Trigger,
    WatchTrigger,
)

SET_BACK_S = 60.0
"""A schedule is kept when the clock is set back by less, so that no firing comes twice for a small correction."""

AFTER_EVERY_S = 2.0
"""How often it is looked whether the transfer that another one runs after has succeeded."""

STOP_S = 5.0
"""What was called waits for storage that hangs, when it takes longer."""

_THREADS = 4
_LOOK_S = 1.0
_STEP_S = 0.5  # what is less is the clock being slewed


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
        """Return the first moment after the previous firing; after now when that one has passed, too."""
        following = self._after(previous_fire_time or now)
        return following if following is None or following > now else self._after(now)

    def _after(self, moment: datetime) -> datetime | None:
        return next(CronSim(self._expression, moment.astimezone(self._zone)), None)


class _Seconds(BaseTrigger):  # type: ignore[misc]  # apscheduler has no types
    """What counts seconds; ``due_at`` is when it is due by `Clock.boottime`, which nobody sets."""

    def __init__(self, seconds: float, *, clock: Clock) -> None:
        self._span = timedelta(seconds=seconds)
        self._clock = clock
        self.due_at: float | None = None

    def at(self, in_s: float, now: datetime) -> datetime:
        """Return when it is due that is due in ``in_s`` seconds."""
        return self._due(now + timedelta(seconds=in_s), now)

    def _due(self, moment: datetime, now: datetime) -> datetime:
        self.due_at = self._clock.boottime() + (moment - now).total_seconds()
        return moment


class _EverySoOften(_Seconds):
    """Every so many seconds since the first firing; those that have passed are left out."""

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        """Return when the interval is over."""
        following = (previous_fire_time or now) + self._span
        if following <= now:
            following += self._span * ((now - following) // self._span + 1)
        return self._due(following, now)


class _Once(_Seconds):
    """Once, in so many seconds."""

    def get_next_fire_time(
        self, previous_fire_time: datetime | None, now: datetime
    ) -> datetime | None:
        """Return when they are over; never again after that."""
        return self._due(now + self._span, now) if previous_fire_time is None else None


class _Never(BaseTrigger):  # type: ignore[misc]  # apscheduler has no types
    """At no time; the job is kept, and waits."""

    def get_next_fire_time(self, _previous: datetime | None, _now: datetime) -> None:
        """Return None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeTrigger:
    """A trigger of which nothing can fail any more; ``at_once``: it fires as soon as it is put.

    ``told`` is what it was made of.
    """

    trigger: BaseTrigger
    at_once: bool
    told: Trigger | None = None


class _Background(BackgroundScheduler):  # type: ignore[misc]  # apscheduler has no types
    """Loses no thread to a job that is gone already, as one is that is done while everything is stopped."""

    def remove_job(self, job_id: str, jobstore: str | None = None) -> None:
        with suppress(JobLookupError):
            super().remove_job(job_id, jobstore)


class Scheduler:
    """Calls by key, each on its trigger."""

    def __init__(self, *, clock: Clock) -> None:
        """Tell by ``clock`` when the wall clock was set."""
        self._clock = clock
        self._scheduler = _Background(
            executors={"default": ThreadPoolExecutor(_THREADS)},
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
            timezone=UTC,
        )
        self._told: dict[str, Trigger | None] = {}
        self._offset = self._since_boot()
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._watch_clock, name="clock", daemon=True)

    def start(self) -> None:
        """Begin to call."""
        self._scheduler.start()
        self._watch.start()

    def make(self, trigger: Trigger) -> MadeTrigger:
        """Return ``trigger`` ready to be put; raises OSError or ValueError where it cannot be made."""
        return MadeTrigger(
            trigger=_apscheduler_trigger(trigger, self._clock),
            at_once=isinstance(trigger, WatchTrigger | AfterTrigger),
            told=trigger,
        )

    def put(self, key: str, made: MadeTrigger, call: Callable[[], None]) -> None:
        """Call ``call`` on ``made`` from now on, instead of what ``key`` stood for.

        One that is made of the same goes on to its next firing: an interval would else begin anew with every revision
        that changes anything else of its transfer, and might never come to its end.
        """
        if made.told is not None and not made.at_once and self._told.get(key) == made.told:
            with suppress(JobLookupError):
                self._scheduler.modify_job(key, func=call)
                return
        self._told[key] = made.told
        extra = {"next_run_time": self._clock.now()} if made.at_once else {}
        self._scheduler.add_job(call, made.trigger, id=key, replace_existing=True, **extra)

    def once(self, key: str, after_s: float, call: Callable[[], object]) -> None:
        """Call ``call`` once, in ``after_s`` seconds, instead of what was to be called once for ``key``."""
        self._scheduler.add_job(
            call, _Once(after_s, clock=self._clock), id=f".once.{key}", replace_existing=True
        )

    def align(self, key: str, in_s: float) -> None:
        """Call next for ``key`` in ``in_s`` seconds, and from then on in its intervals; one that is gone stays so."""
        job = self._scheduler.get_job(key)
        if job is None or not isinstance(job.trigger, _EverySoOften):
            return
        with suppress(JobLookupError):
            job.modify(next_run_time=job.trigger.at(in_s, self._clock.now()))

    def next_firings(self) -> dict[str, datetime]:
        """Return when each key is called next."""
        jobs = self._scheduler.get_jobs() if self._scheduler.running else []
        return {job.id: job.next_run_time for job in jobs if job.next_run_time is not None}

    def remove(self, key: str) -> None:
        """Call no more for ``key``."""
        self._told.pop(key, None)
        for each in (key, f".once.{key}"):
            self._scheduler.remove_job(each)

    def stop(self) -> None:
        """Call no more at all; what is being called now is waited for, but no longer than `STOP_S`."""
        self._stopping.set()
        if self._scheduler.running:
            self._watch.join()
            ending = threading.Thread(target=self._scheduler.shutdown, daemon=True)
            ending.start()
            ending.join(STOP_S)

    def _since_boot(self) -> float:
        return self._clock.now().timestamp() - self._clock.boottime()

    def _watch_clock(self) -> None:
        while not self._stopping.wait(_LOOK_S):
            offset = self._since_boot()
            step_s, self._offset = offset - self._offset, offset
            if abs(step_s) > _STEP_S:
                logger.warning("the clock was set", step_s=round(step_s, 3))
                self._move_along(step_s)

    def _move_along(self, step_s: float) -> None:
        for job in self._scheduler.get_jobs():
            due = self._due(job, step_s)
            if due != job.next_run_time:
                with suppress(JobLookupError):  # it was removed, or done, meanwhile
                    job.modify(next_run_time=due)
        self._scheduler.wakeup()

    def _due(self, job: Job, step_s: float) -> datetime | None:
        """Return when ``job`` is due, now that the clock was set forward by ``step_s``."""
        due: datetime | None = job.next_run_time
        trigger, now = job.trigger, self._clock.now()
        if isinstance(trigger, _Seconds) and trigger.due_at is not None:
            return now + timedelta(seconds=trigger.due_at - self._clock.boottime())
        if isinstance(trigger, _Cron) and step_s < -SET_BACK_S:
            return trigger.get_next_fire_time(None, now)
        return due


def _apscheduler_trigger(trigger: Trigger, clock: Clock) -> BaseTrigger:
    match trigger:
        case CronTrigger():
            return _Cron(trigger)
        case AfterTrigger():
            return _EverySoOften(AFTER_EVERY_S, clock=clock)
        case ManualTrigger():
            return _Never()
        case IntervalTrigger(every_s=every_s) | WatchTrigger(every_s=every_s):
            return _EverySoOften(every_s, clock=clock)
