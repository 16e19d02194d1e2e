"""Members take over from each other: the keeper of leases, and real processes that are killed and stopped."""

import multiprocessing
import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Mapping
from multiprocessing.context import ForkProcess
from pathlib import Path
from threading import Condition, Event, Thread

import pytest
from owned import term

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.coordinator import Coordinator, CoordinatorUnavailableError, Session, Wish
from mftgit.adapters.endpoint.contract import Endpoint, FileEntry
from mftgit.adapters.local.endpoint import LocalEndpoint
from mftgit.adapters.shared.folder import SharedFolderCoordinator
from mftgit.errors import MftgitError
from mftgit.member.outbound.given.context import Memory, RunContext
from mftgit.member.outbound.ownership.keep import Callbacks, Keeper, Taken
from mftgit.member.outbound.ownership.own import Ownership
from mftgit.member.outbound.places.fenced import FencedEndpoint
from mftgit.member.outbound.records.ledger import Ledger
from mftgit.member.outbound.runs.run import has_work, run_once
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
from mftgit.model.locations.location import LocalLocation, Location
from mftgit.model.names import Epoch, LocationName, MemberName, TransferName
from mftgit.model.ownership.spread import Want
from mftgit.model.ownership.standing import Handover, Standing
from mftgit.model.ownership.view import FREE, Sight
from mftgit.model.transfers.triggers import WatchTrigger

CLOCK = SystemClock()
T, U = TransferName("t"), TransferName("u")
TTL_S = 5.0  # a busy machine that stands still for a second or two does not lose a lease


