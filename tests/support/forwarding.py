"""Another address of a server on loopback: what comes in is passed on, as by a forwarded port, or by a proxy."""

import selectors
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any
from urllib.parse import urlsplit


class _Forwarder(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    target: tuple[str, int]
    inwards: ssl.SSLContext | None = None
    onwards: ssl.SSLContext | None = None

    def __init__(self, *words: Any) -> None:
        self.open: set[socket.socket] = set()
        super().__init__(*words)

    def server_close(self) -> None:
        super().server_close()
        for each in list(self.open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


class _Connection(BaseRequestHandler):
    server: _Forwarder

    def handle(self) -> None:
        with suppress(OSError), self._here() as here, self._there() as there:
            self.server.open |= {here, there}
            _pump(here, there)
            self.server.open -= {here, there}

    def _here(self) -> socket.socket:
        context = self.server.inwards
        here: socket.socket = self.request
        return here if context is None else context.wrap_socket(here, server_side=True)

    def _there(self) -> socket.socket:
        there = socket.create_connection(self.server.target)
        context, host = self.server.onwards, self.server.target[0]
        return there if context is None else context.wrap_socket(there, server_hostname=host)


def _pump(one: socket.socket, other: socket.socket) -> None:
    """Pass on until a side ends, in one thread: a connection with TLS bears no second one."""
    to = {one: other, other: one}
    with selectors.PollSelector() as line:
        for side in to:
            line.register(side, selectors.EVENT_READ, side)
        while True:
            held = [each for each in to if isinstance(each, ssl.SSLSocket) and each.pending()]
            for ready in held or [key.data for key, _ in line.select()]:
                data = _read(ready)
                if data == b"":
                    return
                if data is not None:
                    to[ready].sendall(data)


def _read(ready: socket.socket) -> bytes | None:
    """Return what came; None where that was TLS's own, as a ticket: to wait for more would stop the other side."""
    ready.settimeout(0)
    try:
        return ready.recv(1 << 16)
    except (ssl.SSLWantReadError, BlockingIOError):
        return None
    finally:
        ready.settimeout(None)


@contextmanager
def forwarded(
    url: str,
    *,
    host: str = "127.0.0.1",
    called: str = "",
    proxy: Path | None = None,
    ca: Path | None = None,
) -> Iterator[str]:
    """Give another URL of the server at ``url``: at a free port of ``host``, which is ``called`` so if that is said.

    A ``proxy`` ends TLS with the certificate and key in that file, and knows the server by ``ca``.
    """
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    server = _Forwarder((host, 0), _Connection)
    server.target = (parts.hostname, parts.port)
    if proxy is not None:
        server.inwards = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.inwards.load_cert_chain(proxy)
        server.onwards = ssl.create_default_context(cafile=ca)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"https://{called or host}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
