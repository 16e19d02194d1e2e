"""One file up or down over a data connection of an FTP session.

A file ends where its connection does, so that an end that TLS does not vouch for (RFC 8446, 6.1) is a loss.
"""

import select
import socket
import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Final

from mftgit.adapters.endpoint.contract import EndpointBusyError
from mftgit.adapters.endpoint.flow import Flow
from mftgit.adapters.endpoint.read_stream import ReadStream
from mftgit.adapters.ftps.replies import BROKEN
from mftgit.adapters.ftps.wire import Wire

_READ_BYTES: Final = 256 << 10
_SENT_BYTES: Final = 64 << 10


class Upload:
    """Writes to one data connection, on which a file is being stored."""

    def __init__(self, wire: Wire, sock: ssl.SSLSocket, *, sent_bytes: int = 0) -> None:
        """Begin where ``sent_bytes`` of the file have been sent before."""
        self._wire = wire
        self._sock = sock
        self.sent_bytes = sent_bytes

    def send(self, chunk: bytes) -> None:
        """Send ``chunk``; TLS takes all that it is given at a time, or none, and that within the time-out."""
        whole = memoryview(chunk)
        try:
            for at in range(0, len(whole), _SENT_BYTES):
                self._sock.sendall(whole[at : at + _SENT_BYTES])
        except TimeoutError:
            raise
        except OSError:
            explain(self._wire, self._sock)
            raise
        self.sent_bytes += len(chunk)

    def finish(self) -> None:
        """Say that this is all, and wait until the server has it."""
        try:
            _say_end(self._sock, self._wire.within_s)
        except TimeoutError:
            raise
        except OSError:
            explain(self._wire, self._sock)
            raise
        # The connection is closed after the reply: what came on it unread would make the close a reset.
        self._wire.voidresp()
        self._wire.close_data(self._sock)

    def drop(self) -> None:
        """Give up, without the end that TLS would vouch for."""
        self._wire.close_data(self._sock)


class Download(ReadStream):
    """Reads a file of ``size_bytes`` from a data connection; ``telling`` is put around what is asked of the server."""

    def __init__(
        self,
        wire: Wire,
        sock: ssl.SSLSocket,
        size_bytes: int,
        telling: Callable[[], AbstractContextManager[None]],
    ) -> None:
        super().__init__()
        self._wire = wire
        self._sock = sock
        self._flow = Flow(wire.clock, timeout_s=wire.within_s)
        self._left_bytes = size_bytes
        self._telling = telling
        self._ended = False

    def read(self, size: int = -1, /) -> bytes:
        """See `io.RawIOBase.read`; at the end the server has said that this was all."""
        if size < 0:
            return self.readall()
        if self._ended or size == 0:
            return b""
        with self._telling():
            return self._receive(min(size, _READ_BYTES))

    def pass_over(self, size_bytes: int) -> None:
        """Read on until so many bytes have come, or the file has ended."""
        while size_bytes and (data := self.read(size_bytes)):
            size_bytes -= len(data)

    def drop(self) -> None:
        """Give up on what is on the way."""
        self._wire.close_data(self._sock)

    def _receive(self, size: int) -> bytes:
        begun = self._flow.begin()
        data = receive(self._wire, self._sock, size)
        self._flow.moved(begun, len(data))
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            raise EndpointBusyError(
                f"{self._wire.host}: the file has more bytes than the server told before: it is tried again at rest"
            )
        if not data:
            self._ended = True
            if self._left_bytes:
                raise EOFError(f"the file ended {self._left_bytes} bytes too soon")
        return data


def receive(wire: Wire, sock: ssl.SSLSocket, size: int) -> bytes:
    """Return what comes next, nothing once the server has said on both connections that this was all."""
    try:
        data = sock.recv(size)
    except TimeoutError:
        raise
    except OSError:
        explain(wire, sock)
        raise
    if not data:
        with suppress(OSError):
            _say_end(sock, wire.within_s)
        wire.close_data(sock)
        wire.voidresp()
    return data


def explain(wire: Wire, sock: ssl.SSLSocket) -> None:
    """Raise what the server says of a data connection that broke; return where it says nothing of use."""
    wire.close_data(sock)
    try:
        wire.voidresp()
    except BROKEN:
        return


def _say_end(sock: ssl.SSLSocket, within_s: float) -> None:
    """Send the end of TLS and that of TCP without waiting for the server's: some servers wait too, ProFTPD for 10 s."""
    sock.settimeout(0)
    _end_tls(sock, within_s)
    with suppress(OSError):  # of a server that has ended it already
        socket.socket.shutdown(sock, socket.SHUT_WR)


def _end_tls(sock: ssl.SSLSocket, within_s: float) -> None:
    while True:
        try:
            sock.unwrap()
        except ssl.SSLWantReadError:
            return  # it is sent
        except ssl.SSLWantWriteError:
            waiting = select.poll()
            waiting.register(sock, select.POLLOUT)
            if not waiting.poll(within_s * 1000):
                raise TimeoutError("the end of the file could not be sent in time") from None
        else:
            return
