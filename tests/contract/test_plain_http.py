"""A client that takes no answer holds nothing of the member for longer than an answer may take."""

import os
import socket
import threading
from collections.abc import Collection
from contextlib import closing, suppress
from pathlib import Path

from waiting import WAIT_S, until

from mftgit.adapters.plain_http import Answer, Bounds, PlainHttp, Spot

LARGE = Answer(body=b"x" * (32 << 20))  # more than the buffers of two sockets take


def sockets() -> dict[str, int]:
    """Return the sockets of this process, by what the system calls them, with their descriptors."""
    found = {}
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found[link.readlink().name] = int(link.name)
    return {name: number for name, number in found.items() if name.startswith("socket:")}


def is_held(client: socket.socket, before: Collection[str]) -> bool:
    """Tell whether this process has a socket that was not there ``before`` whose other end is ``client``.

    One of before may have had another client with the same port.
    """
    for name, number in sockets().items():
        with suppress(OSError):
            if name not in before:
                with socket.socket(fileno=os.dup(number)) as found:
                    if found.getpeername() == client.getsockname():
                        return True
    return False


def test_who_reads_no_answer_is_let_go() -> None:
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as listening,
        closing(socket.socket()) as client,
    ):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        before, held, answered = sockets(), list[bool](), threading.Event()

        def answer() -> Answer:
            held.append(is_held(client, before))
            answered.set()
            return LARGE

        # What is asked is there before the server is: from then on it has but a moment to be read.
        client.connect(listening.getsockname())
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        server = PlainHttp(
            listening, {"/": Spot(answer=answer)}, bounds=Bounds(within_s=1.0), name="test"
        )
        server.start()
        try:
            assert answered.wait(WAIT_S)
            assert held == [True]
            until(lambda: not is_held(client, before))
        finally:
            server.stop()
