"""Send messages to a syslog server by TCP (RFC 6587) or TLS (RFC 5425)."""

import ssl
from collections.abc import Callable, Sequence
from functools import partial
from threading import Lock

from mftgit.adapters.clock import Clock
from mftgit.adapters.handlers.dialled import Dialled
from mftgit.adapters.handlers.target import TargetError
from mftgit.model.events.event import Event

_CLOSE_S = 1.0


class Syslog:
    """A `Target` that is a syslog server, by one connection that is made anew where it has ended.

    The protocol knows no acknowledgement: what a server has not read when it dies is lost, however well it was sent.
    A connection that the server has ended is noticed before each batch.
    """

    most_at_once = 100

    def __init__(
        self,
        host: str,
        port: int,
        *,
        context: ssl.SSLContext | None,
        timeout_s: float,
        frame: Callable[[Event], bytes],
        clock: Clock,
    ) -> None:
        """Nothing is connected yet. ``frame`` gives the message of an event, with its length."""
        self._dial = partial(Dialled, host, port, context=context, timeout_s=timeout_s, clock=clock)
        self._frame = frame
        self._lock = Lock()  # of what follows
        self._line: Dialled | None = None
        self._closed = False

    def send(self, events: Sequence[Event]) -> None:
        """See `Target.send`."""
        frames = b"".join(map(self._frame, events))
        with self._lock:
            self._send(frames)

    def _send(self, frames: bytes) -> None:
        line = self._line
        if line is not None and not line.is_open():
            self._drop()
            line = None
        if line is None:
            line = self._line = self._dial()
        if self._closed:
            self._drop()
            raise TargetError("the handler was stopped")
        line.within()
        try:
            line.send(frames)
        except TargetError:
            self._drop()
            raise

    def close(self) -> None:
        """See `Target.close`."""
        self._closed = True
        line = self._line
        if line is not None:
            line.end()
        if self._lock.acquire(timeout=_CLOSE_S):  # else whoever has it closes it
            self._drop()
            self._lock.release()

    def _drop(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.close()
