"""What keeps Python busy does not cost a member its session; what stops it for too long does, and has no effect."""

import ctypes
import multiprocessing
import threading
from collections.abc import Callable, Mapping
from multiprocessing.context import ForkProcess
from pathlib import Path

import pytest
from outbound_site import CLOCK, LARGE, Site, site

from mftgit.adapters.shared.folder import SharedFolderCoordinator
from mftgit.member.outbound.ownership.keep import Callbacks, Keeper, Taken
from mftgit.member.outbound.ownership.own import Ownership
from mftgit.model.names import MemberName, TransferName
from mftgit.model.ownership.spread import Want
from mftgit.model.ownership.view import FREE

T = TransferName("t")
RUNS = 8
FORK = multiprocessing.get_context("fork")


def coordinator(root: Path, name: str, ttl_s: float) -> SharedFolderCoordinator:
    return SharedFolderCoordinator(
        root / "coordination", member=MemberName(name), ttl_s=ttl_s, clock=CLOCK
    )


def hold_everything(seconds: float) -> None:
    """Sleep as a C library does that does not let go of Python's lock: no other thread of Python goes on."""
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


class Owner:
    """A keeper with all that it was told of T."""

    def __init__(self, root: Path, name: str, ttl_s: float) -> None:
        self.lost: list[str] = []
        self._taken = threading.Event()
        self._over = threading.Event()
        self.keeper = Keeper(
            coordinator(root, name, ttl_s),
            member=MemberName(name),
            ttl_s=ttl_s,
            clock=CLOCK,
            tell=Callbacks(taken=self._note, lost=self._end, asked_back=lambda _: None),
        )
        self.keeper.start()
        self.keeper.want({T: Want()})

    def _note(self, taken: Mapping[TransferName, Taken]) -> None:
        self._ownership = taken[T].ownership
        self._taken.set()

    def _end(self, lost: Mapping[TransferName, str]) -> None:
        self.lost += lost.values()
        self._over.set()

    def owned(self) -> Ownership:
        assert self._taken.wait(60)
        return self._ownership

    def until_lost(self) -> list[str]:
        assert self._over.wait(60)
        return self.lost

    def stop(self) -> None:
        self.keeper.ended(T)
        self.keeper.stop()


def forked(call: Callable[..., None], *words: object) -> ForkProcess:
    """Let ``call`` hold what it wants in a process of its own."""
    process = FORK.Process(target=call, args=words, daemon=True)
    process.start()
    return process


def busy_owner(root: Path, ttl_s: float) -> None:
    owner = Owner(root, "one", ttl_s)
    owner.owned()
    for _ in range(RUNS):
        threading.Thread(target=burn, daemon=True).start()
    while True:
        hold_everything(ttl_s / 5)
        threading.Event().wait(ttl_s / 10)


def burn() -> None:
    while True:
        sum(number * number for number in range(1000))


@pytest.mark.long
def test_runs_that_burn_cpu_and_hold_python_s_lock_do_not_cost_the_session(tmp_path: Path) -> None:
    ttl_s = 10.0
    watcher = coordinator(tmp_path, "two", ttl_s)
    busy = forked(busy_owner, tmp_path, ttl_s)
    beats: set[str] = set()
    owners: list[str | None] = []
    while len(beats) < 6:
        assert busy.is_alive()
        threading.Event().wait(0.1)
        owners.append(watcher.look().views.get(T, FREE).owner)
        beats |= {path.name for path in tmp_path.glob("coordination/sessions/one.*/beat-*")}
    busy.kill()
    busy.join()
    assert set(owners) - {None} == {"one"}
    assert None not in owners[owners.index("one") :]


def arrived(there: Site) -> list[str]:
    return [name for name in there.left_at_target() if not name.startswith(".")]


def frozen_owner(root: Path, ttl_s: float) -> None:
    """Deliver, and hold everything for two ttl right after the first file has come to be seen at the partner."""
    there = site(root)
    held: list[str] = []

    def hold_once(_effect: str) -> None:
        if not held and (there_now := arrived(there)):
            held.extend(there_now)
            hold_everything(2 * ttl_s)

    owner = Owner(root, "one", ttl_s)
    ownership = owner.owned()
    there.after = hold_once
    there.run(ownership)
    assert held == arrived(there)
    assert not ownership.valid()
    assert owner.until_lost()


def test_who_holds_python_s_lock_beyond_the_deadline_has_no_effect_after_it(tmp_path: Path) -> None:
    ttl_s, there = 6.0, site(tmp_path)
    for folder in (there.source, there.target):
        folder.mkdir()
    for name in ("a", "b", "c"):
        there.put(name, name.encode() + LARGE)
    frozen = forked(frozen_owner, tmp_path, ttl_s)
    while not arrived(there):
        assert frozen.is_alive()
        threading.Event().wait(0.01)
    heir = Owner(tmp_path, "two", ttl_s)
    ownership = heir.owned()
    frozen.join(60)
    assert frozen.exitcode == 0
    assert len(arrived(there)) == 1
    assert ownership.epoch == 2
    there.run(ownership)
    assert arrived(there) == ["a", "b", "c"]
    assert there.delivered() == 3
    assert there.left_at_source() == []
    heir.stop()
