"""A schedule whose owners change: each firing is run once, by whoever owns the transfer then, and says if late."""

import json
import multiprocessing
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import pairwise
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from clocks import Wall
from lone_node import lone_node
from outbound_site import TARGET, Crash, Owner
from outbound_site import Site as Storage
from outbound_site import site as storage
from waiting import WAIT_S, until

from mftgit.adapters.endpoint.contract import EndpointLostError
from mftgit.member.outbound.firing.firings import Firings
from mftgit.member.outbound.ownership.own import OwnershipEndedError
from mftgit.member.outbound.records.intents import Intents
from mftgit.member.outbound.records.pauses import Pauses
from mftgit.member.outbound.runs.run import has_work, run_once
from mftgit.member.outbound.service import Outbound
from mftgit.model.configuration.config import (
    AfterSuccess,
    Cluster,
    Destination,
    Generation,
    Member,
    Overwrite,
    Role,
    Source,
    Transfer,
)
from mftgit.model.configuration.plan import plan
from mftgit.model.events.event import EventName
from mftgit.model.locations.location import LocalLocation
from mftgit.model.names import LocationName, MemberName, Revision, TransferName
from mftgit.model.transfers.calendars import Calendar
from mftgit.model.transfers.commands import Command, Commands
from mftgit.model.transfers.firing import Fired, Firing
from mftgit.model.transfers.pause import Pause
from mftgit.model.transfers.triggers import CronTrigger, IntervalTrigger, Trigger

T = TransferName("t")
HERE, THERE = LocationName("here"), LocationName("there")
REVISION = Revision("a" * 40)
EIGHT = datetime(2026, 11, 23, 8, tzinfo=UTC)
DAILY = CronTrigger(expression="0 8 * * *")
SLOW = "slow"
TTL_S = 20.0
"""No owner of a test is to lose its lease because the machine stood still."""
KILLED_TTL_S = 6.0
"""That of one that is killed, which has to run out."""
_fork = multiprocessing.get_context("fork")


