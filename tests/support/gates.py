"""A line to a server that lets nothing through while it is shut, one way or both: what a partition does to packets."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_LATE_S = 0.3
_FROM = re.compile(rb"x-server-from: ([0-9a-f]+)", re.IGNORECASE)
"""By this header etcd's members say who they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """Bytes on their way: ``up`` is to the server; ``source`` is what a member of etcd calls itself, else empty."""

    source: str
    up: bool


@dataclass(kw_only=True)
class Gate:
    """What was let through at ``port``; what is not, waits, as long as the two ends do."""

    port: int
    lets: Callable[[Passage], bool] = lambda _passage: True
    changed: threading.Condition = field(default_factory=threading.Condition)
    seen: Callable[[bytes], None] = lambda _data: None
    """Called with what goes up."""

    def let(self, lets: Callable[[Passage], bool]) -> None:
        with self.changed:
            self.lets = lets
            self.changed.notify_all()

    def open(self) -> None:
        self.let(lambda _passage: True)

    def shut(self, *, up: bool = True, down: bool = True) -> None:
        self.let(lambda passage: not (up if passage.up else down))

    def wait(self, passage: Passage) -> bool:
        """Wait until ``passage`` is let through; return whether it was not at first."""
        with self.changed:
            waits = not self.lets(passage)
            self.changed.wait_for(lambda: self.lets(passage))
        return waits


@contextmanager
def gate(listen: int, target: int) -> Iterator[Gate]:
    """Give the line from the port ``listen`` of loopback (0: any) to ``target``, open."""
    with socket.create_server(("127.0.0.1", listen)) as listener:
        made = Gate(port=listener.getsockname()[1])
        thread = threading.Thread(target=_accept, args=(listener, made, target), daemon=True)
        thread.start()
        try:
            yield made
        finally:
            made.open()
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _accept(listener: socket.socket, made: Gate, target: int) -> None:
    with suppress(OSError):
        while True:
            here, _ = listener.accept()
            threading.Thread(target=_serve, args=(here, made, target), daemon=True).start()


def _serve(here: socket.socket, made: Gate, target: int) -> None:
    with here, suppress(OSError):
        head = here.recv(1 << 16)
        found = _FROM.search(head)
        source = found[1].decode() if found else ""
        made.seen(head)
        made.wait(Passage(source=source, up=True))
        with socket.create_connection(("127.0.0.1", target)) as there:
            for each in (here, there):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            there.sendall(head)
            down = threading.Thread(
                target=_carry, args=(there, here, made, Passage(source=source, up=False))
            )
            down.start()
            _carry(here, there, made, Passage(source=source, up=True))
            down.join()


def _carry(source: socket.socket, target: socket.socket, made: Gate, passage: Passage) -> None:
    late = False
    with suppress(OSError):
        while data := source.recv(1 << 16):
            if passage.up:
                made.seen(data)
            late = made.wait(passage) or late
            target.sendall(data)
    if late:  # a server that hears at once that nobody waits any more may do nothing
        threading.Event().wait(_LATE_S)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
