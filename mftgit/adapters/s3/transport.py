"""The requests of one S3 endpoint on the wire: botocore writes, signs and reads them, and urllib3 carries them.

botocore's own way to send reads a reply whole into memory however long it is, goes by proxies of the environment, and
nobody can end it from another thread. Its event ``before-send`` hands us each request instead.
"""

import re
import ssl
from collections.abc import Callable, Iterator
from threading import Event
from typing import Any, Final, cast
from urllib.parse import urlsplit

import urllib3
from urllib3.response import HTTPResponse

from mftgit.adapters.clock import Clock, SystemClock
from mftgit.adapters.endpoint.contract import EndpointLostError, EndpointRefusedError, HostKeyError
from mftgit.adapters.http_bounds import BoundedConnection, Lines, TimedSocket

MOST_BYTES: Final = 8 << 20
"""How long a reply may be that is no file: a page of 1,000 keys of 1,024 bytes, three characters each, is 3.5 MiB."""

_REPLY_S: Final = 900.0
"""How long a reply that is no file may take in all; to put parts together takes a store some minutes (S3 API)."""

_PIECE: Final = 64 << 10
_UNFIT: Final = re.compile(rb"""<!DOCTYPE|=\s*(?:"[^"<]{2000}|'[^'<]{2000})""")
"""None of S3 declares a type, or has a value as long in a tag: the parser puts a namespace before each name of it."""


class Reply:
    """What botocore takes for the answer's raw stream; it gives the connection back, or ends it."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response
        self._left = int(response.headers.get("Content-Length") or -1)
        self._ended = False

    def read(self, amt: int | None = None) -> bytes:
        """Read up to so many bytes; nothing is the end."""
        data: bytes = self._response.read(amt)
        self._left -= len(data)
        if self._left == 0 or (not data and amt != 0):
            self._ended = True
        return data

    def stream(self) -> Iterator[bytes]:
        """Give the whole of an answer that says what is wrong with a request for a file."""
        data = self._response.read(MOST_BYTES)
        self.close()
        yield data

    def close(self) -> None:
        """Keep the connection for the next request, where nothing of this answer is left on it."""
        if self._ended:
            self._response.release_conn()
        else:
            self._response.close()


class _Whole:
    """An answer that was read already."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self) -> Iterator[bytes]:
        yield self._data


class Transport:
    """The connections to one store. For several threads; `close` ends what they wait for.

    ``name`` is for messages. ``require`` looks at the server's certificate after a handshake, beside ``context``.
    Times are in seconds, `Clock.boottime`.
    """

    def __init__(
        self,
        *,
        name: str,
        url: str,
        context: ssl.SSLContext,
        require: Callable[[ssl.SSLSocket], None],
        timeout_s: float,
        connect_s: float,
        clock: Clock | None = None,
    ) -> None:
        where = urlsplit(url)
        self._name = name
        self._where = where.scheme, where.hostname, where.port or 443
        self._clock = clock or SystemClock()
        self._lines = Lines()
        context.sslsocket_class = TimedSocket
        self.closed = Event()
        self._pool = _Pool(
            where.hostname or "",
            where.port or 443,
            ssl_context=context,
            timeout=urllib3.Timeout(connect=connect_s, read=timeout_s),
            maxsize=8,
            lines=self._lines,
            require=require,
            clock=self._clock,
            timeout_s=timeout_s,
        )

    def send(self, request: Any, **_: Any) -> Any:
        """Send a prepared request of botocore and return its `AWSResponse`.

        Raises:
            EndpointLostError: there is no answer, or not in time.
            HostKeyError: the store shows a certificate of an authority that is not trusted, or for another host.
            EndpointRefusedError: the request would go elsewhere, or the store sends us elsewhere.
        """
        from botocore.awsrequest import AWSResponse  # noqa: PLC0415  an extra; see s3_client

        response = self._ask(request)
        raw: Reply | _Whole = Reply(response)
        if not request.stream_output or response.status >= 300:  # noqa: PLR2004  as botocore
            raw = _Whole(self._read(response))
        elif isinstance(response.connection, _Connection):
            response.connection.wait(None)
        return AWSResponse(request.url, response.status, dict(response.headers.items()), raw)

    def _ask(self, request: Any) -> urllib3.BaseHTTPResponse:
        where = urlsplit(request.url)
        if (where.scheme, where.hostname, where.port or 443) != self._where:
            raise EndpointRefusedError(
                f"{self._name}: the bucket is answered for by {where.hostname}: see region and endpoint of the location"
            )
        body = request.body.read() if hasattr(request.body, "read") else request.body
        headers = {key: _text(value) for key, value in request.headers.items() if key != "Expect"}
        target = where.path + (f"?{where.query}" if where.query else "")
        with self.telling():
            return self._pool.urlopen(
                request.method,
                target,
                body=body,
                headers=headers,
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )

    def _read(self, response: urllib3.BaseHTTPResponse) -> bytes:
        """Read a reply that is no file, to its end; one that no store gives is as good as none."""
        data = bytearray()
        try:
            with self.telling():
                while piece := response.read(_PIECE):
                    data += piece
                    self._require_bound(len(data))
        except BaseException:
            response.close()
            raise
        response.release_conn()
        return b"" if _UNFIT.search(data) else bytes(data)

    def _require_bound(self, size_bytes: int) -> None:
        if size_bytes > MOST_BYTES:
            raise EndpointRefusedError(
                f"{self._name}: an answer has more than {MOST_BYTES} bytes, which none of S3 has: "
                "see that the endpoint is an object store"
            )

    def telling(self) -> "_Telling":
        """Turn what urllib3 and sockets raise into `EndpointLostError`, or `HostKeyError` for a certificate."""
        return _Telling(self._name, self.closed)

    def close(self) -> None:
        """End all connections, whoever waits for them."""
        self.closed.set()
        self._lines.end()
        self._pool.close()


class _Telling:
    def __init__(self, name: str, closed: Event) -> None:
        self._name = name
        self._closed = closed

    def __enter__(self) -> None:
        if self._closed.is_set():
            raise EndpointLostError(f"{self._name}: the connection was closed")

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, urllib3.exceptions.HTTPError | OSError | ValueError):
            if isinstance(cause := _cause(error), ssl.SSLCertVerificationError):
                raise HostKeyError(
                    f"{self._name} shows a certificate that is not taken ({cause.verify_message}): "
                    "compare it with the partner, then name its authority in ca of the location"
                ) from error
            why = "the connection was closed" if self._closed.is_set() else _told(cause)
            raise EndpointLostError(f"{self._name} does not answer: {why}") from error


def _cause(error: BaseException) -> BaseException:
    """Return what is at the bottom of an error of urllib3."""
    while isinstance(inner := error.__cause__ or error.__context__, OSError):
        error = inner
    return error


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:300]


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


class _Connection(BoundedConnection):
    def __init__(
        self, *args: Any, require: Callable[[ssl.SSLSocket], None], **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self._require = require

    def connect(self) -> None:
        super().connect()
        try:
            self._require(cast("ssl.SSLSocket", self.sock))
        except HostKeyError:
            self.close()
            raise
        self.is_verified = True

    def request(self, method: str, url: str, *args: Any, **options: Any) -> None:
        self.wait(None)
        super().request(method, url, *args, **options)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        self.wait(_REPLY_S)
        return super().getresponse()


class _Pool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Connection
