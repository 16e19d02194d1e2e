"""A folder of this machine, or of storage mounted on it, as a place of files.

Paths are walked from the root one part at a time by ``openat`` with ``O_NOFOLLOW``, so that no link below the
root is ever followed, also not one that is put there between a check and its use.
"""

import ctypes
import errno
import io
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from mftgit.adapters.endpoint import (
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
    FileEntry,
    FileExistsAtEndpointError,
    FileMissingError,
)
from mftgit.errors import MftgitError
from mftgit.model.config import LocalLocation

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

RESERVED = ".mftgit"
"""Names that start so are the cluster's own and are never listed as files."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a named pipe must not wait for its other end before it is refused.
_READ_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_RENAME_NOREPLACE = 1  # linux/fs.h

# What each errno means for the caller; one that is not named is a refusal.
_MEANING: dict[int, type[MftgitError]] = {
    errno.ENOENT: FileMissingError,
    errno.ENOTDIR: FileMissingError,
    errno.EEXIST: FileExistsAtEndpointError,
    errno.ENOSPC: EndpointFullError,
} | dict.fromkeys(
    (
        errno.EIO,
        errno.ESTALE,
        errno.ETIMEDOUT,
        errno.ENODEV,
        errno.ENXIO,
        errno.ENOTCONN,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.EREMOTEIO,
        errno.EAGAIN,
        errno.EBUSY,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
    ),
    EndpointLostError,
)


def open_local(location: LocalLocation, *, files_root: Path) -> "LocalEndpoint":
    """Open ``location``, below ``files_root`` where its path is relative; a folder that is missing is made.

    Raises:
        EndpointRefusedError: the folder cannot be made, or its relative path leaves ``files_root``.
        EndpointLostError: its storage does not answer.
    """
    if not location.path.startswith("/"):
        parts_inside(location.path)
    root = files_root / location.path
    with _telling(root, "."):
        root.mkdir(parents=True, exist_ok=True)
    return LocalEndpoint(root)


def parts_inside(path: str) -> tuple[str, ...]:
    """Split ``path`` at ``/``, without empty parts and ``.``.

    Raises:
        EndpointRefusedError: it is absolute, holds ``..`` or a NUL, or cannot be written as bytes.
    """
    parts = tuple(part for part in path.split("/") if part not in {"", "."})
    if path.startswith("/") or ".." in parts or "\0" in path:
        raise EndpointRefusedError(
            f"path {path!r} leaves its location: use a path below it, without '..' and NUL"
        )
    try:
        path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise EndpointRefusedError(
            f"path {path!r} has a character that no name can hold"
        ) from error
    return parts


def folder_and_name(path: str) -> tuple[tuple[str, ...], str]:
    """Split ``path`` into the parts of its folder and its last part; errors are those of `parts_inside`."""
    parts = parts_inside(path)
    if not parts:
        raise EndpointRefusedError(
            f"path {path!r} is the location itself: name a file or folder below it"
        )
    return parts[:-1], parts[-1]


class LocalEndpoint:
    """The files below ``root``; see `mftgit.adapters.endpoint.Endpoint`.

    ``root`` itself may be a link or lie behind links; nothing below it is followed.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def list_files(self, folder: str, *, recursive: bool) -> Iterator[FileEntry]:
        """See `Endpoint.list_files`; a file that vanishes while listing is passed over."""
        top = parts_inside(folder)
        waiting: deque[tuple[str, ...]] = deque([()])
        while waiting:
            below = waiting.popleft()
            try:
                for name, status in self._scan((*top, *below)):
                    if stat.S_ISREG(status.st_mode):
                        yield _entry("/".join((*below, name)), status)
                    elif recursive and stat.S_ISDIR(status.st_mode):
                        waiting.append((*below, name))
            except FileMissingError:
                if not below:
                    raise

    def list_names(self, folder: str) -> list[str]:
        """See `Endpoint.list_names`."""
        with _telling(self._root, folder), self._folder(parts_inside(folder)) as descriptor:
            return os.listdir(descriptor)  # noqa: PTH208  a Path is no descriptor

    def stat(self, path: str) -> FileEntry:
        """See `Endpoint.stat`."""
        above, name = folder_and_name(path)
        with _telling(self._root, path), self._folder(above) as folder:
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        self._require_file(path, status)
        return _entry(path, status)

    @contextmanager
    def open_read(self, path: str) -> Iterator[BinaryIO]:
        """See `Endpoint.open_read`; what goes wrong while reading is told by the same errors."""
        above, name = folder_and_name(path)
        with _telling(self._root, path), self._folder(above) as folder:
            self._require_file(path, os.stat(name, dir_fd=folder, follow_symlinks=False))
            descriptor = os.open(name, _READ_FILE, dir_fd=folder)
            try:
                self._require_file(path, os.fstat(descriptor))  # it may be another one now
            except BaseException:
                os.close(descriptor)
                raise
            raw = _Reading(descriptor, self._root, path)
        with io.BufferedReader(raw) as stream:
            yield stream

    def write(self, path: str, chunks: Iterator[bytes], *, on_chunk: Callable[[int], None]) -> int:
        """See `Endpoint.write`; what ``chunks`` and ``on_chunk`` raise passes through as it is."""
        written = 0
        with self._new_file(path) as descriptor:
            for chunk in chunks:
                on_chunk(written)
                with _telling(self._root, path):
                    _write_all(descriptor, chunk)
                written += len(chunk)
            with _telling(self._root, path):
                os.fsync(descriptor)
                size = os.fstat(descriptor).st_size
        if size != written:
            raise EndpointFullError(
                f"{self._root}: {path!r} has {size} bytes after {written} were written to it"
            )
        return size

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        """See `Endpoint.rename`; both folders are flushed, so that a crash does not bring ``old`` back."""
        (old_above, old_name), (new_above, new_name) = folder_and_name(old), folder_and_name(new)
        with (
            _telling(self._root, old, new),
            self._folder(old_above) as source,
            self._folder(new_above) as target,
        ):
            if replace:
                os.rename(old_name, new_name, src_dir_fd=source, dst_dir_fd=target)
            else:
                _rename_to_free_name(source, old_name, target, new_name)
            _sync_folder(target)
            if old_above != new_above:
                _sync_folder(source)

    def remove(self, path: str) -> None:
        """See `Endpoint.remove`."""
        above, name = folder_and_name(path)
        with _telling(self._root, path), self._folder(above) as folder:
            os.unlink(name, dir_fd=folder)
            _sync_folder(folder)

    def make_folder(self, path: str) -> None:
        """See `Endpoint.make_folder`."""
        with _telling(self._root, path), self._folder(parts_inside(path), make=True):
            pass

    def remove_folder(self, path: str) -> bool:
        """See `Endpoint.remove_folder`."""
        above, name = folder_and_name(path)
        try:
            with _telling(self._root, path), self._folder(above) as folder:
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
                _sync_folder(folder)
        except FileMissingError:
            pass
        return True

    def close(self) -> None:
        """See `Endpoint.close`; nothing is held between calls."""

    @contextmanager
    def _folder(self, parts: tuple[str, ...], *, make: bool = False) -> Iterator[int]:
        """Give a descriptor of the folder ``parts`` below the root, made where missing if ``make`` is set."""
        try:
            descriptor = os.open(self._root, _FOLDER)
        except FileNotFoundError as error:
            # Not FileMissingError: that would say "another member took the file".
            raise EndpointLostError(
                f"local folder {self._root} is gone: is its storage mounted?"
            ) from error
        try:
            for part in parts:
                below = _enter(descriptor, part, make=make)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    def _scan(self, parts: tuple[str, ...]) -> Iterator[tuple[str, os.stat_result]]:
        """Give name and status, not followed, of what is in a folder, without the cluster's own names."""
        with (
            _telling(self._root, "/".join(parts)),
            self._folder(parts) as descriptor,
            os.scandir(descriptor) as entries,
        ):
            for entry in entries:
                if not entry.name.startswith(RESERVED):
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    yield entry.name, status

    @contextmanager
    def _new_file(self, path: str) -> Iterator[int]:
        """Make the file ``path`` and its folders, give its descriptor, and make its name last at the end."""
        above, name = folder_and_name(path)
        with _telling(self._root, path), self._folder(above, make=True) as opened:
            folder = os.dup(opened)
        try:
            with _telling(self._root, path):
                descriptor = os.open(name, _NEW_FILE, 0o666, dir_fd=folder)
            try:
                yield descriptor
            finally:
                with _telling(self._root, path):
                    os.close(descriptor)
            with _telling(self._root, path):
                _sync_folder(folder)
        finally:
            os.close(folder)

    def _require_file(self, path: str, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise EndpointRefusedError(f"{self._root}: {path!r} is not a regular file")


class _Reading(io.FileIO):
    """An open file that tells its troubles by the errors of endpoints."""

    def __init__(self, descriptor: int, root: Path, path: str) -> None:
        super().__init__(descriptor, "rb")
        self._telling = root, path

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        with _telling(*self._telling):
            return super().readinto(buffer)

    def readall(self) -> bytes:
        with _telling(*self._telling):
            return super().readall()


@contextmanager
def _telling(root: Path, *paths: str) -> Iterator[None]:
    """Turn an `OSError` of the body into the error of endpoints that it means."""
    try:
        yield
    except OSError as error:
        kind = _MEANING.get(error.errno or 0, EndpointRefusedError)
        named = " to ".join(repr(path) for path in paths)
        raise kind(f"{root}: {named}: {error.strerror or error}") from error


def _entry(path: str, status: os.stat_result) -> FileEntry:
    return FileEntry(path=path, size_bytes=status.st_size, mtime_ns=status.st_mtime_ns)


def _enter(folder: int, name: str, *, make: bool) -> int:
    """Open the folder ``name`` in ``folder``, and never through a link."""
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
    except FileNotFoundError:
        if not make:
            raise
    except NotADirectoryError as error:
        _require_no_link(name, name, folder)
        if make:
            raise EndpointRefusedError(f"{name!r} is a file where a folder has to be") from error
        raise
    with suppress(FileExistsError):  # another member was faster
        os.mkdir(name, dir_fd=folder)
    _sync_folder(folder)
    return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)