class Told:
    """What a keeper told, in order; ``wait_for`` waits for more of it."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str]] = []
        self.held: dict[TransferName, Ownership] = {}
        self.why: dict[TransferName, str] = {}
        self._changed = Condition()

    def taken(self, taken: Mapping[TransferName, Taken]) -> None:
        with self._changed:
            for name, each in taken.items():
                self.held[name] = each.ownership
                self.why[name] = each.why
                self.all.append(("taken", name))
            self._changed.notify_all()

    def asked_back(self, name: TransferName) -> None:
        with self._changed:
            self.all.append(("asked back", name))
            self._changed.notify_all()

    def lost(self, lost: Mapping[TransferName, str]) -> None:
        assert not any(self.held.pop(name).valid() for name in lost)
        with self._changed:
            self.all.extend((f"lost: {reason}", name) for name, reason in lost.items())
            self._changed.notify_all()

    def wait_for(self, so: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(so, timeout=60), self.all


def coordinator(folder: Path, member: str) -> SharedFolderCoordinator:
    return SharedFolderCoordinator(folder, member=MemberName(member), ttl_s=TTL_S, clock=CLOCK)


def keeper(over: Coordinator, member: str, told: Told) -> Keeper:
    made = Keeper(
        over,
        member=MemberName(member),
        ttl_s=TTL_S,
        clock=CLOCK,
        tell=Callbacks(taken=told.taken, lost=told.lost, asked_back=told.asked_back),
    )
    made.start()
    return made


def free(folder: Path, name: TransferName = T) -> bool:
    """Tell whether a member that has just come finds it free."""
    return coordinator(folder, "reader").look().views.get(name, FREE).owner is None


def test_a_keeper_takes_what_is_wanted_keeps_it_and_gives_it_back_when_told(tmp_path: Path) -> None:
    told = Told()
    one = keeper(coordinator(tmp_path, "one"), "one", told)
    one.want({T: Want(), U: Want()})
    told.wait_for(lambda: len(told.held) == 2)
    assert told.why == {T: "nobody had it", U: "nobody had it"}
    held = told.held[T]
    until = CLOCK.boottime() + TTL_S
    while CLOCK.boottime() < until:
        assert held.valid()
        Event().wait(0.02)
    one.want({U: Want()})
    assert held.valid()  # a run may still be going on
    one.ended(T)
    told.wait_for(lambda: told.all[-1] == ("lost: given back", "t"))
    assert free(tmp_path)
    one.ended(U)
    one.stop()
    assert told.all[-1] == ("lost: given back", "u")
    assert coordinator(tmp_path, "reader").look().members == {}


def test_what_is_held_at_the_stop_and_not_ended_runs_out_by_itself(tmp_path: Path) -> None:
    told = Told()
    one = keeper(coordinator(tmp_path, "one"), "one", told)
    one.want({T: Want()})
    told.wait_for(lambda: T in told.held)
    one.stop()
    assert "before its runs had ended" in told.all[-1][0]
    assert not free(tmp_path)


def test_a_drained_member_gives_all_back_and_takes_nothing(tmp_path: Path) -> None:
    told, other = Told(), Told()
    one = keeper(coordinator(tmp_path, "one"), "one", told)
    one.want({T: Want(), U: Want()})
    told.wait_for(lambda: len(told.held) == 2)
    two = keeper(coordinator(tmp_path, "two"), "two", other)
    two.want({T: Want(), U: Want()})
    one.want({}, draining=True)
    one.ended(T, U)
    other.wait_for(lambda: len(other.held) == 2)
    assert other.why[T] == "one was drained"
    assert other.held[T].epoch == 2
    two.ended(T, U)
    two.stop()
    one.stop()


def test_the_preferred_member_is_handed_a_lease_and_another_takes_over_when_it_goes(
    tmp_path: Path,
) -> None:
    first, second = Told(), Told()
    want = Want(prefer=(MemberName("one"),))
    two = keeper(coordinator(tmp_path, "two"), "two", second)
    two.want({T: want})
    second.wait_for(lambda: T in second.held)
    one = keeper(coordinator(tmp_path, "one"), "one", first)
    one.want({T: want})
    second.wait_for(lambda: ("asked back", T) in second.all)
    assert T not in first.held  # a run may still be going on
    two.ended(T)
    first.wait_for(lambda: T in first.held)
    second.wait_for(lambda: T not in second.held)
    assert first.why[T] == "one is preferred"
    one.ended(T)
    one.stop()
    second.wait_for(lambda: T in second.held)
    assert second.why[T] in {"one was stopped", "given back"}
    two.ended(T)
    two.stop()


def test_a_lease_that_was_asked_back_is_given_back_though_it_is_told_anew_what_is_wanted(
    tmp_path: Path,
) -> None:
    first, second = Told(), Told()
    two = keeper(coordinator(tmp_path, "two"), "two", second)

    def give_back_and_go_on(name: TransferName) -> None:
        two.ended(name)
        two.want({})  # drained for a moment,
        two.want({T: Want()})  # or another revision, before the keeper comes to it

    two._callbacks = Callbacks(taken=second.taken, lost=second.lost, asked_back=give_back_and_go_on)
    two.want({T: Want()})
    second.wait_for(lambda: T in second.held)
    one = keeper(coordinator(tmp_path, "one"), "one", first)
    one.want({T: Want()})
    while len(two.sight.members) < 2:
        Event().wait(0.02)
    two.move(T, MemberName("one"))
    first.wait_for(lambda: T in first.held)
    assert first.why[T] == "an operator moved it to one"
    one.ended(T)
    one.stop()
    two.stop()


def test_a_lease_that_cannot_be_asked_for_holds_no_other_one_back(tmp_path: Path) -> None:
    first, second = Told(), Told()
    (tmp_path / "leases").mkdir()
    (tmp_path / "leases" / "lease-u").write_text("no folder", encoding="utf-8")
    two = keeper(coordinator(tmp_path, "two"), "two", second)
    two.want({T: Want(), U: Want(eligible=frozenset({MemberName("two")}))})
    second.wait_for(lambda: T in second.held)
    one = keeper(coordinator(tmp_path, "one"), "one", first)
    one.want({T: Want()})
    while len(two.sight.members) < 2:
        Event().wait(0.02)
    two.move(T, MemberName("one"))
    second.wait_for(lambda: ("asked back", T) in second.all)
    two.ended(T)
    first.wait_for(lambda: T in first.held)
    one.ended(T)
    one.stop()
    two.stop()


def test_what_is_free_for_one_that_does_not_come_is_taken_all_the_same_and_kept(
    tmp_path: Path,
) -> None:
    told, absent = Told(), Told()
    one = keeper(coordinator(tmp_path, "one"), "one", absent)
    one.want({U: Want()})  # it lives, and knows nothing of the other transfer
    absent.wait_for(lambda: U in absent.held)
    two = keeper(coordinator(tmp_path, "two"), "two", told)
    two.want({T: Want(prefer=(MemberName("one"),))})
    told.wait_for(lambda: T in told.held)
    Event().wait(2 * TTL_S)
    assert told.all == [("taken", T)]
    for each, name in ((one, U), (two, T)):
        each.ended(name)
        each.stop()


def test_a_lease_that_is_moved_goes_there_and_stays_there(tmp_path: Path) -> None:
    first, second = Told(), Told()
    want = Want(prefer=(MemberName("one"),))
    one = keeper(coordinator(tmp_path, "one"), "one", first)
    one.want({T: want})
    first.wait_for(lambda: T in first.held)
    two = keeper(coordinator(tmp_path, "two"), "two", second)
    two.want({T: want, U: Want()})
    second.wait_for(lambda: U in second.held)
    one.move(T, MemberName("two"))
    first.wait_for(lambda: ("asked back", T) in first.all)
    one.ended(T)
    second.wait_for(lambda: T in second.held)
    assert second.why[T] == "an operator moved it to two"
    Event().wait(3 * TTL_S)
    assert T in second.held
    two.ended(T, U)
    two.stop()
    one.stop()


def test_an_owner_that_cannot_do_it_hands_over_to_one_that_may_and_not_in_circles(
    tmp_path: Path,
) -> None:
    first, second = Told(), Told()
    one = keeper(coordinator(tmp_path, "one"), "one", first)
    one.want({T: Want()})
    first.wait_for(lambda: T in first.held)
    one.failed(T, "no route", cool_down_s=60)  # there is nobody else
    Event().wait(TTL_S)
    assert first.all == [("taken", T)]
    two = keeper(coordinator(tmp_path, "two"), "two", second)
    two.want({T: Want(), U: Want()})
    second.wait_for(lambda: U in second.held)
    one.failed(T, "no route", cool_down_s=60)
    first.wait_for(lambda: ("asked back", T) in first.all)
    one.ended(T)
    second.wait_for(lambda: T in second.held)
    assert second.why[T] == "one could not do it: no route"
    two.failed(T, "no route", cool_down_s=60)  # the other could not either, a moment ago
    Event().wait(3 * TTL_S)
    assert T in second.held
    assert ("asked back", T) not in second.all
    two.ended(T, U)
    two.stop()
    one.stop()


def test_members_share_evenly_and_one_that_comes_later_gets_its_part(tmp_path: Path) -> None:
    names = [TransferName(f"t{number}") for number in range(9)]
    wants = {name: Want() for name in names}
    told = [Told() for _ in range(3)]
    keepers = []
    for number, each in enumerate(told):
        keepers.append(keeper(coordinator(tmp_path, f"m{number}"), f"m{number}", each))
        keepers[-1].want(wants)
        if number == 0:
            each.wait_for(lambda: len(told[0].held) == len(names))

    def give_up_what_is_asked_back() -> bool:
        for made, each in zip(keepers, told, strict=True):
            for name in [name for what, name in list(each.all) if what == "asked back"]:
                if name in each.held:
                    made.ended(TransferName(name))
        return [len(each.held) for each in told] == [3, 3, 3]

    patience = CLOCK.boottime() + 60
    while not give_up_what_is_asked_back():
        assert CLOCK.boottime() < patience
        Event().wait(0.02)
    for made, each in zip(keepers, told, strict=True):
        made.ended(*each.held)
        made.stop()


class Unreliable:
    """A real coordinator that can be made to fail, or to hang."""

    def __init__(self, real: Coordinator) -> None:
        self._real = real
        self.error: Exception | None = None
        self.go_on = Event()
        self.go_on.set()

    def _trouble(self) -> None:
        self.go_on.wait()
        if self.error is not None:
            raise self.error

    def open(self, standing: Standing) -> Session:
        self._trouble()
        return self._real.open(standing)

    def renew(self, session: Session) -> Session:
        self._trouble()
        return self._real.renew(session)

    def tell(self, session: Session, standing: Standing) -> None:
        self._trouble()
        self._real.tell(session, standing)

    def look(self) -> Sight:
        self._trouble()
        return self._real.look()

    def due_in_s(self) -> float:
        return self._real.due_in_s()

    def take(
        self, session: Session, wishes: Mapping[TransferName, Wish]
    ) -> Mapping[TransferName, Epoch]:
        self._trouble()
        return self._real.take(session, wishes)

    def give_back(self, session: Session, leases: Mapping[TransferName, Handover]) -> None:
        self._trouble()
        self._real.give_back(session, leases)

    def close(self, session: Session, why: str) -> None:
        self._trouble()
        self._real.close(session, why)

    def hang_up(self) -> None:
        self._real.hang_up()


def test_an_owner_that_cannot_renew_ends_by_its_own_deadline_and_comes_back(tmp_path: Path) -> None:
    told = Told()
    over = Unreliable(coordinator(tmp_path, "one"))
    one = keeper(over, "one", told)
    one.want({T: Want()})
    told.wait_for(lambda: T in told.held)
    held = told.held[T]
    over.error = CoordinatorUnavailableError("away")
    told.wait_for(lambda: told.all[-1][0] == "lost: the session could not be renewed in time")
    assert not held.valid()
    over.error = None
    told.wait_for(lambda: T in told.held)
    assert told.held[T].epoch > held.epoch
    one.ended(T)
    one.stop()


def test_an_ownership_ends_in_time_while_its_keeper_hangs(tmp_path: Path) -> None:
    told = Told()
    over = Unreliable(coordinator(tmp_path, "one"))
    one = keeper(over, "one", told)
    one.want({T: Want()})
    told.wait_for(lambda: T in told.held)
    held = told.held[T]
    over.go_on.clear()
    until = CLOCK.boottime() + TTL_S
    while CLOCK.boottime() < until:
        Event().wait(0.02)
    assert not held.valid()
    assert told.all == [("taken", "t")]  # nobody could be told so far
    over.go_on.set()
    one.stop()


def test_an_owner_that_lost_is_told_and_contends_again(tmp_path: Path) -> None:
    told = Told()
    one = keeper(coordinator(tmp_path, "one"), "one", told)
    one.want({T: Want()})
    told.wait_for(lambda: T in told.held)
    (session,) = (tmp_path / "sessions").iterdir()
    last = max(int(each.name.removeprefix("beat-")) for each in session.glob("beat-*"))
    (session / f"beat-{last + 1:012d}").touch(exist_ok=False)  # as another ends it
    told.wait_for(lambda: any("another member has ended" in what for what, _ in told.all))
    told.wait_for(lambda: T in told.held)
    assert told.held[T].epoch == 2
    one.ended(T)
    one.stop()


def test_a_callback_that_fails_does_not_end_the_keeper(tmp_path: Path) -> None:
    told = Told()

    def fail(taken: Mapping[TransferName, Taken]) -> None:
        told.taken(taken)
        raise ValueError(taken)

    one = Keeper(
        coordinator(tmp_path, "one"),
        member=MemberName("one"),
        ttl_s=TTL_S,
        clock=CLOCK,
        tell=Callbacks(taken=fail, lost=told.lost, asked_back=told.asked_back),
    )
    one.start()
    one.want({T: Want()})
    told.wait_for(lambda: T in told.held)
    one.want({T: Want(), U: Want()})
    told.wait_for(lambda: U in told.held)
    one.stop()


def test_a_lease_that_was_given_up_while_it_was_being_taken_is_given_back(tmp_path: Path) -> None:
    told = Told()
    over = Unreliable(coordinator(tmp_path, "one"))
    over.go_on.clear()
    one = keeper(over, "one", told)
    one.want({T: Want()})
    Event().wait(
        0.1
    )  # it hangs in try_acquire by now, or will not take it at all: right either way
    one.want({})
    one.ended(T)
    over.go_on.set()
    one.stop()
    assert told.all in ([], [("taken", "t"), ("lost: given back", "t")])
    assert free(tmp_path)


def test_an_ownership_that_is_surpassed_is_taken_anew_above_at_once(tmp_path: Path) -> None:
    told = Told()
    one = keeper(coordinator(tmp_path, "one"), "one", told)
    one.want({T: Want()})
    told.wait_for(lambda: T in told.held)
    one.surpass(T, Epoch(12))
    told.wait_for(lambda: T in told.held and told.held[T].epoch == 13)
    assert [what for what, _ in told.all] == [
        "taken",
        "lost: the storage remembered a higher epoch",
        "taken",
    ]
    one.ended(T)
    one.stop()


def test_a_step_that_fails_unexpectedly_does_not_end_the_keeper(tmp_path: Path) -> None:
    told = Told()
    over = Unreliable(coordinator(tmp_path, "one"))
    one = keeper(over, "one", told)
    one.want({T: Want()})
    told.wait_for(lambda: T in told.held)
    over.error = ValueError("nobody thought of this")
    told.wait_for(lambda: T not in told.held)
    over.error = None
    told.wait_for(lambda: T in told.held)
    one.ended(T)
    one.stop()


# Real processes.

CHAOS_TTL_S = 1.0
_LEAST = 4
"""So many kills and stops there have to be, however long they take on a busy machine."""

TRANSFER = Transfer(
    name=T,
    source=Source(location=LocationName("source"), stable_s=0.0),
    destination=Destination(location=LocationName("target"), overwrite=Overwrite.OVERWRITE),
    trigger=WatchTrigger(),
    after_success=AfterSuccess.DELETE,
)


class Blind(Ownership):
    """An owner that never looks at its deadline, and never hears that it lost."""

    def valid(self) -> bool:
        return True


def pause(rng: random.Random) -> None:
    """Widen the gap between one step and the next, so that signals hit it."""
    Event().wait(rng.random() * 0.012)


class Slow(FencedEndpoint):
    """An endpoint with a gap between the question and the effect, and before whatever follows a look."""

    def stat(self, path: str) -> FileEntry:
        found = self._endpoint.stat(path)
        pause(random.Random())
        return found

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        self._check()
        pause(random.Random())
        self._endpoint.rename(old, new, replace=replace)

    def remove(self, path: str) -> None:
        self._check()
        pause(random.Random())
        self._endpoint.remove(path)


def naive(root: Path, name: str) -> None:
    """Send as scripts do, under the same lease: temporary, rename, remove the source. The trial's negative control."""
    held = held_by(root, name, blind=False)
    rng = random.Random()
    while True:
        for path in sorted((root / "source").glob("*.dat")):
            if not (held and held[-1].valid()):
                break
            temporary = root / "target" / f".{path.name}.{name}.part"
            try:
                temporary.write_bytes(path.read_bytes())
                temporary.rename(root / "target" / path.name)
                for _ in range(4):
                    pause(rng)
                path.unlink()
            except FileNotFoundError:
                continue
        Event().wait(0.01)


