"""Change windows open and close by the clock on the wall, also in nights in which it is set."""

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mftgit.model.rollout.windows import (
    DAYS,
    Closed,
    Window,
    Windows,
    build_windows,
    why_closed,
    window_opens,
)

BERLIN = "Europe/Berlin"
NIGHT = Window(begins="22:00", ends="04:00", timezone=BERLIN)


def at(text: str) -> datetime:
    """A moment of UTC; 2026-11-23 is a Monday."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def opens(windows: Windows, now: str) -> str | None:
    """When it opens, None where it is open."""
    closed = window_opens(windows, at(now), ZoneInfo)
    return None if closed is None or closed.opens_at is None else closed.opens_at.isoformat()[:16]


def is_open(windows: Windows, now: datetime) -> bool:
    return why_closed(windows, now, ZoneInfo) is None


def test_without_windows_it_is_open() -> None:
    assert is_open(Windows(), at("2026-11-23T08:00"))


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-11-23T20:59", "2026-11-23T21:00"),  # 21:59 in Berlin
        ("2026-11-23T21:00", None),
        ("2026-11-24T02:59", None),
        ("2026-11-24T03:00", "2026-11-24T21:00"),
    ],
)
def test_a_window_may_end_on_the_day_after(now: str, expected: str | None) -> None:
    assert opens(Windows(allow=(NIGHT,)), now) == expected


def test_days_and_dates_are_those_of_its_beginning() -> None:
    window = Window(days=("mon",), dates=("2026-12-24",), begins="22:00", ends="04:00")
    windows = Windows(allow=(window,))
    assert is_open(windows, at("2026-11-24T03:00"))  # Tuesday, begun on Monday
    assert not is_open(windows, at("2026-11-24T23:00"))
    assert is_open(windows, at("2026-12-25T03:00"))
    assert opens(windows, "2026-11-24T04:00") == "2026-11-30T22:00"


def test_deny_wins_over_allow_and_what_closed_it_is_told() -> None:
    holiday = Window(dates=("2026-12-24", "2026-12-25"), timezone=BERLIN)
    windows = Windows(allow=(NIGHT,), deny=(holiday,))
    closed = window_opens(windows, at("2026-12-24T22:00"), ZoneInfo)
    assert closed is not None
    assert "windows.deny: 2026-12-24 2026-12-25 00:00-24:00 Europe/Berlin" in str(closed)
    assert "opens: 2026-12-25T23:00:00+00:00" in str(closed)
    outside = window_opens(windows, at("2026-12-26T12:00"), ZoneInfo)
    assert "outside of the change windows (windows.allow)" in str(outside)


def test_windows_that_never_open_say_so() -> None:
    windows = Windows(deny=(Window(),))
    assert window_opens(windows, at("2026-11-23T08:00"), ZoneInfo) == Closed(
        reason="the change window is closed (windows.deny: every day 00:00-24:00 UTC)",
        opens_at=None,
    )
    assert "not within a year" in str(window_opens(windows, at("2026-11-23T08:00"), ZoneInfo))


@pytest.mark.parametrize(
    ("begins", "ends", "now", "expected"),
    [
        # On 2026-03-29 Berlin's clock goes from 02:00 to 03:00, at 01:00 UTC.
        ("02:30", "04:00", "2026-03-29T00:59", "2026-03-29T01:00"),
        ("02:30", "04:00", "2026-03-29T01:00", None),
        ("02:15", "02:45", "2026-03-29T00:59", "2026-03-30T00:15"),  # no such time in that night
        ("03:00", "04:00", "2026-03-28T12:00", "2026-03-29T01:00"),
        # On 2026-10-25 it goes from 03:00 back to 02:00, at 01:00 UTC.
        ("01:00", "02:30", "2026-10-25T00:29", None),
        ("01:00", "02:30", "2026-10-25T00:30", "2026-10-25T01:00"),
        ("01:00", "02:30", "2026-10-25T01:29", None),
        ("02:15", "02:45", "2026-10-25T00:50", "2026-10-25T01:15"),  # for the second time
    ],
)
def test_in_nights_in_which_the_clock_is_set_what_it_shows_counts(
    begins: str, ends: str, now: str, expected: str | None
) -> None:
    window = Window(begins=begins, ends=ends, timezone=BERLIN)
    assert opens(Windows(allow=(window,)), now) == expected


clock = st.builds("{:02}:{:02}".format, st.integers(0, 23), st.integers(0, 59))
windows = st.lists(
    st.builds(
        Window,
        days=st.lists(st.sampled_from(DAYS), max_size=3).map(tuple),
        dates=st.lists(st.sampled_from(["2026-03-29", "2026-10-25", "2026-10-26"]), max_size=2).map(
            tuple
        ),
        begins=clock,
        ends=clock | st.just("24:00"),
        timezone=st.sampled_from([BERLIN, "UTC", "Australia/Lord_Howe", "America/St_Johns"]),
    ),
    max_size=2,
).map(tuple)
moments = st.sampled_from(
    ["2026-03-28T12:00", "2026-04-04T14:10", "2026-10-24T22:40", "2026-10-31T23:30"]
).map(at)


@settings(max_examples=30, deadline=None)
@given(st.builds(Windows, allow=windows, deny=windows), moments)
def test_it_opens_when_it_is_said_to_and_not_a_minute_before(
    windows: Windows, now: datetime
) -> None:
    closed = window_opens(windows, now, ZoneInfo)
    if closed is None:
        return
    end = now + timedelta(days=1)
    first = min(end, closed.opens_at) if closed.opens_at else end
    if closed.opens_at is not None:
        assert is_open(windows, closed.opens_at)
    for minutes in range(int((first - now).total_seconds()) // 60):
        assert not is_open(windows, now + timedelta(minutes=minutes))


def test_dates_that_are_over_are_not_searched_for() -> None:
    asked: list[str] = []

    def zone(name: str) -> tzinfo:
        asked.append(name)
        return ZoneInfo(name)

    over = Windows(
        allow=tuple(Window(dates=("2025-01-01",), begins=f"{hour:02}:00") for hour in range(20))
    )
    closed = window_opens(over, at("2026-11-23T08:00"), zone)
    assert closed is not None
    assert closed.opens_at is None
    assert len(asked) == len(over.allow)


@pytest.mark.parametrize(
    ("opens_at", "expected"),
    [
        (None, None),
        ("2026-11-25T00:00", "2026-11-25T00:00"),
        ("2026-11-23T08:00", "2026-11-23T21:00"),
    ],
)
def test_until_it_opens_what_was_found_before_is_gone_by(
    opens_at: str | None, expected: str | None
) -> None:
    known = Closed(reason="as it was", opens_at=None if opens_at is None else at(opens_at))
    closed = window_opens(Windows(allow=(NIGHT,)), at("2026-11-23T08:00"), ZoneInfo, known=known)
    assert closed == Closed(
        reason="outside of the change windows (windows.allow)",
        opens_at=None if expected is None else at(expected),
    )
    assert (
        window_opens(Windows(allow=(NIGHT,)), at("2026-11-23T22:00"), ZoneInfo, known=known) is None
    )


def test_a_section_is_read_with_its_defaults() -> None:
    zones: list[str] = []

    def zone(name: str) -> tzinfo:
        zones.append(name)
        return ZoneInfo(name)

    read = build_windows(
        {
            "allow": [{"days": ["mon"], "from": "08:00"}],
            "deny": [{"timezone": BERLIN, "to": "01:00"}],
        }
    )
    assert read == Windows(
        allow=(Window(days=("mon",), begins="08:00"),),
        deny=(Window(ends="01:00", timezone=BERLIN),),
    )
    assert window_opens(read, at("2026-11-23T08:00"), zone) is None
    assert set(zones) == {"UTC", BERLIN}
