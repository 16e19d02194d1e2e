"""Connections to HTTP servers that are bounded where the libraries' are not, and that any thread may end."""

import http.client
import socket
import ssl
from contextlib import suppress
from threading import Lock
from typing import Any, Final, cast
from weakref import WeakSet

from urllib3.connection import HTTPConnection, HTTPSConnection

from mftgit.adapters.clock import Clock
from mftgit.adapters.endpoint.flow import Flow

_SENT_BYTES: Final = 64 << 10  # at a time


class BoundedResponse(http.client.HTTPResponse):
    """An answer whose chunks have a size. Of one of -1 bytes http.client reads all that ever comes, into memory."""

    def _read_next_chunk_size(self) -> int:
        size: int = super()._read_next_chunk_size()  # type: ignore[misc]  # of http.client itself
        if size < 0:
            raise ValueError(
                "a chunk of less than no bytes"
            )  # which is told as an answer that was cut
        return size


class TimedPlainSocket(socket.socket):
    """Gives up at a moment, however many bytes trickle in until then, or where a file trickles; see `Flow`."""

    clock: Clock
    timeout_s: float
    until: float | None = None
    flow: Flow | None = None

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """See `socket.socket.recv_into`."""
        if self.until is not None:
            left_s = self.until - self.clock.boottime()
            if left_s <= 0:
                raise TimeoutError("the answer did not come to its end in time")
            self.settimeout(min(left_s, self.timeout_s))
        elif self.flow is not None:
            begun = self.flow.begin()
            size = super().recv_into(buffer, nbytes or 0, flags)
            self.flow.moved(begun, size)
            return size
        return super().recv_into(buffer, nbytes or 0, flags)

    def send(self, data: Any, flags: int = 0) -> int:
        """See `socket.socket.send`; TLS takes all that it is given, or none, and that within the time-out."""
        return super().send(memoryview(data).cast("B")[:_SENT_BYTES], flags)

    def wait(self, seconds: float | None) -> None:
        """Take ``seconds`` for all that is still to come; None: as long as bytes come in time, and enough of them."""
        self.settimeout(self.timeout_s)
        self.until = None if seconds is None else self.clock.boottime() + seconds
        self.flow = Flow(self.clock, timeout_s=self.timeout_s)


class TimedSocket(TimedPlainSocket, ssl.SSLSocket):
    """The same with TLS."""


class Lines:
    """The connections to one server, which any thread may end, whatever they are at."""

    def __init__(self) -> None:
        self.ended = False
        self._lock = Lock()
        self._dialled: set[socket.socket] = set()  # second handles: TLS takes the first one away
        self._secured = WeakSet[TimedSocket]()  # an answer may outlive its connection

    def dialled(self, connected: socket.socket) -> socket.socket:
        """Have ``connected`` ended with the others; return what to `drop` when it is closed."""
        second = connected.dup()
        with self._lock:
            self._dialled.add(second)
            ended = self.ended
        if ended:
            _shut(second)
        return second

    def secured(self, sock: TimedSocket) -> None:
        """Have ``sock`` ended with the others for as long as anybody reads from it."""
        with self._lock:
            self._secured.add(sock)
            ended = self.ended
        if ended:
            _shut(sock)

    def drop(self, second: socket.socket) -> None:
        """Forget and close what `dialled` gave."""
        with self._lock:
            self._dialled.discard(second)
        second.close()

    def end(self) -> None:
        """End all of them: who waits for one is told that it has come to its end."""
        with self._lock:
            self.ended = True
            for sock in (*self._dialled, *self._secured):
                _shut(sock)


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):
        # That of SSLSocket would let a thread that is sending go on in plain text.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


class _OfLines(HTTPConnection):
    """One of ``lines``. ``timeout_s`` is how long a server may say nothing."""

    response_class = BoundedResponse

    def __init__(
        self, host: str, *, lines: Lines, clock: Clock, timeout_s: float, **options: Any
    ) -> None:
        super().__init__(host, **options)
        self._lines = lines
        self._clock = clock
        self._timeout_s = timeout_s
        self._second: socket.socket | None = None

    def _new_conn(self) -> socket.socket:
        connected = super()._new_conn()
        self._second = self._lines.dialled(connected)
        return connected

    def _time(self, sock: TimedPlainSocket) -> None:
        sock.clock, sock.timeout_s = self._clock, self._timeout_s
        sock.wait(None)

    def close(self) -> None:
        """See `HTTPConnection.close`."""
        second, self._second = self._second, None
        if second is not None:
            self._lines.drop(second)
        super().close()


class BoundedPlainConnection(_OfLines):
    """One without TLS; see `BoundedConnection`."""

    def _new_conn(self) -> socket.socket:
        timed = TimedPlainSocket(fileno=super()._new_conn().detach())
        self._time(timed)
        return timed


class BoundedConnection(_OfLines, HTTPSConnection):
    """One of ``lines``, whose context makes `TimedSocket`. ``timeout_s`` is how long a server may say nothing."""

    def __init__(self, host: str, **options: Any) -> None:
        super().__init__(host, **options)
        self._timed: TimedSocket | None = None

    def connect(self) -> None:
        """See `HTTPSConnection.connect`."""
        super().connect()
        timed = cast("TimedSocket", self.sock)
        self._time(timed)
        self._timed = timed
        self._lines.secured(timed)

    def wait(self, seconds: float | None) -> None:
        """See `TimedSocket.wait`, also where an answer is all that is left of the connection."""
        with suppress(OSError):  # it is closed
            if self._timed is not None:
                self._timed.wait(seconds)
