"""What is said of banned sources is taken as far as it makes sense, and bounded."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from mftgit.model.events.event import Event, EventName, Fact
from mftgit.model.inbound.bans import (
    LONGEST_BAN_S,
    MOST_TOLD,
    Ban,
    BanNews,
    ban_facts,
    banned_source,
    covering,
    parse_ban_news,
    reported_bans,
)
from mftgit.model.names import MemberName, ServiceName

BAN = Ban(
    source="192.0.2.7/32",
    left_s=900.0,
    by=MemberName("node-1"),
    service=ServiceName("partners"),
    failures=10,
)


def banned(
    facts: Mapping[str, Fact] | None = None, *, at: str = "2026-11-23T08:00:00.000Z"
) -> Event:
    made = ban_facts(BAN.source, seconds=900.0, service=BAN.service, failures=10)
    return Event(
        member=BAN.by,
        seq=7,
        at=at,
        event=EventName.SOURCE_BANNED,
        facts={**made, **(facts or {})},
    )


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("192.0.2.7", "192.0.2.7/32"),
        ("192.0.2.7/24", "192.0.2.0/24"),
        ("::ffff:192.0.2.7", "192.0.2.7/32"),
        ("2001:db8::1/64", "2001:db8::/64"),
    ],
)
def test_a_source_is_told_as_a_network(text: str, source: str) -> None:
    assert banned_source(text) == source


@pytest.mark.parametrize("text", ["0.0.0.0/0", "10.0.0.0/23", "::/0", "2001:db8::/47", "host", ""])
def test_nobody_bans_half_the_world(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        banned_source(text)
    assert not reported_bans([banned({"source": text})], sent_at=None)


def test_an_event_bans_for_what_is_left_by_the_clock_of_the_member_that_wrote_it() -> None:
    (found,) = reported_bans([banned()], sent_at=None)
    assert (found.source, found.left_s, found.by, found.seq) == (BAN.source, 900.0, "node-1", 7)
    (late,) = reported_bans([banned()], sent_at="2026-11-23T08:10:00.000Z")
    assert late.left_s == 300.0
    (over,) = reported_bans([banned()], sent_at="2026-11-23T09:00:00.000Z")
    assert over.left_s == 0.0
    (set_back,) = reported_bans([banned()], sent_at="2026-11-23T07:00:00.000Z")
    assert set_back.left_s == 900.0


def test_no_ban_is_longer_than_a_service_can_ask_for() -> None:
    (found,) = reported_bans([banned({"seconds": 1e300})], sent_at=None)
    assert found.left_s == LONGEST_BAN_S


@pytest.mark.parametrize(
    "facts",
    [
        {"source": 7},
        {"seconds": "900"},
        {"seconds": None},
        {"failures": "many"},
        {"service": "NO NAME"},
    ],
)
def test_an_event_of_another_shape_bans_nothing(facts: dict[str, Fact]) -> None:
    assert not reported_bans([banned(facts)], sent_at=None)


def test_a_time_that_is_none_bans_nothing() -> None:
    assert not reported_bans([banned()], sent_at="yesterday")
    assert not reported_bans([banned()], sent_at="2026-11-23T08:10:00.000")  # of no time zone
    assert not reported_bans([banned(at="yesterday")], sent_at="2026-11-23T08:10:00.000Z")


def test_other_events_ban_nothing() -> None:
    other = replace(banned(), event=EventName.MEMBER_STARTED)
    assert not reported_bans([other], sent_at=None)


def test_news_come_over_the_wire_whole() -> None:
    news = BanNews(
        number=3, bans=(BAN, replace(BAN, source="2001:db8::/64", left_s=0.0)), more=True
    )
    assert parse_ban_news(news.as_json()) == news


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"number": 1, "bans": []},
        {"number": -1, "bans": [], "more": False},
        {"number": 1, "bans": [None], "more": False},
        {"number": 1, "bans": [BAN.as_json() | {"source": "::/0"}], "more": False},
        {"number": 1, "bans": [BAN.as_json() | {"by": "\x1b"}], "more": False},
        {"number": 1, "bans": [BAN.as_json()] * (MOST_TOLD + 1), "more": False},
    ],
)
def test_what_is_no_news_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_ban_news(value)


def test_an_address_is_covered_by_the_networks_that_it_is_in_and_a_network_covers_what_is_in_it() -> (
    None
):
    wide = replace(BAN, source="192.0.2.0/24")
    six = replace(BAN, source="2001:db8::/64")
    assert covering("192.0.2.7", [BAN, wide, six]) == [BAN, wide]
    assert covering("192.0.2.8", [BAN, wide, six]) == [wide]
    assert covering("2001:db8::/32", [BAN, wide, six]) == [six]
    with pytest.raises(ValueError, match="host"):
        covering("host", [BAN])
