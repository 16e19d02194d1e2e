"""Another address of a server on loopback: what comes in there is passed on, as by a forwarded port."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Any
from urllib.parse import urlsplit


class _Forwarder(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    target: tuple[str, int]

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
        with suppress(OSError), socket.create_connection(self.server.target) as there:
            self.server.open |= {self.request, there}
            back = threading.Thread(target=_pump, args=(there, self.request), daemon=True)
            back.start()
            _pump(self.request, there)
            back.join()
            self.server.open -= {self.request, there}


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def forwarded(url: str, *, host: str = "127.0.0.1", called: str = "") -> Iterator[str]:
    """Give another URL of the server at ``url``: at a free port of ``host``, which is ``called`` so if that is said."""
    parts = urlsplit(url)
    assert parts.hostname
    assert parts.port
    server = _Forwarder((host, 0), _Connection)
    server.target = (parts.hostname, parts.port)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"https://{called or host}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
