"""The copy of the active revision is put right whatever is done to it, and nothing else is touched."""

import errno
import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mftgit.adapters import drift_folder
from mftgit.adapters.active_copy import ActiveCopy, CopyError, read_copy
from mftgit.adapters.documents_folder import importable
from mftgit.adapters.drift_folder import KEPT, Deviation, Drift
from mftgit.model.names import Revision
from mftgit.model.revisions.tree_id import object_id, tree_id

ONE = {
    "cluster.yaml": b"name: a\n",
    "transfers/a.yaml": b"one: 1\ntwo: 2\n",
    "transfers/b.yaml": b"b\n",
    "notes/deep/n.md": b"n\n",
}
TWO = ONE | {"transfers/a.yaml": b"one: 1\ntwo: 3\n", "locations/l.yaml": b"l\n"}
del TWO["notes/deep/n.md"]
EDITED, REMOVED, REPLACED = Deviation.EDITED, Deviation.REMOVED, Deviation.REPLACED


@pytest.fixture
def copy(tmp_path: Path) -> ActiveCopy:
    """Return a copy that holds ONE."""
    made = ActiveCopy(tmp_path)
    assert put_right(made, ONE, 0) is None
    return made


def stamp(number: int) -> str:
    return f"20261124T150000.{number:06}Z"


def commit_of(files: dict[str, bytes]) -> bytes:
    tree = tree_id({path: entry.oid for path, entry in importable(files).items()})
    return f"tree {tree}\nauthor é <a@b.invalid> 1 +0000\n\nx\n".encode()


def revision_of(files: dict[str, bytes]) -> Revision:
    return Revision(object_id("commit", commit_of(files)))


def put_right(
    copy: ActiveCopy, files: dict[str, bytes], number: int, *, whole: bool = True
) -> Drift | None:
    return copy.put_right(
        importable(files), commit=commit_of(files), stamp=stamp(number), whole=whole
    )


def there(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root / "active").as_posix(): path.read_bytes()
        for path in (root / "active").rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def overwrite(path: Path, content: bytes = b"mine") -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def look(copy: ActiveCopy, files: dict[str, bytes] = ONE, number: int = 1) -> dict[str, Deviation]:
    found = put_right(copy, files, number)
    return dict(found.deviations) if found else {}


def test_a_revision_is_copied_and_the_next_one_changes_only_what_it_changes(
    tmp_path: Path, copy: ActiveCopy
) -> None:
    assert there(tmp_path) == ONE
    before = {path: (tmp_path / "active" / path).stat().st_ino for path in ONE}
    assert look(copy, TWO) == {}
    assert there(tmp_path) == TWO
    assert not (tmp_path / "active/notes").exists()
    for path in ("cluster.yaml", "transfers/b.yaml"):
        assert (tmp_path / "active" / path).stat().st_ino == before[path]
    assert not (tmp_path / "drift").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"active", "active.json"}


def test_one_file_of_ten_thousand_costs_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = {f"transfers/t{number}.yaml": b"%d\n" % number for number in range(10_000)}
    copy = ActiveCopy(tmp_path)
    renames, syncs, opens = Counter(), Counter(), Counter()
    monkeypatch.setattr(
        os, "fsync", syncs.count(lambda _: None)
    )  # 10,000 of them are for real disks
    look(copy, many)
    for path in (tmp_path / "active/transfers").iterdir():
        os.utime(path, (1, 1))
    monkeypatch.setattr("time.time_ns", lambda: 1 << 63)  # all of it settled long ago
    look(copy, many)
    many["transfers/t7.yaml"] = b"other\n"
    monkeypatch.setattr(os, "rename", renames.count(os.rename))
    monkeypatch.setattr(os, "open", opens.count(os.open))
    syncs.calls = 0
    assert look(copy, many) == {}
    assert renames.calls == 1
    assert syncs.calls < 10
    assert opens.calls < 20
    assert (tmp_path / "active/transfers/t7.yaml").read_bytes() == b"other\n"
    many["transfers/t8.yaml"] = b"another\n"
    looks = Counter()
    monkeypatch.setattr(os, "stat", looks.count(os.stat))
    assert put_right(copy, many, 1, whole=False) is None
    assert (renames.calls, looks.calls < 20) == (2, True)
    assert (tmp_path / "active/transfers/t8.yaml").read_bytes() == b"another\n"


