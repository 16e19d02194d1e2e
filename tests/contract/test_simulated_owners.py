"""Owners of one transfer that are frozen, crash and are lied to, in thousands of schedules: each file arrives once.

What runs is the product's code, call by call (`simulation`). A failure prints the shortest schedule that was found, and
what every member did in it.
"""

from contextlib import ExitStack

import pytest
from hypothesis import Phase
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
)
from simulated_transfer import LARGE, SMALL, Shape, World, small_world, world
from simulation import Fault, Kind, Plan, run_schedules

from mftgit.adapters.endpoint.contract import Endpoint, FileMissingError
from mftgit.errors import MftgitError
from mftgit.member.outbound.delivering.deliver import Delivery
from mftgit.member.outbound.publishing.finish import Finish
from mftgit.member.outbound.records import claims
from mftgit.member.outbound.records.claims import Claim
from mftgit.member.outbound.records.intents import Intents
from mftgit.member.outbound.taking.begun import Begun
from mftgit.member.outbound.taking.parcel import Parcel, Results
from mftgit.model.configuration.config import AfterSuccess, Overwrite, Transfer

pytestmark = pytest.mark.long

SHAPES = st.builds(
    Shape,
    after=st.sampled_from([AfterSuccess.DELETE, AfterSuccess.KEEP, AfterSuccess.ARCHIVE]),
    overwrite=st.sampled_from([Overwrite.OVERWRITE, Overwrite.FAIL, Overwrite.RENAME]),
    far_source=st.booleans(),
    far_target=st.booleans(),
    eager=st.booleans(),
    blind=st.booleans(),
    on_schedule=st.booleans(),
    zombies_first=st.booleans(),
)
LONGEST = {Kind.ANY: 40, Kind.CHANGE: 16, Kind.RENAME: 8}
"""How far a member goes at most until something happens: about as far as a file takes."""
FAULTS = (
    [Fault.FREEZE] * 3
    + [Fault.CRASH] * 2
    + [each for each in Fault if each not in {Fault.FREEZE, Fault.CRASH}]
)
PLANS = st.one_of(
    [
        st.builds(
            Plan,
            kind=st.just(kind),
            count=st.integers(1, longest),
            fault=st.sampled_from(FAULTS),
        )
        for kind, longest in LONGEST.items()
    ]
)


class Simulation(RuleBasedStateMachine):
    """A schedule: files are produced, and members go on for so many calls."""

    shapes = SHAPES
    plans = PLANS
    sizes: tuple[int, ...] = (SMALL, LARGE)
    most_files = 6
    members: tuple[str, ...] = ("m1", "m2", "m3")
    watches_fence = True
    checks_end = True

    def __init__(self) -> None:
        super().__init__()
        self._open = ExitStack()
        self._world: World | None = None

    @property
    def world(self) -> World:
        assert self._world is not None
        return self._world

    def prepare(self) -> None:
        """Bring about what a schedule begins with."""

    @initialize(shape=st.runner().flatmap(lambda self: self.shapes), size=st.integers(0, 1))
    def begin(self, shape: Shape, size: int) -> None:
        opened = world(shape, watches_fence=self.watches_fence)
        self._world = self._open.enter_context(opened)
        self.world.produce("a", self.sizes[size % len(self.sizes)])
        self.prepare()

    @property
    def may_produce(self) -> bool:
        """Whether there may be another file; a schedule with many of them is no better, and long."""
        return len(self.world.produced) < self.most_files

    def _go(self, member: int, plan: Plan | None) -> None:
        self.world.go(self.members[member % len(self.members)], plan)

    @rule(member=st.integers(0, 2), plan=st.runner().flatmap(lambda self: self.plans))
    def go_until(self, member: int, plan: Plan) -> None:
        self._go(member, plan)

    @rule(member=st.integers(0, 2), plan=st.runner().flatmap(lambda self: self.plans))
    def go_on_until(self, member: int, plan: Plan) -> None:
        self._go(member, plan)

    @rule(member=st.integers(0, 2))
    def go(self, member: int) -> None:
        self._go(member, None)

    @precondition(lambda self: self.may_produce)
    @rule(name=st.sampled_from(["a", "b"]), size=st.sampled_from([SMALL, LARGE]))
    def produce(self, name: str, size: int) -> None:
        self.world.produce(name, size)

    @precondition(lambda self: self.may_produce)
    @rule()
    def produce_some(self) -> None:
        for name in ("a", "b", "c"):
            self.world.produce(name, SMALL)

    @precondition(lambda self: not self.world.shape.eager)
    @rule()
    def partner_takes(self) -> None:
        self.world.partner.take()

    @precondition(lambda self: self.world.stage.late)
    @rule()
    def arrive(self) -> None:
        self.world.stage.arrive()

    def teardown(self) -> None:
        try:
            if self._world is not None:
                self.world.heal(check=self.checks_end)
        finally:
            self._open.close()


