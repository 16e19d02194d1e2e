"""A search of the event log finds what the query asks for, no more and no less, in pages."""

from collections.abc import Sequence
from contextlib import closing

import pytest
from clocks import SetClock
from hypothesis import given
from hypothesis import strategies as st

from mftgit.adapters.event_store import EventStore
from mftgit.model.event_kinds import Component, Group, Severity
from mftgit.model.event_query import EventQuery
from mftgit.model.events import Event, EventName
from mftgit.model.names import Epoch, MemberName, Revision

ME = MemberName("me")
MEMBERS = [MemberName(each) for each in ("me", "node-1", "node-2")]
TEXTS = ["a", "Ä", "ä", "K", "\u212a", "İ", "\u017f", "s", "\\", '"', "%", "_", "!", "\n", "0", " "]

texts = st.lists(st.sampled_from(TEXTS), max_size=4).map("".join)
ats = st.sampled_from(["2026-11-29T10:00:00.000Z", "2026-11-30T10:00:00.000Z", "not a time"])
events = st.builds(
    Event,
    member=st.sampled_from(MEMBERS),
    seq=st.integers(1, 30),
    at=ats,
    event=st.sampled_from(EventName),
    revision=st.sampled_from([None, Revision("a" * 40), Revision("ab" * 20)]),
    epoch=st.sampled_from([None, Epoch(1), Epoch(2)]),
    facts=st.fixed_dictionaries(
        {},
        optional={
            "transfer": st.sampled_from(["x", "y"]),
            "account": texts,
            "files": st.lists(texts, max_size=2),
            "count": st.integers(0, 20) | st.floats(0, 1) | st.booleans() | st.none(),
        },
    ),
)
queries = st.builds(
    EventQuery,
    since=st.none() | st.datetimes(timezones=st.timezones()),
    members=st.frozensets(st.sampled_from(MEMBERS), max_size=2),
    events=st.frozensets(st.sampled_from(EventName), max_size=3),
    groups=st.frozensets(st.sampled_from(Group), max_size=2),
    least=st.none() | st.sampled_from(Severity),
    component=st.none() | st.just(Component(kind="transfer", name="x")),
    account=st.none() | texts,
    revision=st.sampled_from([None, "a", "ab"]),
    epoch=st.sampled_from([None, 1]),
    text=st.none() | texts,
)


def logged(log: EventStore, made: Sequence[Event]) -> list[tuple[int, Event]]:
    for each in made:
        log.collect([each])
    return log.after(0)


def all_of(log: EventStore, query: EventQuery, *, limit: int, newest: bool) -> list[int]:
    found: list[int] = []
    place = None if newest else 0
    while page := (
        log.search(query, before=place, limit=limit)
        if newest
        else log.search(query, after=place, limit=limit)
    ):
        assert len(page) <= limit
        found += [each for each, _ in page]
        place = found[-1]
    return found


@given(
    made=st.lists(events, max_size=12),
    query=queries,
    limit=st.integers(1, 5),
    newest=st.booleans(),
)
def test_a_search_finds_in_pages_just_what_matches(
    tmp_path_factory: pytest.TempPathFactory,
    made: list[Event],
    query: EventQuery,
    limit: int,
    *,
    newest: bool,
) -> None:
    path = tmp_path_factory.mktemp("log") / "events.sqlite"
    with closing(EventStore(path, member=ME, now=SetClock().now)) as log:
        wanted = [place for place, each in logged(log, made) if query.matches(each)]
        found = all_of(log, query, limit=limit, newest=newest)
    assert found == (wanted[::-1] if newest else wanted)
