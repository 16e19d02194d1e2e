"""A search of the event log finds what the query asks for, no more and no less, in pages."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from clocks import SetClock
from hypothesis import given
from hypothesis import strategies as st

from mftgit.adapters.events import index as event_index
from mftgit.adapters.events.store import EventStore
from mftgit.model.events.event import Event, EventName
from mftgit.model.events.kinds import Component, Group, Severity
from mftgit.model.events.query import EventQuery
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


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(event_index, "BLOCK", 3)
        yield


def logged(log: EventStore, made: Sequence[Event]) -> list[tuple[int, Event]]:
    assert log.collect(made) == len(made)
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
    made=st.lists(events, max_size=12, unique_by=lambda each: (each.member, each.seq)),
    query=queries,
    limit=st.integers(1, 5),
    newest=st.booleans(),
    sealed=st.integers(0, 4),
)
def test_a_search_finds_in_pages_just_what_matches(
    tmp_path_factory: pytest.TempPathFactory,
    made: list[Event],
    query: EventQuery,
    limit: int,
    *,
    newest: bool,
    sealed: int,
) -> None:
    path = tmp_path_factory.mktemp("log") / "events.sqlite"
    with closing(EventStore(path, member=ME, now=SetClock().now)) as log:
        wanted = [place for place, each in logged(log, made) if query.matches(each)]
        for _ in range(sealed):
            log.keeping.seal()
        found = all_of(log, query, limit=limit, newest=newest)
    assert found == (wanted[::-1] if newest else wanted)


def an_event(seq: int, *, at: str = "2026-11-29T10:00:00.000Z", why: str = "") -> Event:
    return Event(
        member=ME, seq=seq, at=at, event=EventName.RUN_FAILED, facts={"transfer": "x", "why": why}
    )


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventStore]:
    with closing(EventStore(tmp_path / "events.sqlite", member=ME, now=SetClock().now)) as made:
        yield made


@pytest.mark.parametrize("newest", [True, False])
def test_a_search_that_runs_out_of_time_tells_from_where_it_goes_on(
    log: EventStore, *, newest: bool
) -> None:
    log.collect([an_event(each, why="yes" if each in {1, 11} else "no") for each in range(1, 13)])
    while log.keeping.seal():
        pass
    query, found, place, looks = EventQuery(text="yes"), list[int](), None if newest else 0, 0
    while True:
        looks += 1
        page = (
            log.look(query, before=place, within_s=0)
            if newest
            else log.look(query, after=place, within_s=0)
        )
        found += [event.seq for _, event in page.found]
        place = page.reached
        if page.is_whole:
            break
    assert found == ([11, 1] if newest else [1, 11])
    assert looks > 4, "each block was looked at in a look of its own"


def test_a_log_of_an_earlier_version_is_searched_before_it_is_indexed_and_after(
    tmp_path: Path,
) -> None:
    path = tmp_path / "events.sqlite"
    with closing(sqlite3.connect(path)) as old:
        old.executescript(
            "CREATE TABLE events (position INTEGER PRIMARY KEY AUTOINCREMENT,"
            " member TEXT NOT NULL, seq INTEGER NOT NULL, body TEXT NOT NULL, UNIQUE (member, seq));"
            "CREATE TABLE progress (name TEXT PRIMARY KEY, value INTEGER NOT NULL);"
            "CREATE TABLE once (name TEXT PRIMARY KEY, position INTEGER NOT NULL);"
        )
        for seq in range(1, 9):
            body = json.dumps(an_event(seq, why=f"w{seq}").as_json())
            old.execute("INSERT INTO events (member, seq, body) VALUES ('me', ?, ?)", (seq, body))
        old.execute("INSERT INTO progress VALUES ('acknowledged', 5)")
        old.commit()
    with closing(EventStore(path, member=ME, now=SetClock().now)) as log:
        for _ in range(4):
            found = log.search(
                EventQuery(text="w2", component=Component(kind="transfer", name="x"))
            )
            assert [each.seq for _, each in found] == [2]
            log.keeping.seal()
        assert log.progress("acknowledged") == 5
        assert log.append(EventName.RUN_STARTED).seq == 9


def test_an_event_of_a_newer_version_is_passed_over(log: EventStore, tmp_path: Path) -> None:
    log.collect([an_event(1)])
    with closing(sqlite3.connect(tmp_path / "events.sqlite")) as other:
        body = json.dumps({**an_event(2).as_json(), "event": "NotYetKnown"})
        other.execute("INSERT INTO events (member, seq, body) VALUES ('me', 2, ?)", (body,))
        other.commit()
    log.collect([an_event(3)])
    assert log.keeping.seal()
    assert [event.seq for _, event in log.search(EventQuery())] == [3, 1]


def test_a_block_without_what_is_asked_for_is_not_looked_through(log: EventStore) -> None:
    log.collect([an_event(each) for each in range(1, 7)])
    while log.keeping.seal():
        pass
    nothing = EventQuery(component=Component(kind="transfer", name="y"))
    assert log.look(nothing, before=3, within_s=0).is_whole
    late = EventQuery(since=datetime(2027, 1, 1, tzinfo=UTC))
    assert log.look(late, before=3, within_s=0).is_whole
    none_left = EventQuery(
        events=frozenset({EventName.RUN_FAILED}), groups=frozenset({Group.MEMBER})
    )
    assert log.search(none_left) == []
