"""Requests to one HTTPS server: what went wrong is told by the errors of endpoints, and what comes is bounded."""

import http.client
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import urllib3

from mftgit.adapters.endpoint.contract import (
    EndpointBusyError,
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
    FileExistsAtEndpointError,
    FileMissingError,
    HostKeyError,
    LoginError,
)
from mftgit.adapters.https.connection import Line, causes, open_pool, wait_for
from mftgit.errors import MftgitError

TROUBLE: Final = (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError)
"""What urllib3 and what is below it raise where a server or the network does something wrong."""

_ANSWER_BYTES: Final = 1 << 20  # of an answer that is not a file or a list
_KEPT: Final = 6  # connections
_SAFE: Final = frozenset({"GET", "PROPFIND"})  # may be asked a second time
_GONE: Final = (
    ConnectionError,
    http.client.RemoteDisconnected,
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
)
_SHOWN: Final = 200  # characters of what a server says, in a message
_NOT_TAKEN: Final = (
    "ALERT_ACCESS_DENIED",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_CERTIFICATE_EXPIRED",
    "ALERT_CERTIFICATE_REQUIRED",
    "ALERT_CERTIFICATE_REVOKED",
    "ALERT_CERTIFICATE_UNKNOWN",
    "ALERT_HANDSHAKE_FAILURE",
    "ALERT_UNKNOWN_CA",
    "ALERT_UNSUPPORTED_CERTIFICATE",
)
"""How OpenSSL calls the alerts (RFC 8446, 6.2) by which a server says that it wants another client certificate."""
_NONE: Final[Mapping[str, str]] = MappingProxyType({})

Body = bytes | Iterable[bytes] | None

