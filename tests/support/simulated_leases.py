"""Members that hold leases over one folder, each by its own clock, as `simulation` has them; what must hold of them."""

import itertools
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from quick_folder import quick_folder
from simulation import Member, Plan, Stage, current, seam

from mftgit.adapters.shared.folder import SharedFolderCoordinator
from mftgit.member.outbound.ownership import keep
from mftgit.member.outbound.ownership.keep import Callbacks, Keeper, Taken
from mftgit.member.outbound.ownership.own import Ownership
from mftgit.model.names import MemberName, TransferName
from mftgit.model.ownership.spread import Want

TTL_S: Final = 2.0
KEYS: Final = (TransferName("t"), TransferName("u"))
SOON_S: Final = 2 * TTL_S + 5
"""So long after all is well each key has an owner."""

NEVER: Final = float("inf")


@dataclass(slots=True, kw_only=True)
class Time:
    """What time it is in the world; nobody in it knows."""

    now: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """A clock of one machine: where it stood in the beginning, and how fast it runs."""

    time: Time
    offset: float
    rate: float

    def boottime(self) -> float:
        return self.offset + self.rate * self.time.now

    def now(self) -> datetime:
        return datetime(2026, 11, 23, tzinfo=UTC) + timedelta(seconds=self.boottime())

    def comes(self, boottime: float) -> float:
        """Return when it is ``boottime`` by this clock."""
        return (boottime - self.offset) / self.rate


class Alarm:
    """What `threading.Event` is to product code: whoever waits for it hands the baton back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._is_set = False
        self.until = -NEVER

    def set(self) -> None:
        self._is_set = True
        self.until = -NEVER

    def clear(self) -> None:
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        if not self._is_set:
            until = NEVER if timeout is None else self._clock.boottime() + timeout
            self.until = NEVER if until == NEVER else self._clock.comes(until)
            member = current()
            assert member is not None
            member.park()
        return self._is_set


class Process:
    """One member's process, with its two threads; it runs until it crashes."""

    def __init__(self, world: "World", name: str, clock: Clock) -> None:
        self.name = name
        self.owned: list[tuple[TransferName, Ownership]] = []
        self._world = world
        self.keeper = Keeper(
            SharedFolderCoordinator(
                world.root / "coordination", member=MemberName(name), ttl_s=TTL_S, clock=clock
            ),
            member=MemberName(name),
            ttl_s=TTL_S,
            clock=clock,
            tell=Callbacks(taken=self._taken, lost=self._lost, asked_back=self._asked_back),
        )
        self.keeper.want(dict.fromkeys(KEYS, Want(prefer=world.prefer)))
        beat = self.keeper._heartbeat
        self.threads = {
            world.stage.member(f"{name}.keep", lambda _: self.keeper._keep()): Alarm(clock),
            world.stage.member(f"{name}.beat", lambda _: beat._run()): Alarm(clock),
        }
        self.keeper._wake, beat._wake = self.threads.values()  # type: ignore[assignment]

    @property
    def is_over(self) -> bool:
        """Whether it has crashed."""
        return any(thread.is_over for thread in self.threads)

    def owns(self) -> Iterator[tuple[TransferName, Ownership]]:
        """Give what it may act on now."""
        if not self.is_over:
            yield from (each for each in self.owned if each[1].valid())

    def _taken(self, names: Mapping[TransferName, Taken]) -> None:
        for name, taken in names.items():
            self.owned.append((name, taken.ownership))
            self._world.taken(self, name, taken.ownership, taken.why)

    def _lost(self, names: Mapping[TransferName, str]) -> None:
        for name, reason in names.items():
            self._world.stage.tell(f"{self.name} has lost {name}: {reason}")
            if any(each.valid() for key, each in self.owned if key == name):
                self._world.stage.wrong(f"{self.name} is told that it has lost {name}: it is valid")

    def _asked_back(self, name: TransferName) -> None:
        self._world.stage.tell(f"{self.name} is asked for {name}")
        self.keeper.ended(name)


