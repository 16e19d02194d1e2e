"""A pair of sockets between a process and its child: messages behind their length, and open sockets (unix(7))."""

import socket
import threading
from collections import deque
from contextlib import suppress
from typing import Final

from mftgit.errors import MftgitError

_LENGTH_BYTES: Final = 4
_CHUNK_BYTES: Final = 64 << 10
_MAX_SOCKETS: Final = 4


class LineEndedError(MftgitError):
    """The other end is gone, or says what is none of its messages."""


class LineSilentError(LineEndedError):
    """The other end has said nothing for as long as this one waits."""


class ControlLine:
    """One end. Any thread may send; one thread receives."""

    def __init__(self, end: socket.socket, *, most_bytes: int) -> None:
        """Speak over ``end``, which is owned from now on; a message that comes has at most ``most_bytes``."""
        self._end = end
        self._most_bytes = most_bytes
        self._sending = threading.Lock()
        self._sockets: deque[socket.socket] = deque()

    def send(self, message: bytes, pass_on: socket.socket | None = None) -> None:
        """Send ``message``, which has its length before it, and with it a socket.

        Raises:
            LineEndedError: the other end is gone.
        """
        left = memoryview(message)
        try:
            with self._sending:
                if pass_on is not None:
                    sent = socket.send_fds(self._end, [left[:_CHUNK_BYTES]], [pass_on.fileno()])
                    left = left[sent:]
                self._end.sendall(left)
        except OSError as error:
            raise LineEndedError("the control line has ended") from error

    def receive(self) -> bytes:
        """Return the next message without its length.

        Raises:
            LineSilentError: nothing came for as long as the socket waits (SO_RCVTIMEO).
            LineEndedError: the other end is gone, or sends more than it may.
        """
        size_bytes = int.from_bytes(self._read(_LENGTH_BYTES), "big")
        if size_bytes > self._most_bytes:
            raise LineEndedError(f"a message of {size_bytes:,} bytes on a control line")
        return self._read(size_bytes)

    def take_socket(self) -> socket.socket | None:
        """Return the oldest socket that came and was not taken."""
        return self._sockets.popleft() if self._sockets else None

    def end(self) -> None:
        """End it for both sides; who receives sees that."""
        with suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of it, when nobody receives any more."""
        self._end.close()
        while self._sockets:
            self._sockets.popleft().close()

    def _read(self, count: int) -> bytes:
        found = bytearray()
        while len(found) < count:
            try:
                some, descriptors, _, _ = socket.recv_fds(
                    self._end,
                    min(count - len(found), _CHUNK_BYTES),
                    _MAX_SOCKETS,
                    socket.MSG_CMSG_CLOEXEC,
                )
            except BlockingIOError as error:
                raise LineSilentError("nothing comes over the control line") from error
            except OSError as error:
                raise LineEndedError("the control line has ended") from error
            self._sockets.extend(socket.socket(fileno=each) for each in descriptors)
            if not some:
                raise LineEndedError("the control line has ended")
            found += some
        return bytes(found)
