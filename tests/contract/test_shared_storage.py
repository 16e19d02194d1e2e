"""Storage that cannot be shared safely is refused, by what it does: real file systems, and one that lies."""

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from clocks import SetClock
from member_folder import make_folder, say, say_json
from odd_storage import WRITES, OddStorage, odd_storage

from mftgit.adapters.coordinator import CoordinatorUnavailableError, SessionLostError
from mftgit.adapters.durable import read_replaced
from mftgit.adapters.shared.folder import SharedFolderCoordinator
from mftgit.adapters.shared.storage import StorageProbe, StorageUnfitError
from mftgit.errors import ConfigError
from mftgit.member.outbound.ownership.storage import AGAIN_S, Admitted, Storage
from mftgit.model.names import MemberName
from mftgit.model.ownership.standing import Standing

ONE, TWO = MemberName("one"), MemberName("two")


def left(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name != "probes"]


@pytest.fixture(scope="module")
def odd() -> Iterator[OddStorage]:
    with (
        TemporaryDirectory(dir="/dev/shm") as root,  # where fsync costs nothing
        odd_storage(Path(root, "behind"), Path(root, "mounted")) as storage,
    ):
        yield storage


@pytest.fixture
def behaving(odd: OddStorage) -> Iterator[OddStorage]:
    odd.be()
    yield odd
    odd.be()
    StorageProbe(odd.folder, ONE)()  # what a lie has left
    assert left(odd.folder) == []


def test_a_local_disk_is_fit_and_nothing_stays_on_it(tmp_path: Path) -> None:
    StorageProbe(tmp_path / ".mftgit", ONE)()
    assert left(tmp_path / ".mftgit") == []


@pytest.mark.needs("fusermount3")
@pytest.mark.parametrize(
    ("lie", "named"),
    [
        ("content", "Content: .* another content"),
        ("listing", "Listing: .* not listed"),
        ("create", "Exclusive create .* made once more"),
        ("no link", "Exclusive link .* not supported"),
        ("link is a copy", "Exclusive link .* number of links"),
        ("rename to free names", "Rename onto a file .* File exists"),
        ("rename is a copy", "Rename onto a file .* two names"),
        ("no rename across", "Rename from folder to folder: .* cross-device"),
        ("rmdir of nothing", "Rename from folder to folder: .* a folder that was removed"),
        ("rmdir of all", "Removal of a folder .* was removed"),
        ("short names", "Names: .* too long"),
        ("forms", "Names: .* taken for another one"),
        ("case", "Case of names: .* A was taken for a"),
        ("fsync", "Making last .* Invalid argument"),
    ],
)
def test_storage_that_lies_is_refused_by_what_it_does(
    lie: str, named: str, behaving: OddStorage
) -> None:
    behaving.be(lie=lie)
    with pytest.raises(StorageUnfitError, match=rf"\(fuse[^)]*\) cannot be shared.* {named}"):
        StorageProbe(behaving.folder, ONE)()


@pytest.mark.needs("fusermount3")
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EROFS, errno.ESTALE])
def test_storage_that_takes_nothing_now_is_tried_again(code: int, behaving: OddStorage) -> None:
    behaving.be(errno=code, only=WRITES)
    with pytest.raises(CoordinatorUnavailableError, match="see that it is mounted here"):
        StorageProbe(behaving.folder, ONE)()
    behaving.be()
    StorageProbe(behaving.folder, ONE)()


@pytest.mark.needs("fusermount3")
def test_a_file_that_was_replaced_elsewhere_is_read_again(behaving: OddStorage) -> None:
    path = behaving.folder / "told"
    path.write_bytes(b"told")
    behaving.be(errno=errno.ESTALE, only=["read"], times=1)
    assert read_replaced(path, most_bytes=3) == b"tol"
    behaving.be(errno=errno.ESTALE, only=["read"])
    with pytest.raises(OSError, match="Stale"):
        read_replaced(path, most_bytes=3)
    behaving.be()
    path.unlink()


