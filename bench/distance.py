"""Another address of a server, which is far away: ``python bench/distance.py PORT ONE_WAY_S`` prints where it listens.

Every byte arrives so many seconds after it was sent, however many are on the way; the kernel's own way to do that
(netem) needs a module that few containers have.
"""

import socket
import sys
import threading
import time
from collections import deque
from contextlib import suppress

_PIECE = 1 << 18
_MOST_ON_THE_WAY = 1 << 30


def main() -> None:
    """Serve until the process is ended."""
    port, one_way_s = int(sys.argv[1]), float(sys.argv[2])
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        print(listening.getsockname()[1], flush=True)
        while True:
            near, _ = listening.accept()
            far = socket.create_connection(("127.0.0.1", port))
            for one, other in ((near, far), (far, near)):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                _Way(one, other, one_way_s)


class _Way:
    """From one socket to another, later."""

    def __init__(self, source: socket.socket, target: socket.socket, one_way_s: float) -> None:
        self._source, self._target, self._one_way_s = source, target, one_way_s
        self._pieces: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._never = threading.Event()
        self._changed = threading.Condition()
        for work in (self._read, self._write):
            threading.Thread(target=work, daemon=True).start()

    def _read(self) -> None:
        data = b" "
        while data:
            try:
                data = self._source.recv(_PIECE)
            except OSError:
                data = b""
            with self._changed:
                self._changed.wait_for(lambda: self._size < _MOST_ON_THE_WAY)
                self._pieces.append((time.monotonic() + self._one_way_s, data))
                self._size += len(data)
                self._changed.notify_all()

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pieces)
                due, data = self._pieces.popleft()
                self._size -= len(data)
                self._changed.notify_all()
            self._never.wait(max(0.0, due - time.monotonic()))
            with suppress(OSError):
                if not data:
                    self._target.shutdown(socket.SHUT_WR)
                    return
                self._target.sendall(data)
                continue
            return


if __name__ == "__main__":
    main()