def test_a_look_at_what_changed_leaves_the_rest_to_the_look_at_the_whole(
    tmp_path: Path, copy: ActiveCopy
) -> None:
    (rest, *_), (changed, *_) = (
        [path for path in TWO if (path in ONE and ONE[path] == TWO[path]) is same]
        for same in (True, False)
    )
    for path in (rest, changed):
        (tmp_path / "active" / path).parent.mkdir(exist_ok=True)
        overwrite(tmp_path / "active" / path)
    found = put_right(copy, TWO, 1, whole=False)
    assert found is not None
    assert [path for path, _ in found.deviations] == [changed]
    assert there(tmp_path) == {**TWO, rest: b"mine"}
    assert list(look(copy, TWO, 2)) == [rest]
    assert there(tmp_path) == TWO


class Counter:
    """Counts the calls of something."""

    def __init__(self) -> None:
        self.calls = 0

    def count(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*words: Any, **more: Any) -> Any:
            self.calls += 1
            return call(*words, **more)

        return counted


# What somebody does to it


def test_an_edit_is_kept_aside_with_its_difference_and_put_right(
    tmp_path: Path, copy: ActiveCopy
) -> None:
    overwrite(tmp_path / "active/transfers/a.yaml", b"one: 1\ntwo: 9\n")
    found = put_right(copy, ONE, 1)
    assert found is not None
    assert (dict(found.deviations), found.saved, found.not_kept) == (
        {"transfers/a.yaml": EDITED}, f"drift/{stamp(1)}", 0,
    )  # fmt: skip
    assert there(tmp_path) == ONE
    place = tmp_path / "drift" / stamp(1)
    assert (place / "files/transfers/a.yaml").read_bytes() == b"one: 1\ntwo: 9\n"
    diff = (place / "changes.diff").read_text(encoding="utf-8").splitlines()
    assert diff[:3] == [
        "transfers/a.yaml: edited",
        "--- a/transfers/a.yaml",
        "+++ b/transfers/a.yaml",
    ]
    assert "-two: 2" in diff
    assert "+two: 9" in diff
    assert look(copy, number=2) == {}


def test_an_edit_that_keeps_size_and_time_is_found_all_the_same(
    tmp_path: Path, copy: ActiveCopy
) -> None:
    path = tmp_path / "active/transfers/a.yaml"
    look(copy)
    before = path.stat()
    path.chmod(0o644)
    path.write_bytes(b"one: 1\ntwo: 9\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert look(copy) == {"transfers/a.yaml": EDITED}


def test_what_was_removed_comes_back(tmp_path: Path, copy: ActiveCopy) -> None:
    (tmp_path / "active/cluster.yaml").unlink()
    assert look(copy) == {"cluster.yaml": REMOVED}
    shutil.rmtree(tmp_path / "active/transfers")
    assert look(copy, number=2) == {"transfers/a.yaml": REMOVED, "transfers/b.yaml": REMOVED}
    shutil.rmtree(tmp_path / "active")
    assert set(look(copy, number=3)) == set(ONE)
    assert there(tmp_path) == ONE


def in_the_way(path: Path, kind: str, outside: Path) -> None:
    path.unlink()
    match kind:
        case "link":
            path.symlink_to(outside)
        case "folder":
            path.mkdir()
            (path / "inner").write_bytes(b"inner")
        case _:
            os.mkfifo(path)


@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_what_stands_in_the_place_of_a_file_is_moved_aside_as_it_is(
    tmp_path: Path, copy: ActiveCopy, kind: str
) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"untouched")
    in_the_way(tmp_path / "active/transfers/a.yaml", kind, outside)
    assert look(copy) == {"transfers/a.yaml": REPLACED}
    assert there(tmp_path) == ONE
    assert outside.read_bytes() == b"untouched"
    moved = tmp_path / "drift" / stamp(1) / "files/transfers/a.yaml"
    is_kind = {"link": stat.S_ISLNK, "folder": stat.S_ISDIR, "pipe": stat.S_ISFIFO}[kind]
    assert is_kind(moved.lstat().st_mode)