@dataclass
class World:
    """``rates`` and ``offsets`` are those of the members' clocks; who is named in ``prefer`` is preferred."""

    root: Path
    rates: tuple[float, ...]
    offsets: tuple[float, ...]
    prefer: tuple[MemberName, ...] = ()
    stage: Stage = field(init=False)
    time: Time = field(default_factory=Time)

    def __post_init__(self) -> None:
        self.stage = Stage(self.root)
        self.names = [f"m{number}" for number in range(1, len(self.rates) + 1)]
        self._processes: dict[str, Process] = {}
        self._held_until: dict[Member, float] = {}
        self._hold_s: dict[Member, float] = {}
        self._again_at: dict[str, float] = {}
        self._highest: dict[TransferName, int] = dict.fromkeys(KEYS, 0)
        self.changes = 0
        for name in self.names:
            self._spawn(name)

    # What the schedule does

    def trouble(self, name: str, thread: int, plan: Plan, for_s: float) -> None:
        """Let something happen to a member when it comes to it; it is frozen, or stays away, for so long."""
        process = self._processes.get(name)
        if process is not None and not process.is_over:
            chosen = list(process.threads)[thread]
            self.stage.tell(f"{self.time.now:.2f} {chosen} will have trouble for {for_s:g} s")
            if chosen.is_idle:
                chosen.plan = plan
                self._hold_s[chosen] = for_s

    def stop(self, name: str, for_s: float) -> None:
        """Stop a process wherever it is, as SIGSTOP does."""
        if name in self._processes:
            self.stage.tell(f"{self.time.now:.2f} {name} is stopped for {for_s:g} s")
            for thread in self._processes[name].threads:
                self._held_until[thread] = self.time.now + for_s

    def move(self, name: str, key: TransferName, to: str) -> None:
        """Let an operator move a transfer."""
        if name in self._processes:
            self.stage.tell(f"{self.time.now:.2f} {key} is to move to {to}")
            self._processes[name].keeper.move(key, MemberName(to))

    def pass_s(self, seconds: float) -> None:
        """Let time pass, and everybody do what is due meanwhile."""
        end = self.time.now + seconds
        while True:
            due, thread = self._next()
            again_at, name = min(
                ((at, name) for name, at in self._again_at.items()), default=(NEVER, "")
            )
            self.time.now = max(self.time.now, min(due, again_at, end))
            self.check()
            if min(due, again_at) > end:
                return
            if again_at < due:
                self._spawn(name)
            else:
                assert thread is not None
                self._run(thread)

    def _next(self) -> tuple[float, Member | None]:
        """Return which thread is the next, and when."""
        found: tuple[float, Member | None] = (NEVER, None)
        for process in self._processes.values():
            for thread, alarm in process.threads.items():
                due = alarm.until if thread.is_idle else -NEVER
                due = max(due, self._held_until.get(thread, -NEVER), self.time.now)
                if due < found[0]:
                    found = due, thread
        return found

    def _run(self, thread: Member) -> None:
        plan = thread.plan if thread.is_idle else None
        thread.go(plan)
        self.check()
        process = next(each for each in self._processes.values() if thread in each.threads)
        if thread.is_over:
            self._crashed(process, self._hold_s.pop(thread, 0.0))
        elif not thread.is_idle and thread in self._hold_s:
            self._held_until[thread] = self.time.now + self._hold_s.pop(thread)

    def _crashed(self, process: Process, for_s: float) -> None:
        for thread in process.threads:
            thread.kill()
        del self._processes[process.name]
        self._again_at[process.name] = self.time.now + for_s

    def _spawn(self, name: str) -> None:
        self._again_at.pop(name, None)
        number = self.names.index(name)
        clock = Clock(time=self.time, offset=self.offsets[number], rate=self.rates[number])
        self._processes[name] = Process(self, name, clock)

    # What must hold

    def taken(self, process: Process, key: TransferName, ownership: Ownership, why: str) -> None:
        """Take note of an ownership; see that epochs rise (I1)."""
        self.stage.tell(
            f"{self.time.now:.2f} {process.name} owns {key}, epoch {ownership.epoch}: {why}"
        )
        if ownership.valid():
            if ownership.epoch <= self._highest[key]:
                self.stage.wrong(f"epoch {ownership.epoch} of {key} after {self._highest[key]}")
            self._highest[key] = ownership.epoch
            self.changes += 1
        self.look()

    def look(self) -> None:
        """See that nobody owns what somebody else owns (I2)."""
        for key in KEYS:
            owners = [
                f"{process.name} (epoch {ownership.epoch})"
                for process in self._processes.values()
                for name, ownership in process.owns()
                if name == key
            ]
            if len(owners) > 1:
                self.stage.wrong(f"two own {key} at {self.time.now:.3f}: {' and '.join(owners)}")

    def check(self) -> None:
        """Look, and raise what went wrong."""
        self.look()
        self.stage.check()

    def heal(self) -> None:
        """Let nothing go wrong any more; see that each key has an owner soon (I9)."""
        self.stage.tell(f"{self.time.now:.2f} all is well from here on")
        self._held_until.clear()
        self._hold_s.clear()
        self._again_at = dict.fromkeys(self._again_at, self.time.now)
        for process in self._processes.values():
            for thread in process.threads:
                thread.plan = None
        until = self.time.now + SOON_S
        while self.time.now < until and self._without_owner():
            self.pass_s(TTL_S / 4)
        if without := self._without_owner():
            self.stage.wrong(f"nobody owns {without} after {SOON_S:g} s")
        self.stage.check()

    def _without_owner(self) -> list[TransferName]:
        owned = {name for process in self._processes.values() for name, _ in process.owns()}
        return [key for key in KEYS if key not in owned]


@contextmanager
def world(
    rates: tuple[float, ...], offsets: tuple[float, ...], prefer: tuple[MemberName, ...] = ()
) -> Iterator[World]:
    """Make a world on storage that is quick, and end it."""
    with quick_folder() as folder:
        made = World(folder, rates, offsets, prefer)
        try:
            yield made
        finally:
            made.stage.end()


@contextmanager
def in_the_simulation() -> Iterator[None]:
    """Pass each call of a member through the seam; nothing is left to chance, and looks are fewer than in product."""
    numbers = itertools.count(1)
    with pytest.MonkeyPatch.context() as patch, seam():
        patch.setattr(secrets, "token_hex", _given(numbers))
        patch.setattr(keep, "watch_every_s", lambda ttl_s, _others=0: ttl_s / 5)
        yield


def _given(numbers: Iterator[int]) -> Callable[[int], Any]:
    return lambda _bytes: f"{next(numbers):x}"
