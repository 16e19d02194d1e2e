"""Days on which nothing runs, as the clock on the wall shows them."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from config_tree import VALID, validate
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.configuration.build import build_cluster
from mftgit.model.documents.problem import Problem
from mftgit.model.transfers.calendars import Calendar

OFF = Calendar(days=("sat", "sun"), dates=("2026-12-25", "2026-12-31..2027-01-01"))


def is_off(calendar: Calendar, day: str) -> bool:
    return calendar.is_off(datetime.fromisoformat(day).replace(tzinfo=UTC), ZoneInfo)


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2026-11-27", False),
        ("2026-11-28", True),
        ("2026-11-29", True),
        ("2026-12-25", True),
        ("2026-12-30", False),
        ("2026-12-31", True),
        ("2027-01-01", True),
        ("2027-01-04", False),
    ],
)
def test_days_of_the_week_and_dates_are_off(day: str, *, expected: bool) -> None:
    assert is_off(OFF, day) is expected


def test_an_empty_calendar_is_never_off() -> None:
    assert not is_off(Calendar(), "2026-11-28")


def test_a_day_is_the_one_on_the_wall_of_the_calendar_s_zone() -> None:
    auckland = Calendar(days=("sat",), timezone="Pacific/Auckland")
    assert is_off(auckland, "2026-11-27T12:00")  # it is Saturday there
    assert not is_off(auckland, "2026-11-28T12:00")
    berlin = Calendar(dates=("2026-03-29",), timezone="Europe/Berlin")  # of 23 hours
    hours = [datetime(2026, 3, 28, 12, tzinfo=UTC) + timedelta(hours=at) for at in range(48)]
    assert sum(berlin.is_off(hour, ZoneInfo) for hour in hours) == 23


@given(
    first=st.dates(date(2000, 1, 1), date(2100, 1, 1)),
    length=st.integers(0, 400),
    ahead=st.integers(-500, 500),
)
def test_a_range_has_both_its_ends(first: date, length: int, ahead: int) -> None:
    last = first + timedelta(days=length)
    day = first + timedelta(days=ahead)
    assert is_off(Calendar(dates=(f"{first}..{last}",)), day.isoformat()) is (0 <= ahead <= length)


def test_a_cluster_has_its_calendars_by_name() -> None:
    said = {"days": ["sat", "sun"], "dates": ["2026-12-25", "2026-12-31..2027-01-01"]}
    built = build_cluster({"name": "c", "calendars": {"off": said}})
    assert built.calendars == {"off": OFF}


def problems_of(files: dict[str, str]) -> list[Problem]:
    return list(validate(files).problems)


CLUSTER = "cluster.yaml"
A = "transfers/a.yaml"


def transfer(trigger: str) -> str:
    return f"""
source: {{location: inbox, path: "in-{sum(map(ord, trigger))}"}}
destination: {{location: inbox, path: out}}
trigger: {{{trigger}}}
"""


def calendars(text: str) -> str:
    return f"{VALID[CLUSTER]}\ncalendars: {{{text}}}\n"


@pytest.mark.parametrize(
    ("text", "rule", "hint"),
    [
        ("off: {days: [sat], timezone: Europe/Berln}", "timezone", "did you mean 'Europe/Berlin'?"),
        ('off: {dates: ["2026-02-30"]}', "date", "write year"),
        ('off: {dates: ["2026-02-01..2026-02-30"]}', "date", "write year"),
        ('off: {dates: ["2026-02-02..2026-02-01"]}', "date", "write year"),
        ("off: {days: [sut]}", "choice", "did you mean"),
        ("Off: {days: [sat]}", "form", "expected"),
        ("off: {}", "size", ""),
    ],
)
def test_a_calendar_that_cannot_be_is_a_problem(text: str, rule: str, hint: str) -> None:
    (problem,) = problems_of({**VALID, CLUSTER: calendars(text)})
    assert problem.rule == rule
    assert hint in problem.hint


@pytest.mark.parametrize(
    "trigger",
    [
        'cron: {expression: "0 1 * * *", calendar: of}',
        "interval: {every_s: 1, calendar: of}",
        "watch: {calendar: of}",
    ],
)
def test_a_calendar_that_is_not_there_is_a_problem_of_the_trigger(trigger: str) -> None:
    files = {**VALID, CLUSTER: calendars("off: {days: [sat]}")}
    (problem,) = problems_of({**files, A: transfer(trigger)})
    assert (problem.rule, problem.file) == ("reference", A)
    assert problem.hint == "did you mean 'off'?"
    assert (
        problems_of({**files, A: transfer(trigger.replace("calendar: of", "calendar: off"))}) == []
    )


def test_a_broken_cluster_document_says_nothing_of_calendars() -> None:
    files = {**VALID, CLUSTER: "name: [x", A: transfer("watch: {calendar: off}")}
    assert [each.file for each in problems_of(files)] == [CLUSTER]


def test_a_transfer_to_follow_has_to_be_there() -> None:
    (problem,) = problems_of({**VALID, A: transfer("after: {transfer: b}")})
    assert (problem.rule, problem.pointer) == ("reference", "/trigger/after/transfer")
    assert problem.hint == "add transfers/b.yaml"


def chain(*names: str) -> dict[str, str]:
    follows = pairwise(names)
    return {
        f"transfers/{one}.yaml": transfer(f"after: {{transfer: {two}}}") for one, two in follows
    }


def test_transfers_that_follow_each_other_in_a_cycle_are_one_problem() -> None:
    problems = problems_of(
        {**VALID, **chain("c", "b", "d", "b"), **chain("x", "x"), **chain("a", "b")}
    )
    assert [(each.rule, each.file) for each in problems] == [
        ("after-cycle", "transfers/b.yaml"),
        ("after-cycle", "transfers/x.yaml"),
    ]
    assert "b -> d -> b" in problems[0].message


def test_transfers_that_follow_each_other_in_a_line_are_fine() -> None:
    end = {"transfers/z.yaml": transfer("manual: {}")}
    assert problems_of({**VALID, **chain("c", "b", "a", "z"), **end}) == []


def test_of_a_long_cycle_only_the_first_transfers_are_named() -> None:
    names = [f"t{at:02}" for at in range(12)]
    (problem,) = problems_of({**VALID, **chain(*names, names[0])})
    assert "t09 -> … -> t00" in problem.message
