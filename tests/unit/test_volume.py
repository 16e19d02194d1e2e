"""What is counted of events, by the hour and the day, and how that is drawn."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.events.event import Event, EventName, Fact
from mftgit.model.inbound.sessions_told import (
    MOST_TOLD,
    SessionsTold,
    parse_sessions,
    tell_sessions,
)
from mftgit.model.monitoring.chart import HEIGHT, WIDTH, draw_failures, draw_volume
from mftgit.model.monitoring.volume import (
    About,
    Amount,
    Bar,
    Flow,
    Step,
    about,
    amount,
    bars,
    first_hour,
    hour_of,
)
from mftgit.model.names import MemberName

NOW = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)


def event(name: EventName, at: str = "2026-11-23T08:12:00.000Z", **facts: Fact) -> Event:
    return Event(member=MemberName("node-1"), seq=1, at=at, event=name, facts=facts)


@pytest.mark.parametrize(
    ("told", "found", "counted"),
    [
        (
            event(EventName.DELIVERY_SUCCEEDED, transfer="t", size_bytes=7),
            About(flow=Flow.DELIVERY, name="t"),
            Amount(files=1, size_bytes=7),
        ),
        (
            event(EventName.DELIVERY_FAILED, transfer="t"),
            About(flow=Flow.DELIVERY, name="t"),
            Amount(failures=1),
        ),
        (
            event(EventName.DELIVERY_SKIPPED, transfer="t", size_bytes=7),
            About(flow=Flow.DELIVERY, name="t"),
            Amount(),
        ),
        (
            event(EventName.DOWNLOAD_FINISHED, account="a", size_bytes=9, sent_bytes=5),
            About(flow=Flow.DOWNLOAD, name="a"),
            Amount(files=1, size_bytes=5),
        ),
        (
            event(EventName.INBOUND_LOGIN_FAILED, service="s", account="made up"),
            About(flow=Flow.LOGIN, name="s"),
            Amount(failures=1),
        ),
        (event(EventName.INBOUND_LOGIN_FAILED, source="192.0.2.1"), None, Amount(failures=1)),
        (event(EventName.RUN_STARTED, transfer="t"), None, Amount()),
        (event(EventName.UPLOAD_FINISHED, account=7, size_bytes="7"), None, Amount()),
        (event(EventName.UPLOAD_FINISHED, size_bytes=True), None, Amount()),
        (event(EventName.UPLOAD_FINISHED, size_bytes=-5), None, Amount(files=1)),
    ],
)
def test_an_event_counts_for_whom_it_is_about(
    told: Event, found: About | None, counted: Amount
) -> None:
    assert (about(told), amount(told)) == (found, counted)


def test_an_event_without_a_time_is_in_no_hour() -> None:
    assert hour_of(event(EventName.RUN_FAILED)) == "2026-11-23T08"
    for at in ("", "yesterday", "2026-11-23", "2026-11-23T8:00"):
        assert hour_of(event(EventName.RUN_FAILED, at=at)) is None


@pytest.mark.parametrize(
    ("step", "first", "last", "count"),
    [(Step.HOUR, "2026-11-21T09", "2026-11-23T08", 48), (Step.DAY, "2026-10-25", "2026-11-23", 30)],
)
def test_there_is_a_bar_for_each_hour_or_day_up_to_now(
    step: Step, first: str, last: str, count: int
) -> None:
    found = bars([], step=step, now=NOW)
    assert (found[0].since, found[-1].since, len(found)) == (first, last, count)
    assert first_hour(step, NOW).startswith(first)


@given(st.lists(st.tuples(st.integers(0, 23), st.integers(0, 9), st.integers(0, 9)), max_size=60))
def test_a_day_has_what_its_hours_have(rows: list[tuple[int, int, int]]) -> None:
    hours = [
        (f"2026-11-23T{hour:02}", Amount(files=files, size_bytes=files, failures=failures))
        for hour, files, failures in rows
    ]
    today = bars(hours, step=Step.DAY, now=NOW)[-1].amount
    assert (today.files, today.failures) == (sum(row[1] for row in rows), sum(row[2] for row in rows))  # fmt: skip


@given(st.lists(st.integers(0, 10**15), min_size=1, max_size=48))
def test_every_bar_is_within_the_chart_and_none_that_is_something_is_invisible(
    values: list[int],
) -> None:
    found = [
        Bar(since=f"{at}", amount=Amount(files=1, size_bytes=value, failures=value))
        for at, value in enumerate(values)
    ]
    for chart in (draw_volume(found), draw_failures(found)):
        assert len(chart.bars) == len(values)
        for value, bar in zip(values, chart.bars, strict=True):
            assert 0 <= bar.x <= bar.x + bar.width <= WIDTH
            assert 0 <= bar.y <= HEIGHT
            assert (bar.height > 0) is (value > 0)
            assert bar.y + bar.height == pytest.approx(HEIGHT, abs=0.02)


def test_a_chart_says_what_it_shows() -> None:
    chart = draw_volume([Bar(since="2026-11-23T08", amount=Amount(files=2, size_bytes=2000))])
    assert (chart.top, chart.first, chart.last) == ("2.00 kB", "2026-11-23T08", "2026-11-23T08")
    assert chart.bars[0].words == "2026-11-23T08: 2.00 kB in 2 files"
    assert draw_failures([]).bars == ()


SESSION = {
    "id": 7,
    "service": "sftp",
    "account": "acme",
    "source": "192.0.2.1",
    "since": "now",
    "client": "OpenSSH",
    "factors": ["key"],
    "received_bytes": 1,
    "sent_bytes": 2,
    "uploads": 3,
    "downloads": 4,
}


def test_sessions_are_told_as_far_as_is_agreed_and_the_rest_is_counted() -> None:
    many = [{**SESSION, "id": number} for number in range(MOST_TOLD + 3)]
    told = tell_sessions(many)
    assert (len(told.sessions), told.more, told.sessions[0]["id"]) == (MOST_TOLD, 3, 3)
    assert parse_sessions(told.as_json()) == told
    assert tell_sessions([]) == SessionsTold()


def test_what_a_member_tells_of_a_session_is_bounded() -> None:
    long = {**SESSION, "client": "x" * 9999, "factors": ["y" * 999] * 99, "evil": 1}
    (told,) = parse_sessions({"sessions": [long], "more": -4}).sessions
    assert (len(told["client"]), len(told["factors"]), len(told["factors"][0])) == (300, 8, 300)
    assert "evil" not in told


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"sessions": []},
        {"sessions": [SESSION] * (MOST_TOLD + 1), "more": 0},
        {"sessions": [1], "more": 0},
        {"sessions": [{**SESSION, "id": "x"}], "more": 0},
        {"sessions": [{**SESSION, "factors": 5}], "more": 0},
    ],
)
def test_what_is_no_list_of_sessions_is_noticed(value: Any) -> None:
    with pytest.raises(ValueError, match=r"session|literal"):
        parse_sessions(value)
