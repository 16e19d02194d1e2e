"""Storage that cannot be shared safely is refused, by what it does: real file systems, and one that lies."""

import errno
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from odd_storage import WRITES, OddStorage, odd_storage

from mftgit.adapters.coordinator import CoordinatorUnavailableError
from mftgit.adapters.shared_storage import StorageProbe, StorageUnfitError
from mftgit.model.names import MemberName

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
def test_what_a_killed_probe_has_left_is_removed_by_the_next_one(behaving: OddStorage) -> None:
    behaving.be(slow_s=0.02)
    program = (
        "from pathlib import Path; from mftgit.adapters.shared_storage import StorageProbe\n"
        f"StorageProbe(Path({str(behaving.folder)!r}), 'one')()"
    )
    probing = subprocess.Popen([sys.executable, "-c", program])
    try:
        while not left(behaving.behind):
            assert probing.poll() is None
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
