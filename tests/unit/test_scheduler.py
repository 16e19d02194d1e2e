"""When things are done: by crontab's own rules, and never lost because something else was slow."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from apscheduler.schedulers.base import STATE_STOPPED
from apscheduler.triggers.base import BaseTrigger

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.scheduler import MadeTrigger, Scheduler, _apscheduler_trigger
from mftgit.model.transfers.triggers import (
    CronTrigger,
    IntervalTrigger,
    ManualTrigger,
    Trigger,
    WatchTrigger,
)

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    made = Scheduler(clock=SystemClock())
    made.start()
    yield made
    made.stop()


def put(scheduler: Scheduler, key: str, trigger: Trigger, call: Callable[[], object]) -> None:
    scheduler.put(key, scheduler.make(trigger), lambda: _discard(call()))


def firings(expression: str, start: datetime, count: int) -> list[datetime]:
    trigger = _apscheduler_trigger(
        CronTrigger(expression=expression, timezone="Europe/Berlin"), SystemClock()
    )
    found: list[datetime] = []
    previous: datetime | None = None
    for _ in range(count):
        previous = trigger.get_next_fire_time(previous, start)
        assert previous is not None
        found.append(previous)
    return found


class _HeldUp(BaseTrigger):  # type: ignore[misc]  # apscheduler has no types
    """Fires once, and takes its time to say so."""

    def __init__(self) -> None:
        self.asked, self.go_on = threading.Event(), threading.Event()

    def get_next_fire_time(self, previous: datetime | None, now: datetime) -> datetime | None:
        if previous is None:
            return now
        self.asked.set()
        self.go_on.wait(30)
        return None


def test_a_scheduler_that_is_stopped_while_a_call_comes_due_ends_in_order() -> None:
    scheduler, trigger = Scheduler(clock=SystemClock()), _HeldUp()
    scheduler.start()
    scheduler.put("a", MadeTrigger(trigger=trigger, at_once=False), lambda: None)
    assert trigger.asked.wait(30)
    stopping = threading.Thread(target=scheduler.stop)
    stopping.start()
    while scheduler._scheduler.state != STATE_STOPPED:
        threading.Event().wait(0.01)
    trigger.go_on.set()  # what fails in a thread of a library fails this test
    stopping.join(30)
    assert not stopping.is_alive()


def test_sunday_is_zero_as_in_crontab() -> None:
    (first,) = firings("0 6 * * 0", datetime(2026, 11, 23, tzinfo=BERLIN), 1)
    assert first.strftime("%A") == "Sunday"


def test_either_day_field_matches_as_in_crontab() -> None:
    found = firings("0 6 1 * 1", datetime(2026, 11, 24, tzinfo=BERLIN), 3)
    assert [(each.day, each.strftime("%a")) for each in found] == [
        (30, "Mon"),
        (1, "Tue"),
        (7, "Mon"),
    ]


def test_a_time_in_the_hour_that_is_repeated_fires_once() -> None:
    found = firings("30 2 * * *", datetime(2026, 10, 24, 12, tzinfo=BERLIN), 3)
    assert [each.day for each in found] == [25, 26, 27]


def test_a_time_in_the_hour_that_is_left_out_is_not_lost() -> None:
    found = firings("30 2 * * *", datetime(2026, 3, 28, 12, tzinfo=BERLIN), 2)
    assert [each.day for each in found] == [29, 30]


def local_firings(expression: str, zone: str, start: datetime, count: int) -> list[str]:
    """Return when it fires after ``start``, as the clocks there show it, with what they are ahead of UTC."""
    trigger = _apscheduler_trigger(CronTrigger(expression=expression, timezone=zone), SystemClock())
    found, previous = [], None
    for _ in range(count):
        previous = trigger.get_next_fire_time(previous, start)
        assert previous is not None
        found.append(f"{previous.astimezone(ZoneInfo(zone)):%d %H:%M %z}")
    return found


@pytest.mark.parametrize(
    ("expression", "zone", "start", "expected"),
    [
        # Forward: the hour that is left out is made up for when it would have ended (Debian's cron).
        (
            "30 2 * * *",
            "Europe/Berlin",
            datetime(2026, 3, 28, 12, tzinfo=UTC),
            ["29 03:00 +0200", "30 02:30 +0200"],
        ),
        (
            "30 2 * * *",
            "America/New_York",
            datetime(2026, 3, 7, 12, tzinfo=UTC),
            ["08 03:00 -0400", "09 02:30 -0400"],
        ),
        (
            "15 2 * * *",
            "Australia/Lord_Howe",
            datetime(2026, 10, 3, 3, tzinfo=UTC),
            ["04 02:30 +1100", "05 02:15 +1100"],
        ),
        # Back: a fixed time in the hour that is repeated fires once.
        (
            "30 2 * * *",
            "Europe/Berlin",
            datetime(2026, 10, 24, 12, tzinfo=UTC),
            ["25 02:30 +0200", "26 02:30 +0100"],
        ),
        (
            "30 1 * * *",
            "America/New_York",
            datetime(2026, 10, 31, 12, tzinfo=UTC),
            ["01 01:30 -0400", "02 01:30 -0500"],
        ),
        (
            "45 1 * * *",
            "Australia/Lord_Howe",
            datetime(2026, 4, 4, 3, tzinfo=UTC),
            ["05 01:45 +1100", "06 01:45 +1030"],
        ),
        # What has a wildcard goes on through both.
        (
            "0 * * * *",
            "Europe/Berlin",
            datetime(2026, 10, 24, 23, 30, tzinfo=UTC),
            ["25 02:00 +0200", "25 02:00 +0100", "25 03:00 +0100"],
        ),
        (
            "*/30 * * * *",
            "Australia/Lord_Howe",
            datetime(2026, 4, 4, 14, 10, tzinfo=UTC),
            ["05 01:30 +1100", "05 01:30 +1030", "05 02:00 +1030"],
        ),
    ],
)
def test_days_on_which_clocks_are_set_fire_as_in_crontab(
    expression: str, zone: str, start: datetime, expected: list[str]
) -> None:
    assert local_firings(expression, zone, start, len(expected)) == expected


def test_what_is_run_by_hand_is_never_called(scheduler: Scheduler) -> None:
    put(scheduler, "k", ManualTrigger(), lambda: None)
    assert scheduler._scheduler.get_job("k").next_run_time is None
    scheduler._move_along(100.0)
    scheduler.remove("k")


def test_a_watch_looks_at_once_and_an_interval_after_its_time(scheduler: Scheduler) -> None:
    looked, fired = threading.Event(), threading.Event()
    put(scheduler, "watch", WatchTrigger(every_s=3600), looked.set)
    put(scheduler, "interval", IntervalTrigger(every_s=3600), fired.set)
    assert looked.wait(20)
    assert not fired.is_set()


def test_a_call_that_hangs_does_not_keep_the_others_from_being_called(scheduler: Scheduler) -> None:
    let_go, called = threading.Event(), threading.Event()
    put(scheduler, "slow", WatchTrigger(every_s=3600), lambda: _discard(let_go.wait(20)))
    put(scheduler, "other", WatchTrigger(every_s=3600), called.set)
    assert called.wait(20)
    let_go.set()


def test_what_was_removed_is_not_called_any_more(scheduler: Scheduler) -> None:
    times: list[int] = []
    enough = threading.Event()

    def call() -> None:
        times.append(1)
        if len(times) == 2:
            scheduler.remove("often")
            enough.set()

    put(scheduler, "often", WatchTrigger(every_s=0.05), call)
    assert enough.wait(20)
    done = threading.Event()
    put(scheduler, "later", IntervalTrigger(every_s=0.3), done.set)
    assert done.wait(20)
    assert len(times) == 2
    scheduler.remove("often")  # twice is fine


def test_what_is_to_be_called_once_is_called_once_and_replaced_by_the_next(
    scheduler: Scheduler,
) -> None:
    called: list[int] = []
    done = threading.Event()
    scheduler.once("k", 3600, lambda: called.append(1))
    scheduler.once("k", 0.05, lambda: called.append(2))
    scheduler.once("other", 0.2, done.set)
    assert done.wait(20)
    assert called == [2]
    scheduler.once("k", 3600, lambda: None)
    scheduler.remove("k")
    assert scheduler._scheduler.get_jobs() == []


@pytest.mark.parametrize(
    "trigger", [IntervalTrigger(every_s=3600), CronTrigger(expression="0 0 1 1 *")]
)
def test_what_is_put_again_on_the_same_trigger_keeps_its_next_firing(
    scheduler: Scheduler, trigger: Trigger
) -> None:
    called: list[int] = []
    put(scheduler, "k", trigger, lambda: called.append(1))
    job = scheduler._scheduler.get_job("k")
    due = job.next_run_time
    put(scheduler, "k", trigger, lambda: called.append(2))
    again = scheduler._scheduler.get_job("k")
    assert again.next_run_time == due
    again.func()
    assert called == [2]
    put(scheduler, "k", IntervalTrigger(every_s=7200), lambda: None)
    assert scheduler._scheduler.get_job("k").next_run_time != due


def test_what_was_removed_begins_anew(scheduler: Scheduler) -> None:
    put(scheduler, "k", IntervalTrigger(every_s=3600), lambda: None)
    due = scheduler._scheduler.get_job("k").next_run_time
    scheduler.remove("k")
    put(scheduler, "k", IntervalTrigger(every_s=3600), lambda: None)
    assert scheduler._scheduler.get_job("k").next_run_time > due


def test_a_firing_that_a_thread_comes_to_late_is_not_dropped(
    scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    class HourAhead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(hours=1)  # noqa: TID251

    # Where the library asks how late it is, as after a wait for a free thread; its default drops what is 1 s late.
    monkeypatch.setattr("apscheduler.executors.base.datetime", HourAhead)
    called = threading.Event()
    scheduler.once("late", 0.0, called.set)
    assert called.wait(20)


class Wall:
    """The machine's clocks, the one on the wall set forward or back; APScheduler is made to look at it, too."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = timedelta()
        wall = self

        class Moved(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
                return datetime.now(tz) + wall.ahead  # noqa: TID251

        monkeypatch.setattr("apscheduler.schedulers.base.datetime", Moved)

    def now(self) -> datetime:
        return SystemClock().now() + self.ahead

    def boottime(self) -> float:
        return SystemClock().boottime()


@pytest.mark.parametrize("step", [timedelta(days=-400), timedelta(hours=-1), timedelta(hours=1)])
def test_a_clock_that_is_set_stops_nothing_and_hurries_an_interval_once_at_most(
    monkeypatch: pytest.MonkeyPatch, step: timedelta
) -> None:
    wall = Wall(monkeypatch)
    scheduler = Scheduler(clock=wall)
    scheduler.start()
    try:
        often, once = threading.Semaphore(0), threading.Event()
        late: list[int] = []
        put(scheduler, "watch", WatchTrigger(every_s=0.2), often.release)
        put(scheduler, "interval", IntervalTrigger(every_s=1800), lambda: late.append(1))
        scheduler.once("k", 2.0, once.set)
        assert often.acquire(timeout=20)
        wall.ahead = step
        for _ in range(10):
            assert often.acquire(timeout=20)
        assert once.wait(20)
        left = scheduler._scheduler.get_job("interval").next_run_time - wall.now()
        assert timedelta(seconds=1700) < left < timedelta(seconds=1800)
        assert len(late) <= (step > timedelta())  # set forward, it may be seen before the setting
    finally:
        scheduler.stop()


def test_a_job_that_is_removed_while_the_clock_is_set_ends_nothing(scheduler: Scheduler) -> None:
    put(scheduler, "gone", IntervalTrigger(every_s=3600), lambda: None)
    jobs = scheduler._scheduler.get_jobs()
    jobs[0].trigger.due_at -= 100.0
    scheduler.remove("gone")
    scheduler._scheduler.get_jobs = lambda: jobs
    scheduler._move_along(100.0)


def test_a_schedule_follows_a_clock_that_was_years_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = Wall(monkeypatch)
    wall.ahead = timedelta(days=4000)
    scheduler = Scheduler(clock=wall)
    scheduler.start()
    try:
        put(scheduler, "yearly", CronTrigger(expression="0 0 1 1 *"), lambda: None)
        first = scheduler._scheduler.get_job("yearly").next_run_time
        wall.ahead = timedelta()
        while scheduler._scheduler.get_job("yearly").next_run_time == first:
            threading.Event().wait(0.05)
        due = scheduler._scheduler.get_job("yearly").next_run_time - wall.now()
        assert timedelta() < due < timedelta(days=367)
    finally:
        scheduler.stop()


def test_firings_that_a_clock_set_forward_has_passed_over_are_one() -> None:
    moment = datetime(2026, 11, 24, tzinfo=UTC)
    far = moment + timedelta(days=36500)
    for trigger in (WatchTrigger(every_s=0.1), CronTrigger(expression="* * * * *")):
        following = _apscheduler_trigger(trigger, SystemClock()).get_next_fire_time(moment, far)
        assert far < following <= far + timedelta(minutes=1)


def _discard(_: object) -> None:
    """Take what a call gives; the scheduler wants nothing back."""
