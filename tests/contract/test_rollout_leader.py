"""What leads a roll-out goes by its own clock, and keeps nobody else from the registry."""

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest
from clocks import SetClock
from controller_site import Site, controller_site

from mftgit.adapters.events.store import EventStore
from mftgit.adapters.registry.registry import Registry
from mftgit.cli.rules import make_validator
from mftgit.controller.rollout.leader import Leader
from mftgit.model.configuration.config import Role
from mftgit.model.events.event import Event, EventName
from mftgit.model.members.messages import Head, RolloutState, Turn
from mftgit.model.names import MemberName, Revision
from mftgit.model.rollout import orders as rollout_orders
from mftgit.model.rollout.rollout import Progress

ONE, TWO = (MemberName(f"node-{number}") for number in (1, 2))
COHORTS = b"rollout: {silence_s: 60, cohorts: [{name: canary, members: [node-1], soak_s: 100}]}\n"
SHUT = b"windows: {deny: [{from: '00:00'}]}\n"


@dataclass
class AskedClock(SetClock):
    """Tells the test when it is asked for the time of the day."""

    asked: list[Callable[[], object]] = field(default_factory=list)

    def now(self) -> datetime:
        while self.asked:
            self.asked.pop()()
        return super().now()


class Led:
    """A leader with a registry, events and a clock of its own, whose thread is the test's."""

    def __init__(self, site: Site, folder: Path, opened: ExitStack) -> None:
        self.site = site
        self.clock = AskedClock()
        registry, events = folder / "r.sqlite", folder / "e.sqlite"
        self.registry, self.beside = (
            opened.enter_context(closing(Registry(registry, now=SetClock().now))) for _ in range(2)
        )
        self.events = opened.enter_context(
            closing(EventStore(events, member=MemberName("controller"), now=SetClock().now))
        )
        for name in (ONE, TWO):
            self.registry.enrol(name, role=Role.NODE, public_key=name)
        self.woken: list[MemberName] = []
        self.leader = Leader(
            self.registry,
            self.events,
            site.controller.store,
            make_validator(),
            clock=self.clock,
            wake=self.wake,
        )
        self.seq = 0

    def wake(self, names: Collection[MemberName]) -> None:
        self.woken += sorted(names)

    def publish(self, settings: bytes, note: bytes = b"") -> Revision:
        documents = {f"members/{name}.yaml": b"role: node\n" for name in (ONE, TWO)}
        made = self.site.publish(
            documents | {"cluster.yaml": b"name: c\n" + settings, "note.md": note}
        )
        self.leader.published(made)
        return made

    def tell(self, name: MemberName, event: EventName, revision: Revision) -> None:
        self.seq += 1
        self.events.collect(
            [Event(member=name, seq=self.seq, at="then", event=event, revision=revision)]
        )

    def look(self, seconds: float = 1.0) -> Progress:
        self.clock.pass_s(seconds)
        self.leader.look()
        return self.progress

    @property
    def progress(self) -> Progress:
        found = self.registry.rollout()
        assert found is not None
        return found

    def turn(self, name: MemberName) -> Turn:
        head = Head(oid=self.progress.oid, seq=1, issued_at="then")
        turn = self.leader.head_for(name, head)[0].turn
        assert turn is not None
        return turn

    def say(self, verb: Callable[[Progress], Progress]) -> Progress:
        found = self.beside.change_rollout(lambda found: found and verb(found))
        assert found is not None
        return found


@pytest.fixture
def led(tmp_path: Path) -> Iterator[Led]:
    with controller_site(tmp_path) as site, ExitStack() as opened:
        yield Led(site, tmp_path, opened)


def test_when_the_windows_open_is_searched_for_while_others_may_write(led: Led) -> None:
    led.publish(COHORTS + SHUT)
    led.clock.asked.append(
        lambda: led.beside.enrol(MemberName("x"), role=Role.NODE, public_key="x")
    )
    led.publish(COHORTS + SHUT, b"1")
    assert led.progress.state is RolloutState.WAITING
    assert "x" in led.beside.joined()
    for seconds in (1, 61):
        assert "not within a year" in str(led.look(seconds).waits)


def test_a_word_of_an_operator_that_comes_while_it_is_looked_is_gone_by(led: Led) -> None:
    led.publish(COHORTS + SHUT)
    revision = led.publish(COHORTS + SHUT, b"1")

    def promote_and_pause() -> None:
        led.say(partial(rollout_orders.promote, regardless=False))
        led.say(rollout_orders.pause)

    led.clock.asked.append(promote_and_pause)
    found = led.look()
    assert (found.state, found.base) == (RolloutState.PAUSED, revision)


def test_who_may_take_it_regardless_of_windows_is_woken_also_if_it_was_due_before(
    led: Led,
) -> None:
    led.publish(SHUT)
    led.publish(SHUT, b"1")
    led.woken.clear()
    assert led.look().state is RolloutState.DONE
    led.say(partial(rollout_orders.promote, regardless=False))
    led.look()
    assert led.woken == []
    led.say(partial(rollout_orders.promote, regardless=True))
    led.look()
    assert led.woken == [ONE, TWO]
    assert led.turn(ONE).regardless


def test_after_a_machine_was_suspended_nobody_counts_as_silent_and_the_soak_begins_anew(
    led: Led,
) -> None:
    led.publish(COHORTS)
    revision = led.publish(COHORTS, b"1")
    assert list(led.progress.due) == [ONE]
    assert led.look(1000).state is RolloutState.RUNNING
    led.tell(ONE, EventName.REVISION_ACTIVATED, revision)
    led.leader.heard(ONE)
    assert led.look().state is RolloutState.SOAKING
    assert led.look(1000).state is RolloutState.SOAKING
    assert [list(led.look(10).due) for _ in range(10)] == [[]] * 9 + [[TWO]]
