"""The event log stays within its bound; what is lost to that is counted, and no number is used again."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from clocks import SetClock

from mftgit.adapters.events import index as event_index
from mftgit.adapters.events.store import ACKNOWLEDGED, ROLLOUT, EventStore
from mftgit.member.event_upkeep import TELL_S, EventUpkeep
from mftgit.model.events.event import Event, EventName
from mftgit.model.events.kinds import KINDS, Severity
from mftgit.model.events.query import EventQuery
from mftgit.model.events.retention import EventLimits
from mftgit.model.names import MemberName

ME, OTHER = MemberName("me"), MemberName("other")
USUAL, NEWS, BAD = EventName.RUN_FINISHED, EventName.OWNERSHIP_TAKEN, EventName.RUN_FAILED
LARGE = 10**9


class Log:
    """An event log with its upkeep."""

    def __init__(self, folder: Path, *, is_controller: bool = False) -> None:
        self.path = folder / "events.sqlite"
        self.clock = SetClock()
        self.limits = EventLimits(max_bytes=LARGE, member_max_bytes=LARGE)
        self.store = EventStore(self.path, member=ME, now=self.clock.now)
        self.upkeep = EventUpkeep(
            self.store,
            limits=lambda: self.limits,
            is_controller=is_controller,
            clock=self.clock,
            rest_s=0,
        )

    def write(self, *names: EventName) -> None:
        self.store.append_all([(each, {"text": "x" * 100}) for each in names])

    def acknowledge(self) -> None:
        for each in (ACKNOWLEDGED, ROLLOUT):
            self.store.advance(each, self.store.keeping.last_position())

    def at_most(self, size_bytes: int) -> None:
        self.limits = replace(self.limits, max_bytes=size_bytes, member_max_bytes=size_bytes)

    def days(self, count: int) -> None:
        for _ in range(count):
            self.clock.pass_s(timedelta(days=1).total_seconds())
            self.upkeep.look()

    @property
    def read(self) -> list[Event]:
        return [event for _, event in self.store.after(0, limit=100_000)]

    @property
    def names(self) -> list[EventName]:
        return [each.event for each in self.read]

    @property
    def seqs(self) -> list[int]:
        return [each.seq for each in self.read]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_index, "BLOCK", 4)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    made = Log(tmp_path)
    with closing(made.store):
        yield made


@pytest.fixture
def everything(tmp_path: Path) -> Iterator[Log]:
    made = Log(tmp_path, is_controller=True)
    with closing(made.store):
        yield made


def test_what_the_controller_has_goes_after_its_days(log: Log) -> None:
    log.limits = replace(log.limits, member_keep_days=2)
    log.write(*[USUAL] * 6)
    log.acknowledge()
    log.write(*[USUAL] * 3)
    log.upkeep.look()
    log.days(2)
    assert log.seqs == [7, 8, 9], "the controller has not got these"
    log.acknowledge()
    log.days(1)
    assert log.seqs == []
    assert log.store.keeping.dropped() == 0


def test_no_number_is_used_again_after_everything_went(log: Log) -> None:
    log.limits = replace(log.limits, member_keep_days=1)
    log.write(*[USUAL] * 6)
    log.acknowledge()
    log.upkeep.look()
    log.days(1)
    assert log.seqs == []
    assert log.store.last_seq(ME) == 6
    log.store.start_after(2)
    log.store.renumber(0, above=3)
    assert log.store.append(BAD).seq == 7
    with closing(EventStore(log.path, member=ME, now=log.clock.now)) as again:
        assert again.append(BAD).seq == 8


def test_what_matters_least_goes_first_from_a_log_that_is_full(log: Log) -> None:
    log.write(*[USUAL, NEWS, BAD] * 10)
    log.at_most(230 * 18)
    log.upkeep.look()
    left = log.names
    assert left.count(BAD) == 10
    assert left.count(NEWS) >= 6
    assert left.count(USUAL) == 0
    (told,) = [each for each in log.read if each.event is EventName.EVENTS_DROPPED]
    lost = {"info": 10, "notice": 10 - left.count(NEWS), "warning": 0, "error": 0}
    assert told.facts["dropped"] == lost
    assert log.store.keeping.dropped() == sum(lost.values())
    assert told.facts["members"] == [ME]


def test_nothing_goes_before_it_is_known_how_much_is_kept(log: Log) -> None:
    log.write(*[USUAL] * 6)
    log.acknowledge()
    unknown = EventUpkeep(
        log.store, limits=lambda: None, is_controller=False, clock=log.clock, rest_s=0
    )
    for _ in range(500):
        log.clock.pass_s(86_400)
        unknown.look()
    assert len(log.seqs) == 6


def test_the_oldest_of_a_severity_go_first(log: Log) -> None:
    log.write(*[USUAL] * 30)
    log.at_most(230 * 20)
    log.upkeep.look()
    left = [each.seq for each in log.read if each.event is USUAL]
    assert left == list(range(31 - len(left), 31))
    assert 10 < len(left) < 20


def test_what_the_controller_has_goes_before_anything_is_lost(log: Log) -> None:
    log.write(*[BAD] * 10)
    log.acknowledge()
    log.write(*[USUAL] * 10)
    log.at_most(230 * 12)
    log.upkeep.look()
    assert log.names.count(USUAL) == 10
    assert log.store.keeping.dropped() == 0


def test_a_bound_that_only_errors_reach_holds_too(log: Log) -> None:
    log.write(*[BAD] * 30)
    log.at_most(230 * 10)
    log.upkeep.look()
    assert log.store.keeping.size_bytes() <= 230 * 12
    assert log.store.keeping.dropped() > 15


def test_loss_is_told_once_an_hour_and_none_is_left_out(log: Log) -> None:
    log.at_most(230 * 10)
    for _ in range(3):
        log.write(*[USUAL] * 20)
        log.upkeep.look()
    assert log.names.count(EventName.EVENTS_DROPPED) == 1
    log.clock.pass_s(TELL_S + 1)
    log.upkeep.look()
    told = [each for each in log.read if each.event is EventName.EVENTS_DROPPED]
    counts = [sum(each.facts["dropped"].values()) for each in told]  # type: ignore[union-attr]
    assert len(counts) == 2
    assert sum(counts) == log.store.keeping.dropped()


def test_the_controller_keeps_work_as_usual_for_less_long_where_it_is_told_to(
    everything: Log,
) -> None:
    log = everything
    log.limits = replace(log.limits, keep_days=4, keep_info_days=2)
    log.write(*[USUAL, BAD] * 5)
    log.acknowledge()
    log.upkeep.look()
    log.days(2)
    assert log.names == [BAD] * 5
    log.days(2)
    assert log.names == []


def test_a_clock_that_is_set_to_and_fro_by_years_makes_nothing_old(everything: Log) -> None:
    log = everything
    log.limits = replace(log.limits, keep_days=3)
    log.write(*[BAD] * 5)
    log.acknowledge()
    log.upkeep.look()
    for days in (4000, -4000) * 5:
        log.clock.moment += timedelta(days=days)
        log.upkeep.look()
        log.upkeep.look()
    assert len(log.seqs) == 5


def test_a_member_that_starts_often_has_no_more_days_for_that(everything: Log) -> None:
    log = everything
    log.limits = replace(log.limits, keep_days=3)
    log.write(*[BAD] * 5)
    log.acknowledge()
    for _ in range(9):
        log.upkeep = EventUpkeep(
            log.store, limits=lambda: log.limits, is_controller=True, clock=log.clock, rest_s=0
        )
        log.clock.pass_s(3600)
        log.upkeep.look()
    assert len(log.seqs) == 5


def test_a_fact_that_is_written_once_is_not_written_again_after_it_went(log: Log) -> None:
    log.limits = replace(log.limits, member_keep_days=1)
    first = log.store.append(BAD, once="a")
    log.acknowledge()
    log.upkeep.look()
    log.days(1)
    assert log.seqs == []
    assert log.store.append(BAD, once="a") == first
    assert log.seqs == []


def of_other(seq: int, *, text: str = "") -> Event:
    return Event(member=OTHER, seq=seq, at="", event=USUAL, facts={"text": text})


def test_another_event_under_a_number_that_went_is_not_taken_for_it(everything: Log) -> None:
    log = everything
    log.limits = replace(log.limits, keep_days=1)
    log.store.collect([of_other(seq) for seq in range(1, 10)])
    log.acknowledge()
    log.upkeep.look()
    log.days(1)
    assert log.seqs == []
    assert log.store.last_seq(OTHER) == 9
    assert log.store.collect([of_other(9, text="new")]) == 0, "its member has to number it anew"
    assert log.store.collect([of_other(10, text="new")]) == 1


def test_a_search_finds_what_is_left(everything: Log) -> None:
    log = everything
    log.limits = replace(log.limits, keep_days=9, keep_info_days=1)
    log.write(*[USUAL, BAD, NEWS] * 7)
    log.acknowledge()
    log.upkeep.look()
    log.days(1)
    assert log.store.search(EventQuery(events=frozenset({USUAL}))) == []
    assert len(log.store.search(EventQuery(least=Severity.ERROR))) == 7
    assert len(log.store.search(EventQuery())) == 14


def test_the_index_holds_what_is_in_the_log_and_nothing_else(everything: Log) -> None:
    log = everything
    log.limits = replace(log.limits, keep_days=2, keep_info_days=1)
    log.write(*[USUAL, BAD, NEWS] * 7)
    log.acknowledge()
    log.upkeep.look()
    log.days(1)
    with closing(sqlite3.connect(log.path)) as database:
        blocks = database.execute("SELECT block, events, size_bytes FROM blocks").fetchall()
        for block, events, size_bytes in blocks:
            rows = event_index.read_block(database, block)
            assert (events, size_bytes) == (len(rows), sum(size for _, _, size in rows))
        (count,) = database.execute("SELECT count(DISTINCT block) FROM terms").fetchone()
        assert count == len(blocks)
    log.days(1)
    with closing(sqlite3.connect(log.path)) as database:
        assert database.execute("SELECT count(*) FROM blocks").fetchone() == (0,)
        assert database.execute("SELECT count(*) FROM terms").fetchone() == (0,)


def test_an_event_of_a_newer_version_goes_with_the_others_of_its_age(everything: Log) -> None:
    log = everything
    with closing(sqlite3.connect(log.path)) as other:
        body = json.dumps({**of_other(2).as_json(), "event": "NotYetKnown"})
        other.execute("INSERT INTO events (member, seq, body) VALUES ('other', 2, ?)", (body,))
        other.commit()
    log.limits = replace(log.limits, keep_days=2, keep_info_days=1)
    log.acknowledge()
    log.upkeep.look()
    log.days(1)
    assert count(log) == 1
    log.days(1)
    assert count(log) == 0


def count(log: Log) -> int:
    with closing(sqlite3.connect(log.path)) as database:
        (rows,) = database.execute("SELECT count(*) FROM events").fetchone()
        return int(rows)


def test_every_severity_is_used_above() -> None:
    assert [KINDS[each].severity for each in (USUAL, NEWS, BAD)] == [
        Severity.INFO,
        Severity.NOTICE,
        Severity.ERROR,
    ]