@pytest.mark.needs("fusermount3")
def test_what_a_killed_probe_has_left_is_removed_by_the_next_one(behaving: OddStorage) -> None:
    behaving.be(slow_s=0.2)
    program = (
        "from pathlib import Path; from mftgit.adapters.shared.storage import StorageProbe\n"
        f"StorageProbe(Path({str(behaving.folder)!r}), 'one')()"
    )
    probing = subprocess.Popen([sys.executable, "-c", program])
    try:
        while not left(behaving.behind):
            assert probing.poll() is None
        probing.send_signal(signal.SIGSTOP)
        # Once it has stopped, nothing that it asked for is under way.
        _, status = os.waitpid(probing.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
    finally:
        probing.send_signal(signal.SIGKILL)
        probing.wait()
    behaving.be()
    residue = left(behaving.folder)
    assert residue
    StorageProbe(behaving.folder, TWO)()
    assert left(behaving.folder) == residue  # it is not that member's
    StorageProbe(behaving.folder, ONE)()
    assert left(behaving.folder) == []


def test_members_that_probe_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    same = StorageProbe(tmp_path, ONE)
    other = StorageProbe(tmp_path, TWO)
    probes = [same, same, same, other, other]
    failed: list[Exception] = []

    def probe(one: StorageProbe) -> None:
        for _ in range(3):
            try:
                one()
            except Exception as error:  # noqa: BLE001
                failed.append(error)

    threads = [threading.Thread(target=probe, args=(each,)) for each in probes]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert failed == []
    assert left(tmp_path) == []


# The id


@dataclass
class Known:
    """One storage as members know it, each by a state folder of its own."""

    root: Path
    clock: SetClock = field(default_factory=SetClock)

    @property
    def folder(self) -> Path:
        return self.root / "files" / ".mftgit"

    @property
    def id_file(self) -> Path:
        return self.folder / "storage-id"

    def by(self, member: MemberName) -> Storage:
        known = self.root / member
        known.mkdir(exist_ok=True)
        return Storage(self.folder, member=member, known=known / "storage-id", clock=self.clock)


@pytest.fixture
def known(tmp_path: Path) -> Known:
    return Known(root=tmp_path)


def test_members_that_come_first_at_once_give_the_storage_one_id(known: Known) -> None:
    storages = [known.by(MemberName(f"m{number}")) for number in range(8)]
    threads = [threading.Thread(target=each.admit) for each in storages]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert {each.status.id for each in storages} == {
        known.id_file.read_text(encoding="ascii").strip()
    }
    assert left(known.folder) == [known.id_file]


def test_a_folder_in_place_of_a_mount_is_refused_until_that_is_back(known: Known) -> None:
    storage = known.by(ONE)
    storage.admit()
    away = known.folder.rename(known.root / "away")
    with pytest.raises(StorageUnfitError, match="Most likely it is not mounted"):
        known.by(ONE).admit()  # after a restart
    assert not known.folder.exists()
    with pytest.raises(StorageUnfitError):
        storage.admit()  # and while it runs
    assert storage.status.refused is not None
    away.rename(known.folder)
    known.clock.pass_s(AGAIN_S)
    storage.admit()
    assert storage.status.refused is None


def test_other_storage_is_refused_until_an_operator_accepts_it(known: Known) -> None:
    known.by(ONE).admit()
    former = known.id_file.read_text(encoding="ascii").strip()
    known.folder.rename(known.root / "away")
    known.by(TWO).admit()  # which knew none
    other = known.id_file.read_text(encoding="ascii").strip()
    storage = known.by(ONE)
    with pytest.raises(StorageUnfitError, match=f"{other}, and this member knows .* {former}"):
        storage.admit()
    assert storage.accept() == (former, other)
    known.clock.pass_s(AGAIN_S)
    storage.admit()
    assert (storage.status.id, storage.status.refused) == (other, None)


def test_storage_without_an_id_is_accepted_with_one(known: Known) -> None:
    known.by(ONE).admit()
    former = known.id_file.read_text(encoding="ascii").strip()
    known.id_file.unlink()
    assert known.by(ONE).accept() == (former, known.id_file.read_text(encoding="ascii").strip())


def test_what_was_refused_is_not_looked_at_again_at_once(known: Known) -> None:
    storage = known.by(ONE)
    storage.admit()
    content = known.id_file.read_bytes()
    known.id_file.write_bytes(b"half")
    with pytest.raises(CoordinatorUnavailableError, match="damaged: not 32"):
        storage.admit()
    known.id_file.write_bytes(content)
    with pytest.raises(CoordinatorUnavailableError, match="damaged: not 32"):
        storage.admit()
    known.clock.pass_s(AGAIN_S)
    storage.admit()


def test_a_state_folder_that_is_full_keeps_nothing_from_being_owned(known: Known) -> None:
    storage = known.by(ONE)
    (known.root / ONE).rmdir()
    storage.admit()
    assert storage.status.id is not None


def test_no_session_is_opened_on_storage_that_is_refused(known: Known) -> None:
    storage = known.by(ONE)
    real = SharedFolderCoordinator(
        known.folder / "coordination", member=ONE, ttl_s=2.0, clock=known.clock
    )
    admitted = Admitted(real, storage)
    session = admitted.open(Standing())
    assert admitted.renew(session).id == session.id
    known.folder.rename(known.root / "away")
    with pytest.raises(SessionLostError):
        admitted.renew(session)
    with pytest.raises(StorageUnfitError, match="not mounted"):
        admitted.open(Standing())
    assert not known.folder.exists()


def test_an_operator_accepts_what_is_there_by_a_verb(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    first = say_json(folder, "member", "accept-storage")
    assert first == {"name": "node-1", "storage": first["storage"], "former": None}
    told = say(folder, "member", "accept-storage").stdout
    assert told == f"Member node-1 takes the storage {first['storage']} at {tmp_path / 'files'}.\n"
    (tmp_path / "files").rename(tmp_path / "away")
    told = say(folder, "member", "accept-storage").stdout
    assert told.endswith(f", and no more {first['storage']}.\n")


def test_what_cannot_be_remembered_is_not_accepted(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    folder.storage_id.with_name(f".storage-id.{os.getpid()}.new").mkdir()
    with pytest.raises(ConfigError, match="cannot be written"):
        say(folder, "member", "accept-storage")