def simulate(
    schedules: int,
    machine: type[Simulation] = Simulation,
    *,
    derandomize: bool = True,
    phases: tuple[Phase, ...] = tuple(Phase),
) -> None:
    with small_world():
        run_schedules(machine, schedules, steps=14, phases=phases, derandomize=derandomize)


def test_owners_lose_and_repeat_no_file_whatever_the_schedule() -> None:
    simulate(200)


@pytest.mark.soak
def test_owners_lose_and_repeat_no_file_in_thousands_of_schedules() -> None:
    simulate(4000, derandomize=False)


# Negative controls: what has to be found.


class Narrow(Simulation):
    """One file and two members. It is not looked at what stands behind a fence, only at what arrives."""

    shapes = st.just(Shape())
    plans = st.builds(
        Plan,
        kind=st.just(Kind.CHANGE),
        count=st.integers(1, LONGEST[Kind.CHANGE]),
        fault=st.sampled_from([Fault.FREEZE, Fault.CRASH, Fault.LOST]),
    )
    sizes = (SMALL,)
    most_files = 1
    members = ("m1", "m2")
    watches_fence = False


class Waiting(Narrow):
    """The first owner was refused the last rename, so that a whole file waits for its next run."""

    def prepare(self) -> None:
        self.world.go("m1", Plan(count=4, kind=Kind.RENAME, fault=Fault.LOST))
        self.world.go("m1")
        assert self.world.site.records()
        assert not self.world.partner.got


def found(schedules: int, machine: type[Simulation] = Narrow) -> str:
    """Return what goes wrong in so many schedules before their end, in one word.

    What a defect leaves behind at the end is not looked at: it may be seen before what the defect is feared for.
    """
    defective = type("Defective", (machine,), {"checks_end": False})
    with pytest.raises(AssertionError) as caught:
        simulate(schedules, defective, phases=(Phase.generate,))
    return str(caught.value).partition(":")[0]


def test_without_a_defect_nothing_is_found_so() -> None:
    simulate(50, Narrow)


def _leave_folder(endpoint: Endpoint, lower: str, own: str) -> None:
    for name in endpoint.list_names(lower):
        claims._adopt(endpoint, f"{lower}/{name}", f"{own}/{name}")


def test_a_fence_that_leaves_the_folders_of_lower_epochs_repeats_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claims, "_empty_and_remove", _leave_folder)
    assert found(1000) == "duplicate"


def test_what_a_lower_epoch_puts_behind_a_missing_fence_is_seen_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claims, "_empty_and_remove", _leave_folder)
    assert found(1000, Simulation) == "late"


def test_claims_that_are_adopted_before_records_repeat_files_unless_the_ledger_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Either of the two is enough; this shows that one of them is needed."""

    def take_over(begun: Begun) -> None:
        if begun._context.memory.adopted == begun._fence:
            return
        if begun.source is not None:
            begun.claims.take_over(needed=not begun._stays)
        begun.intents.take_over()
        begun._context.memory.adopted = begun._fence

    def adopt(delivery: Delivery, transfer: Transfer, claim: Claim, results: Results) -> None:
        assert claim.path is not None
        described = delivery._describing.describe(transfer, claim.id, claim.path)
        delivery._send_again(transfer, Parcel(intent=described, claim=claim), results)

    monkeypatch.setattr(Begun, "take_over", take_over)
    monkeypatch.setattr(Delivery, "adopt", adopt)
    assert found(1000) == "duplicate"


def test_a_name_that_is_looked_for_instead_of_the_temporary_repeats_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def was_published(
        finish: Finish,
        parcel: Parcel,
        error: MftgitError | None,
        results: Results,
        *,
        just_sent: bool,
    ) -> bool:
        if isinstance(error, FileMissingError) and not finish._is_there(parcel.intent):
            raise finish._vanished(parcel)
        return real(finish, parcel, error, results, just_sent=just_sent)

    real = Finish._was_published
    monkeypatch.setattr(Finish, "_was_published", was_published)
    assert found(1000) == "duplicate"


def test_records_that_are_missed_without_a_look_for_a_successor_repeat_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Intents, "_others", lambda _: iter(()))
    assert found(1000, Waiting) == "duplicate"
