"""The sockets of one FTP partner: made here, so that any thread can end what another one waits for."""

import socket
import ssl
from contextlib import suppress
from threading import Lock


class Sockets:
    """All that are open to one partner. `end` is for any thread, the rest for the one that uses them."""

    def __init__(self) -> None:
        self.ended = False
        self._lock = Lock()
        self._open: set[socket.socket] = set()

    def dial(self, host: str, port: int, *, timeout_s: float, keepalive_s: int) -> socket.socket:
        """Return a TCP connection; every address of ``host`` is tried.

        Raises:
            OSError: there is none.
        """
        failed: OSError = OSError(f"{host} has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        ):
            sock = self._add(socket.socket(family, kind, protocol))
            try:
                sock.settimeout(timeout_s)
                _keep_alive(sock, keepalive_s)
                sock.connect(address)
            except OSError as error:
                self.drop(sock)
                failed = error
            else:
                return sock
        raise failed

    def secure(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        *,
        host: str,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLSocket:
        """Return ``sock`` with TLS on it; a later end without TLS's own is an error to who reads.

        Raises:
            OSError: the handshake failed; ``sock`` is closed.
        """
        try:
            secured = context.wrap_socket(
                sock,
                server_hostname=host,
                session=session,
                do_handshake_on_connect=False,
                suppress_ragged_eofs=False,
            )
        except BaseException:
            self.drop(sock)
            raise
        self._forget(sock)
        self._add(secured)
        try:
            secured.do_handshake()
        except BaseException:
            self.drop(secured)
            raise
        return secured

    def drop(self, sock: socket.socket) -> None:
        """Close ``sock``."""
        self._forget(sock)
        sock.close()

    def end(self) -> None:
        """Have every call on them fail, now and later; nothing is closed here."""
        with self._lock:
            self.ended = True
            for sock in self._open:
                _shut(sock)

    def _add(self, sock: socket.socket) -> socket.socket:
        with self._lock:
            self._open.add(sock)
            ended = self.ended
        if ended:
            self.drop(sock)
            raise ConnectionAbortedError("the connection was closed")
        return sock

    def _forget(self, sock: socket.socket) -> None:
        with self._lock:
            self._open.discard(sock)


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):
        # That of SSLSocket would let a thread that is sending go on in plain text.
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _keep_alive(sock: socket.socket, keepalive_s: int) -> None:
    """Let the kernel keep the connection known to firewalls, also while a file is on the way beside it (tcp(7))."""
    if keepalive_s:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, keepalive_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, keepalive_s)
