"""One control connection to an FTP server over TLS (RFC 4217), and the data connections beside it.

The words and replies of FTP are the standard library's. What it leaves open is here: bounds, TLS sessions that data
connections go on with, the end of TLS on them, and an end that another thread can bring about.
"""

import ftplib
import re
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from mftgit.adapters.clock import Clock
from mftgit.adapters.ftps.replies import BROKEN, ProtocolError
from mftgit.adapters.ftps.sockets import Sockets

MAX_LINE_BYTES: Final = 16 << 10
"""Of a reply. The longest name that Linux knows is 4 KiB with its folders."""

MAX_LINES: Final = 1000
"""Of one reply; the longest are banners."""

MAX_PORT: Final = 65_535

_RECEIVE_BYTES: Final = 8 << 10
_FORBIDDEN: Final = re.compile(
    rb"[\r\n\0\xff]"
)  # the end of a line, and the escape of telnet (RFC 959, 5.3.1)
_RUN_OUT: Final = "the reply did not come to its end in time"


class Wire(ftplib.FTP):
    """A server that is spoken to in commands. Every call raises `ftplib.Error`, or of `BROKEN`."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        context: ssl.SSLContext,
        check: Callable[[ssl.SSLSocket], None],
        sockets: Sockets,
        clock: Clock,
        connect_s: float,
        timeout_s: float,
        keepalive_s: int,
    ) -> None:
        """Say nothing yet. ``check`` raises where a server's certificate is none of the location's.

        ``in_step`` tells whether the last reply was to the last command, so that another one may be said. ``hidden``
        is left out of what the server says: some say back what they do not understand.
        """
        super().__init__(encoding="utf-8")
        self.host, self.port = host, port
        self.within_s = connect_s
        self._timeout_s = timeout_s
        self._keepalive_s = keepalive_s
        self._context = context
        self._check = check
        self._sockets = sockets
        self.clock = clock
        self.in_step = True
        self.hidden = ""
        self._received = b""
        self._until = 0.0
        self._lines = 0

    def greet(self, *, implicit: bool) -> None:
        """Connect and begin TLS, with the first byte or by AUTH TLS."""
        self.sock = self._dial(self.host, self.port)
        self.af = self.sock.family
        if implicit:
            self._secure()
        self.voidresp()
        if not implicit:
            self.voidcmd("AUTH TLS")
            if self._received:
                raise ProtocolError("something was said in plain text after AUTH TLS")
            self._secure()

    def settle(self) -> None:
        """Take the time-out of a connection that is logged in."""
        self.within_s = self._timeout_s

    def open_data(self, command: str, *, offset: int = 0) -> ssl.SSLSocket:
        """Say a command that moves a file or a list, and return the connection on which it does.

        TLS there goes on with the session of the control connection: many servers want that, to know who comes.
        """
        sock = self._dial(*self._data_address())
        try:
            if offset:
                self.sendcmd(f"REST {offset}")  # 350
            self._begin(command)
        except BaseException:
            self._sockets.drop(sock)
            raise
        secured = self._secure_data(sock)
        try:
            self._check(secured)
        except BaseException:
            self._sockets.drop(secured)
            raise
        return secured

    def _data_address(self) -> tuple[str, int]:
        try:
            host, port = self.makepasv()
        except (ValueError, IndexError) as error:  # of ftplib, which takes numbers for granted
            raise ProtocolError("a port for data that is no number") from error
        if port > MAX_PORT:
            raise ProtocolError(f"the port {port} for data, which is none")
        return host, port

    def _secure_data(self, sock: socket.socket) -> ssl.SSLSocket:
        session = self.sock.session if isinstance(self.sock, ssl.SSLSocket) else None
        try:
            return self._sockets.secure(sock, self._context, host=self.host, session=session)
        except (TimeoutError, ssl.SSLCertVerificationError):
            raise
        except OSError:
            with suppress(*BROKEN):
                self.voidresp()  # raises what the server has against it, if it says so
            raise

    def _begin(self, command: str) -> None:
        said = self.sendcmd(command)
        if said[:1] == "2":  # of some servers before the 150; see ftplib.FTP.ntransfercmd
            said = self.getresp()
        if said[:1] != "1":
            raise ProtocolError(said)

    def close_data(self, sock: ssl.SSLSocket) -> None:
        """Close a data connection."""
        self._sockets.drop(sock)

    def putline(self, line: str) -> None:
        """See `ftplib.FTP.putline`; names may be any bytes but those that end or change a line."""
        data = line.encode("utf-8", "surrogateescape")
        if _FORBIDDEN.search(data) is not None:
            raise ValueError("a command with a character that ends it")
        sock = self._connected()
        self._require_quiet(sock)
        sock.settimeout(self.within_s)
        self.in_step = False
        sock.sendall(data + b"\r\n")

    def getmultiline(self) -> str:
        """See `ftplib.FTP.getmultiline`; the whole of it has to come in time."""
        self._lines = 0
        self._until = self.clock.boottime() + self.within_s
        said = super().getmultiline()
        self.in_step = not said.startswith("1")
        return said

    def getline(self) -> str:
        """See `ftplib.FTP.getline`; bytes that are not UTF-8 become lone surrogates."""
        self._lines += 1
        if self._lines > MAX_LINES:
            raise ProtocolError(f"a reply of more than {MAX_LINES} lines")
        while (end := self._received.find(b"\n")) < 0:
            if len(self._received) > MAX_LINE_BYTES:
                raise ProtocolError(f"a line of more than {MAX_LINE_BYTES} bytes")
            self._received += self._receive()
        line, self._received = self._received[:end], self._received[end + 1 :]
        text = line.removesuffix(b"\r").decode("utf-8", "surrogateescape")
        return text[:4] + text[4:].replace(self.hidden, "…") if self.hidden else text

    def close(self) -> None:
        """Close the control connection without a word."""
        self.in_step = False
        if self.sock is not None:
            self._sockets.drop(self.sock)
            self.sock = None

    def _dial(self, host: str, port: int) -> socket.socket:
        return self._sockets.dial(
            host, port, timeout_s=self.within_s, keepalive_s=self._keepalive_s
        )

    def _secure(self) -> None:
        sock, self.sock = self._connected(), None
        secured = self._sockets.secure(sock, self._context, host=self.host)
        self.sock = secured
        self._check(secured)

    def _connected(self) -> socket.socket:
        if self.sock is None:
            raise EOFError
        return self.sock

    def _receive(self) -> bytes:
        sock = self._connected()
        left_s = self._until - self.clock.boottime()
        if left_s <= 0:
            raise TimeoutError(_RUN_OUT)
        sock.settimeout(left_s)
        data = sock.recv(_RECEIVE_BYTES)
        if not data:
            raise EOFError
        return data

    def _require_quiet(self, sock: socket.socket) -> None:
        """See that nothing was said unasked: it would be taken for the reply to what is said now."""
        sock.settimeout(0)
        try:
            self._received += sock.recv(_RECEIVE_BYTES)
        except (ssl.SSLWantReadError, BlockingIOError):
            if not self._received:
                return
        if not self._received:
            raise EOFError
        raise ProtocolError(self._received[:200].decode("utf-8", "replace").strip())