@pytest.mark.parametrize("place", ["active", "active/transfers"])
def test_no_link_in_the_place_of_a_folder_leads_out(
    tmp_path: Path, copy: ActiveCopy, place: str
) -> None:
    outside = tmp_path / "outside"
    (tmp_path / place).rename(outside)
    before = {path: path.read_bytes() for path in outside.rglob("*.yaml")}
    (outside / "a.yaml").unlink(missing_ok=True)
    (tmp_path / place).symlink_to(outside)
    found = look(copy, TWO)
    assert REPLACED in found.values()
    assert there(tmp_path) == TWO
    assert not (tmp_path / place).is_symlink()
    left = {path: path.read_bytes() for path in outside.rglob("*.yaml")}
    assert left.items() <= before.items()
    assert outside.exists()


def test_what_is_not_of_the_revision_is_left_alone(tmp_path: Path, copy: ActiveCopy) -> None:
    mine = tmp_path / "active/transfers/mine.txt"
    mine.write_bytes(b"mine")
    (tmp_path / "active/notes/deep/mine").symlink_to("/nowhere")
    assert look(copy) == {}
    assert look(copy, TWO, 2) == {}
    assert mine.read_bytes() == b"mine"
    assert (tmp_path / "active/notes/deep/mine").is_symlink()
    assert not (tmp_path / "active/notes/deep/n.md").exists()


def test_an_edit_of_a_file_that_goes_is_kept_aside(tmp_path: Path, copy: ActiveCopy) -> None:
    overwrite(tmp_path / "active/notes/deep/n.md")
    assert look(copy, TWO) == {"notes/deep/n.md": EDITED}
    assert (tmp_path / "drift" / stamp(1) / "files/notes/deep/n.md").read_bytes() == b"mine"
    assert there(tmp_path) == TWO


def test_a_file_that_becomes_a_folder_and_back_is_followed(
    tmp_path: Path, copy: ActiveCopy
) -> None:
    turned = {"cluster.yaml": b"c", "notes": b"a file now"}
    assert look(copy, turned) == {}
    assert there(tmp_path) == turned
    assert look(copy, ONE) == {}
    assert there(tmp_path) == ONE


# Bounds


def test_what_is_beyond_the_bounds_is_put_right_and_not_kept(
    tmp_path: Path, copy: ActiveCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift_folder, "MAX_FILES", 2)
    monkeypatch.setattr(drift_folder, "MAX_BYTES", 100)
    in_the_way(tmp_path / "active/cluster.yaml", "folder", tmp_path)
    for name in ("x", "y"):
        (tmp_path / "active/cluster.yaml" / name).write_bytes(b"")
    overwrite(tmp_path / "active/notes/deep/n.md", b"x" * 101)
    overwrite(tmp_path / "active/transfers/a.yaml", b"small")
    found = put_right(copy, ONE, 1)
    assert found is not None
    assert (len(found.deviations), found.not_kept) == (3, 2)
    kept = tmp_path / "drift" / stamp(1) / "files"
    assert [path.name for path in kept.rglob("*") if path.is_file()] == ["a.yaml"]
    assert there(tmp_path) == ONE


def test_a_large_file_is_not_compared(tmp_path: Path, copy: ActiveCopy) -> None:
    overwrite(tmp_path / "active/transfers/b.yaml", b"x\n" * 100_000)
    look(copy)
    diff = (tmp_path / "drift" / stamp(1) / "changes.diff").read_text(encoding="utf-8")
    assert diff == "transfers/b.yaml: edited\n2 bytes became 200,000, too many to compare\n"


