"""A module of mftgit in a process of its own, with a control line to it; it ends when the line does."""

import os
import signal
import socket
import struct
import subprocess
import sys
from typing import Final

from mftgit.adapters.control_line import ControlLine
from mftgit.errors import MftgitError

_SEND_S: Final = 10.0
_KEPT: Final = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR")
_KEPT_OF: Final = ("PYTHON", "COVERAGE_")


class Child:
    """One such process. One thread receives from its ``line``; a child that takes nothing for 10 s is given up."""

    def __init__(self, module: str, *arguments: str, most_bytes: int, silent_s: float) -> None:
        """Start ``python -m module DESCRIPTOR arguments``; ``most_bytes`` is how long a message of it may be.

        Where it says nothing for ``silent_s``, who receives from it gets a LineSilentError (see `bear`).

        Raises:
            MftgitError: the system starts none.
        """
        ours, its = socket.socketpair()
        # A child that stands still must not hold its member up.
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(_SEND_S))
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(silent_s))
        try:
            self._process = subprocess.Popen(  # noqa: S603  no shell, and nothing of it comes from outside
                [sys.executable, "-P", "-m", module, str(its.fileno()), *arguments],
                stdin=subprocess.DEVNULL,
                pass_fds=(its.fileno(),),
                env=_environment(),
            )
        except OSError as error:
            ours.close()
            raise MftgitError(f"no process can be started: {error.strerror or error}") from error
        finally:
            its.close()
        self._ours = ours
        self.line = ControlLine(ours, most_bytes=most_bytes)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def bear(self, silent_s: float) -> None:
        """Bear its silence for so long from the next message on."""
        self._ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(silent_s))

    def kill(self) -> None:
        """End it at once, by the system."""
        self._process.kill()

    def wait(self, timeout_s: float) -> str:
        """Return in words how it ended; one that has not ended in time is killed."""
        try:
            status = self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        if status >= 0:
            return f"status {status}"
        try:
            return signal.Signals(-status).name
        except ValueError:
            return f"signal {-status}"


def _timeval(seconds: float) -> bytes:
    whole, part = divmod(seconds, 1)
    return struct.pack("ll", int(whole), int(part * 1e6))


def _environment() -> dict[str, str]:
    """Return what a child needs to run as this process does, and nothing else."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or name.startswith(_KEPT_OF)
    }
    return {**kept, **_MEMORY}


_MEMORY: Final = {"MALLOC_ARENA_MAX": "2"}
"""A thread for each connection would have a heap of its own (mallopt(3)): with two, each takes a quarter less."""


def open_line(descriptor: int, *, most_bytes: int) -> ControlLine:
    """Return the line to the member, in the child."""
    return ControlLine(socket.socket(fileno=descriptor), most_bytes=most_bytes)
