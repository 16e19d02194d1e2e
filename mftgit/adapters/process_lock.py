"""One process for one state folder."""

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mftgit.errors import ConfigError, MftgitError, TransientError


class InUseError(MftgitError):
    """Another process runs on this state folder."""


class BusyError(TransientError):
    """Another process is doing the same, and will soon have done it."""


class ProcessLock:
    """Holds the state folder for this process; the kernel lets go when the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Take the lock.

        Raises:
            InUseError: a running process has it; its number is in the message.
            ConfigError: the folder cannot be written.
        """
        self._path = folder / "lock"
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigError(
                f"{folder}: the state folder cannot be written ({error.strerror}): "
                "run as its owner, or give this user the right to write"
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._descriptor)
            raise InUseError(
                f"{folder} is in use by the running member with process id {holder}: "
                "stop it first (SIGTERM drains it)"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go; who is told by this file whom to wake finds nobody."""
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def is_running(folder: Path) -> bool:
    """Tell whether a process holds ``folder``."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def wake(folder: Path) -> bool:
    """Tell the process that holds ``folder`` to look at once (SIGHUP); return whether there is one."""
    if not is_running(folder):
        return False
    try:
        os.kill(int((folder / "lock").read_text(encoding="ascii")), signal.SIGHUP)
    except (OSError, ValueError):
        return False
    return True


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Keep every other process out of this block with ``folder``; one that runs the member does not matter.

    Raises:
        BusyError: another process is in it.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(
                f"{folder}: another process is at the same just now: try again when it has ended"
            ) from None
        try:
            yield
        finally:  # a child that was forked meanwhile, and has not become its program yet, would hold it on
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)