def test_the_newest_finds_are_kept(tmp_path: Path, copy: ActiveCopy) -> None:
    (tmp_path / "drift").mkdir()
    (tmp_path / "drift/mine").mkdir()
    for number in range(1, KEPT + 4):
        overwrite(tmp_path / "active/cluster.yaml")
        look(copy, number=number)
    kept = sorted(path.name for path in (tmp_path / "drift").iterdir())
    assert kept == [*(stamp(number) for number in range(4, KEPT + 4)), "mine"]


# Crashes


class DiedError(BaseException):
    """The process ends here."""


def dying(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Let the ``step``-th change of names on the disk be the last thing that happens."""
    left = [step]
    for name in ("rename", "unlink", "mkdir", "replace"):
        call = getattr(os, name)

        def counted(*words: Any, call: Callable[..., Any] = call, **more: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise DiedError
            return call(*words, **more)

        monkeypatch.setattr(os, name, counted)


@pytest.mark.parametrize("step", range(16))
def test_a_crash_at_any_step_is_mended_by_the_next_look_and_is_no_drift(
    tmp_path: Path, copy: ActiveCopy, step: int
) -> None:
    for files in (TWO, ONE | {"cluster.yaml": b"name: b\n"}):
        with pytest.MonkeyPatch.context() as patch:
            dying(patch, step)
            with suppress(DiedError):
                put_right(copy, files, 1)
    again = ActiveCopy(tmp_path)
    assert look(again, TWO) == {}
    assert there(tmp_path) == TWO
    assert not (tmp_path / "active-next.json").exists()


def test_a_full_disk_is_told_and_the_next_look_goes_on(
    tmp_path: Path, copy: ActiveCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "active/x")

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", full)
        with pytest.raises(CopyError, match="active/x: No space left on device"):
            put_right(copy, TWO, 1)
    assert look(copy, TWO) == {}
    assert there(tmp_path) == TWO


@pytest.mark.parametrize(
    "content", [b"", b"[1]", b'{"files": 3}', b'{"files": {"a": 3}, "commit": ""}', b"{"]
)
def test_without_its_lists_the_copy_is_put_right_from_what_is_there(
    tmp_path: Path, copy: ActiveCopy, content: bytes
) -> None:
    (tmp_path / "active.json").write_bytes(content)
    (tmp_path / "active-next.json").write_bytes(content)
    overwrite(tmp_path / "active/cluster.yaml")
    assert look(copy) == {"cluster.yaml": EDITED}
    assert there(tmp_path) == ONE


# Reading it when the store is lost


def test_a_copy_is_read_back_as_the_revision_that_it_is_of(
    tmp_path: Path, copy: ActiveCopy
) -> None:
    del copy
    (tmp_path / "active/transfers/mine.txt").write_bytes(b"mine")
    tree = read_copy(tmp_path, revision_of(ONE))
    assert {path: entry.load() for path, entry in tree.items()} == ONE
    assert {(entry.mode, entry.size_bytes == len(entry.load())) for entry in tree.values()} == {
        (0o100644, True)
    }
    overwrite(tmp_path / "active/transfers/b.yaml")
    with pytest.raises(CopyError, match=r"b\.yaml was changed"):
        tree["transfers/b.yaml"].load()
    with pytest.raises(CopyError, match=r"b\.yaml was changed"):
        read_copy(tmp_path, revision_of(ONE))


def test_a_copy_of_another_revision_or_with_a_link_is_not_read(
    tmp_path: Path, copy: ActiveCopy
) -> None:
    del copy
    with pytest.raises(CopyError, match="is not a whole copy of revision"):
        read_copy(tmp_path, revision_of(TWO))
    with pytest.raises(CopyError, match="is not a whole copy of revision"):
        read_copy(tmp_path / "nowhere", revision_of({}))
    same = tmp_path / "same"
    (tmp_path / "active/transfers").rename(same)
    (tmp_path / "active/transfers").symlink_to(same)
    with pytest.raises(CopyError, match=r"transfers/a\.yaml: "):
        read_copy(tmp_path, revision_of(ONE))