_ERRORS: Final[Mapping[int, tuple[type[MftgitError], str]]] = {
    401: (LoginError, "the server does not let us in: check username, auth and the secrets that it names"),
    403: (EndpointRefusedError, "the server does not allow it"),
    404: (FileMissingError, "it is not there"),
    405: (EndpointRefusedError, "the server does not do that there: is WebDAV on for this path?"),
    408: (EndpointBusyError, "the server has waited for too long"),
    409: (FileMissingError, "the folder above it is not there"),
    410: (FileMissingError, "it is not there any more"),
    411: (EndpointRefusedError, "the server takes only files whose size is told first"),
    412: (FileExistsAtEndpointError, "it is there already"),
    413: (EndpointRefusedError, "it is larger than the server takes"),
    423: (EndpointBusyError, "somebody has locked it"),
    425: (EndpointBusyError, "the server asks to come again later"),
    429: (EndpointBusyError, "the server asks to come again later"),
    500: (EndpointBusyError, "the server has a trouble of its own"),
    501: (EndpointRefusedError, "the server does not know how to do that: does it speak WebDAV?"),
    502: (EndpointLostError, "what is behind the server does not answer"),
    503: (EndpointBusyError, "the server asks to come again later"),
    504: (EndpointLostError, "what is behind the server does not answer in time"),
    507: (EndpointFullError, "the server has no room for it"),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The ``status`` of an answer, where it ``points`` to, and what came with it."""

    status: int
    points: str = ""
    data: bytes = b""

    @property
    def is_good(self) -> bool:
        """Whether it was done, and nothing is left to say about parts of it (207)."""
        return self.status in {200, 201, 202, 204}


class Requests:
    """Asks one server, for one thread at a time but for `close`; a loss ends it, and every further use says so."""

    def __init__(self, line: Line) -> None:
        self.server = line.location.address
        self._line = line
        self._pool = open_pool(line, kept=_KEPT)
        self._headers = {
            "Accept-Encoding": "identity",
            "User-Agent": "mftgit",
            **line.login.headers,
        }

    @property
    def closed(self) -> bool:
        """Whether it was closed, or the server was lost."""
        return self._line.closed

    @property
    def answer_s(self) -> float:
        """How long an answer may take that is not a file or a list."""
        return self._line.location.timeout_s

    def connect(self) -> None:
        """Make a connection, and see that the server is the one that the location names.

        Raises:
            HostKeyError, EndpointLostError: it is not, or cannot be reached.
        """
        with self.telling("."):
            connection = self._pool._get_conn()  # noqa: SLF001  urllib3 has no other word for it
            try:
                connection.connect()
            finally:
                self._pool._put_conn(connection)  # noqa: SLF001

    def ask(
        self,
        method: str,
        url: str,
        *,
        what: str,
        headers: Mapping[str, str] = _NONE,
        body: Body = None,
    ) -> Answer:
        """Return the answer, of which at most 1 MiB is taken; ``what`` is how messages call its file."""
        with (
            self.opened(method, url, what=what, headers=headers, body=body) as response,
            self.telling(what),
        ):
            wait_for(response, self.answer_s)
            data = response.read(_ANSWER_BYTES + 1)
            if len(data) > _ANSWER_BYTES:
                raise EndpointRefusedError(
                    f"{self.server}: {what!r}: the answer to {method} is larger than 1 MiB"
                )
            return Answer(
                status=response.status, points=response.headers.get("Location", ""), data=data
            )

    @contextmanager
    def opened(
        self,
        method: str,
        url: str,
        *,
        what: str,
        headers: Mapping[str, str] = _NONE,
        body: Body = None,
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """Give the answer, to be read from within `telling`; what of it is not read ends the connection."""
        with self.telling(what):
            response = self._request(method, url, {**self._headers, **headers}, body)
            wait_for(response, None)
        try:
            encoding = response.headers.get("Content-Encoding", "identity")
            if encoding.lower() != "identity":
                raise EndpointRefusedError(
                    f"{self.server}: {what!r}: the server packs what it gives ({encoding!r:.40}) though it was "
                    "asked not to"
                )
            yield response
        finally:
            with suppress(*TROUBLE):
                if response.connection is not None:
                    response.close()
                response.release_conn()

    def _request(
        self, method: str, url: str, headers: Mapping[str, str], body: Body
    ) -> urllib3.BaseHTTPResponse:
        for last in (False, True):
            try:
                return self._pool.urlopen(
                    method,
                    url,
                    body=body,
                    headers=headers,
                    redirect=False,
                    assert_same_host=False,
                    preload_content=False,
                    decode_content=False,
                )
            except TROUBLE as error:
                # A connection that the server closed while it was idle: nothing of this was heard there.
                gone = any(isinstance(each, _GONE) for each in causes(error))
                if last or self.closed or method not in _SAFE or not gone:
                    raise
        raise AssertionError("the second time returns or raises")

    @contextmanager
    def telling(self, what: str) -> Iterator[None]:
        """Turn what urllib3 and the network raise into `EndpointLostError`, with which the endpoint ends."""
        if self.closed:
            raise EndpointLostError(f"{self.server}: the connection is closed: connect again")
        try:
            yield
        except EndpointLostError:
            self.close()
            raise
        except TROUBLE as error:
            ended = self.closed
            self.close()
            raise self._meaning(what, error, ended=ended) from error

    def _meaning(self, what: str, error: BaseException, *, ended: bool) -> MftgitError:
        if ended:
            return EndpointLostError(f"{self.server}: the connection is closed: connect again")
        for each in causes(error):
            if isinstance(each, ssl.SSLCertVerificationError):
                return HostKeyError(
                    f"{self.server} shows a certificate that is not taken ({each.verify_message}): name its authority "
                    f"in ca of locations/{self._line.location.name}.yaml, or its own one in fingerprints"
                )
            reason = (
                str(getattr(each, "reason", "") or "") if isinstance(each, ssl.SSLError) else ""
            )
            if reason.endswith(_NOT_TAKEN):
                return LoginError(
                    f"{self.server} does not take our certificate ({reason}): check private_key and certificate in "
                    f"auth of locations/{self._line.location.name}.yaml"
                )
        return EndpointLostError(f"{self.server}: {what!r}: {_plain(error)}")

    def fault(self, answer: Answer, what: str, doing: str) -> MftgitError:
        """Return what to raise for an answer that is not good."""
        status = answer.status
        if 300 <= status < 400:  # noqa: PLR2004  RFC 9110, 15.4
            return EndpointRefusedError(
                f"{self.server}: {what!r}: the server points to {answer.points[:_SHOWN]!r} instead (HTTP {status}): "
                "no redirects are followed; put host, port and path of the location right"
            )
        kind, why = _ERRORS.get(status, _other(status))
        if kind is EndpointLostError:
            self.close()
        return kind(f"{self.server}: {what!r}: {doing} failed: {why} (HTTP {status})")

    def close(self) -> None:
        """End it, from whichever thread; a second call does nothing."""
        self._line.close()
        self._pool.close()


def _other(status: int) -> tuple[type[MftgitError], str]:
    if status >= 500:  # noqa: PLR2004  the server's own trouble (RFC 9110, 15.6)
        return EndpointBusyError, "the server has a trouble of its own"
    return EndpointRefusedError, "the server does not do it"


def _plain(error: BaseException) -> str:
    """Return the innermost reason, without the objects that urllib3 prints with it."""
    last = [str(each) for each in causes(error) if str(each)][-1:] or [type(error).__name__]
    return last[0][:_SHOWN]
