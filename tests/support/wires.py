"""A proxy between a node and its controller that does to connections what a test says."""

import contextlib
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from enum import Enum, unique


@unique
class Fault(Enum):
    """What becomes of a connection when it is older than `AGE_S`."""

    CUT = "cut"
    HOLD = "hold"
    """What the server sends is kept, and never passed on."""
    HALF_CLOSE = "half-close"
    """The client's side is told that the server has ended, and nothing else happens."""


AGE_S = 2.0


class Proxy:
    """One listener, one thread for each connection."""

    def __init__(self, to: int, fault: Fault) -> None:
        self._to = to
        self._fault = fault
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._ended = threading.Event()
        self.struck = 0
        """So many connections have met the fault."""
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self._ended.set()
        for each in self._threads:
            each.join()
        self._listener.close()

    def _accept(self) -> None:
        self._listener.settimeout(0.1)
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = self._listener.accept()
                thread = threading.Thread(target=self._carry, args=(client,))
                self._threads.append(thread)
                thread.start()

    def _carry(self, client: socket.socket) -> None:
        since, struck = time.monotonic(), False
        with (
            client,
            socket.create_connection(("127.0.0.1", self._to)) as server,
            selectors.DefaultSelector() as ready,
            contextlib.suppress(OSError),
        ):
            ready.register(client, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, client)
            while not self._ended.is_set():
                if not struck and time.monotonic() - since > AGE_S:
                    struck = True
                    self.struck += 1
                    if self._fault is Fault.CUT:
                        return
                    ready.unregister(server)
                    if self._fault is Fault.HALF_CLOSE:
                        client.shutdown(socket.SHUT_WR)
                for key, _ in ready.select(0.1):
                    assert isinstance(key.fileobj, socket.socket)
                    data = key.fileobj.recv(65536)
                    if not data:
                        return
                    key.data.sendall(data)


@contextlib.contextmanager
def proxy(to: int, fault: Fault) -> Iterator[Proxy]:
    made = Proxy(to, fault)
    try:
        yield made
    finally:
        made.close()
