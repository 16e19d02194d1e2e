"""The folder of a bare repository: made whole or not at all, locked by one writer, swept after a crash."""

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree

from dulwich.repo import Repo

from mftgit.adapters.durable import sync_folder, write_file
from mftgit.adapters.git.quarantine import PREFIX
from mftgit.model.names import MAIN

_LOCK_NAME = "mftgit.flock"
_NOTE_NAME = "mftgit.moving"
_FRESH, _BROKEN = ".fresh", ".broken"
PackState = Mapping[str, tuple[int, int, int]]

_LEFT_BEHIND = (
    "*.lock",
    "refs/**/*.lock",
    "objects/**/*.lock",
    "objects/tmp_pack_*",
    "objects/pack/tmp*",
    "objects/pack/.tmp*",
)


def make_repository(path: Path) -> None:
    """Make a bare repository without hooks under ``path``, which is empty or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    branch = MAIN.removeprefix("refs/heads/").encode()
    with Repo.init_bare(str(fresh), default_branch=branch) as repo:
        config = repo.get_config()
        config.set((b"repack",), b"writeBitmaps", b"false")  # see git_objects.Objects
        config.set((b"gc",), b"auto", b"0")
        config.write_to_path()
    for name in ("HEAD", "config"):
        write_file(fresh / name, (fresh / name).read_bytes())
    fresh.rename(path)
    sync_folder(path.parent)


def fresh_place(path: Path) -> Path:
    """Return an empty place beside ``path`` for the repository that is to stand in its stead."""
    fresh = path.with_name(path.name + _FRESH)
    _remove(fresh)
    return fresh


def swap_in(path: Path) -> None:
    """Put the repository at `fresh_place` in the stead of the one at ``path``, which is removed."""
    broken = path.with_name(path.name + _BROKEN)
    _remove(broken)
    with suppress(FileNotFoundError):
        path.rename(broken)
    finish_swap(path)


def finish_swap(path: Path) -> None:
    """Go on where a crash broke `swap_in` off; afterwards one repository is left, or none."""
    fresh = path.with_name(path.name + _FRESH)
    if fresh.exists() and not path.exists():
        fresh.rename(path)
        sync_folder(path.parent)
    _remove(fresh)
    _remove(path.with_name(path.name + _BROKEN))


def _remove(path: Path) -> None:
    if path.is_dir():
        rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold the repository against other threads and other processes; the lock of a dead process is free.

    Gives the descriptor: a process that inherits it holds the repository to its own end.
    """
    descriptor = os.open(path / _LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def undone_by_a_crash(
    path: Path, files: Sequence[Path], refs: Mapping[str, str | None]
) -> Iterator[None]:
    """Let `sweep_repository` remove ``files`` again, should the process end before any of ``refs`` is at its value."""
    note = path / _NOTE_NAME
    told = {"files": [str(file.relative_to(path)) for file in files], "refs": dict(refs)}
    write_file(note, json.dumps(told).encode())
    try:
        yield
    finally:
        note.unlink(missing_ok=True)


def _undo(path: Path) -> list[Path]:
    """Return the files that a push has brought in whose refs did not move."""
    try:
        told = json.loads((path / _NOTE_NAME).read_bytes())
    except FileNotFoundError:
        return []
    with Repo(str(path), bare=True) as repo:
        at = {name.decode("utf-8", "surrogateescape"): oid for name, oid in repo.get_refs().items()}
    if any(new is not None and at.get(ref) == new.encode() for ref, new in told["refs"].items()):
        return []
    # The index goes first: by it a pack is seen.
    return [path / name for name in reversed(told["files"])]


def pack_state(path: Path) -> PackState | None:
    """Return by name what tells whether a file of the packs was touched; None where objects lie apart from packs."""
    apart = (path / "objects").glob("[0-9a-f][0-9a-f]/*")
    if next(apart, None) is not None:
        return None
    with os.scandir(path / "objects/pack") as files:
        found = {file.name: file.stat() for file in files}
    return {name: (stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in found.items()}


def sweep_repository(path: Path) -> tuple[str, ...]:
    """Remove locks, half-written packs and quarantines; return their names.

    Whoever calls holds the lock and knows that no push is under way.
    """
    left = [file for file in _undo(path) if file.exists()]
    packs = (path / "objects/pack").glob("*.pack")
    left += [pack for pack in packs if not pack.with_suffix(".idx").exists() and pack not in left]
    for pattern in _LEFT_BEHIND:
        left += path.glob(pattern)
    folders = list(path.glob(f"objects/{PREFIX}*"))
    for file in left:
        file.unlink(missing_ok=True)
    for folder in folders:
        rmtree(folder)
    # Last, so that a sweep that is broken off begins anew.
    (path / _NOTE_NAME).unlink(missing_ok=True)
    return tuple(sorted(str(each.relative_to(path)) for each in (*left, *folders)))
