"""How one thread speaks with one etcd: etcd3gw's client over a connection of ours, which ends every wait in time.

etcd3gw speaks by requests, whose time-outs begin anew with each byte, which trusts the authorities of certifi beside
those of its SSLContext, follows redirects, and reads an answer however long. It takes a session from us, though.
"""

import io
import socket
import ssl
from collections.abc import Iterator
from typing import Any, Final

import requests
import urllib3
from etcd3gw.client import Etcd3Client
from etcd3gw.exceptions import ConnectionFailedError, Etcd3Exception
from requests.adapters import BaseAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.response import HTTPResponse

from mftgit.adapters.clock import Clock
from mftgit.adapters.http_bounds import BoundedResponse, TimedPlainSocket, TimedSocket
from mftgit.model.ownership.etcd import Endpoint

MOST_BYTES: Final = 64 << 20
"""How long an answer may be: a hundred thousand leases in base64 are some 50 MB."""

_PIECE: Final = 1 << 20
_API: Final = "/v3/"
"""The gateway's path since etcd 3.4; an older one, which has another, is not spoken with."""


class NoEtcdError(Etcd3Exception):
    """What answers is no etcd, or none of version 3.4 or later."""


class NotTakenError(requests.RequestException):
    """One of the two certificates is not taken by the other side."""


class Line:
    """One etcd, for one thread."""

    def __init__(self, endpoint: Endpoint, *, context: ssl.SSLContext | None, clock: Clock) -> None:
        """Speak with ``endpoint``, by TLS where that says so, by ``context``; nothing is connected yet."""
        self.name = str(endpoint)
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy, and no .netrc
        self._session.max_redirects = 0
        self._session.headers["Accept-Encoding"] = "identity"
        self._session.mount(f"{endpoint.scheme}://", _Adapter(endpoint, context, clock))
        self._client = Etcd3Client(
            host=endpoint.host,
            port=endpoint.port,
            protocol=endpoint.scheme,
            api_path=_API,
            session=self._session,
        )

    def ask(self, path: str, question: Any, *, within_s: float) -> Any:
        """Return the answer to ``question``, in ``within_s`` seconds and as much again for connecting.

        Raises:
            Etcd3Exception, requests.RequestException: there is none, or it is that something is wrong.
        """
        self._client.timeout = within_s
        try:
            reply = self._client.post(self._client.get_url(path), json=question)
        except RecursionError as error:
            raise NoEtcdError("an answer that is nested too deeply for one of etcd") from error
        if isinstance(reply, dict) and "error" in reply:  # a stream's: its status is 200
            raise ConnectionFailedError(str(reply["error"]))
        if not isinstance(reply, dict) or not isinstance(
            reply.get("header", reply.get("result")), dict
        ):
            raise NoEtcdError("an answer that is none of etcd")
        return reply

    def show_token(self, token: str | None) -> None:
        """Show ``token`` with each question from now on."""
        if token is None:
            self._session.headers.pop("Authorization", None)
        else:
            self._session.headers["Authorization"] = token

    def close(self) -> None:
        """Close the connection: nothing is asked any more."""
        self._session.close()


class _Adapter(BaseAdapter):
    """Sends what requests has prepared over one connection, which is kept."""

    def __init__(self, endpoint: Endpoint, context: ssl.SSLContext | None, clock: Clock) -> None:
        super().__init__()
        if context is None:
            self._pool: urllib3.HTTPConnectionPool = _PlainPool(
                endpoint.host, endpoint.port, maxsize=1, clock=clock
            )
        else:
            context.sslsocket_class = TimedSocket
            self._pool = _SecurePool(
                endpoint.host, endpoint.port, maxsize=1, clock=clock, ssl_context=context
            )

    def send(  # type: ignore[override]  # requests hands over more than is needed
        self, request: Any, *, timeout: float, **_: Any
    ) -> requests.Response:
        """See `requests.adapters.BaseAdapter.send`."""
        try:
            reply = self._pool.urlopen(
                request.method or "POST",
                request.path_url,
                body=request.body,
                headers={key: str(value) for key, value in request.headers.items()},
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(connect=timeout, read=timeout),
            )
            data = _read(reply)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise _at_bottom(error) from error
        answer = requests.Response()
        answer.status_code, answer.reason = reply.status, reply.reason or ""
        answer.headers.update(reply.headers)
        answer.raw, answer.url, answer.request = io.BytesIO(data), request.url or "", request
        answer.encoding = "utf-8"
        return answer

    def close(self) -> None:
        """See `requests.adapters.BaseAdapter.close`."""
        self._pool.close()


def _read(reply: urllib3.BaseHTTPResponse) -> bytes:
    """Read an answer to its end, and give the connection back; one that goes on and on is as good as none."""
    try:
        data = b"".join(_pieces(reply))
    except BaseException:
        reply.close()
        raise
    reply.release_conn()
    return data


def _pieces(reply: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    left = MOST_BYTES
    while piece := reply.read(min(left + 1, _PIECE)):
        left -= len(piece)
        if left < 0:
            raise ValueError(f"an answer of more than {MOST_BYTES} bytes, which none of etcd is")
        yield piece


def _at_bottom(error: BaseException) -> requests.RequestException:
    """Return what is at the bottom of an error of urllib3, on one line."""
    while isinstance(inner := error.__cause__ or error.__context__, OSError):
        error = inner
    if isinstance(error, ssl.SSLCertVerificationError):
        return NotTakenError(f"its certificate is not taken ({error.verify_message})")
    if isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or ""):
        return NotTakenError(f"it does not take our certificate ({error.reason})")
    return requests.ConnectionError(f"{type(error).__name__}: {error}".replace("\n", " ")[:300])


class _Timed(HTTPConnection):
    """Takes for an answer, from its first byte to its last one, as long as was said for the question."""

    response_class = BoundedResponse

    def __init__(self, *args: Any, clock: Clock, **options: Any) -> None:
        super().__init__(*args, **options)
        self._clock = clock

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]
        sock = self.sock
        if isinstance(sock, TimedPlainSocket) and isinstance(self.timeout, float):
            sock.clock, sock.timeout_s = self._clock, self.timeout
            sock.wait(self.timeout)
        return super().getresponse()


class _Plain(_Timed):
    def _new_conn(self) -> socket.socket:
        made = super()._new_conn()
        timeout_s = made.gettimeout()
        timed = TimedPlainSocket(fileno=made.detach())
        timed.settimeout(timeout_s)
        return timed


class _Secure(_Timed, HTTPSConnection):
    pass


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Secure
