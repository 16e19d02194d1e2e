"""Everything that comes in with a push is sound, also what no ref of it names; nothing of it can be called up later."""

import errno
import zlib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
from git_cli import clone, git
from git_raw import KINDS, ZERO, Raw, blob, commit, head, oid, pack, pack_of, push, tree
from git_site import FIRST, Site, site

from mftgit.adapters.git import quarantine as git_quarantine
from mftgit.adapters.git import store as git_store
from mftgit.adapters.git.pack import PackError, longest_chain
from mftgit.adapters.git.store import GitStore
from mftgit.model.names import CHANGES, MAIN

pytestmark = pytest.mark.needs("git")

NOWHERE = "1" * 40


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as running:
        yield running


def root(served: Site) -> tuple[str, str]:
    """Return main, and its tree."""
    tip = served.store.head()
    assert tip is not None
    return tip, served.store.raw_commit(tip).split()[1].decode()


def stowaways(served: Site) -> dict[str, Raw]:
    tip, files = root(served)
    dated = (
        b"tree %b\nparent %b\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 99999999999999 +0000\n\nx\n"
    )
    return {
        "a commit without its parent": commit(files, tip, NOWHERE),
        "a commit without its tree": commit(NOWHERE, tip),
        "a tree with .git": tree(("40000", b".git", files)),
        "a tree without its blob": tree(("100644", b"a", NOWHERE)),
        "a commit of no year": (b"commit", dated % (files.encode(), tip.encode())),
        "a tag of nothing": (
            b"tag",
            b"object %b\ntype commit\ntag x\ntagger A <a@b> 1 +0000\n\nx\n" % NOWHERE.encode(),
        ),
    }


@pytest.mark.parametrize("case", range(6))
def test_what_comes_along_unnamed_is_judged_too(served: Site, tmp_path: Path, case: int) -> None:
    tip, files = root(served)
    along = list(stowaways(served).values())[case]
    honest = commit(files, tip)
    change = (ZERO, oid(honest), f"{CHANGES}a")
    assert f"ng {CHANGES}a" in push(served.url, change, content=pack(honest, along))
    assert git(served.store.path, "cat-file", "-e", oid(along)).code != 0
    again = push(served.url, (ZERO, oid(along), f"{CHANGES}b"), content=pack())
    assert f"ng {CHANGES}b" in again
    clone(served.url, tmp_path / "work")
    assert git(served.store.path, "fsck", "--strict").code == 0


def test_of_two_refs_a_bad_one_takes_the_good_one_along(served: Site) -> None:
    tip, files = root(served)
    good, bad = commit(files, tip), tree(("40000", b".git", files))
    evil = commit(oid(bad), tip)
    answer = push(
        served.url,
        (tip, oid(good), MAIN),
        (ZERO, oid(evil), f"{CHANGES}e"),
        content=pack(good, bad, evil),
    )
    assert f"ng {MAIN}" in answer
    assert served.store.head() == tip


def test_what_is_sound_and_needed_by_no_ref_that_moves_does_not_come_in(served: Site) -> None:
    tip, files = root(served)
    good, along = commit(files, tip), blob(b"nobody names me")
    bad = tree(("100644", b"cluster.yaml", oid(blob(b"bad"))))
    refused = commit(oid(bad), tip)
    content = pack(good, along, blob(b"bad"), bad, refused)
    commands = ((tip, oid(good), MAIN), (ZERO, oid(refused), f"{CHANGES}a"))
    answer = push(served.url, *commands, content=content)
    assert f"ok {MAIN}" in answer
    assert f"ng {CHANGES}a" in answer
    for each in (along, blob(b"bad"), bad, refused):
        assert git(served.store.path, "cat-file", "-e", oid(each)).code != 0
    assert git(served.store.path, "fsck", "--strict").out == ""


def whole(raw: Raw) -> bytes:
    return head(KINDS[raw[0]], len(raw[1])) + zlib.compress(raw[1])


def size_of(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def delta(base: Raw, made: Raw) -> bytes:
    content = size_of(len(base[1])) + size_of(len(made[1])) + bytes([len(made[1])]) + made[1]
    return head(7, len(content)) + bytes.fromhex(oid(base)) + zlib.compress(content)


@pytest.mark.parametrize("order", ["fab", "fba", "afb", "abf"])
def test_objects_that_are_deltas_of_each_other_are_refused(served: Site, order: str) -> None:
    tip, _ = root(served)
    one, other = blob(b"xxxxxx"), blob(b"yyyyyyyy")
    files = tree(("100644", b"a", oid(one)), ("100644", b"b", oid(other)))
    made = commit(oid(files), tip)
    entries = {"f": whole(one), "a": delta(other, one), "b": delta(one, other)}
    content = pack_of(whole(files), whole(made), *(entries[each] for each in order))
    answer = push(served.url, (ZERO, oid(made), f"{CHANGES}a"), content=content)
    assert "the pack holds an object twice" in answer
    assert served.store.head() == tip


def test_deltas_in_a_circle_have_no_longest_chain() -> None:
    with pytest.raises(PackError, match="circle"):
        longest_chain({1: 2, 2: 3, 3: 1}, lambda _: 0)


def test_chains_of_many_pushes_do_not_add_up_for_a_member(served: Site, tmp_path: Path) -> None:
    long = 1_500
    tip, _ = root(served)
    blobs = [blob(b"%d\n" % number) for number in range(3 * long + 1)]
    kept = [("100644", b"cluster.yaml", oid(blob(FIRST["cluster.yaml"])))]
    for start in range(0, 3 * long, long):
        part = blobs[start : start + long + 1]
        named = [("100644", b"f%05d" % at, oid(each)) for at, each in enumerate(part)]
        files = tree(*kept, *named)
        made = commit(oid(files), tip)
        deltas = [delta(*pair) for pair in pairwise(part)]
        content = pack_of(whole(files), whole(made), whole(part[0]), *deltas)
        assert f"ok {MAIN}" in push(served.url, (tip, oid(made), MAIN), content=content)
        tip = oid(made)
    with GitStore.copy_at(tmp_path / "member.git") as member:
        assert member.fetch(served.url, ca_file=None, headers=lambda *_: {}) == tip


# Disks that fail in the middle


def fail_once(patch: pytest.MonkeyPatch, module: ModuleType, name: str) -> None:
    """Let the next flush of a folder fail, and only that one."""

    def fail(_path: Path) -> None:
        patch.undo()
        raise OSError(errno.EIO, "the disk failed")

    patch.setattr(module, name, fail)


def test_a_move_that_is_not_flushed_is_told_all_the_same(
    served: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    tip, files = root(served)
    made = commit(files, tip)

    fail_once(monkeypatch, git_store, "_sync_above")
    assert f"ok {MAIN}" in push(served.url, (tip, oid(made), MAIN), content=pack(made))
    assert served.published == [served.store.head()] == [oid(made)]


def test_objects_that_are_not_flushed_are_taken_back(
    served: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    tip, files = root(served)
    made = commit(files, tip)

    fail_once(monkeypatch, git_quarantine, "sync_folder")
    answer = push(served.url, (tip, oid(made), MAIN), content=pack(made))
    assert f"ng {MAIN} not written, push again" in answer
    assert served.store.head() == tip
    assert git(served.store.path, "cat-file", "-e", oid(made)).code != 0
    assert f"ok {MAIN}" in push(served.url, (tip, oid(made), MAIN), content=pack(made))
