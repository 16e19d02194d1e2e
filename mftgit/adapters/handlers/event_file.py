"""Append lines to a file that is put aside when it is large, or old."""

import errno
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from mftgit.adapters.clock import Clock
from mftgit.adapters.durable import sync_folder
from mftgit.adapters.handlers.target import TargetError
from mftgit.errors import ConfigError
from mftgit.model.events.event import Event
from mftgit.model.handlers.handler import FileHandler
from mftgit.model.handlers.rotation import is_due, moves

_MODE: Final = 0o640


def place_of(handler: FileHandler, *, logs: Path, state: Path) -> Path:
    """Return the file of ``handler``.

    Raises:
        ConfigError: it would lie among the files that the member itself keeps in its state folder, or in no folder.
    """
    path = logs / handler.path
    folder = Path(os.path.realpath(path.parent))
    own = Path(os.path.realpath(state))
    if folder.is_relative_to(own) and not folder.is_relative_to(os.path.realpath(logs)):
        raise ConfigError(
            f"{path} lies among the files of the member: name one in {logs}, or elsewhere"
        )
    if not path.is_relative_to(logs) and not folder.is_dir():
        raise ConfigError(
            f"there is no folder {folder}: the administrator of this machine makes it"
        )
    return path


class EventFile:
    """A `Target` that is a file; each batch is on disk when it was taken."""

    most_at_once = 500

    def __init__(
        self, handler: FileHandler, path: Path, *, line: Callable[[Event], str], clock: Clock
    ) -> None:
        """Nothing is opened yet. ``line`` gives the line of an event, without its end."""
        self._handler = handler
        self._path = path
        self._line = line
        self._clock = clock

    def send(self, events: Sequence[Event]) -> None:
        """See `Target.send`."""
        lines = [self._line(event).encode(errors="backslashreplace") + b"\n" for event in events]
        try:
            self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            while lines:
                lines = lines[self._append(lines) :]
        except OSError as error:
            raise TargetError(f"{self._path}: {error.strerror or error}") from error

    def close(self) -> None:
        """See `Target.close`."""

    def _append(self, lines: Sequence[bytes]) -> int:
        """Append as many ``lines`` as belong into the file, after others were put aside; return how many."""
        descriptor = self._open()
        try:
            status = os.fstat(descriptor)
            if self._is_due(status, len(lines[0])):
                self._put_aside()
                return 0
            count, piece = 1, _ended(descriptor, status.st_size) + lines[0]
            while count < len(lines) and not self._is_full(
                status.st_size + len(piece), lines[count]
            ):
                piece += lines[count]
                count += 1
            _write(descriptor, piece)
            os.fsync(descriptor)
            if not status.st_size:
                sync_folder(self._path.parent)
        finally:
            os.close(descriptor)
        return count

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(self._path, flags, _MODE)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "is no plain file")
        return descriptor

    def _is_due(self, status: os.stat_result, more_bytes: int) -> bool:
        return is_due(
            size_bytes=status.st_size,
            more_bytes=more_bytes,
            max_bytes=self._handler.max_bytes,
            every=self._handler.every,
            written=status.st_mtime,
            now=self._clock.now().timestamp(),
        )

    def _is_full(self, size_bytes: int, line: bytes) -> bool:
        return size_bytes + len(line) > self._handler.max_bytes

    def _put_aside(self) -> None:
        folder = self._path.parent
        for old, new in moves(self._path.name, self._handler.keep):
            if (folder / old).exists():
                (folder / old).replace(folder / new)
        sync_folder(folder)


def _ended(descriptor: int, size_bytes: int) -> bytes:
    """Return what ends a line that a crash has cut, so that it spoils no other."""
    return b"" if not size_bytes or os.pread(descriptor, 1, size_bytes - 1) == b"\n" else b"\n"


def _write(descriptor: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]
