"""The hidden files that uploads are written to until they are whole.

An upload of an account to a name has one temporary beside its destination, which is called the same each time: a later
session, on whichever member, goes on with it. Who writes to it holds a lock (flock(2)) on it. The newest session wins:
it puts a file of its own under that name, and the older one, whose file is not there any more, cannot publish. Nothing
is ever renamed or removed by that name alone: `take` gives a file a name that nobody else knows, and looks whether it
was the right one.
"""

import fcntl
import os
import secrets
import stat
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from mftgit.adapters.home import Attributes, HomeError, Refusal
from mftgit.adapters.home_walk import READ, attributes_of, is_same, require_regular, status
from mftgit.adapters.local_rename import rename_to_free_name

_NEW: Final = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_TRIES: Final = 20
_CHUNK_BYTES: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Partial:
    """A temporary that is open; whoever has ``descriptor`` closes it. ``size_bytes`` is what it has already."""

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
        _lock(descriptor)
        return Partial(descriptor)
    raise HomeError(Refusal.BUSY, "other sessions send the same file: try again when they are done")


def go_on(folder: int, name: str, mode: int) -> Partial | None:
    """Open the temporary ``name`` with what is in it; None where there is none.

    Where another session writes to it, this one goes on with a copy.
    """
    for _ in range(_TRIES):
        try:
            descriptor = os.open(name, _OLD, dir_fd=folder)
        except FileNotFoundError:
            return None
        kept = False
        try:
            found = os.fstat(descriptor)
            require_regular(found)
            if found.st_nlink != 1:  # it got a visible name, or was taken away
                continue
            if not _lock(descriptor):
                return copied(folder, name, descriptor, mode)
            if is_same(found, status(folder, name)):
                size_bytes = sound_bytes(descriptor)
                os.ftruncate(descriptor, size_bytes)
                kept = True
                return Partial(descriptor, size_bytes)
        finally:
            if not kept:
                os.close(descriptor)
    return None


def copied(folder: int, name: str, source: int, mode: int) -> Partial:
    """Put a copy of ``source`` under the temporary name ``name``, whatever was there."""
    own = f"{name}.{secrets.token_hex(8)}"
    descriptor = os.open(own, _NEW, mode, dir_fd=folder)
    try:
        _lock(descriptor)
        size_bytes = sound_bytes(source)
        copy_bytes(source, 0, descriptor, 0, size_bytes)
        os.rename(own, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        os.close(descriptor)
        with suppress(OSError):
            os.unlink(own, dir_fd=folder)
        raise
    return Partial(descriptor, size_bytes)


def take(folder: int, name: str, descriptor: int) -> str | None:
    """Give the temporary ``name`` a name that nobody else knows, and return it.

    None, and nothing changes, where ``name`` is not the file that ``descriptor`` has open.
    """
    own = f"{name}.{secrets.token_hex(8)}"
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


def copy_bytes(source: int, offset: int, target: int, at: int, length: int) -> int:
    """Copy up to ``length`` bytes within the machine, and return how many there were."""
    done = 0
    while done < length:
        some = os.copy_file_range(
            source, target, min(length - done, _CHUNK_BYTES), offset + done, at + done
        )
        if some == 0:
            break
        done += some
    return done


def _lock(descriptor: int) -> bool:
    """Lock it until it is closed; False where somebody else holds the lock."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
