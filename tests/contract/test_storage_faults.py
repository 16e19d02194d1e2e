"""An owner whose storage turns bad stands down, another one with good storage goes on, and all heals by itself.

Each member sees the storage by a mount of its own (`odd_storage`), as machines do.
"""

import errno
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from odd_storage import WRITES, OddStorage, odd_storage

from mftgit.adapters.state_folder import Bootstrap, StateFolder
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
from mftgit.model.ownership.storage import StorageStatus
from mftgit.model.transfers.status import TransferStatus
from mftgit.model.transfers.triggers import WatchTrigger

pytestmark = [pytest.mark.long, pytest.mark.needs("fusermount3")]

TTL_S = 2.0
WAIT_S = 120.0
ONE, TWO, THREE = MemberName("one"), MemberName("two"), MemberName("three")
T = TransferName("t")
HERE, THERE = LocationName("here"), LocationName("there")

FAULTS: dict[str, dict[str, Any]] = {
    "slow": {"slow_s": 2.0},
    "hanging": {"hang": True},
    "read-only": {"errno": errno.EROFS, "only": WRITES},
    "full": {"errno": errno.ENOSPC, "only": WRITES},
    "broken": {"errno": errno.EIO},
    "stale": {"errno": errno.ESTALE},
}


class Site:
    """Two members with one transfer from their storage to a partner that takes every file at once."""

    def __init__(self, root: Path, storages: dict[MemberName, OddStorage]) -> None:
        self.storages = storages
        self.members: dict[MemberName, Outbound] = {}
        self.got: Counter[str] = Counter()
        self.events: list[tuple[MemberName, EventName]] = []
        self._root = root
        self.files_root: Path | None = None  # where it is not each member's storage
        self.here = "here"
        self._source = root / "behind" / "here"
        self._source.mkdir()
        self._target = root / "partner"
        self._target.mkdir()
        self._over = threading.Event()
        self._threads = [threading.Thread(target=each) for each in (self._partner, self._sender)]
        self._sending = threading.Event()
        self.sent = 0
        for each in self._threads:
            each.start()

    def start(self, name: MemberName) -> None:
        bootstrap = Bootstrap(
            name=name,
            role=Role.NODE,
            cluster_id="c",
            controller_url="https://127.0.0.1:1",
            files_root=str(self.files_root or self.storages[name].folder),
        )
        folder = StateFolder(self._root / f"state-{name}")
        folder.root.mkdir(exist_ok=True)
        member = Outbound(
            folder=folder,
            bootstrap=bootstrap,
            record=lambda event, **_: self.events.append((name, event)),
            is_ancestor=lambda *_: True,
        )
        member.start()
        wanted = self._generation(name)
        ready = member.prepare(plan(None, wanted), wanted, fresh=True)
        member.apply(ready, revision=Revision("a" * 40))
        self.members[name] = member

    def _generation(self, name: MemberName) -> Generation:
        transfer = Transfer(
            name=T,
            source=Source(location=HERE, stable_s=0.0),
            destination=Destination(location=THERE, overwrite=Overwrite.FAIL),
            trigger=WatchTrigger(every_s=0.1),
            after_success=AfterSuccess.DELETE,
        )
        return Generation(
            cluster=Cluster(name="c", lease_ttl_s=TTL_S),
            member=Member(name=name, role=Role.NODE),
            locations={
                HERE: LocalLocation(name=HERE, path=self.here),
                THERE: LocalLocation(name=THERE, path=str(self._target)),
            },
            transfers={T: transfer},
            declared=frozenset({T}),
        )

    def status(self, name: MemberName) -> TransferStatus:
        """Return how the transfer is on a member, which says so at once whatever its storage does."""
        told: list[TransferStatus] = []
        asking = threading.Thread(target=lambda: told.extend(self.members[name].status()))
        asking.start()
        asking.join(60.0)
        assert told, "the status hangs"
        return told[0]

    def storage(self, name: MemberName) -> StorageStatus:
        return self.members[name].storage or StorageStatus()

    def owns(self, name: MemberName) -> bool:
        return self.status(name).owner == name

    def send(self, *, on: bool) -> None:
        """Let files come, one after the other, or no more."""
        (self._sending.set if on else self._sending.clear)()

    def until(self, what: str, reached: Callable[[], object]) -> None:
        end = time.monotonic() + WAIT_S
        while not reached():
            assert time.monotonic() < end, what
            threading.Event().wait(0.05)

    def until_delivered(self, more: int) -> None:
        wanted = len(self.got) + more
        self.until(f"{more} files more arrive", lambda: len(self.got) >= wanted)

    def until_all_is_delivered(self) -> None:
        self.send(on=False)
        self.until("all arrive", lambda: len(self.got) >= self.sent)

    def _sender(self) -> None:
        while not self._over.wait(0.05):
            if self._sending.is_set():
                fresh = self._source.parent / "fresh"
                fresh.write_text(str(self.sent), encoding="utf-8")
                fresh.rename(self._source / f"{self.sent:05d}")
                self.sent += 1

    def _partner(self) -> None:
        while not self._over.wait(0.005):
            for path in self._target.glob("[!.]*"):
                path.unlink()
                self.got[path.name] += 1

    def close(self) -> None:
        for storage in self.storages.values():
            storage.be()
        for member in self.members.values():
            member.stop()
        self._over.set()
        for each in self._threads:
            each.join()