def by_the_rules(root: Path, name: str) -> None:
    fenced(root, name, blind=False)


def blind_to_the_deadline(root: Path, name: str) -> None:
    fenced(root, name, blind=True)


def held_by(root: Path, name: str, *, blind: bool) -> list[Ownership]:
    """Start a keeper; the list holds the ownership while there is one."""
    held: list[Ownership] = []
    keeps = Keeper(
        SharedFolderCoordinator(
            root / "leases", member=MemberName(name), ttl_s=CHAOS_TTL_S, clock=CLOCK
        ),
        member=MemberName(name),
        ttl_s=CHAOS_TTL_S,
        clock=CLOCK,
        tell=Callbacks(
            taken=lambda taken: held.extend(each.ownership for each in taken.values()),
            lost=lambda _: None if blind else held.clear(),
            asked_back=lambda _name: None,
        ),
    )
    keeps.start()
    keeps.want({T: Want()})
    return held


def fenced(root: Path, name: str, *, blind: bool) -> None:
    """Be a member until killed."""
    import mftgit.member.outbound.given.context as contexts  # noqa: PLC0415
    import mftgit.member.outbound.records.intents as records  # noqa: PLC0415

    for module in (contexts, records):
        vars(module)["FencedEndpoint"] = Slow  # in this process alone
    held = held_by(root, name, blind=blind)
    memory = Memory(ledger=Ledger(root / "state" / "t"))
    while True:
        if held:
            work(root, name, blinded(held[-1]) if blind else held[-1], memory)
        Event().wait(0.005)


