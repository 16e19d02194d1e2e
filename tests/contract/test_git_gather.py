"""However many pushes there are, packs stay few, and nothing of what they held is lost."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
from git_cli import clone, git, git_ok
from git_site import FIRST, NOW

from mftgit.adapters.git.gather import MANY
from mftgit.adapters.git.store import GitStore
from mftgit.model.names import Revision
from mftgit.model.revisions.limits import Limits
from mftgit.model.revisions.push import RefUpdate

pytestmark = pytest.mark.needs("git")


def add(store: GitStore, parent: Revision | None, text: bytes) -> Revision:
    return store.commit_documents(
        {**FIRST, "a": text}, message="m", author="Ann <a@b.invalid>", now=NOW, parent=parent
    )


def tip(store: GitStore) -> Revision:
    found = store.head()
    assert found is not None
    return found


def packs(store: GitStore) -> list[Path]:
    return sorted(store.path.glob("objects/pack/*.pack"))


def grow(store: GitStore, count: int) -> list[Revision]:
    made: list[Revision] = []
    for number in range(count):
        made.append(add(store, store.head(), b"%d" % number))
        assert len(packs(store)) <= 4 * MANY
    return made


@pytest.mark.long
def test_packs_stay_few_while_others_read(tmp_path: Path) -> None:
    done = threading.Event()

    def read(store: GitStore) -> int:
        looks = 0
        while not done.is_set():
            for entry in store.log(20):
                assert store.tree(entry.revision)["a"].load().isdigit()
                looks += 1
        return looks

    with GitStore.create(tmp_path / "s.git") as store, ThreadPoolExecutor(2) as pool:
        add(store, None, b"0")
        readers = [pool.submit(read, store) for _ in range(2)]
        try:
            made = grow(store, 5 * MANY)
        finally:
            done.set()
        assert all(each.result() for each in readers)
        assert git_ok(store.path, "rev-list", "main").split()[:-1] == made[::-1]
        checked = git(store.path, "fsck", "--strict", "--full")
        assert (checked.code, checked.out, checked.err) == (0, "", "")
        git_ok(clone(str(store.path), tmp_path / "clone"), "fsck", "--strict")


def test_a_store_that_is_opened_again_goes_on(tmp_path: Path) -> None:
    for _ in range(5):
        with GitStore.create(tmp_path / "s.git") as store:
            grow(store, MANY // 2 + 3)
            assert store.tree(tip(store))["a"].load() == b"%d" % (MANY // 2 + 2)
    assert git(tmp_path / "s.git", "fsck", "--strict", "--full").code == 0


def test_packs_stay_few_also_where_every_process_ends_soon(tmp_path: Path) -> None:
    made: list[Revision] = []
    for _ in range(MANY):
        with GitStore.create(tmp_path / "s.git") as store:
            store.sweep()
            assert len(packs(store)) < MANY
            made += grow(store, 4)
    assert git_ok(tmp_path / "s.git", "rev-list", "main").split() == made[::-1]
    assert git(tmp_path / "s.git", "fsck", "--strict", "--full").code == 0


def test_packs_are_put_together_only_when_there_are_many_again(tmp_path: Path) -> None:
    with GitStore.create(tmp_path / "s.git") as store:
        add(store, None, b"0")
        while not store._spare:
            grow(store, 1)
        spare = store._spare
        grow(store, MANY - 2)
        assert store._spare == spare


def test_a_pack_that_somebody_keeps_and_those_that_are_much_larger_are_left_alone(
    tmp_path: Path,
) -> None:
    with GitStore.create(tmp_path / "s.git") as store:
        add(store, None, b"0")
        (kept,) = packs(store)
        kept.with_suffix(".keep").touch()
        grow(store, 1)
        (large,) = set(packs(store)) - {kept}
        with large.open("ab") as stream:
            stream.truncate(9 << 20)
        add(store, tip(store), os.urandom(1 << 20))
        (medium,) = set(packs(store)) - {kept, large}
        grow(store, 2 * MANY)
        assert {kept, medium, large} <= set(packs(store))
        assert len(packs(store)) <= 2 * MANY + 3


def test_what_comes_again_while_its_old_pack_is_spare_is_not_removed_with_it(
    tmp_path: Path,
) -> None:
    with GitStore.create(tmp_path / "s.git") as store:
        add(store, None, b"0")
        while not store._spare:
            grow(store, 1)
        spare = next(path for path in store._spare if path.suffix == ".pack")
        again = BytesIO(spare.read_bytes())
        git_ok(store.path, "repack", "-q", "-a", "-d")  # another program removes it
        assert not spare.exists()
        with store.quarantine() as quarantine:
            quarantine.take(again, Limits())
            assert store.move([RefUpdate(ref="refs/heads/x", old=None, new=tip(store))], quarantine)
        assert spare.exists()
        assert spare not in store._spare


def test_small_packs_that_cannot_be_put_together_keep_no_commit_out(tmp_path: Path) -> None:
    with GitStore.create(tmp_path / "s.git") as store:
        add(store, None, b"0")
        for number in range(3 * MANY):
            last = add(store, tip(store), b"%d" % number)
            (packs(store)[0].parent / "damaged.pack").write_bytes(b"PACK")
            (packs(store)[0].parent / "damaged.idx").write_bytes(b"damaged")
            assert store.head() == last


def test_a_pack_whose_index_is_still_to_come_is_left_alone(tmp_path: Path) -> None:
    with GitStore.create(tmp_path / "s.git") as store:
        grow(store, 10)
        index = min(store.path.glob("objects/pack/*.idx"))
        aside = index.rename(tmp_path / "aside")  # C git moves the pack in first, then its index
        with GitStore(store.path, probe=False) as other:
            for number in range(MANY):
                other.commit_documents(
                    {"b": b"%d" % number},
                    message="m",
                    author="Ann <a@b.invalid>",
                    now=NOW,
                    parent=other.head("refs/heads/other"),
                    ref="refs/heads/other",
                )
            aside.rename(index)
            for number in range(2 * MANY):
                add(other, other.head(), b"x%d" % number)
    assert git(tmp_path / "s.git", "fsck", "--strict", "--full").code == 0
