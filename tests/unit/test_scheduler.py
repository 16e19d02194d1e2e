"""When things are done: by crontab's own rules, and never lost because something else was slow."""

import threading
from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from mftgit.adapters.scheduler import Scheduler, _apscheduler_trigger
from mftgit.model.config import CronTrigger, IntervalTrigger, WatchTrigger

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    made = Scheduler()
    made.start()
    yield made
    made.stop()


def firings(expression: str, start: datetime, count: int) -> list[datetime]:
    trigger = _apscheduler_trigger(CronTrigger(expression=expression, timezone="Europe/Berlin"))
    found: list[datetime] = []
    previous: datetime | None = None
    for _ in range(count):
        previous = trigger.get_next_fire_time(previous, start)
        assert previous is not None
        found.append(previous)
    return found


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


def test_a_watch_looks_at_once_and_an_interval_after_its_time(scheduler: Scheduler) -> None:
    looked, fired = threading.Event(), threading.Event()
    scheduler.put("watch", WatchTrigger(every_s=3600), looked.set)
    scheduler.put("interval", IntervalTrigger(every_s=3600), fired.set)
    assert looked.wait(20)
    assert not fired.is_set()


def test_a_call_that_hangs_does_not_keep_the_others_from_being_called(scheduler: Scheduler) -> None:
    let_go, called = threading.Event(), threading.Event()
    scheduler.put("slow", WatchTrigger(every_s=3600), lambda: _discard(let_go.wait(20)))
    scheduler.put("other", WatchTrigger(every_s=3600), called.set)
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

    scheduler.put("often", WatchTrigger(every_s=0.05), call)
    assert enough.wait(20)
    done = threading.Event()
    scheduler.put("later", IntervalTrigger(every_s=0.3), done.set)
    assert done.wait(20)
    assert len(times) == 2
    scheduler.remove("often")  # twice is fine


def _discard(_: object) -> None:
    """Take what a call gives; the scheduler wants nothing back."""
