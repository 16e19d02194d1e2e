"""A copy of the active revision as plain files, for people and for when git's own store is lost, and kept as it was.

Whatever was done to a file of it is found, moved to `drift` with what it differs in, and put right; what is not of the
revision is left alone. Folders are walked by ``openat`` with ``O_NOFOLLOW``, so that no link leads out. `active.json`
says what the copy holds, and `active-next.json`, while it changes, what it may hold: what a crash left is no drift.
"""

import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Final

from mftgit.adapters.drift_folder import Deviation, Drift, DriftFolder
from mftgit.adapters.durable import write_file
from mftgit.adapters.folders import enter, open_top
from mftgit.errors import MftgitError
from mftgit.model.names import Revision
from mftgit.model.revisions.tree_id import object_id, tree_id
from mftgit.model.rules.tree import Entry, Tree

ACTIVE: Final = "active"

_OID: Final = re.compile(r"[0-9a-f]{40}")
_FRESH: Final = ".active.new"
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_SETTLED_NS: Final = 2_000_000_000
"""A file that changed within so long may change again without another time stamp, and is read again."""

_Oids = Collection[str | None]
"""The ids of contents that may lie at a path; None where nothing may."""

_Stamp = tuple[int, int, int, int]


class CopyError(MftgitError):
    """The copy cannot be read or written, or is not what it was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What may lie where: what was ``listed``, and by path what may be instead while that changes."""

    pending: Mapping[str, frozenset[str | None]]
    listed: Mapping[str, str]

    def at(self, path: str) -> _Oids:
        return self.pending.get(path) or {self.listed.get(path)}

    def but_for(self, wanted: Tree) -> set[str]:
        return {*self.pending, *self.listed} - wanted.keys()


class ActiveCopy:
    """The copy below a state folder; one thread at a time."""

    def __init__(self, root: Path) -> None:
        """Look at nothing yet."""
        self._root = root
        self._list, self._next = root / "active.json", root / "active-next.json"
        self._seen: dict[str, tuple[str, _Stamp]] = {}

    def put_right(
        self, tree: Tree, *, commit: bytes, stamp: str, whole: bool = True
    ) -> Drift | None:
        """Make the copy that of ``tree``; return what was found to be otherwise than it was left, if anything was.

        ``commit`` is the revision's own object, byte for byte, by which `read_copy` knows the copy again. ``stamp``
        names the folder in `drift` where what was found goes. What is as it should be costs one stat(2), and nothing
        where the ``whole`` is not to be looked at: then only what ``tree`` has otherwise than the copy before.

        Raises:
            CopyError: not all of it is right now; the next call goes on.
        """
        try:
            return self._put_right(tree, commit, stamp, whole=whole)
        except OSError as error:
            raise CopyError(f"{error.filename or self._root}: {error.strerror or error}") from error

    def _put_right(self, tree: Tree, commit: bytes, stamp: str, *, whole: bool) -> Drift | None:
        wanted = {path: entry.oid for path, entry in tree.items()}
        listed, before = _read_list(self._list)
        changes = {
            path for path in wanted.keys() | listed.keys() if wanted.get(path) != listed.get(path)
        }
        pending = self._pending()
        pending |= {
            path: pending.get(path, frozenset({listed.get(path)})) | {wanted.get(path)}
            for path in changes
        }
        if changes:
            _write_json(
                self._next, {path: sorted(map(str, oids)) for path, oids in pending.items()}
            )
        known = _Known(pending=pending, listed=listed if whole else {})
        looked_at = tree if whole else pending.keys() & tree.keys()
        with open_top(self._root) as top, DriftFolder(top, stamp) as drift:
            self._drop(top, known.but_for(tree), known, drift)
            for folder, paths in groupby(
                sorted(looked_at, key=_place), key=lambda path: _place(path)[0]
            ):
                self._keep_folder(top, folder, {path: tree[path] for path in paths}, known, drift)
            found = drift.close()
        for path in known.but_for(tree):
            self._seen.pop(path, None)
        if changes or commit != before:
            _write_json(self._list, {"commit": commit.decode("latin-1"), "files": wanted})
        self._next.unlink(missing_ok=True)
        return found

    def _pending(self) -> dict[str, frozenset[str | None]]:
        """Return what a change that did not come to its end may have left."""
        return {
            path: frozenset(None if oid == "None" else str(oid) for oid in oids)
            for path, oids in _read_json(self._next).items()
            if isinstance(oids, list)
        }

    def _keep_folder(
        self, top: int, folder: str, files: Tree, known: _Known, drift: DriftFolder
    ) -> None:
        parts = (ACTIVE, *filter(None, folder.split("/")))
        with _folder(top, parts, drift) as at:
            # Not `any`: every file is looked at.
            written = [
                self._keep(at, path, entry, known.at(path), drift) for path, entry in files.items()
            ]
            if True in written:
                os.fsync(at)

    def _keep(self, at: int, path: str, entry: Entry, known: _Oids, drift: DriftFolder) -> bool:
        """See that one file is right; tell whether it had to be written."""
        name = path.rpartition("/")[2]
        status = _status(at, name)
        stamp = status and _stamp(status)
        if status is not None and self._seen.get(path) == (entry.oid, stamp):
            return False
        oid = _digest(at, name, status)
        if oid == entry.oid and status is not None and stamp is not None:
            if time.time_ns() - max(status.st_ctime_ns, status.st_mtime_ns) > _SETTLED_NS:
                self._seen[path] = (oid, stamp)
            return False
        content = entry.load()  # before anything is touched: it may not be there to be had
        if status is None:
            if None not in known:
                drift.note(path, Deviation.REMOVED)
        elif oid is None or oid not in known:
            drift.take(at, name, path, status, entry)
        self._write(at, name, content)
        return True

    def _write(self, at: int, name: str, content: bytes) -> None:
        with open_top(self._root) as top:
            with suppress(FileNotFoundError):
                os.unlink(_FRESH, dir_fd=top)
            descriptor = os.open(_FRESH, _WRITE, 0o444, dir_fd=top)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.rename(_FRESH, name, src_dir_fd=top, dst_dir_fd=at)

    def _drop(self, top: int, paths: Collection[str], known: _Known, drift: DriftFolder) -> None:
        """Remove what is not of the revision any more, and the folders that become empty."""
        for path in sorted(paths):
            folder, _, name = path.rpartition("/")
            parts = (ACTIVE, *filter(None, folder.split("/")))
            with suppress(FileNotFoundError, NotADirectoryError), _folder(top, parts) as at:
                status = _status(at, name)
                oid = _digest(at, name, status)
                if status is not None and (oid is None or oid not in known.at(path)):
                    drift.take(at, name, path, status, None)
                elif status is not None:
                    os.unlink(name, dir_fd=at)
                os.fsync(at)
            for end in range(len(parts), 1, -1):
                with suppress(OSError), _folder(top, parts[: end - 1]) as above:
                    os.rmdir(parts[end - 1], dir_fd=above)