def s(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def transfer(trigger: Trigger = DAILY) -> Transfer:
    return Transfer(
        name=T,
        source=Source(location=HERE, stable_s=0.0),
        destination=Destination(location=THERE, overwrite=Overwrite.OVERWRITE),
        trigger=trigger,
        after_success=AfterSuccess.DELETE,
    )


@dataclass
class Members:
    """Any number of members over one files root; what each told is kept in a file of the root."""

    root: Path
    ttl_s: float = TTL_S
    running: dict[str, Outbound] = field(default_factory=dict)
    active: dict[str, Generation] = field(default_factory=dict)
    clocks: dict[str, Wall] = field(default_factory=dict)
    wall: Wall | None = None  # which all have, and the scheduler's library too

    def start(self, name: str, at: datetime, *transfers: Transfer, **rest: Any) -> Outbound:
        self.clocks[name] = self.wall or Wall()
        self.clocks[name].set(at)

        def record(event: EventName, **told: Any) -> None:
            for facts in told.get("each") or [told.get("facts") or {}]:
                line = json.dumps({"by": name, "event": event.value, **facts}) + "\n"
                with (self.root / "events").open("a", encoding="utf-8") as stream:
                    stream.write(line)

        made = lone_node(self.root, name, record, clock=self.clocks[name])
        made.start()
        self.running[name] = made
        self.apply(name, *(transfers or (transfer(),)), **rest)
        return made

    def apply(
        self, name: str, *transfers: Transfer, calendars: Mapping[str, Calendar] | None = None
    ) -> None:
        wanted = Generation(
            cluster=Cluster(name="c", lease_ttl_s=self.ttl_s, calendars=calendars or {}),
            member=Member(name=MemberName(name), role=Role.NODE),
            locations={
                HERE: LocalLocation(name=HERE, path="here"),
                THERE: LocalLocation(name=THERE, path="there"),
            },
            transfers={each.name: each for each in transfers},
            declared=frozenset(each.name for each in transfers),
        )
        member = self.running[name]
        steps = plan(self.active.get(name), wanted)
        member.apply(member.prepare(steps, wanted, fresh=True), revision=REVISION)
        self.active[name] = wanted

    def until_owned(self, name: str, *, times: int = 1) -> None:
        """Wait until the member has taken the transfer, and has looked what there is to do."""
        until(lambda: len(self.told(EventName.OWNERSHIP_TAKEN, by=name)) >= times)
        until(lambda: self.is_idle(name))

    def is_idle(self, name: str) -> bool:
        line = self.running[name]._lines[T]
        return line.runs > 0 and not line.running

    def fire(self, name: str) -> None:
        """Do as the scheduler of the member does when it is time, and wait for what comes of it."""
        self.running[name]._fire(T)
        until(lambda: not self.running[name]._lines[T].running)

    def stop(self, name: str) -> None:
        self.running.pop(name).stop()
        self.active.pop(name)

    def drop(self, *names: str) -> None:
        (self.root / "here").mkdir(exist_ok=True)
        for name in names:
            (self.root / "here" / name).write_text(name, encoding="utf-8")

    def arrived(self) -> list[str]:
        return sorted(path.name for path in (self.root / "there").glob("[!.]*"))

    def told(self, event: EventName, *, by: str | None = None) -> list[dict[str, Any]]:
        try:
            lines = (self.root / "events").read_text(encoding="utf-8").splitlines(keepends=True)
        except FileNotFoundError:
            return []
        found = [json.loads(line) for line in lines if line.endswith("\n")]
        return [each for each in found if each["event"] == event.value and by in {None, each["by"]}]

    def runs(self) -> list[tuple[str, str | None, bool]]:
        """Return who began a run for which firing, and whether that was caught up."""
        begun = self.told(EventName.RUN_STARTED)
        return [(each["by"], each["due_at"], each["caught_up"]) for each in begun]


@pytest.fixture
def members(tmp_path: Path) -> Iterator[Members]:
    made = Members(root=tmp_path)
    yield made
    for name in list(made.running):
        made.stop(name)


@pytest.fixture
def wall(members: Members, monkeypatch: pytest.MonkeyPatch) -> Wall:
    """One clock on the wall for all members."""
    made = members.wall = Wall()

    class Moved(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + made.ahead  # noqa: TID251

    monkeypatch.setattr("apscheduler.schedulers.base.datetime", Moved)
    return made


AT_EIGHT = "2026-11-23T08:00:00.000Z"


def test_a_firing_that_an_owner_ran_is_not_run_again_by_the_next_one(members: Members) -> None:
    members.start("one", EIGHT - s(10))
    members.until_owned("one")
    members.start("two", EIGHT - s(10))
    members.clocks["one"].set(EIGHT)
    members.clocks["two"].set(EIGHT)
    members.fire("one")
    members.fire("two")  # which does not own it
    assert members.runs() == [("one", AT_EIGHT, False)]
    members.stop("one")
    members.until_owned("two")
    assert members.runs() == [("one", AT_EIGHT, False)]


def test_a_firing_that_no_member_saw_is_caught_up_by_the_next_owner_and_says_so(
    members: Members,
) -> None:
    members.start("one", EIGHT - s(20))
    members.until_owned("one")
    members.stop("one")
    members.drop("a")
    members.start("two", EIGHT + s(20))  # it was restarted, and its scheduler saw nothing
    members.until_owned("two")
    assert members.runs() == [("two", AT_EIGHT, True)]
    assert members.arrived() == ["a"]
    (ended,) = members.told(EventName.RUN_FINISHED)
    assert (ended["due_at"], ended["caught_up"]) == (AT_EIGHT, True)
    (status,) = members.running["two"].status()
    assert status.last_run is not None
    assert (status.last_run.due_at, status.last_run.caught_up) == (AT_EIGHT, True)
    members.fire("two")  # as its own scheduler may, a moment late
    assert len(members.runs()) == 1


@pytest.mark.parametrize(
    ("catch_up_s", "late_s", "runs"), [(3600.0, 3700, 0), (7200.0, 3700, 1), (0.0, 1, 0)]
)
def test_what_was_due_too_long_ago_is_not_made_up_for(
    members: Members, catch_up_s: float, late_s: float, runs: int
) -> None:
    moved = transfer(replace(DAILY, catch_up_s=catch_up_s))
    members.start("one", EIGHT - s(20), moved)
    members.until_owned("one")
    members.stop("one")
    members.start("two", EIGHT + s(late_s), moved)
    members.until_owned("two")
    assert len(members.runs()) == runs


def test_a_transfer_that_never_fired_makes_up_for_nothing(members: Members) -> None:
    members.start("one", EIGHT + s(5))
    members.until_owned("one")
    members.fire("one")
    assert members.runs() == []
    members.clocks["one"].set(EIGHT + s(86_400))
    members.fire("one")
    assert len(members.runs()) == 1


@pytest.mark.parametrize("ahead_s", [5, 3600])
def test_a_firing_is_run_once_also_where_the_clocks_of_two_members_differ(
    members: Members, ahead_s: float
) -> None:
    members.start("ahead", EIGHT)
    members.until_owned("ahead")
    members.start("behind", EIGHT - s(ahead_s))
    tomorrow = EIGHT + s(86_400)
    members.clocks["ahead"].set(tomorrow)
    members.fire("ahead")
    members.clocks["behind"].set(tomorrow - s(ahead_s))
    members.stop("ahead")
    members.until_owned("behind")
    members.clocks["behind"].set(tomorrow)  # the time has come by its own clock
    members.fire("behind")
    assert [by for by, _, _ in members.runs()] == ["ahead"]
    members.clocks["behind"].set(tomorrow + s(86_400))
    members.fire("behind")
    assert [by for by, _, _ in members.runs()] == ["ahead", "behind"]


def test_a_clock_that_is_set_back_repeats_no_firing_and_one_that_was_absurd_stops_none(
    members: Members,
) -> None:
    members.start("one", EIGHT - s(20))
    members.until_owned("one")
    members.clocks["one"].set(EIGHT)
    members.fire("one")
    members.clocks["one"].set(EIGHT - s(3600))
    members.clocks["one"].set(EIGHT)
    members.fire("one")
    assert len(members.runs()) == 1
    members.clocks["one"].set(EIGHT - s(86_400))
    members.fire("one")
    assert [due_at for _, due_at, _ in members.runs()] == [AT_EIGHT, "2026-11-22T08:00:00.000Z"]


def test_a_firing_while_a_transfer_is_paused_is_over_for_every_owner(members: Members) -> None:
    pauses = Pauses(members.root / ".mftgit")
    members.start("one", EIGHT - s(20))
    members.until_owned("one")
    pauses.begin(T, Pause(by="a", member="one", at=AT_EIGHT))
    members.clocks["one"].set(EIGHT)
    members.fire("one")
    members.stop("one")
    pauses.end(T)
    members.start("two", EIGHT + s(60))
    members.until_owned("two")
    assert members.runs() == []


def test_a_day_off_is_the_day_on_which_the_firing_was_due(members: Members) -> None:
    eve = transfer(CronTrigger(expression="59 7,23 * * *", calendar="off"))
    off = {"off": Calendar(dates=("2026-11-24",))}
    members.start("one", EIGHT, eve, calendars=off)
    members.until_owned("one")
    members.stop("one")
    midnight = datetime(2026, 11, 24, tzinfo=UTC)
    members.start("two", midnight + s(10), eve, calendars=off)
    members.until_owned("two")
    assert members.runs() == [("two", "2026-11-23T23:59:00.000Z", True)]
    members.stop("two")
    members.start("three", midnight + s(8 * 3600), eve, calendars=off)
    members.until_owned("three")
    assert len(members.runs()) == 1


def test_a_schedule_that_a_revision_brings_begins_with_it(members: Members) -> None:
    members.start("one", EIGHT - s(100))
    members.until_owned("one")
    members.start("two", EIGHT - s(100))
    for name in ("one", "two"):
        members.clocks[name].set(EIGHT + s(600))
        # Due at 08:05 also, but not under this revision; and then at 08:20, which nobody sees.
        members.apply(name, transfer(CronTrigger(expression="5,20 * * * *")))
    members.clocks["two"].set(EIGHT + s(1230))
    members.stop("one")
    members.until_owned("two")
    assert members.runs() == [("two", "2026-11-23T08:20:00.000Z", True)]


def test_what_was_due_while_a_transfer_was_disabled_is_not_made_up_for(members: Members) -> None:
    other = replace(transfer(CronTrigger(expression="0 0 1 1 *")), name=TransferName("other"))
    members.start("one", EIGHT - s(100), transfer(), other)
    members.until_owned("one")
    members.apply("one", other)
    members.clocks["one"].set(EIGHT + s(100))
    members.apply("one", transfer(), other)
    until(lambda: members.running["one"].status()[1].owner)
    members.fire("one")
    members.stop("one")
    members.start("two", EIGHT + s(200), transfer(), other)
    members.until_owned("two")
    assert members.runs() == []


@pytest.mark.usefixtures("wall")
def test_an_interval_goes_on_in_the_phase_of_its_owner(members: Members) -> None:
    moved = transfer(IntervalTrigger(every_s=600))
    members.start("one", EIGHT, moved)
    members.until_owned("one")
    members.stop("one")
    two = members.start("two", EIGHT + s(400), moved)
    members.until_owned("two")
    assert members.runs() == []
    members.fire("two")  # as its own scheduler does, whose phase is another one
    assert members.runs() == []
    in_s = _next_in_s(two)
    assert 100 < in_s < 300
    members.stop("two")
    three = members.start("three", EIGHT + s(3100), moved)  # several have passed
    members.until_owned("three")
    ((_, due_at, caught_up),) = members.runs()
    first = datetime.fromisoformat(str(due_at))
    assert abs(first - EIGHT - s(3000)) < s(60)
    assert caught_up
    assert 0 < _next_in_s(three) < 600
    assert abs(first + s(600) - members.clocks["three"].now() - s(_next_in_s(three))) < s(30)


def _next_in_s(member: Outbound) -> float:
    found = member._scheduler.next_firings()[T]
    return (found - member._clock.now()).total_seconds()


@pytest.mark.usefixtures("wall")
def test_an_interval_fires_again_and_again_and_its_slots_are_an_interval_apart(
    members: Members,
) -> None:
    members.start("one", EIGHT, transfer(IntervalTrigger(every_s=1.0)))
    until(lambda: len(members.runs()) >= 3)
    members.clocks["one"].ahead -= s(3600)
    until(lambda: len(members.runs()) >= 6)
    due = [datetime.fromisoformat(str(due_at)) for _, due_at, _ in members.runs()]
    apart = [(later - one).total_seconds() for one, later in pairwise(due[:3])]
    # A machine that stood still may have missed some, and what time it is is read from two clocks.
    assert all(each > 0.7 and abs(each - round(each)) < 0.3 for each in apart), apart


def held(one: Outbound) -> tuple[Event, Event]:
    """Hold its runs: give what tells that one has begun, and what lets them go on."""
    began, go_on = Event(), Event()
    record = one._equipping.record

    def hold(event: EventName, **rest: Any) -> None:
        record(event, **rest)
        if event is EventName.RUN_STARTED:
            began.set()
            go_on.wait(WAIT_S)

    one._equipping.record = hold
    return began, go_on


def test_a_firing_that_finds_a_run_under_way_begins_none_on_a_member_that_is_drained(
    members: Members,
) -> None:
    one = members.start("one", EIGHT - s(20), transfer(CronTrigger(expression="* * * * *")))
    members.until_owned("one")
    began, go_on = held(one)
    for minute in range(2):
        members.clocks["one"].set(EIGHT + s(60 * minute))
        one._fire(T)
        assert began.wait(WAIT_S)
    one.drain(on=True)
    before = one._lines[T].runs
    go_on.set()
    until(lambda: one.drained)
    assert one._lines[T].runs == before + 1
    assert members.runs() == [("one", AT_EIGHT, False)]


def test_firings_that_find_the_run_under_way_are_one_run_when_it_ends(members: Members) -> None:
    one = members.start("one", EIGHT - s(20), transfer(CronTrigger(expression="* * * * *")))
    members.until_owned("one")
    began, go_on = held(one)
    for minute in range(4):
        members.clocks["one"].set(EIGHT + s(60 * minute))
        one._fire(T)
        assert began.wait(WAIT_S)
    go_on.set()
    until(lambda: len(members.runs()) > 1)
    until(lambda: members.is_idle("one"))
    assert members.runs() == [
        ("one", AT_EIGHT, False),
        ("one", "2026-11-23T08:03:00.000Z", False),
    ]


def test_storage_that_does_not_take_the_record_runs_nothing_and_says_why(members: Members) -> None:
    members.start("one", EIGHT - s(20))
    members.until_owned("one")
    (state,) = (members.root / ".mftgit/transfers/t/intents").iterdir()
    (state / "fired").unlink()
    (state / "fired").mkdir()
    members.clocks["one"].set(EIGHT)
    members.fire("one")
    (ended,) = members.told(EventName.RUN_FAILED)
    assert "does not answer" in ended["errors"][0]
    (state / "fired").rmdir()


# Killed at each step


def scheduled(root: Path) -> Storage:
    there = storage(root, watch=False)
    there.transfer = replace(there.transfer, trigger=IntervalTrigger(every_s=3600))
    for name in ("a.csv", "b.csv"):
        there.put(name, name.encode())
    return there


def own(there: Storage, ownership: Owner, *, clock: Wall) -> Firing | None:
    """Do what an owner does at first, and return the firing that it ran."""
    context = replace(there.context(ownership), clock=clock)
    firings = Firings()
    firing = firings.due(there.transfer.trigger, context, taken=True)
    if firing is not None:
        firings.begin(firing)
        run_once(there.transfer, replace(context, firing=firing))
    elif has_work(there.transfer, context, fresh=False):
        run_once(there.transfer, context, fresh=False)
    return firing


def test_an_owner_that_is_killed_at_any_step_of_a_firing_leaves_it_to_be_run_once(
    tmp_path: Path,
) -> None:
    clock = Wall()
    clock.set(EIGHT)
    for at in range(1, 100):
        root = tmp_path / str(at)
        (root / "source").mkdir(parents=True)
        (root / "target").mkdir()
        there = scheduled(root)
        own(there, Owner(1), clock=clock)  # which begins to count
        late = Wall()
        late.set(EIGHT + s(3601))
        killed = Owner(2, at=at, then=_crash)
        with suppress(Crash):
            own(there, killed, clock=late)
        if killed.effects < at:
            break
        own(there, Owner(3), clock=late)
        assert there.left_at_target() == ["a.csv", "b.csv"], at
        assert len([each for each in there.happened(EventName.RUN_STARTED) if each["due_at"]]) <= 1
        assert len(there.happened(EventName.RUN_FINISHED)) == 1
        told = len(there.events)
        assert own(there, Owner(4), clock=late) is None
        assert len(there.events) == told, at
    else:
        raise AssertionError("it never came to its end")


def test_a_firing_that_fails_before_it_takes_a_file_waits_for_the_next_one(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "target").mkdir()
    there = scheduled(tmp_path)
    clock = Wall()
    clock.set(EIGHT)
    own(there, Owner(1), clock=clock)
    clock.set(EIGHT + s(3601))

    def crash(call: str) -> None:
        if call.startswith("write"):
            raise Crash

    there.after = crash
    with pytest.raises(Crash):
        own(there, Owner(2), clock=clock)
    there.after = lambda _: None
    assert there.records()  # what is under way is ended first
    there.broken[TARGET] = EndpointLostError("away")
    clock.set(EIGHT + s(7201))
    assert own(there, Owner(3), clock=clock) is not None
    assert there.happened(EventName.RUN_FAILED)
    assert not list(there.state.glob("intents/*/open-run"))
    del there.broken[TARGET]
    assert own(there, Owner(4), clock=clock) is None
    clock.set(EIGHT + s(10_801))
    assert own(there, Owner(4), clock=clock) is not None
    assert there.left_at_target() == ["a.csv", "b.csv"]


def _crash() -> None:
    raise Crash


def test_a_predecessor_that_wakes_cannot_write_down_a_firing(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "target").mkdir()
    there = scheduled(tmp_path)
    clock = Wall()
    clock.set(EIGHT)
    old, context = Firings(), replace(there.context(1), clock=clock)
    assert old.due(there.transfer.trigger, context, taken=True) is None
    clock.set(EIGHT + s(3601))
    assert own(there, Owner(2), clock=clock) is not None
    clock.set(EIGHT + s(7201))
    firing = Firing(due_at=EIGHT + s(7200))
    with pytest.raises(OwnershipEndedError):
        old.begin(firing)
    with pytest.raises(OwnershipEndedError):
        old.pass_over(firing)
    assert own(there, Owner(3), clock=clock) is not None


def test_an_owner_for_whom_nothing_is_due_only_reads_and_looks_again_before_it_runs(
    tmp_path: Path,
) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "target").mkdir()
    there = scheduled(tmp_path)
    trigger, clock = there.transfer.trigger, Wall()
    clock.set(EIGHT)
    old, late = Firings(), replace(there.context(1), clock=clock)
    assert old.due(trigger, late, taken=True) is None
    fresh, context = Firings(), replace(there.context(2), clock=clock)
    assert fresh.due(trigger, context, taken=True) is None
    assert [path.name for path in (there.state / "intents").iterdir()] == ["1"]
    assert 3590 < (fresh.next_in_s(context) or 0) <= 3600
    clock.set(EIGHT + s(3601))
    begun = Firing(due_at=EIGHT + s(3600.5))
    old.begin(begun)  # it is not fenced off yet
    assert fresh.due(trigger, context, taken=False) is None
    assert [path.name for path in (there.state / "intents").iterdir()] == ["2"]
    assert has_work(there.transfer, context, fresh=False)  # which is the run that the other began
    with pytest.raises(OwnershipEndedError):
        old.pass_over(begun)


def test_a_firing_on_a_day_off_is_over_also_when_the_calendar_changes(tmp_path: Path) -> None:
    there = scheduled(tmp_path)
    trigger, clock, firings = replace(DAILY, calendar="off"), Wall(), Firings()
    base = replace(there.context(1), clock=clock)
    wanted = base.generation

    def called(at: datetime, *, off: str) -> Firing | None:
        cluster = Cluster(name="c", calendars={"off": Calendar(dates=(off,))})
        clock.set(at)
        context = replace(base, generation=replace(wanted, cluster=cluster))
        return firings.due(trigger, context, taken=False)

    assert called(EIGHT - s(60), off="2026-11-23") is None
    assert called(EIGHT, off="2026-11-23") is None
    assert called(EIGHT + s(60), off="2026-12-24") is None
    tomorrow = EIGHT + s(86_400)
    assert called(tomorrow, off="2026-12-24") == Firing(due_at=tomorrow)


def test_a_record_that_is_none_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    intents = Intents(tmp_path / "state", Owner(1))
    intents.take_over()
    (tmp_path / "state/intents/1/fired").write_bytes(b"{")
    assert intents.fired.read() is None
    intents.fired.write(Fired(due_at=EIGHT, schedule="x"))
    assert intents.fired.read() == Fired(due_at=EIGHT, schedule="x")
    assert not intents.left_over(own=True)


# Real processes


@dataclass
class Child:
    """A member in a process of its own, which does as it is told."""

    process: ForkProcess
    line: Connection

    def do(self, word: str) -> None:
        self.line.send(word)
        self.line.recv()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


def _serve(root: Path, moved: Transfer, line: Connection) -> None:
    members = Members(root=root, ttl_s=KILLED_TTL_S)
    members.start("one", EIGHT - s(20), moved)
    members.until_owned("one")
    line.send("ready")
    while True:
        word = line.recv()
        if word == "begin":
            members.clocks["one"].set(EIGHT)
            members.running["one"]._fire(T)
        else:
            until(lambda: members.is_idle("one"))
        line.send("done")


@pytest.fixture
def child(members: Members) -> Iterator[Child]:
    folder = members.root / "one" / "commands"
    folder.mkdir(parents=True)
    (folder / SLOW).write_text(
        f"#!/bin/sh\ntouch {members.root}/slow\nwhile [ ! -e {members.root}/go ]; do sleep 0.05; done\n",
        encoding="utf-8",
    )
    (folder / SLOW).chmod(0o755)
    shutil.copytree(folder, members.root / "two" / "commands")
    here, there = _fork.Pipe()
    process = _fork.Process(target=_serve, args=(members.root, slowly(), there))
    process.start()
    assert here.recv() == "ready"
    made = Child(process, here)
    yield made
    made.kill()


def slowly() -> Transfer:
    return replace(transfer(), commands=Commands(before_run=Command(program=SLOW)))


@pytest.mark.parametrize("killed", ["before", "during", "after"])
def test_an_owner_that_is_killed_around_a_firing_leaves_one_run_for_it(
    members: Members, child: Child, killed: str
) -> None:
    members.ttl_s = KILLED_TTL_S
    members.drop("a")
    if killed != "before":
        child.do("begin")
        until((members.root / "slow").exists)
    if killed == "after":
        (members.root / "go").touch()
        child.do("wait")
    child.kill()
    (members.root / "go").touch()
    members.start("two", EIGHT + s(5), slowly())
    members.until_owned("two")
    assert members.arrived() == ["a"]
    assert {
        "before": [("two", AT_EIGHT, True)],
        "during": [("one", AT_EIGHT, False), ("two", None, False)],  # which goes on with it
        "after": [("one", AT_EIGHT, False)],
    }[killed] == members.runs()
    assert len(members.told(EventName.RUN_FINISHED)) == 1
    assert len(members.told(EventName.DELIVERY_SUCCEEDED)) == 1