def _require_no_link(path: str, name: str, folder: int) -> None:
    """Say plainly that a link is the trouble; the safety itself is O_NOFOLLOW's."""
    if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        raise EndpointRefusedError(f"{path!r} is a link: links inside a location are not followed")


def _write_all(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def _sync_folder(descriptor: int) -> None:
    """Flush the names in a folder; a file system that has nothing to flush there says EINVAL (fsync(2))."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def _renameat2(source: int, old: str, target: int, new: str) -> None:
    """Call renameat2(2) with RENAME_NOREPLACE; Python has no name for it."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    arguments = source, os.fsencode(old), target, os.fsencode(new), _RENAME_NOREPLACE
    if call(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _rename_to_free_name(source: int, old: str, target: int, new: str) -> None:
    """Rename ``old`` to ``new`` unless ``new`` is there, in one step."""
    try:
        _renameat2(source, old, target, new)
    except OSError as error:
        # NFS and some others take no flags (EINVAL), old kernels and C libraries lack the call (ENOSYS).
        if error.errno not in {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}:
            raise
        _link_and_unlink(source, old, target, new)


def _link_and_unlink(source: int, old: str, target: int, new: str) -> None:
    """Rename a file in two steps of which the first, link(2), never replaces anything.

    A crash between the two leaves both names on one file; the same call again then ends the work. Of two callers
    that rename one file to two names, the one whose unlink comes second has lost and takes its name back. Of two that
    rename it to one name, one may end what the other began: then the new name is the only one left, and stays.
    """
    try:
        os.link(old, new, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
    except FileExistsError:
        if not _are_two_names_of_one_file(source, old, target, new):
            raise
        os.unlink(old, dir_fd=source)
        return
    try:
        os.unlink(old, dir_fd=source)
    except FileNotFoundError:
        if os.stat(new, dir_fd=target, follow_symlinks=False).st_nlink > 1:
            os.unlink(new, dir_fd=target)
            raise
    except OSError:
        os.unlink(new, dir_fd=target)
        raise


def _are_two_names_of_one_file(source: int, old: str, target: int, new: str) -> bool:
    if old == new and os.path.samestat(os.fstat(source), os.fstat(target)):
        return False
    had = os.stat(old, dir_fd=source, follow_symlinks=False)
    has = os.stat(new, dir_fd=target, follow_symlinks=False)
    # One link only: a file system without case gave the same name back for another spelling.
    return os.path.samestat(had, has) and had.st_nlink > 1
