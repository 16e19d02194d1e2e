"""What is done to many files of a folder at once, where doing it one by one would wait for the disk each time."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Self, TypeVar

from mftgit.adapters.endpoint.contract import (
    Content,
    EndpointFullError,
    FileEntry,
    Traits,
)
from mftgit.adapters.endpoint.one_by_one import each
from mftgit.adapters.endpoint.paths import folder_and_name
from mftgit.adapters.local.confined import (
    NEW_FILE,
    READ_FILE,
    begin_write_back,
    open_folder,
    read_whole,
    require_file,
    sync_folder,
    write_whole,
)
from mftgit.adapters.local.errors import telling
from mftgit.adapters.local.rename import rename_to_free_name
from mftgit.errors import MftgitError

A = TypeVar("A")
T = TypeVar("T")

_OPEN_FILES = 64
_FLUSHES = 4  # threads; more of them gained nothing


class Folders:
    """Folders below ``root``, each opened once, and flushed once at the end of the `with` if a name in it changed.

    Where the body of the `with` fails, nothing is flushed: then it is not known what was done.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._open = ExitStack()
        self._found: dict[tuple[str, ...], int] = {}
        self._changed: dict[int, None] = {}  # in the order in which they are flushed

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        """See `Endpoint.rename`."""
        (old_above, old_name), (new_above, new_name) = folder_and_name(old), folder_and_name(new)
        with telling(self._root, old, new):
            self._make_room(2)
            source, target = self._at(old_above), self._at(new_above)
            if replace:
                os.rename(old_name, new_name, src_dir_fd=source, dst_dir_fd=target)
            else:
                rename_to_free_name(source, old_name, target, new_name)
        self._changed |= {
            target: None,
            source: None,
        }  # a power cut between leaves a file two names, not none

    def remove(self, path: str) -> None:
        """See `Endpoint.remove`."""
        above, name = folder_and_name(path)
        with telling(self._root, path):
            self._make_room(1)
            folder = self._at(above)
            os.unlink(name, dir_fd=folder)
        self._changed[folder] = None

    def read(self, path: str, *, most_bytes: int) -> Content:
        """See `Endpoint.read_all`."""
        with self._opened(path) as (descriptor, before):
            # One byte more than it should have: some file systems tell of files that have no size.
            wanted = before.st_size + 1 if before.st_size <= most_bytes else 0
            data = read_whole(descriptor, wanted)
            after = os.fstat(descriptor)
        return Content(before=entry_of(path, before), after=entry_of(path, after), data=data)

    def set(self, path: str, traits: Traits) -> None:
        """See `Endpoint.set_all`."""
        with self._opened(path) as (descriptor, status):
            if traits.mode is not None:
                os.fchmod(descriptor, traits.mode)
            if traits.mtime_ns is not None:
                os.utime(descriptor, ns=(status.st_atime_ns, traits.mtime_ns))
            os.fsync(descriptor)

    @contextmanager
    def _opened(self, path: str) -> Iterator[tuple[int, os.stat_result]]:
        """Give the regular file ``path``, open for reading, and what it is."""
        above, name = folder_and_name(path)
        with telling(self._root, path):
            self._make_room(1)
            descriptor = os.open(name, READ_FILE, dir_fd=self._at(above))
            try:
                status = os.fstat(descriptor)
                require_file(self._root, path, status)
                yield descriptor, status
            finally:
                os.close(descriptor)

    def create(self, path: str) -> int:
        """Make the new file ``path`` and the folders above it; return its descriptor, which the caller closes."""
        above, name = folder_and_name(path)
        with telling(self._root, path):
            self._make_room(1)
            folder = self._at(above, make=True)
            descriptor = os.open(name, NEW_FILE, 0o666, dir_fd=folder)
        self._changed[folder] = None
        return descriptor

    def _at(self, parts: tuple[str, ...], *, make: bool = False) -> int:
        if parts not in self._found:
            opened = open_folder(self._root, parts, make=make)
            self._found[parts] = self._open.enter_context(opened)
        return self._found[parts]

    def _make_room(self, folders: int) -> None:
        if len(self._found) + folders > _OPEN_FILES:
            self._flush()
            self._close()

    def _flush(self) -> None:
        with telling(self._root, "."):
            for descriptor in self._changed:
                sync_folder(descriptor)

    def _close(self) -> None:
        self._open.close()
        self._changed.clear()
        self._found.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._flush()
        finally:
            self._close()


def entry_of(path: str, status: os.stat_result) -> FileEntry:
    """Return the entry of the file ``path``."""
    return FileEntry(
        path=path,
        size_bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
        mode=status.st_mode & 0o777,
    )


def write_many(root: Path, files: Iterable[tuple[str, bytes]]) -> list[int | MftgitError]:
    """Write new files and make them last, some at a time; see `Endpoint.write_all`.

    The disk is told to begin with all of them before it is waited for: that took half the time of one after the other
    (ext4, 200 files of 10 KiB: 0.09 against 0.23 ms each). They are waited for in some threads, which takes a tenth of
    the time where others keep the disk busy (0.14 against 1.4 ms each).
    """
    ended: list[int | MftgitError] = []
    left = iter(files)
    with Folders(root) as folders:
        while some := list(islice(left, _OPEN_FILES)):
            ended += _write_some(root, folders, some)
    return ended


def _write_some(
    root: Path, folders: Folders, files: list[tuple[str, bytes]]
) -> list[int | MftgitError]:
    with ExitStack() as opened:

        def begin(file: tuple[str, bytes]) -> int:
            path, content = file
            descriptor = folders.create(path)
            opened.callback(os.close, descriptor)
            with telling(root, path):
                write_whole(descriptor, content)
                begin_write_back(descriptor, 0, len(content))
            return descriptor

        begun = each(begin, files)
        faults = _flush_all([each for each in begun if isinstance(each, int)])

        def end(written: tuple[tuple[str, bytes], int | MftgitError]) -> int:
            (path, content), descriptor = written
            if isinstance(descriptor, MftgitError):
                raise descriptor
            with telling(root, path):
                if descriptor in faults:
                    raise faults[descriptor]
                size = os.fstat(descriptor).st_size
            if size != len(content):
                raise EndpointFullError(
                    f"{root}: {path!r} has {size} bytes after {len(content)} were written to it"
                )
            return size

        return each(end, zip(files, begun, strict=True))


def _flush_all(descriptors: list[int]) -> dict[int, OSError]:
    """Flush files, and return what went wrong with which; where there are many, in some threads.

    What several threads wait for at a time the file system commits together.
    """
    if len(descriptors) < 2 * _FLUSHES:
        return _flush(descriptors)
    with ThreadPoolExecutor(_FLUSHES, "flush") as threads:
        found = threads.map(_flush, (descriptors[at::_FLUSHES] for at in range(_FLUSHES)))
        return {descriptor: error for faults in found for descriptor, error in faults.items()}


def _flush(descriptors: list[int]) -> dict[int, OSError]:
    faults = {}
    for descriptor in descriptors:
        try:
            os.fsync(descriptor)
        except OSError as error:
            faults[descriptor] = error
    return faults
