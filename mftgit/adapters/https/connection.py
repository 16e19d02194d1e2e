"""One HTTPS connection whose server is checked, whose answers come in time, and that another thread can end."""

import errno
import ssl
from collections.abc import Iterator
from typing import Any, Final, cast

import urllib3
from urllib3.response import HTTPResponse

from mftgit.adapters.clock import Clock
from mftgit.adapters.endpoint.contract import HostKeyError
from mftgit.adapters.http_bounds import BoundedConnection, Lines, TimedSocket
from mftgit.adapters.https.login import Login
from mftgit.adapters.tls.client import require_pinned
from mftgit.model.locations.https_location import HttpsLocation

_STALE_S: Final = 2.0
"""A connection that was idle for longer is made anew: a server that closes it at that moment leaves open what it did
(Apache closes after 5 s by default)."""


class Line:
    """How to speak with one server, and the connections to it, which any thread may end."""

    def __init__(self, location: HttpsLocation, login: Login, clock: Clock) -> None:
        self.location = location
        self.login = login
        self.clock = clock
        self.lines = Lines()

    @property
    def closed(self) -> bool:
        """Whether they were ended."""
        return self.lines.ended

    def close(self) -> None:
        """End all of them: who waits for one is told that it has come to its end."""
        self.lines.end()


class CheckedConnection(BoundedConnection):
    """A connection of a `Line`. Nothing is asked before the server has shown a certificate that the location names."""

    def __init__(self, host: str, *, line: Line, **options: Any) -> None:
        timeout_s = line.location.timeout_s
        super().__init__(host, lines=line.lines, clock=line.clock, timeout_s=timeout_s, **options)
        self._line = line
        self._idle_since = 0.0

    def connect(self) -> None:
        """Connect, and check the server.

        Raises:
            HostKeyError: it shows a certificate that is not pinned.
        """
        super().connect()
        location = self._line.location
        if location.fingerprints:
            try:
                require_pinned(
                    cast("TimedSocket", self.sock),
                    location.fingerprints,
                    server=location.address,
                    name=location.name,
                )
            except HostKeyError:
                self.close()
                raise
            self.is_verified = True

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
        self.wait(self._line.location.timeout_s)
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
    if isinstance(connection, CheckedConnection):
        connection.wait(seconds)


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
