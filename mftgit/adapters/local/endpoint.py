"""A folder of this machine, or of storage mounted on it, as a place of files."""

import errno
import io
import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from mftgit.adapters.endpoint.contract import (
    Content,
    Digest,
    EndpointFullError,
    EndpointRefusedError,
    FileEntry,
    FileMissingError,
    Traits,
)
from mftgit.adapters.endpoint.one_by_one import each
from mftgit.adapters.endpoint.paths import folder_and_name, parts_inside
from mftgit.adapters.local.confined import (
    begin_write_back,
    file_status,
    new_file,
    old_file,
    open_file,
    open_folder,
    scan,
    sync_folder,
    write_whole,
)
from mftgit.adapters.local.errors import telling
from mftgit.adapters.local.many import Folders, entry_of, write_many
from mftgit.errors import MftgitError
from mftgit.model.locations.location import LocalLocation


def open_local(location: LocalLocation, *, files_root: Path, make: bool = True) -> "LocalEndpoint":
    """Open ``location``, below ``files_root`` where its path is relative; with ``make`` a missing folder is made.

    Raises:
        EndpointRefusedError: the folder cannot be made, or its relative path leaves ``files_root``.
        EndpointLostError: its storage does not answer.
    """
    if not location.path.startswith("/"):
        parts_inside(location.path)
    root = files_root / location.path
    if make:
        with telling(root, "."):
            root.mkdir(parents=True, exist_ok=True)
    return LocalEndpoint(root)


_WRITE_BACK_BYTES: Final = 8 << 20
"""So much of a file is written before the disk is told to begin with it, which leaves little to wait for at the end."""


class LocalEndpoint:
    """The files below ``root``; see `mftgit.adapters.endpoint.contract.Endpoint`.

    ``root`` itself may be a link or lie behind links; nothing below it is followed.
    """

    resumes = True

    def __init__(self, root: Path) -> None:
        self._root = root

    def list_files(
        self, folder: str, *, recursive: bool, depth: int | None = None
    ) -> Iterator[FileEntry]:
        """See `Endpoint.list_files`; a file that vanishes while listing is passed over."""
        top = parts_inside(folder)
        waiting: deque[tuple[str, ...]] = deque([()])
        deepest = depth if recursive else 0
        while waiting:
            below = waiting.popleft()
            try:
                for name, status in scan(self._root, (*top, *below)):
                    if stat.S_ISREG(status.st_mode):
                        yield entry_of("/".join((*below, name)), status)
                    elif stat.S_ISDIR(status.st_mode) and (deepest is None or len(below) < deepest):
                        waiting.append((*below, name))
            except FileMissingError:
                if not below:
                    raise

    def list_names(self, folder: str) -> list[str]:
        """See `Endpoint.list_names`."""
        parts = parts_inside(folder)
        with telling(self._root, folder), open_folder(self._root, parts) as descriptor:
            return os.listdir(descriptor)  # noqa: PTH208  a Path is no descriptor

    def stat(self, path: str) -> FileEntry:
        """See `Endpoint.stat`."""
        return entry_of(path, file_status(self._root, path))

    @contextmanager
    def open_read(self, path: str, offset: int = 0) -> Iterator[BinaryIO]:
        """See `Endpoint.open_read`; what goes wrong while reading is told by the same errors."""
        with io.BufferedReader(open_file(self._root, path)) as stream:
            with telling(self._root, path):
                stream.seek(offset)
            yield stream

    def write(
        self,
        path: str,
        chunks: Iterator[bytes],
        *,
        on_chunk: Callable[[int], None],
        resume_at: int | None = None,
    ) -> int:
        """See `Endpoint.write`; what ``chunks`` and ``on_chunk`` raise passes through as it is."""
        written = resume_at or 0
        opened = (
            new_file(self._root, path)
            if resume_at is None
            else old_file(self._root, path, resume_at)
        )
        begun = written
        with opened as descriptor:
            for chunk in chunks:
                on_chunk(written)
                with telling(self._root, path):
                    write_whole(descriptor, chunk)
                written += len(chunk)
                if written - begun >= _WRITE_BACK_BYTES:
                    begin_write_back(descriptor, begun, written)
                    begun = written
            with telling(self._root, path):
                os.fsync(descriptor)
                size = os.fstat(descriptor).st_size
        if size != written:
            raise EndpointFullError(
                f"{self._root}: {path!r} has {size} bytes after {written} were written to it"
            )
        return size

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        """See `Endpoint.rename`; both folders are flushed, so that a crash does not bring ``old`` back."""
        with Folders(self._root) as folders:
            folders.rename(old, new, replace=replace)

    def remove(self, path: str) -> None:
        """See `Endpoint.remove`."""
        with Folders(self._root) as folders:
            folders.remove(path)

    def make_folder(self, path: str) -> None:
        """See `Endpoint.make_folder`."""
        parts = parts_inside(path)
        with telling(self._root, path), open_folder(self._root, parts, make=True):
            pass

    def remove_folder(self, path: str) -> bool:
        """See `Endpoint.remove_folder`."""
        above, name = folder_and_name(path)
        try:
            with telling(self._root, path), open_folder(self._root, above) as folder:
                try:
                    os.rmdir(name, dir_fd=folder)
                except NotADirectoryError as error:
                    raise EndpointRefusedError(
                        f"{self._root}: {path!r} is not a folder: remove it as a file"
                    ) from error
                except OSError as error:
                    if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                        return False
                    raise
                sync_folder(folder)
        except FileMissingError:
            pass
        return True

    def stat_all(self, paths: Iterable[str]) -> list[FileEntry | MftgitError]:
        """See `Endpoint.stat_all`."""
        return each(self.stat, paths)

    def read_all(self, paths: Iterable[str], *, most_bytes: int) -> list[Content | MftgitError]:
        """See `Endpoint.read_all`."""
        with Folders(self._root) as folders:
            return each(lambda path: folders.read(path, most_bytes=most_bytes), paths)

    def digest_all(self, paths: Iterable[str]) -> list[Digest | MftgitError | None]:
        """See `Endpoint.digest_all`; there is nobody but us to work them out."""
        return [None for _ in paths]

    def write_all(self, files: Iterable[tuple[str, bytes]]) -> list[int | MftgitError]:
        """See `Endpoint.write_all`."""
        return write_many(self._root, files)

    def rename_all(
        self, moves: Iterable[tuple[str, str]], *, replace: bool
    ) -> list[MftgitError | None]:
        """See `Endpoint.rename_all`; each folder is flushed once, at the end."""
        with Folders(self._root) as folders:
            return each(lambda move: folders.rename(*move, replace=replace), moves)

    def set_all(self, changes: Iterable[tuple[str, Traits]]) -> list[MftgitError | None]:
        """See `Endpoint.set_all`."""
        with Folders(self._root) as folders:
            return each(lambda change: folders.set(*change), changes)

    def remove_all(self, paths: Iterable[str]) -> list[MftgitError | None]:
        """See `Endpoint.remove_all`; each folder is flushed once, at the end."""
        with Folders(self._root) as folders:
            return each(folders.remove, paths)

    def close(self) -> None:
        """See `Endpoint.close`; nothing is held between calls."""