def generation(name: str) -> Generation:
    return Generation(
        cluster=Cluster(name="c"),
        member=Member(name=MemberName(name), role=Role.NODE),
        locations={
            each: LocalLocation(name=each, path=each)
            for each in (TRANSFER.source.location, TRANSFER.destination.location)
        },
        transfers={T: TRANSFER},
    )


def work(root: Path, name: str, ownership: Ownership, memory: Memory) -> None:
    def open_endpoint(location: Location, _make: bool) -> Endpoint:  # noqa: FBT001
        return LocalEndpoint(root / location.name)

    context = RunContext(
        ownership=ownership,
        member=MemberName(name),
        revision=None,
        generation=generation(name),
        state=root / "state" / "t",
        clock=CLOCK,
        open_endpoint=open_endpoint,
        record=lambda *_: None,
        memory=memory,
    )
    memory.failures.clear()
    try:
        if has_work(TRANSFER, context):
            run_once(TRANSFER, context)
    except MftgitError:
        return


def blinded(ownership: Ownership) -> Ownership:
    return Blind(ownership.epoch, term(CLOCK))


class Chaos:
    """Three members over one folder, a producer, a partner that takes files away at once, and signals."""

    def __init__(self, root: Path, member: Callable[[Path, str], None]) -> None:
        self._root = root
        self._member = member
        self._rng = random.Random()
        self._members: dict[str, ForkProcess] = {}
        self._stopped: dict[str, float] = {}
        self._count = 0
        self.got: Counter[str] = Counter()
        self.kills = self.stops = 0
        self._over = Event()
        for name in ("source", "target", "fresh"):
            (root / name).mkdir()
        self._watch = SharedFolderCoordinator(
            root / "leases", member=MemberName("watcher"), ttl_s=CHAOS_TTL_S, clock=CLOCK
        )

    def run(self, *, files: int, for_s: float, until: Callable[["Chaos"], bool]) -> None:
        """Let it all loose for so long and `_LEAST`, or ``until``; then heal all and wait for the rest to arrive."""
        partner = Thread(target=self._take_away)
        partner.start()
        try:
            for _ in range(3):
                self._spawn()
            begun = CLOCK.boottime()
            produced = 0
            while not until(self) and (
                (elapsed := CLOCK.boottime() - begun) < for_s or self.kills + self.stops < _LEAST
            ):
                while produced < files and produced < files * elapsed / (for_s * 0.9):
                    self._produce(produced)
                    produced += 1
                self._disturb()
                Event().wait(0.02)
            for number in range(produced, files):
                self._produce(number)
            self._heal(files, until)
        finally:
            for process in self._members.values():
                process.kill()
                process.join()
            self._over.set()
            partner.join()

    def _spawn(self) -> None:
        self._count += 1
        name = f"m{self._count}"
        process = multiprocessing.get_context("fork").Process(
            target=self._member,
            args=(self._root, name),
            daemon=True,
        )
        process.start()
        self._members[name] = process

    def _produce(self, number: int) -> None:
        fresh = self._root / "fresh" / f"{number:04d}.dat"
        fresh.write_bytes(fresh.name.encode() * 400)
        fresh.rename(self._root / "source" / fresh.name)

    def _take_away(self) -> None:
        while not self._over.is_set():
            for path in (self._root / "target").iterdir():
                if not path.name.startswith("."):
                    assert path.read_bytes() == path.name.encode() * 400
                    path.unlink()
                    self.got[path.name] += 1
            self._over.wait(0.002)

    def _disturb(self) -> None:
        """Kill or stop the owner now and then; let the stopped ones go on later."""
        now = CLOCK.boottime()
        for name in [name for name, until in self._stopped.items() if now >= until]:
            del self._stopped[name]
            self._signal(name, signal.SIGCONT)
        if self._rng.random() > 0.04:
            return
        owner = self._watch.look().views.get(T, FREE).owner
        if owner is None or owner not in self._members or owner in self._stopped:
            return
        if self._rng.random() < 0.4:
            self._members[owner].kill()
            self._members.pop(owner).join()
            self.kills += 1
            self._spawn()
        else:
            self._signal(owner, signal.SIGSTOP)
            self._stopped[owner] = now + CHAOS_TTL_S * self._rng.uniform(1.2, 2.5)
            self.stops += 1
        if len(self._members) - len(self._stopped) < 2:
            self._spawn()

    def _signal(self, name: str, number: int) -> None:
        pid = self._members[name].pid
        assert pid is not None
        os.kill(pid, number)

    def _heal(self, files: int, until: Callable[["Chaos"], bool]) -> None:
        for name in self._stopped:
            self._signal(name, signal.SIGCONT)
        patience = CLOCK.boottime() + 60
        while CLOCK.boottime() < patience and len(self.got) < files and not until(self):
            Event().wait(0.05)
        Event().wait(1.0)  # for what would come too much

    def wrong(self, files: int) -> Mapping[str, int]:
        """Return how often each file arrived that did not arrive once."""
        return {
            name: self.got[name]
            for name in (f"{number:04d}.dat" for number in range(files))
            if self.got[name] != 1
        }


@pytest.mark.long
@pytest.mark.parametrize("member", [by_the_rules, blind_to_the_deadline])
def test_killed_and_stopped_owners_lose_and_repeat_no_file(
    tmp_path: Path, member: Callable[[Path, str], None]
) -> None:
    chaos = Chaos(tmp_path, member)
    chaos.run(files=200, for_s=12.0, until=lambda _: False)
    assert chaos.wrong(200) == {}
    assert not list((tmp_path / "source").glob("*.dat"))


@pytest.mark.long
def test_a_lease_alone_does_repeat_files_in_the_same_chaos(tmp_path: Path) -> None:
    chaos = Chaos(tmp_path, naive)
    chaos.run(files=900, for_s=90.0, until=lambda so_far: max(so_far.got.values(), default=0) > 1)
    assert max(chaos.got.values()) > 1
