"""Which slot of a schedule is due: each once, at most one run for a takeover, whatever the owners' clocks say."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.transfers.firing import (
    AHEAD_S,
    Fired,
    Firing,
    base_of,
    called_late_s,
    due_slot,
    firing_facts,
    format_fired,
    is_absurd,
    parse_fired,
    schedule_of,
    wait_s,
)
from mftgit.model.transfers.triggers import (
    CATCH_UP_S,
    CronTrigger,
    IntervalTrigger,
    ManualTrigger,
    Trigger,
    WatchTrigger,
)

EIGHT = datetime(2026, 11, 23, 8, tzinfo=UTC)
DAILY = CronTrigger(expression="0 8 * * *")
MINUTELY = CronTrigger(expression="* * * * *")
INTERVAL = IntervalTrigger(every_s=600)


def s(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def due(
    trigger: CronTrigger | IntervalTrigger,
    base: datetime,
    now: datetime,
    *,
    within_s: float | None = CATCH_UP_S,
    off: tuple[str, ...] = (),
) -> datetime | None:
    return due_slot(
        trigger,
        base=base,
        now=now,
        within_s=within_s,
        zones=ZoneInfo,
        is_off=lambda moment: moment.date().isoformat() in off,
    )


def test_a_slot_is_due_from_its_moment_on_until_it_is_too_old() -> None:
    before = EIGHT - s(86_400)
    assert due(DAILY, before, EIGHT - s(0.001)) is None
    assert due(DAILY, before, EIGHT) == EIGHT
    assert due(DAILY, before, EIGHT + s(CATCH_UP_S - 1)) == EIGHT
    assert due(DAILY, before, EIGHT + s(CATCH_UP_S)) is None
    assert due(DAILY, before, EIGHT + s(CATCH_UP_S), within_s=None) == EIGHT


def test_a_slot_that_was_run_is_not_due_again() -> None:
    assert due(DAILY, EIGHT, EIGHT + s(5)) is None
    assert due(INTERVAL, EIGHT, EIGHT + s(599)) is None


@pytest.mark.parametrize("trigger", [MINUTELY, IntervalTrigger(every_s=60)])
def test_of_several_that_were_missed_the_latest_stands_for_all(
    trigger: CronTrigger | IntervalTrigger,
) -> None:
    assert due(trigger, EIGHT, EIGHT + s(30 * 60 + 7)) == EIGHT + s(30 * 60)


def test_what_fires_all_the_time_is_late_by_no_more_than_that_also_after_a_night() -> None:
    assert due(INTERVAL, EIGHT - s(43_200 + 7), EIGHT) == EIGHT - s(7)
    assert due(MINUTELY, EIGHT - s(43_200), EIGHT + s(7)) == EIGHT
    assert due(IntervalTrigger(every_s=86_400), EIGHT - s(86_400 + 7200), EIGHT) is None


@pytest.mark.parametrize("span_s", [3600, 86_400, 7 * 86_400, 300 * 86_400])
def test_a_call_of_the_own_scheduler_is_answered_however_late_it_comes(span_s: float) -> None:
    yearly = CronTrigger(expression="0 8 23 11 *")
    for within_s in (None, 366.0 * 86_400):
        assert due(yearly, EIGHT - s(9e6), EIGHT + s(span_s), within_s=within_s) == EIGHT
    assert due(yearly, EIGHT - s(9e6), EIGHT + s(400 * 86_400), within_s=None) is not None
    assert (
        due(CronTrigger(expression="0 0 29 2 *"), EIGHT - s(86_400), EIGHT, within_s=None) is None
    )
    assert due(CronTrigger(expression="0 0 29 2 *"), EIGHT - s(4e7), EIGHT, within_s=None) is None


def test_what_is_due_on_a_day_off_is_not_made_up_for_and_what_was_due_before_it_is() -> None:
    eve = CronTrigger(expression="50 23 * * *")
    at = datetime(2026, 11, 22, 23, 50, tzinfo=UTC)
    now = at + s(900)  # past midnight
    assert due(eve, at - s(86_400), now, off=("2026-11-23",)) == at
    assert due(eve, at - s(86_400), now, off=("2026-11-22",)) is None
    assert due(INTERVAL, now - s(700), now, off=("2026-11-23",)) == None  # noqa: E711
    minutely = due(MINUTELY, at, now, off=("2026-11-23",))
    assert minutely == datetime(2026, 11, 22, 23, 59, tzinfo=UTC)


BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("expression", "base", "now", "expected"),
    [
        # Back: 02:30 comes twice, and is one slot, the first one.
        ("30 2 * * *", "2026-10-25T00:00Z", "2026-10-25T00:31Z", "2026-10-25T00:30Z"),
        ("30 2 * * *", "2026-10-25T00:30Z", "2026-10-25T01:31Z", None),
        ("30 2 * * *", "2026-10-25T01:15Z", "2026-10-25T01:35Z", None),
        ("*/30 * * * *", "2026-10-25T00:30Z", "2026-10-25T01:31Z", "2026-10-25T01:30Z"),
        # Forward: 02:30 is left out, and made up for at 03:00.
        ("30 2 * * *", "2026-03-28T20:00Z", "2026-03-29T00:59Z", None),
        ("30 2 * * *", "2026-03-28T20:00Z", "2026-03-29T01:01Z", "2026-03-29T01:00Z"),
        ("30 2 * * *", "2026-03-29T01:00Z", "2026-03-29T01:40Z", None),
    ],
)
def test_in_nights_in_which_clocks_are_set_each_slot_is_due_once(
    expression: str, base: str, now: str, expected: str | None
) -> None:
    trigger = CronTrigger(expression=expression, timezone=BERLIN)
    found = due(trigger, datetime.fromisoformat(base), datetime.fromisoformat(now))
    assert found == (None if expected is None else datetime.fromisoformat(expected))


def test_what_begins_to_count_is_the_last_run_or_the_revision_that_brought_the_schedule() -> None:
    daily, other = str(schedule_of(DAILY)), str(schedule_of(MINUTELY))
    ran, now = Fired(due_at=EIGHT, schedule=daily), EIGHT + s(3000)
    assert base_of(ran, daily, since=None, now=now) == EIGHT
    assert base_of(ran, daily, since=EIGHT + s(60), now=now) == EIGHT + s(60)  # it was disabled
    assert base_of(ran, other, since=EIGHT + s(60), now=now) == EIGHT + s(60)
    assert base_of(ran, other, since=None, now=now) == now
    assert base_of(None, daily, since=None, now=now) == now
    assert base_of(None, daily, since=now + s(9), now=now) == now  # the clock was set back


def test_a_slot_run_by_a_clock_that_is_ahead_counts_unless_that_clock_was_absurd() -> None:
    daily = str(schedule_of(DAILY))
    ran = Fired(due_at=EIGHT, schedule=daily)
    hour_behind = EIGHT - s(3600)
    assert base_of(ran, daily, since=None, now=hour_behind) == EIGHT
    assert due(DAILY, EIGHT, hour_behind) is None
    assert not is_absurd(EIGHT, hour_behind)
    year_behind = EIGHT - s(365 * 86_400)
    assert is_absurd(EIGHT, year_behind)
    assert base_of(ran, daily, since=None, now=year_behind) == year_behind
    assert due(INTERVAL, EIGHT, hour_behind) is None
    assert wait_s(INTERVAL, base=EIGHT, now=hour_behind) == 600


def test_an_interval_is_called_late_early_or_out_of_turn() -> None:
    assert called_late_s(INTERVAL, due=1000.0, now=1000.0) == 0.0
    assert called_late_s(INTERVAL, due=1000.0, now=999.9) == 0.0
    assert called_late_s(INTERVAL, due=1000.0, now=990.0) is None
    assert called_late_s(INTERVAL, due=1000.0, now=1000.0 + 1500) == 300.0
    assert wait_s(INTERVAL, base=EIGHT, now=EIGHT + s(1500)) == 300.0
    assert wait_s(INTERVAL, base=EIGHT, now=EIGHT) == 600.0


def test_a_record_is_read_as_it_was_written() -> None:
    fired = Fired(due_at=EIGHT + s(0.123456), schedule="every 60 s")
    assert parse_fired(format_fired(fired)) == fired
    later = b'{"due_at": "2026-11-23T08:00:00Z", "schedule": "x", "more": 1}'
    assert parse_fired(later) == Fired(due_at=EIGHT, schedule="x")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        pytest.param(b"[" * 4096, id="deep"),
        b"7",
        b"{}",
        b'{"due_at": 7, "schedule": "x"}',
        b'{"due_at": "then", "schedule": "x"}',
        b'{"due_at": "2026-11-23T08:00:00", "schedule": "x"}',
        b'{"due_at": "2026-11-23T08:00:00Z", "schedule": 7}',
    ],
)
def test_what_is_no_record_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  whichever
        parse_fired(content)


@pytest.mark.parametrize("trigger", [ManualTrigger(), WatchTrigger(), None])
def test_what_has_no_slots_has_no_schedule(trigger: Trigger | None) -> None:
    assert schedule_of(trigger) is None


def test_what_is_made_up_for_is_no_part_of_a_schedule() -> None:
    assert schedule_of(INTERVAL) == schedule_of(IntervalTrigger(every_s=600, catch_up_s=0))
    assert len({schedule_of(each) for each in (INTERVAL, DAILY, MINUTELY)}) == 3


def test_what_a_run_is_for_is_told() -> None:
    assert firing_facts(None) == {"due_at": None, "caught_up": False}
    told = firing_facts(Firing(due_at=EIGHT, caught_up=True))
    assert told == {"due_at": "2026-11-23T08:00:00.000Z", "caught_up": True}


@dataclass
class Owners:
    """Members that take over from each other, each with a clock that is wrong by so much; what they ran, in order."""

    trigger: CronTrigger
    fired: Fired
    ran: list[datetime] = field(default_factory=list)

    def look(self, now: datetime, *, takeover: bool) -> bool:
        schedule = self.fired.schedule
        base = base_of(self.fired, schedule, since=None, now=now)
        found = due(self.trigger, base, now, within_s=CATCH_UP_S if takeover else None)
        if found is None:
            return False
        self.fired = Fired(due_at=found, schedule=schedule)
        self.ran.append(found)
        return True


expressions = st.sampled_from(
    ["* * * * *", "*/7 * * * *", "0 * * * *", "0 8 * * *", "30 2 * * *", "15,45 2,3 * * 0,6"]
)
zones = st.sampled_from(["UTC", BERLIN, "Australia/Lord_Howe"])
steps = st.lists(
    st.tuples(
        st.floats(min_value=0.5, max_value=3000),
        st.booleans(),
        st.floats(min_value=-AHEAD_S / 2, max_value=AHEAD_S / 2),
    ),
    max_size=40,
)
starts = st.sampled_from(
    [EIGHT, datetime(2026, 10, 24, 23, tzinfo=UTC), datetime(2026, 3, 28, 23, tzinfo=UTC)]
)


@given(expressions, zones, starts, steps)
def test_whoever_takes_over_and_whatever_the_clocks_say_no_slot_is_run_twice(
    expression: str, zone: str, start: datetime, steps: list[tuple[float, bool, float]]
) -> None:
    trigger = CronTrigger(expression=expression, timezone=zone)
    owners = Owners(trigger, Fired(due_at=start, schedule=str(schedule_of(trigger))))
    now = start
    for passed_s, takeover, wrong_by_s in steps:
        now += s(passed_s)
        seen = now + s(wrong_by_s)
        if owners.look(seen, takeover=takeover):
            assert not owners.look(seen, takeover=True)  # whoever comes next
            assert owners.ran[-1] <= seen
    assert owners.ran == sorted(set(owners.ran))


@given(expressions, zones, starts, steps)
def test_with_clocks_that_are_right_no_slot_is_lost_that_an_owner_came_for_in_time(
    expression: str, zone: str, start: datetime, steps: list[tuple[float, bool, float]]
) -> None:
    """Each look leaves nothing due behind, and what was due before it is the slot it ran or an earlier one."""
    trigger = CronTrigger(expression=expression, timezone=zone)
    owners = Owners(trigger, Fired(due_at=start, schedule=str(schedule_of(trigger))))
    now = before = start
    for passed_s, takeover, _ in steps:  # at most 50 minutes apart, which is less than the window
        before, now = now, now + s(passed_s)
        was_due = due(trigger, before, now, within_s=None)
        assert owners.look(now, takeover=takeover) == (was_due is not None)
        if was_due is not None:
            assert owners.ran[-1] == was_due


@given(
    st.floats(min_value=1, max_value=90_000),
    st.lists(
        st.tuples(st.floats(min_value=0.01, max_value=5000), st.booleans()), min_size=1, max_size=40
    ),
)
def test_an_interval_keeps_the_phase_of_its_first_owner(
    every_s: float, steps: list[tuple[float, bool]]
) -> None:
    """Owners that look when `wait_s` says, and others that come in between, run nothing but whole intervals."""
    trigger = IntervalTrigger(every_s=every_s)
    every, base, now, ran = s(every_s), EIGHT, EIGHT, list[datetime]()
    for passed_s, in_turn in steps:
        now += s(wait_s(trigger, base=base, now=now)) if in_turn else s(passed_s)
        found = due(trigger, base, now)
        if found is not None:
            assert now - found < min(every, s(CATCH_UP_S))
            base = found
            ran.append(found)
        assert s(0) < s(wait_s(trigger, base=base, now=now)) <= every
    assert ran == sorted(set(ran))
    for one in ran:
        whole = round((one - EIGHT) / every)
        assert abs(one - EIGHT - whole * every) < s(0.01)
