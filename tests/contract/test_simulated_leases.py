"""Members whose clocks differ, that stop, crash and are lied to, over a shared folder: one owner at a time, and soon.

What runs is the product's code, keeper and heartbeat included, call by call (`simulation`).
"""

from contextlib import ExitStack

import pytest
from hypothesis import Phase
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
)
from simulated_leases import KEYS, TTL_S, World, in_the_simulation, world
from simulation import Fault, Kind, Plan, run_schedules

from mftgit.member.outbound.ownership import own
from mftgit.model.names import MemberName
from mftgit.model.ownership.lease import CLOCK_RATE_ERROR

pytestmark = pytest.mark.long

MEMBERS = st.integers(0, 2)
SECONDS = st.sampled_from([TTL_S * part for part in (0.1, 0.5, 0.9, 1.0, 1.1, 2.0, 4.0)])
RATES = st.sampled_from([1 - CLOCK_RATE_ERROR, 1.0, 1 + CLOCK_RATE_ERROR])
OFFSETS = st.sampled_from([0.0, 1e6, 77.7])
FAULTS = [Fault.FREEZE, Fault.FREEZE, Fault.CRASH, Fault.LOST, Fault.UNANSWERED, Fault.TWICE]
PREFERENCES = st.sampled_from([(), (MemberName("m1"),), (MemberName("m2"), MemberName("m1"))])


class Leases(RuleBasedStateMachine):
    """A schedule: members have trouble while time passes."""

    def __init__(self) -> None:
        super().__init__()
        self._open = ExitStack()
        self._world: World | None = None

    @property
    def world(self) -> World:
        assert self._world is not None
        return self._world

    def name(self, member: int) -> str:
        return self.world.names[member % len(self.world.names)]

    @initialize(
        clocks=st.lists(st.tuples(RATES, OFFSETS), min_size=2, max_size=3),
        prefer=PREFERENCES,
        seconds=SECONDS,
    )
    def begin(
        self, clocks: list[tuple[float, float]], prefer: tuple[MemberName, ...], seconds: float
    ) -> None:
        rates, offsets = zip(*clocks, strict=True)
        self._world = self._open.enter_context(world(rates, offsets, prefer))
        self.world.pass_s(seconds)

    @rule(
        member=MEMBERS,
        thread=st.integers(0, 1),
        kind=st.sampled_from(Kind),
        count=st.integers(1, 6),
        fault=st.sampled_from(FAULTS),
        for_s=SECONDS,
        seconds=SECONDS,
    )
    def trouble(  # noqa: PLR0917  hypothesis gives them
        self,
        member: int,
        thread: int,
        kind: Kind,
        count: int,
        fault: Fault,
        for_s: float,
        seconds: float,
    ) -> None:
        plan = Plan(kind=kind, count=count, fault=fault)
        self.world.trouble(self.name(member), thread, plan, for_s)
        self.world.pass_s(seconds)

    @rule(member=MEMBERS, for_s=SECONDS, seconds=SECONDS)
    def stop(self, member: int, for_s: float, seconds: float) -> None:
        self.world.stop(self.name(member), for_s)
        self.world.pass_s(seconds)

    @rule(member=MEMBERS, to=MEMBERS, key=st.sampled_from(KEYS), seconds=SECONDS)
    def move(self, member: int, to: int, key: str, seconds: float) -> None:
        self.world.move(self.name(member), KEYS[0] if key == KEYS[0] else KEYS[1], self.name(to))
        self.world.pass_s(seconds)

    @rule(seconds=SECONDS)
    def time_passes(self, seconds: float) -> None:
        self.world.pass_s(seconds)

    def teardown(self) -> None:
        try:
            if self._world is not None:
                self.world.heal()
        finally:
            self._open.close()


def simulate(
    schedules: int, *, phases: tuple[Phase, ...] = tuple(Phase), derandomize: bool = True
) -> None:
    with in_the_simulation():
        run_schedules(Leases, schedules, steps=8, phases=phases, derandomize=derandomize)


def test_a_key_has_one_owner_at_a_time_and_soon_one_whatever_the_schedule() -> None:
    simulate(40)


@pytest.mark.soak
def test_a_key_has_one_owner_at_a_time_in_a_thousand_schedules() -> None:
    simulate(1000, derandomize=False)


def test_a_deadline_that_is_later_than_others_wait_has_two_owners(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(own, "deadline", lambda sent_at, ttl_s: sent_at + 2 * ttl_s)
    with pytest.raises(AssertionError, match="two own"):
        simulate(200, phases=(Phase.generate,))
