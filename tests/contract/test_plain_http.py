"""A client that takes no answer holds nothing of the member for longer than an answer may take."""

import os
import socket
from contextlib import closing, suppress
from pathlib import Path

from waiting import until

from mftgit.adapters.plain_http import Answer, Bounds, PlainHttp, Spot

LARGE = Answer(body=b"x" * (32 << 20))  # more than the buffers of two sockets take


def is_held(client: socket.socket) -> bool:
    """Tell whether this process has a socket whose other end is ``client``."""
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError), socket.socket(fileno=os.dup(int(link.name))) as found:
            if found.getpeername() == client.getsockname():
                return True
    return False


def test_who_reads_no_answer_is_let_go() -> None:
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as listening,
        closing(socket.socket()) as client,
    ):
        spots = {"/": Spot(answer=lambda: LARGE)}
        server = PlainHttp(listening, spots, bounds=Bounds(within_s=0.3), name="test")
        server.start()
        try:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(listening.getsockname())
            until(lambda: is_held(client))
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            until(lambda: not is_held(client))
        finally:
            server.stop()
