"""One connection of HTTP/1.1 over TLS, in a thread of its own: requests come in by h11, answers go out."""

import os
import socket
import ssl
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Final

import h11

from mftgit.adapters.tls.server import restrict

MAX_HEAD_BYTES: Final = 32 << 10
_READ_BYTES: Final = 256 << 10
_MAX_WASTE_BYTES: Final = 256 << 10
"""So much of a body that nobody wants is read, so that the connection can go on; after that it is closed."""

_LINGER_S: Final = 2.0
_MAX_LINGER_BYTES: Final = 16 << 20


class WireError(Exception):
    """The connection cannot go on."""


class NoRequestError(WireError):
    """What came is no request of HTTP/1.1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The head of a request; header names are in lower case, of those that came twice the values are joined."""

    method: str
    target: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An answer; ``length`` None means that it is not known before, and ``ends`` that the connection does after it."""

    status: HTTPStatus
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Iterable[bytes] = ()
    length: int | None = 0
    ends: bool = False


class Wire:
    """A connection under TLS; used by one thread."""

    def __init__(
        self,
        sock: ssl.SSLSocket,
        *,
        patience: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        """``patience`` gives the seconds that the other side has for its next byte."""
        self._sock = sock
        self._patience = patience
        self._monotonic = monotonic
        self._wire = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)

    def next_request(self) -> Asked | None:
        """Return the next request; None where the client leaves.

        Raises:
            WireError: what comes is no request, or does not come.
        """
        if self._wire.our_state is h11.DONE:
            with _telling("a request cannot follow"):
                self._wire.start_next_cycle()
        event = self._event()
        if isinstance(event, h11.ConnectionClosed):
            return None
        if not isinstance(event, h11.Request):
            raise WireError("no request came")
        headers: dict[str, str] = {}
        for name, value in event.headers:
            key, text = name.decode("ascii"), value.decode("latin-1")
            headers[key] = f"{headers[key]}, {text}" if key in headers else text
        if "content-length" in headers and "transfer-encoding" in headers:
            raise NoRequestError("a request whose length is said in two ways")  # RFC 9112, 6.1
        return Asked(
            method=event.method.decode("ascii"),
            target=event.target.decode("latin-1"),
            headers=headers,
        )

    def body(self) -> Iterator[bytes]:
        """Give the body of the request in the pieces in which it comes; raises WireError where it breaks off."""
        if self._wire.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[])
            self._send(self._wire.send(go_on))
        while True:
            event = self._event()
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return
            else:
                raise WireError("the body of a request broke off")

    def answer(self, told: Told, *, head_only: bool = False) -> bool:
        """Send an answer; tell whether another request may follow. Raises WireError where it cannot be sent."""
        goes_on = not told.ends and self._drop_body()
        headers = list(told.headers.items())
        if told.length is not None and told.status is not HTTPStatus.NO_CONTENT:
            headers.append(("Content-Length", str(told.length)))
        if not goes_on:
            headers.append(("Connection", "close"))
        head = h11.Response(
            status_code=told.status, headers=headers, reason=told.status.phrase.encode()
        )
        with _telling("an answer cannot be sent"):
            self._send(self._wire.send(head))
            if not head_only:
                for piece in told.body:
                    for part in self._wire.send_with_data_passthrough(h11.Data(data=piece)) or ():
                        self._send(part)
            self._send(self._wire.send(h11.EndOfMessage()) or b"")
        if not goes_on:
            self._linger()
        return goes_on and self._wire.our_state is h11.DONE

    def refuse(self, told: Told) -> None:
        """Answer what was no request, where that is still possible."""
        with suppress(WireError):
            if self._wire.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
                self.answer(replace(told, ends=True))

    def _linger(self) -> None:
        """Say that this is the end, and let the client read that before what it still sends has all of it reset."""
        until = self._monotonic() + _LINGER_S
        self._sock.settimeout(_LINGER_S)
        with suppress(OSError):
            self._sock.unwrap()
            return
        wasted = 0
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
            while wasted < _MAX_LINGER_BYTES and (left_s := until - self._monotonic()) > 0:
                self._sock.settimeout(left_s)
                piece = self._sock.recv(_READ_BYTES)
                if not piece:
                    return
                wasted += len(piece)
        reset_when_closed(self._sock)

    def _drop_body(self) -> bool:
        """Read what is left of a body that nobody wanted; tell whether the connection can go on."""
        if self._wire.they_are_waiting_for_100_continue:
            return False
        wasted = 0
        while self._wire.their_state is h11.SEND_BODY:
            event = self._event()
            if isinstance(event, h11.Data):
                wasted += len(event.data)
                if wasted > _MAX_WASTE_BYTES:
                    return False
            elif not isinstance(event, h11.EndOfMessage):
                return False
        return self._wire.their_state is h11.DONE

    def _event(self) -> object:
        with _telling("what came is no HTTP/1.1"):
            while (event := self._wire.next_event()) is h11.NEED_DATA:
                self._sock.settimeout(self._left())
                self._wire.receive_data(self._sock.recv(_READ_BYTES))
            return event

    def _send(self, data: bytes | None) -> None:
        if data:
            self._sock.settimeout(self._left())
            self._sock.sendall(data)

    def _left(self) -> float:
        patience = self._patience()
        if patience <= 0:
            raise WireError("the client is too slow")
        return patience


@contextmanager
def _telling(what: str) -> Iterator[None]:
    """Turn what h11 and sockets raise into `WireError`."""
    try:
        yield
    except h11.ProtocolError as error:
        raise NoRequestError(f"{what}: {error}") from error
    except OSError as error:
        raise WireError(f"{what}: {error.strerror or 'the connection is gone'}") from error


def hang_up(sock: socket.socket) -> None:
    """End a connection, also while another thread reads from it or writes.

    The shutdown of a socket under TLS would first let go of its keys, and that thread would send in the clear.
    """
    reset_when_closed(sock)
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def reset_when_closed(sock: socket.socket) -> None:
    """Have the other side hear of the end at once: one that waits to send more would ask for room for a minute."""
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def tls_context(certificate: str) -> ssl.SSLContext:
    """Return what speaks TLS by ``certificate``: a chain and its private key, PEM. It goes to no disk.

    Raises:
        ssl.SSLError: it is none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    restrict(context)
    context.set_alpn_protocols(["http/1.1"])
    with os.fdopen(os.memfd_create("certificate"), "w+", encoding="ascii") as memory:
        memory.write(certificate)
        memory.flush()
        context.load_cert_chain(f"/proc/self/fd/{memory.fileno()}", password=lambda: "")
    return context
