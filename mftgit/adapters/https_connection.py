"""One HTTPS connection whose server is checked, whose answers come in time, and that another thread can end."""

import errno
import socket
import ssl
from collections.abc import Iterator
from threading import Lock
from typing import Any, Final, cast
from weakref import WeakSet

import urllib3
from urllib3.connection import HTTPSConnection
from urllib3.response import HTTPResponse

from mftgit.adapters.clock import Clock
from mftgit.adapters.endpoint import HostKeyError
from mftgit.adapters.http_chunks import BoundedResponse
from mftgit.adapters.https_login import Login
from mftgit.adapters.tls_client import require_pinned
from mftgit.model.https_location import HttpsLocation

_STALE_S: Final = 2.0
"""A connection that was idle for longer is made anew: a server that closes it at that moment leaves open what it did
(Apache closes after 5 s by default)."""


class TimedSocket(ssl.SSLSocket):
    """Gives up at a moment, however many bytes trickle in until then."""

    clock: Clock
    timeout_s: float
    until: float | None = None

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """See `socket.socket.recv_into`."""
        if self.until is not None:
            left_s = self.until - self.clock.boottime()
            if left_s <= 0:
                raise TimeoutError("the answer did not come to its end in time")
            self.settimeout(min(left_s, self.timeout_s))
        return super().recv_into(buffer, nbytes, flags)

    def wait(self, seconds: float | None) -> None:
        """Take ``seconds`` for all that is still to come; None: as long as a byte comes in time."""
        self.settimeout(self.timeout_s)
        self.until = None if seconds is None else self.clock.boottime() + seconds


class Line:
    """The connections to one server, which any thread may end."""

    def __init__(self, location: HttpsLocation, login: Login, clock: Clock) -> None:
        self.location = location
        self.login = login
        self.clock = clock
        self.closed = False
        self._lock = Lock()
        self._open = WeakSet[TimedSocket]()  # an answer may outlive its connection

    def add(self, sock: TimedSocket) -> None:
        """Have ``sock`` ended with the others."""
        with self._lock:
            self._open.add(sock)
            closed = self.closed
        if closed:
            _shut(sock)

    def close(self) -> None:
        """End all of them: who waits for one is told that it has come to its end."""
        with self._lock:
            self.closed = True
            socks = list(self._open)
        for sock in socks:
            _shut(sock)


def _shut(sock: TimedSocket) -> None:
    try:
        # That of SSLSocket would let a thread that is sending go on in plain text.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)
    except OSError:
        return


class CheckedConnection(HTTPSConnection):
    """A connection of a `Line`. Nothing is asked before the server has shown a certificate that the location names."""

    response_class = BoundedResponse

    def __init__(self, host: str, *, line: Line, **options: Any) -> None:
        super().__init__(host, **options)
        self._line = line
        self._idle_since = 0.0
        self.raw: TimedSocket | None = None

    def connect(self) -> None:
        """Connect, and check the server.

        Raises:
            HostKeyError: it shows a certificate that is not pinned.
        """
        super().connect()
        sock = cast("TimedSocket", self.sock)
        location = self._line.location
        sock.clock, sock.timeout_s = self._line.clock, location.timeout_s
        if location.fingerprints:
            try:
                require_pinned(
                    sock, location.fingerprints, server=location.address, name=location.name
                )
            except HostKeyError:
                self.close()
                raise
            self.is_verified = True
        sock.wait(None)
        self.raw = sock
        self._line.add(sock)

    @property
    def is_connected(self) -> bool:
        """Whether it can be asked again."""
        idle_s = self._line.clock.boottime() - self._idle_since
        return super().is_connected and idle_s < _STALE_S

    def request(self, method: str, url: str, *args: Any, **options: Any) -> None:
        """See `HTTPSConnection.request`; what is sent is waited for as long as an answer is.

        Raises:
            BrokenPipeError: the server has ended the connection, and may have said before why: urllib3 reads on then.
        """
        if self.sock is not None:
            self.timeout = self._line.location.timeout_s
        try:
            super().request(method, url, *args, **options)
        except ssl.SSLEOFError as error:
            raise BrokenPipeError(errno.EPIPE, str(error)) from error

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        """See `HTTPSConnection.getresponse`; the head of the answer has to be there in time as a whole."""
        if self.raw is not None:
            self.raw.wait(self._line.location.timeout_s)
        response = super().getresponse()
        self._idle_since = self._line.clock.boottime()
        return response


class CheckedPool(urllib3.HTTPSConnectionPool):
    """Connections of one `Line`, made as they are needed."""

    ConnectionCls = CheckedConnection


def open_pool(line: Line, *, kept: int) -> CheckedPool:
    """Return the connections of ``line``, of which ``kept`` are held open between two requests; none is made yet."""
    location = line.location
    context = line.login.context
    context.sslsocket_class = TimedSocket
    return CheckedPool(
        location.host,
        location.port,
        maxsize=kept,
        block=False,
        retries=False,
        timeout=urllib3.Timeout(connect=location.connect_s, read=location.timeout_s),
        ssl_context=context,
        line=line,
    )


def wait_for(response: urllib3.BaseHTTPResponse, seconds: float | None) -> None:
    """Take ``seconds`` for what is still to come of ``response``; see `TimedSocket.wait`."""
    connection = response.connection
    if isinstance(connection, CheckedConnection) and connection.raw is not None:
        connection.raw.wait(seconds)


def causes(error: BaseException) -> Iterator[BaseException]:
    """Give ``error`` and what is behind it, however urllib3 has wrapped it."""
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [*each.args, getattr(each, "reason", None), each.__cause__, each.__context__]
