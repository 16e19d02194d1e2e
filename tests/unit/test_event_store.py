"""The event log numbers without a gap, keeps what it was given, and takes nothing twice."""

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from clocks import SetClock
from hypothesis import given
from hypothesis import strategies as st

from mftgit.adapters.events.store import EventStore
from mftgit.adapters.sqlite import DatabaseError
from mftgit.model.events.event import Event, EventName
from mftgit.model.names import Epoch, MemberName, Revision

ME, OTHER = MemberName("me"), MemberName("other")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    made = EventStore(tmp_path / "events.sqlite", member=ME, now=SetClock().now)
    yield made
    made.close()


def test_events_are_numbered_from_one_and_read_in_order(store: EventStore) -> None:
    for _ in range(3):
        store.append(EventName.RUN_STARTED, revision=Revision("a" * 40), epoch=Epoch(2))
    read = [event for _, event in store.after(0)]
    assert [event.seq for event in read] == [1, 2, 3]
    assert read[0].at == "2026-11-23T08:00:00.000Z"
    assert (read[0].revision, read[0].epoch) == ("a" * 40, 2)
    position = store.after(0, limit=2)[-1][0]
    assert [event.seq for _, event in store.after(position)] == [3]


def test_events_that_are_told_together_are_numbered_in_their_order(store: EventStore) -> None:
    store.append(EventName.RUN_STARTED)
    facts = [{"path": name} for name in ("a", "b")]
    store.append_each(EventName.DELIVERY_SUCCEEDED, facts, epoch=Epoch(3))
    store.append(EventName.RUN_FINISHED)
    told = [event for _, event in store.after(0)]
    assert [event.seq for event in told] == [1, 2, 3, 4]
    assert [(event.epoch, event.facts) for event in told[1:3]] == [(3, each) for each in facts]


def test_events_that_are_told_together_may_have_epochs_of_their_own(store: EventStore) -> None:
    epochs = [Epoch(3), Epoch(7)]
    store.append_each(
        EventName.OWNERSHIP_TAKEN, [{"transfer": "a"}, {"transfer": "b"}], epochs=epochs
    )
    assert [event.epoch for _, event in store.after(0)] == epochs


def test_many_threads_leave_no_gap_and_no_number_twice(store: EventStore) -> None:
    threads = [
        threading.Thread(target=lambda: [store.append(EventName.RUN_STARTED) for _ in range(20)])
        for _ in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [event.seq for _, event in store.after(0)] == list(range(1, 101))


def test_an_event_that_arrives_twice_is_kept_once(store: EventStore) -> None:
    event = Event(member=OTHER, seq=7, at="x", event=EventName.RUN_STARTED)
    store.collect([event])
    store.collect([event, Event(member=OTHER, seq=8, at="x", event=EventName.RUN_FINISHED)])
    assert [each.seq for _, each in store.after(0)] == [7, 8]
    assert store.last_seq(OTHER) == 8
    assert store.append(EventName.RUN_STARTED).seq == 1


def test_numbers_go_on_after_a_restart(store: EventStore, tmp_path: Path) -> None:
    store.append(EventName.RUN_STARTED)
    again = EventStore(tmp_path / "events.sqlite", member=ME, now=SetClock().now)
    assert again.append(EventName.RUN_STARTED).seq == 2
    again.close()


def test_a_member_that_joins_anew_uses_no_number_again(store: EventStore) -> None:
    store.start_after(41)
    assert store.append(EventName.RUN_STARTED).seq == 42


def test_progress_is_kept(store: EventStore) -> None:
    assert store.progress("acknowledged") == 0
    store.advance("acknowledged", 5)
    assert store.progress("acknowledged") == 5


def event(seq: int, at: str) -> Event:
    return Event(member=OTHER, seq=seq, at=at, event=EventName.RUN_STARTED)


def test_another_event_under_a_number_that_is_taken_is_not_passed_over(store: EventStore) -> None:
    assert store.collect([event(1, "a"), event(2, "b")]) == 2
    assert store.collect([event(2, "b"), event(3, "c"), event(1, "z"), event(9, "y")]) == 2
    assert [(each.seq, each.at) for _, each in store.after(0)] == [(1, "a"), (2, "b"), (3, "c")]


@given(
    kept=st.integers(0, 5),
    fresh=st.integers(0, 5),
    above=st.integers(0, 20),
    floor=st.integers(0, 9),
)
def test_events_that_get_new_numbers_keep_their_order_and_share_none(
    tmp_path_factory: pytest.TempPathFactory, kept: int, fresh: int, above: int, floor: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "events.sqlite"
    with closing(EventStore(path, member=ME, now=SetClock().now)) as log:
        log.start_after(floor)
        before = [log.append(EventName.RUN_STARTED).seq for _ in range(kept)]
        position = max((place for place, _ in log.after(0)), default=0)
        for number in range(fresh):
            log.append(EventName.RUN_FINISHED, facts={"number": number})
        log.renumber(position, above=above)
        log.append(EventName.RUN_FAILED)
        read = [each for _, each in log.after(0)]
    seqs = [each.seq for each in read]
    assert seqs == sorted(set(seqs))
    assert seqs[:kept] == before
    assert [each.facts["number"] for each in read[kept:-1]] == list(range(fresh))
    assert min(seqs[kept:]) > max([above, *before])


def test_a_thread_that_comes_after_the_end_is_told_so(tmp_path: Path) -> None:
    store = EventStore(tmp_path / "events.sqlite", member=MemberName("m"), now=SetClock().now)
    store.close()
    told: list[str] = []

    def come_late() -> None:
        with pytest.raises(DatabaseError) as caught:
            store.after(0)
        told.append(str(caught.value))

    thread = threading.Thread(target=come_late)
    thread.start()
    thread.join()
    assert "it was closed" in told[0]
