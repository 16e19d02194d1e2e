"""Folders and files below a root, opened so that no link below the root is ever followed.

Paths are walked from the root one part at a time by ``openat`` with ``O_NOFOLLOW`` (open(2)), also against a link
that is put there between a check and its use. The root itself may be a link or lie behind links.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mftgit.adapters.endpoint.contract import EndpointLostError, EndpointRefusedError
from mftgit.adapters.endpoint.paths import RESERVED, folder_and_name, require_length
from mftgit.adapters.local.errors import TellingFile, telling

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
"""Flags of open(2) for a file that must not be there."""
_OLD_FILE = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
READ_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Flags of open(2) for a file to read; opening a named pipe must not wait for its other end before it is refused."""


@contextmanager
def open_folder(root: Path, parts: tuple[str, ...], *, make: bool = False) -> Iterator[int]:
    """Give a descriptor of the folder ``parts`` below ``root``, made where missing if ``make`` is set.

    Raises:
        OSError: a part is missing or is no folder; `telling` says what that means.
        EndpointLostError: the root itself is gone.
        EndpointRefusedError: a part is a link, or with ``make`` a file.
    """
    try:
        descriptor = os.open(root, _FOLDER)
    except FileNotFoundError as error:
        # Not FileMissingError: that would say "another member took the file".
        raise EndpointLostError(f"local folder {root} is gone: is its storage mounted?") from error
    try:
        for part in parts:
            below = _enter(descriptor, part, make=make)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


def scan(root: Path, parts: tuple[str, ...]) -> Iterator[tuple[str, os.stat_result]]:
    """Give name and status, not followed, of what is in a folder, without the cluster's own names.

    What vanishes meanwhile is passed over.
    """
    with (
        telling(root, "/".join(parts)),
        open_folder(root, parts) as descriptor,
        os.scandir(descriptor) as entries,
    ):
        for entry in entries:
            if not entry.name.startswith(RESERVED):
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                yield entry.name, status


def file_status(root: Path, path: str) -> os.stat_result:
    """Return the status of the regular file ``path``; anything else is refused."""
    above, name = folder_and_name(path)
    with telling(root, path), open_folder(root, above) as folder:
        return _status_of_file(root, path, name, folder)


def open_file(root: Path, path: str) -> TellingFile:
    """Open the regular file ``path`` for reading; anything else is refused."""
    above, name = folder_and_name(path)
    with telling(root, path), open_folder(root, above) as folder:
        _status_of_file(root, path, name, folder)
        descriptor = os.open(name, READ_FILE, dir_fd=folder)
        try:
            require_file(root, path, os.fstat(descriptor))  # it may be another one now
        except BaseException:
            os.close(descriptor)
            raise
        return TellingFile(descriptor, root, path)


@contextmanager
def new_file(root: Path, path: str) -> Iterator[int]:
    """Make the file ``path`` and its folders, give its descriptor, and make its name last at the end.

    What the body raises passes through as it is.
    """
    above, name = folder_and_name(path)
    with telling(root, path), open_folder(root, above, make=True) as opened:
        folder = os.dup(opened)
    try:
        with telling(root, path):
            descriptor = os.open(name, NEW_FILE, 0o666, dir_fd=folder)
        try:
            yield descriptor
        finally:
            with telling(root, path):
                os.close(descriptor)
        with telling(root, path):
            sync_folder(folder)
    finally:
        os.close(folder)


@contextmanager
def old_file(root: Path, path: str, offset: int) -> Iterator[int]:
    """Open the regular file ``path``, which has at least ``offset`` bytes, and give its descriptor, standing there.

    What the body raises passes through as it is.
    """
    above, name = folder_and_name(path)
    with telling(root, path), open_folder(root, above) as folder:
        _status_of_file(root, path, name, folder)
        descriptor = os.open(name, _OLD_FILE, dir_fd=folder)
    try:
        with telling(root, path):
            status = os.fstat(descriptor)
            require_file(root, path, status)
            require_length(f"{root}: {path!r}", status.st_size, offset)
            os.lseek(descriptor, offset, os.SEEK_SET)
        yield descriptor
    finally:
        with telling(root, path):
            os.close(descriptor)


def write_whole(descriptor: int, content: bytes) -> None:
    """Write all of ``content``."""
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


def begin_write_back(descriptor: int, start: int, end: int) -> None:
    """Have the disk begin with these bytes of a file, without waiting for it (posix_fadvise(2))."""
    os.posix_fadvise(descriptor, start, end - start, os.POSIX_FADV_DONTNEED)


def read_whole(descriptor: int, length: int) -> bytes:
    """Read ``length`` bytes; fewer where the file ends before."""
    data = os.read(descriptor, length)
    while len(data) < length and (more := os.read(descriptor, length - len(data))):
        data += more
    return data


def sync_folder(descriptor: int) -> None:
    """Flush the names in a folder; a file system that has nothing to flush there says EINVAL (fsync(2))."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def _enter(folder: int, name: str, *, make: bool) -> int:
    """Open the folder ``name`` in ``folder``, and never through a link."""
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
    except FileNotFoundError:
        if not make:
            raise
    except NotADirectoryError as error:
        _require_no_link(name, folder)
        if make:
            raise EndpointRefusedError(f"{name!r} is a file where a folder has to be") from error
        raise
    with suppress(FileExistsError):  # another member was faster
        os.mkdir(name, dir_fd=folder)
    sync_folder(folder)
    return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)


def _require_no_link(name: str, folder: int) -> None:
    """Say plainly that a link is the trouble; the safety itself is O_NOFOLLOW's."""
    if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
        raise EndpointRefusedError(f"{name!r} is a link: links inside a location are not followed")


def _status_of_file(root: Path, path: str, name: str, folder: int) -> os.stat_result:
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    require_file(root, path, status)
    return status


def require_file(root: Path, path: str, status: os.stat_result) -> None:
    """Raise `EndpointRefusedError` unless ``status`` is that of a regular file."""
    if not stat.S_ISREG(status.st_mode):
        raise EndpointRefusedError(f"{root}: {path!r} is not a regular file")
