"""A search for events is understood, or refused with what to write instead."""

from datetime import UTC, datetime

import pytest

from mftgit.model.events.event import Event, EventName, Fact
from mftgit.model.events.kinds import Component, Group, Severity
from mftgit.model.events.query import EventQuery, QueryError, parse_query
from mftgit.model.events.text import as_written, fold
from mftgit.model.names import Epoch, MemberName, Revision

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
FAILED = EventName.DELIVERY_FAILED


def an_event(
    *, event: EventName = FAILED, at: str = "2026-11-29T10:00:00.000Z", **facts: Fact
) -> Event:
    return Event(
        member=MemberName("node-1"),
        seq=7,
        at=at,
        event=event,
        revision=Revision("abcd" * 10),
        epoch=Epoch(3),
        facts=facts,
    )


ASKED = {
    "since": ["2h"],
    "until": ["2026-11-29T11:00"],
    "member": ["node-1", "node-2"],
    "event": ["deliveryfailed"],
    "group": ["transfer"],
    "severity": ["warning"],
    "component": ["transfer/invoices"],
    "account": ["supplier"],
    "revision": ["ABCD"],
    "epoch": ["3"],
    "text": [" Refused  partner "],
    "nothing": [],
}
MEANT = EventQuery(
    since=datetime(2026, 11, 29, 10, 0, tzinfo=UTC),
    until=datetime(2026, 11, 29, 11, 0, tzinfo=UTC),
    members=frozenset({MemberName("node-1"), MemberName("node-2")}),
    events=frozenset({FAILED}),
    groups=frozenset({Group.TRANSFER}),
    least=Severity.WARNING,
    component=Component(kind="transfer", name="invoices"),
    account="supplier",
    revision="abcd",
    epoch=3,
    text="Refused  partner",
)


def test_every_filter_is_understood() -> None:
    assert parse_query({k: v for k, v in ASKED.items() if v}, now=NOW) == MEANT


def test_names_may_come_one_by_one_or_together() -> None:
    together = parse_query(
        {"event": ["RunFailed, RunStarted"], "group": ["transfer inbound"]}, now=NOW
    )
    assert together == parse_query(
        {"event": ["RunStarted", "RunFailed"], "group": ["inbound", "transfer"]}, now=NOW
    )


def test_what_a_form_leaves_empty_is_left_out() -> None:
    assert parse_query({"member": [""], "text": [" "], "since": []}, now=NOW) == EventQuery()


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("90s", datetime(2026, 11, 29, 11, 58, 30, tzinfo=UTC)),
        ("15m", datetime(2026, 11, 29, 11, 45, tzinfo=UTC)),
        ("3d", datetime(2026, 11, 26, 12, 0, tzinfo=UTC)),
        ("1w", datetime(2026, 11, 22, 12, 0, tzinfo=UTC)),
        ("2026-11-29", datetime(2026, 11, 29, tzinfo=UTC)),
        ("2026-11-29 10:00", datetime(2026, 11, 29, 10, 0, tzinfo=UTC)),
        ("2026-11-29T10:00:00.250+02:00", datetime(2026, 11, 29, 8, 0, 0, 250_000, tzinfo=UTC)),
    ],
)
def test_a_time_is_a_moment_or_a_span_up_to_now(text: str, meant: datetime) -> None:
    assert parse_query({"since": [text]}, now=NOW).since == meant


@pytest.mark.parametrize(
    ("key", "values", "said"),
    [
        ("memer", ["a"], "there is no filter 'memer': did you mean 'member'?"),
        ("zzzzzz", ["a"], "there is no filter 'zzzzzz': expected one of since, until"),
        ("since", ["yesterday"], "'yesterday' is not a time: expected 2026-11-29"),
        ("since", ["999999999w"], "is not a time"),
        ("since", ["1h", "2h"], "since was given 2 times: give it once"),
        ("until", ["0001-01-01T00:00+10:00"], "is not a time"),
        ("member", ["Node_1"], "'Node_1' is not the name of a member"),
        ("member", ["a"] * 101, "member was given 101 times: give it 100 times at most"),
        (
            "event",
            ["DeliverFailed"],
            "'DeliverFailed' is not an event: did you mean 'DeliveryFailed'?",
        ),
        ("group", ["zzz"], "'zzz' is not a group: expected one of change, rollout"),
        ("severity", ["fatal"], "'fatal' is not a severity: expected one of info, notice"),
        ("component", ["invoices"], "'invoices' is not a component: expected transfer/NAME"),
        ("component", ["transfer/"], "is not a component"),
        ("revision", ["xyz"], "'xyz' is not a revision: expected its first 4 to 40"),
        ("epoch", ["-1"], "'-1' is not an epoch: expected a whole number"),
        ("text", ["x" * 201], "a text of 201 characters is too long: 200 at most"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_with_a_way_out(
    key: str, values: list[str], said: str
) -> None:
    with pytest.raises(QueryError) as caught:
        parse_query({key: values}, now=NOW)
    assert said in str(caught.value)


def test_a_time_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(QueryError, match="nothing can be between"):
        parse_query({"since": ["1h"], "until": ["2h"]}, now=NOW)


FOUND = an_event(transfer="invoices", account="supplier", error="Partner refused it")


def test_an_event_that_agrees_with_every_filter_matches() -> None:
    assert MEANT.matches(FOUND)
    assert EventQuery().matches(FOUND)


@pytest.mark.parametrize(
    "asked",
    [
        EventQuery(since=datetime(2026, 11, 29, 10, 0, 0, 1000, tzinfo=UTC)),
        EventQuery(until=datetime(2026, 11, 29, 10, 0, tzinfo=UTC)),
        EventQuery(members=frozenset({MemberName("node-2")})),
        EventQuery(events=frozenset({EventName.RUN_FAILED})),
        EventQuery(groups=frozenset({Group.INBOUND})),
        EventQuery(least=Severity.ERROR),
        EventQuery(component=Component(kind="service", name="invoices")),
        EventQuery(account="other"),
        EventQuery(revision="abce"),
        EventQuery(epoch=4),
        EventQuery(text="partner accepted"),
    ],
)
def test_one_filter_that_does_not_agree_is_enough_to_leave_an_event_out(asked: EventQuery) -> None:
    assert not asked.matches(FOUND)


@pytest.mark.parametrize(
    ("text", "facts", "found"),
    [
        ("straße", {"path": "/Straße/1"}, True),
        ("ÄRGER", {"why": "ärger"}, True),
        ("invoices.csv", {"files": [{"path": "in/Invoices.CSV"}]}, True),
        ("k", {"why": "\u212a"}, False),  # the sign for kelvin is no k
        ("true", {"dry_run": True}, True),
        ("1.5", {"took_s": 1.5}, True),
        ("took_s", {"took_s": 1.5}, True),
        ("a\\b", {"path": 'a\\b "c"'}, True),
        ("deliveryfailed node-1", {}, True),
    ],
)
def test_words_are_looked_for_in_every_field_and_fact(
    text: str, facts: dict[str, Fact], *, found: bool
) -> None:
    event = Event(member=MemberName("node-1"), seq=1, at="", event=FAILED, facts=facts)
    assert EventQuery(text=text).matches(event) is found


def test_a_word_is_looked_for_as_a_log_line_has_it() -> None:
    assert as_written('a\\b"c') == ("a", "b", "c")
    assert as_written(fold("Ärger-1")) == ("rger-1",)