@pytest.fixture
def site() -> Iterator[Site]:
    """Both members run, and the first one owns the transfer."""
    with (
        TemporaryDirectory(dir="/dev/shm", ignore_cleanup_errors=True) as root,
        odd_storage(Path(root, "behind"), Path(root, "one")) as one,
        odd_storage(Path(root, "behind"), Path(root, "two")) as two,
    ):
        made = Site(Path(root), {ONE: one, TWO: two})
        try:
            made.start(ONE)
            made.until("one owns it", lambda: made.owns(ONE))
            made.start(TWO)
            made.send(on=True)
            made.until_delivered(3)
            yield made
        finally:
            made.close()


@pytest.mark.parametrize("fault", FAULTS)
def test_an_owner_whose_storage_turns_bad_is_succeeded_and_all_heals_by_itself(
    fault: str, site: Site
) -> None:
    site.storages[ONE].be(**FAULTS[fault])
    site.until("another one owns it", lambda: site.owns(TWO))
    assert not site.owns(ONE)
    site.until_delivered(5)

    site.storages[ONE].be()
    site.until_delivered(5)
    site.until("one is well again", lambda: ONE in site.storage(TWO).sees)
    site.members[TWO].stop()
    site.until("one owns it again", lambda: site.owns(ONE))
    site.until_delivered(5)

    site.until_all_is_delivered()
    assert set(site.got.values()) == {1}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can unmount what another process mounted")
def test_an_owner_whose_storage_is_no_longer_mounted_owns_nothing_in_the_folder_that_is_left(
    site: Site,
) -> None:
    storage = site.storages[ONE]
    storage.unmount()
    site.until("another one owns it", lambda: site.owns(TWO))
    site.until("one says why", lambda: site.storage(ONE).refused)
    assert "Most likely it is not mounted" in str(site.storage(ONE).refused)
    assert not site.owns(ONE)
    assert not list(storage.folder.glob(".mftgit/coordination/*/*"))
    site.until_delivered(5)

    shutil.rmtree(storage.folder)
    storage.folder.mkdir()
    storage.mount()
    site.until("one is well again", lambda: ONE in site.storage(TWO).sees)
    assert site.storage(ONE).refused is None
    site.until_all_is_delivered()
    assert set(site.got.values()) == {1}


def test_nothing_is_taken_from_a_source_whose_storage_keeps_late_owners_not_out(
    site: Site, tmp_path: Path
) -> None:
    site.until_all_is_delivered()
    for member in site.members.values():
        member.stop()
    source = site.storages[ONE]
    site.files_root, site.here = tmp_path, str(source.folder / "here")
    source.be(lie="rmdir of nothing")
    site.start(THREE)
    site.send(on=True)
    site.until("it says why", lambda: site.status(THREE).reason)
    assert "a folder that was removed" in str(site.status(THREE).reason)
    assert len(site.got) < site.sent
    source.be()
    site.until_delivered(5)
    site.until_all_is_delivered()
    assert set(site.got.values()) == {1}


def test_a_member_whose_storage_hangs_can_be_stopped(site: Site) -> None:
    site.storages[ONE].be(hang=True)
    stopping = threading.Thread(target=site.members[ONE].stop)
    stopping.start()
    stopping.join(60.0)
    assert not stopping.is_alive()
    site.until("another one owns it", lambda: site.owns(TWO))
    site.until_delivered(5)
    site.storages[ONE].be()
    site.until_all_is_delivered()
    assert set(site.got.values()) == {1}


def test_a_member_that_starts_on_bad_storage_says_so_and_owns_nothing(site: Site) -> None:
    site.members[TWO].stop()
    site.storages[TWO].be(lie="link is a copy")
    site.start(TWO)
    site.until("it refuses the storage", lambda: site.storage(TWO).refused)
    assert "Exclusive link" in str(site.storage(TWO).refused)
    assert site.storage(TWO).sees == ()
    site.until_delivered(5)
    assert not site.owns(TWO)
    site.storages[TWO].be()
    site.until("it takes part", lambda: TWO in site.storage(ONE).sees)
    assert site.storage(TWO).refused is None
    site.until_all_is_delivered()
    assert set(site.got.values()) == {1}
