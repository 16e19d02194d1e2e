"""The hidden files that uploads are written to until they are whole.

An upload of an account to a name has one temporary beside its destination, which is called the same each time: a later
session, on whichever member, goes on with it. Who writes to it holds a lock (flock(2)) on it. The newest session wins:
it puts a file of its own under that name, and the older one, whose file is not there any more, cannot publish. So no
two sessions ever write to one file. Nothing is published by that name alone: `take` gives a file a name that nobody
else knows, and looks whether it was the right one.
"""

import errno
import fcntl
import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from mftgit.adapters.home.contract import Attributes, HomeError, Refusal
from mftgit.adapters.home.walk import READ, attributes_of, is_same, require_regular, status
from mftgit.adapters.local.rename import rename_to_free_name

GONE_AT_ONCE_BYTES: Final = 256 << 20
"""What is removed and has more, a disk may take long to let go of."""

_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_TRIES: Final = 20
_CHUNK_BYTES: Final = 64 * 1024 * 1024
_BUFFER_BYTES: Final = 1024 * 1024
# Storage that copies nothing by itself, or not from there to here (copy_file_range(2)).
_COPIES_NOT: Final = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


class LaterError(Exception):
    """What was to be done at once has to be waited for; nothing has changed."""


@dataclass(frozen=True, slots=True)
class Partial:
    """A temporary that is open and locked; whoever has ``descriptor`` closes it. It has ``size_bytes`` already."""

    descriptor: int
    size_bytes: int = 0


def begin(folder: int, name: str, mode: int) -> Partial:
    """Make the temporary ``name`` anew; what another session has under that name is lost to it."""
    for _ in range(_TRIES):
        try:
            descriptor = os.open(name, _NEW, mode, dir_fd=folder)
        except FileExistsError:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)
            continue
        try:
            locked = _lock(descriptor) and os.fstat(descriptor).st_nlink > 0
        except BaseException:
            os.close(descriptor)
            raise
        if locked:
            return Partial(descriptor)
        os.close(descriptor)  # another session came upon it in between
    raise HomeError(Refusal.BUSY, "other sessions send the same file: try again when they are done")


def go_on(folder: int, name: str, mode: int, told: int | None = None) -> Partial | None:
    """Open the temporary ``name`` with what is in it; None where there is none.

    Where another session writes to it, this one goes on with a copy. ``told`` is the size from which the client goes
    on, if it asked for that: what was written behind it since does not count.

    Raises:
        HomeError: it has fewer bytes by now.
    """
    for _ in range(_TRIES):
        try:
            descriptor = os.open(name, _OLD, dir_fd=folder)
        except FileNotFoundError:
            return None
        kept: Partial | None = None
        try:
            found = os.fstat(descriptor)
            require_regular(found)
            if found.st_nlink != 1:  # it has its visible name, or was taken away
                continue
            if not _lock(descriptor):
                made = copied(folder, name, descriptor, mode, _from(sound_bytes(descriptor), told))
                _empty(descriptor)
                return made
            if is_same(found, status(folder, name)):
                size_bytes = _from(sound_bytes(descriptor), told)
                os.ftruncate(descriptor, size_bytes)
                kept = Partial(descriptor, size_bytes)
                return kept
        finally:
            if kept is None:
                os.close(descriptor)
    return None


def copied(folder: int, name: str, source: int, mode: int, size_bytes: int) -> Partial:
    """Put a copy of the first ``size_bytes`` of ``source`` under the temporary name ``name``, whatever was there."""
    own = _own(name)
    descriptor = os.open(own, _NEW, mode, dir_fd=folder)
    try:
        _lock(descriptor)
        _copy(source, descriptor, size_bytes)
        os.rename(own, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.close(descriptor)
        with suppress(OSError):
            os.unlink(own, dir_fd=folder)
        raise
    return Partial(descriptor, size_bytes)


def is_held(folder: int, name: str) -> bool:
    """Tell whether a session writes to the temporary ``name``."""
    try:
        descriptor = os.open(name, _OLD, dir_fd=folder)
    except FileNotFoundError:
        return False
    try:
        return not _lock(descriptor)
    finally:
        os.close(descriptor)


def take(folder: int, name: str, descriptor: int) -> str | None:
    """Give the temporary ``name`` a name that nobody else knows, and return it.

    None, and nothing changes, where ``name`` is not the file that ``descriptor`` has open.
    """
    own = _own(name)
    mine = os.fstat(descriptor)
    try:
        os.rename(name, own, src_dir_fd=folder, dst_dir_fd=folder)
    except FileNotFoundError:
        return None
    if is_same(mine, status(folder, own)):
        return own
    give_back(folder, own, name)
    return None


def give_back(folder: int, own: str, name: str) -> None:
    """Undo `take`; where there is a newer temporary by now, this one is dropped."""
    try:
        rename_to_free_name(folder, own, folder, name)
    except FileExistsError:
        os.unlink(own, dir_fd=folder)


def drop(folder: int, name: str, *, idle_since_s: float | None = None) -> os.stat_result | None:
    """Remove the temporary ``name`` with its content, and return what it was; None where there is none.

    With ``idle_since_s``, in seconds since 1970, only where no session writes to it and nobody did since.
    """
    try:
        descriptor = os.open(name, _OLD, dir_fd=folder)
    except OSError:
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return None
        if idle_since_s is not None and not (
            _lock(descriptor) and os.fstat(descriptor).st_ctime <= idle_since_s
        ):
            return None
        own = take(folder, name, descriptor)
        if own is None:
            return None
        os.unlink(own, dir_fd=folder)
        _empty(descriptor)
        return found
    finally:
        os.close(descriptor)


def size_of(folder: int, name: str) -> Attributes | None:
    """Return how the temporary ``name`` is, with the size that can be gone on from; None where there is none."""
    try:
        descriptor = os.open(name, READ, dir_fd=folder)
    except FileNotFoundError:
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            return None
        return replace(attributes_of(found), size_bytes=sound_bytes(descriptor))
    finally:
        os.close(descriptor)


def sound_bytes(descriptor: int) -> int:
    """Return how many bytes of the file are there without a gap: what a killed session wrote behind one counts not."""
    size_bytes = os.fstat(descriptor).st_size
    if size_bytes == 0:
        return 0
    try:
        return min(size_bytes, os.lseek(descriptor, 0, os.SEEK_HOLE))
    except OSError:  # storage that cannot tell
        return size_bytes


def _empty(descriptor: int) -> None:
    """Free at once what a session may still have open of a file that has no name any more."""
    if os.fstat(descriptor).st_nlink == 0:
        os.ftruncate(descriptor, 0)


def _own(name: str) -> str:
    return f"{name}.{secrets.token_hex(8)}"


def _from(size_bytes: int, told: int | None) -> int:
    if told is None:
        return size_bytes
    if size_bytes < told:
        raise HomeError(Refusal.BUSY, "what was sent of it before has changed: begin anew")
    return told


def _copy(source: int, target: int, length: int) -> None:
    done = 0
    while done < length:
        some = _copy_some(source, target, done, min(length - done, _CHUNK_BYTES))
        if some == 0:
            raise HomeError(Refusal.BUSY, "what was there of it before has changed: try again")
        done += some


def _copy_some(source: int, target: int, offset: int, length: int) -> int:
    try:
        return os.copy_file_range(source, target, length, offset, offset)
    except OSError as error:
        if error.errno not in _COPIES_NOT:
            raise
    return os.pwrite(target, os.pread(source, min(length, _BUFFER_BYTES), offset), offset)


def _lock(descriptor: int) -> bool:
    """Lock it until it is closed; False where somebody else holds the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