def read_copy(root: Path, revision: Revision) -> Tree:
    """Return the files of ``revision`` from the copy below the state folder ``root``, if it is that revision's.

    The commit is held against its id, the files against the tree that it names, and each content against its own id,
    here and again when it is loaded.

    Raises:
        CopyError: it is not, or cannot be read.
    """
    listed, commit = _read_list(root / "active.json")
    tree_line = f"tree {tree_id(listed)}\n".encode()
    if object_id("commit", commit) != revision or not commit.startswith(tree_line):
        raise CopyError(f"{root / ACTIVE} is not a whole copy of revision {revision[:12]}")
    return {path: _entry(root, path, oid) for path, oid in listed.items()}


def _read_list(path: Path) -> tuple[Mapping[str, str], bytes]:
    """Return what the copy holds by what was written of it last, and the commit; nothing where that cannot be read."""
    value = _read_json(path)
    files, commit = value.get("files"), value.get("commit")
    if not isinstance(files, dict) or not isinstance(commit, str):
        return {}, b""
    listed = {
        name: oid for name, oid in files.items() if isinstance(oid, str) and _OID.fullmatch(oid)
    }
    return listed, commit.encode("latin-1", "replace")


def _entry(root: Path, path: str, oid: str) -> Entry:
    load = partial(_load, root, path, oid)
    return Entry(mode=0o100644, oid=oid, size_bytes=len(load()), load=load)


def _load(root: Path, path: str, oid: str) -> bytes:
    folder, _, name = path.rpartition("/")
    parts = (ACTIVE, *filter(None, folder.split("/")))
    try:
        with open_top(root) as top, _folder(top, parts) as at:
            descriptor = os.open(name, _READ, dir_fd=at)
            with os.fdopen(descriptor, "rb") as stream:
                content = stream.read()
    except OSError as error:
        raise CopyError(f"{root / ACTIVE / path}: {error.strerror or error}") from error
    if object_id("blob", content) != oid:
        raise CopyError(f"{root / ACTIVE / path} was changed: it is not the content {oid[:12]}")
    return content


@contextmanager
def _folder(top: int, parts: tuple[str, ...], drift: DriftFolder | None = None) -> Iterator[int]:
    """Give a folder below the state folder; with ``drift`` it is made, and what is in its way is taken there."""
    at = os.dup(top)
    try:
        for depth, part in enumerate(parts):
            if drift is not None:
                _clear(at, part, "/".join(parts[1 : depth + 1]), drift)
            below = enter(at, part, make=drift is not None)
            os.close(at)
            at = below
        yield at
    finally:
        os.close(at)


def _clear(at: int, name: str, path: str, drift: DriftFolder) -> None:
    """Take away what is no folder and stands where one has to be."""
    status = _status(at, name)
    if status is not None and not stat.S_ISDIR(status.st_mode):
        drift.take(at, name, path or ACTIVE, status, None)


def _status(at: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=at, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _stamp(status: os.stat_result) -> _Stamp:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _digest(at: int, name: str, status: os.stat_result | None) -> str | None:
    """Return git's id of the content of a regular file; None where it cannot be told."""
    if status is None or not stat.S_ISREG(status.st_mode):
        return None
    try:
        descriptor = os.open(name, _READ, dir_fd=at)
    except PermissionError:
        return None
    with os.fdopen(descriptor, "rb") as stream:
        size_bytes = os.fstat(stream.fileno()).st_size
        digest = hashlib.sha1(f"blob {size_bytes}\0".encode(), usedforsecurity=False)
        left = size_bytes
        while left > 0 and (chunk := stream.read(min(left, 1 << 20))):
            digest.update(chunk)
            left -= len(chunk)
    return None if left else digest.hexdigest()


def _place(path: str) -> tuple[str, str]:
    folder, _, name = path.rpartition("/")
    return folder, name


def _read_json(path: Path) -> Mapping[str, object]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _write_json(path: Path, value: Mapping[str, object]) -> None:
    write_file(path, json.dumps(value).encode(), mode=0o600)
