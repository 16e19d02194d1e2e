"""Somebody on the way between a client and an SMB server, who changes what the server says."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

Change = Callable[[bytearray], None]
"""Is given each message of the server, and may change it."""

SIGNED = 0x08
FLAGS = 16
COMMAND = 12
NEGOTIATE = 0


@contextmanager
def meddler(port: int, change: Change) -> Iterator[int]:
    """Give a port that leads to ``port``, whose answers ``change`` is given; for one connection."""
    with closing(socket.create_server(("127.0.0.1", 0))) as door:
        threads = [threading.Thread(target=_serve, args=(door, port, change))]
        threads[0].start()
        try:
            yield door.getsockname()[1]
        finally:
            with suppress(OSError):
                door.shutdown(socket.SHUT_RDWR)
            threads[0].join()


def _serve(door: socket.socket, port: int, change: Change) -> None:
    with suppress(OSError):
        here, _ = door.accept()
        with closing(here), closing(socket.create_connection(("127.0.0.1", port))) as there:
            inwards = threading.Thread(target=_pump, args=(here, there, lambda _: None))
            inwards.start()
            _pump(there, here, change)
            for each in (here, there):
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
            inwards.join()


def _pump(source: socket.socket, sink: socket.socket, change: Change) -> None:
    with suppress(OSError), source.makefile("rb") as stream:
        while head := stream.read(4):
            message = bytearray(stream.read(int.from_bytes(head, "big")))
            change(message)
            sink.sendall(head + message)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
