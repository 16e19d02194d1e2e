"""An ``ssh`` of OpenSSH as a child process, with whose server we speak over one socket."""

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress

_TOLD_BYTES = 4000
_END_S = 1.0


class SshChild:
    """``command``, running; what it reads and writes goes through `pipe`, and what it complains of is in `told`."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it, without a terminal, in a group of its own.

        Raises:
            OSError: it cannot be started.
        """
        self.pipe, theirs = socket.socketpair()
        self._complaints = b""
        self._closing = threading.Lock()
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: S603  no shell; every word was checked or is ours
                    command,
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    stderr=subprocess.PIPE,
                    env=environment,
                    cwd="/",
                    start_new_session=True,
                )
            except BaseException:
                self.pipe.close()
                raise
        self._thread = threading.Thread(target=self._hear, name="ssh", daemon=True)
        self._thread.start()

    def told(self) -> str:
        """Return the last of what it has complained of, once it had a moment to end."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
            self._thread.join(_END_S)
        return self._complaints.decode("utf-8", "replace")

    def forget(self) -> None:
        """Drop what it has said so far, now that it got in: greetings of the server are among it."""
        self._complaints = b""

    def close(self) -> None:
        """End it and wait for that; a second call does nothing, and any thread may make it."""
        with suppress(OSError):
            self.pipe.shutdown(socket.SHUT_RDWR)
        with self._closing:
            self.pipe.close()
            for number in (signal.SIGTERM, signal.SIGKILL):
                if self._process.poll() is None:
                    os.killpg(self._process.pid, number)
                    with suppress(subprocess.TimeoutExpired):
                        self._process.wait(_END_S)
            self._thread.join(_END_S)

    def _hear(self) -> None:
        stream = self._process.stderr
        assert stream is not None  # noqa: S101  it was asked for
        with stream:
            while piece := os.read(stream.fileno(), _TOLD_BYTES):
                self._complaints = (self._complaints + piece)[-_TOLD_BYTES:]
