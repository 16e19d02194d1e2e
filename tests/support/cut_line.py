"""A line to a server on loopback that counts what goes over it, and breaks after so many bytes."""

import fcntl
import socket
import struct
import sys
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Event

_RESET = struct.pack(
    "ii", 1, 0
)  # SO_LINGER: what is on the way is lost, and the other side hears of it

_ALIKE = 10
_READ_S = 60.0
_NOTHING = "00000000"


class CutLine(ThreadingTCPServer):
    """``up`` and ``down`` are the bytes that server and clients were sent since `mend`.

    ``broken`` tells that it was cut, and ``stuck`` that a connection lets nothing through.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, target_port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Connection)
        self.target_port = target_port
        self.connections: set[threading.Thread] = set()
        self.broken, self.stuck, self.free = Event(), Event(), Event()
        self.up = self.down = 0
        self._cut_up: int | None = None
        self._cut_down: int | None = None
        self._hang_up: int | None = None
        self._hung: BaseRequestHandler | None = None

    @property
    def port(self) -> int:
        """Where clients come in."""
        return int(self.server_address[1])

    def mend(
        self,
        *,
        cut_up: int | None = None,
        cut_down: int | None = None,
        hang_up: int | None = None,
    ) -> None:
        """Count anew, and break or hang when so many bytes went up or down; what hung breaks.

        What hangs is the connection over which it went; others are made and work.
        """
        if self.stuck.is_set():
            self.broken.set()
            self.free.set()
            self.emptied()
        self.up = self.down = 0
        self._cut_up, self._cut_down, self._hang_up, self._hung = cut_up, cut_down, hang_up, None
        for each in (self.broken, self.stuck, self.free):
            each.clear()

    def resume(self) -> None:
        """Let through what hung, and all that comes after it."""
        self._hang_up = self._hung = None
        self.free.set()

    def filled(self) -> None:
        """Wait until a client has sent on into the connection that hangs, and can send no more."""
        waiting, alike = 0, 0
        while alike < _ALIKE:  # a client that has its turn late is not one that can send no more
            Event().wait(0.2)
            assert self._hung is not None
            asked = fcntl.ioctl(self._hung.request, termios.FIONREAD, bytes(4))
            before, waiting = waiting, int.from_bytes(asked, sys.byteorder)
            alike = alike + 1 if waiting == before > 0 else 0

    def emptied(self) -> None:
        """Wait until no connection is left."""
        for thread in list(self.connections):
            thread.join()

    def passed(self, connection: BaseRequestHandler, *, up: int = 0, down: int = 0) -> bool:
        """Take note of bytes of a connection; return whether they may go on."""
        self.up += up
        self.down += down
        for cut, done in ((self._cut_up, self.up), (self._cut_down, self.down)):
            if cut is not None and done > cut:
                self.broken.set()
        hang_up = self._hang_up
        if hang_up is not None and self.up > hang_up:
            self._hung = self._hung or connection
        if self._hung is connection:
            self.stuck.set()
            self.free.wait()
        return not self.broken.is_set()


class _Connection(BaseRequestHandler):
    server: CutLine

    def handle(self) -> None:
        self.server.connections.add(threading.current_thread())
        here: socket.socket = self.request
        there = socket.create_connection(("127.0.0.1", self.server.target_port))
        down = threading.Thread(target=self._pass, args=(there, here), kwargs={"up": False})
        down.start()
        self._pass(here, there, up=True)
        down.join()
        here.close()
        there.close()
        self.server.connections.discard(threading.current_thread())

    def _pass(self, source: socket.socket, target: socket.socket, *, up: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                count = len(data)
                if not self.server.passed(self, up=count if up else 0, down=0 if up else count):
                    _wait_until_read(target)
                    for each in (source, target):
                        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                    break
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def _wait_until_read(sent: socket.socket) -> None:
    """Wait until the other end has taken in all that it was sent: a reset loses what it has not."""
    ours, theirs = (_written(each) for each in (sent.getsockname(), sent.getpeername()))
    until = time.monotonic() + _READ_S
    while time.monotonic() < until:
        table = Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]
        waiting = {tuple(row[1:3]): row[4].split(":") for row in map(str.split, table)}
        left, _ = waiting.get((ours, theirs), (_NOTHING, ""))
        _, come = waiting.get((theirs, ours), ("", _NOTHING))
        if (left, come) == (_NOTHING, _NOTHING):
            return
        Event().wait(0.01)


def _written(address: tuple[str, int]) -> str:
    """Return an address as proc(5) writes it."""
    host, port = address
    return f"{socket.inet_aton(host)[::-1].hex().upper()}:{port:04X}"


@contextmanager
def cut_line(target_port: int) -> Iterator[CutLine]:
    """Give a line to the server at ``target_port``, whole at first."""
    with CutLine(target_port) as line:
        thread = threading.Thread(target=line.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield line
        finally:
            line.broken.set()
            line.free.set()
            line.shutdown()
            thread.join()
