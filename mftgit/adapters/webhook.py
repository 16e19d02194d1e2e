"""Post events to an address of HTTP, by h11: one answer each, of which little is read, and no redirect is followed."""

import ssl
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import Lock
from typing import Final
from urllib.parse import urlsplit

import h11

from mftgit import __version__
from mftgit.adapters.clock import Clock
from mftgit.adapters.dialled import Dialled
from mftgit.adapters.target import TargetError, TargetRefusedError
from mftgit.model.events import Event
from mftgit.model.printable import printable

MAX_ANSWER_BYTES: Final = 65_536
_MAX_HEAD_BYTES: Final = 16_384
_MAX_TOLD: Final = 200
_IDLE_S: Final = 2.0
"""A connection that was idle for longer is made anew: a server may just be closing it."""

_REFUSED: Final = frozenset({400, 405, 411, 413, 414, 415, 422, 431})
"""Statuses that are about what was sent (RFC 9110, 15.5); all others are tried again for as long as it takes."""

_SUCCESS, _REDIRECTS = range(200, 300), range(300, 400)

Message = tuple[bytes, Mapping[str, str]]


class Webhook:
    """A `Target` that is an address of HTTP. Several threads may share it, each with a connection of its own."""

    most_at_once = 1

    def __init__(
        self,
        url: str,
        *,
        context: ssl.SSLContext | None,
        timeout_s: float,
        message: Callable[[Event], Message],
        clock: Clock,
    ) -> None:
        """Nothing is connected yet. ``context`` is set where ``url`` is one of HTTPS; ``message``: body and headers."""
        parts = urlsplit(url)
        self._target = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        self._host = parts.netloc
        host, port = parts.hostname or "", parts.port or (443 if context else 80)
        self._dial = partial(Dialled, host, port, context=context, timeout_s=timeout_s, clock=clock)
        self._message = message
        self._clock = clock
        self._lock = Lock()  # of what follows
        self._idle: list[Dialled] = []
        self._all: set[Dialled] = set()
        self._closed = False

    def send(self, events: Sequence[Event]) -> None:
        """See `Target.send`."""
        for event in events:
            self._post(*self._message(event))

    def close(self) -> None:
        """See `Target.close`."""
        with self._lock:
            self._closed = True
            for each in self._all:
                each.end()
            while self._idle:
                self._drop(self._idle.pop())

    def _post(self, body: bytes, headers: Mapping[str, str]) -> None:
        line = self._take()
        keep = False
        try:
            line.within()
            wire = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
            self._ask(line, wire, body, headers)
            status, told, keep = _hear(line, wire)
        except (h11.ProtocolError, UnicodeError) as error:
            raise TargetError(f"{line.address} does not answer as HTTP does: {error}") from error
        finally:
            self._give_back(line, keep=keep)
        _judge(line.address, status, told)

    def _ask(
        self, line: Dialled, wire: h11.Connection, body: bytes, headers: Mapping[str, str]
    ) -> None:
        request = h11.Request(
            method="POST",
            target=self._target,
            headers=[
                ("Host", self._host),
                ("User-Agent", f"mftgit/{__version__}"),
                ("Content-Length", str(len(body))),
                *headers.items(),
            ],
        )
        parts = (request, h11.Data(data=body), h11.EndOfMessage())
        line.send(b"".join(wire.send(part) or b"" for part in parts))

    def _take(self) -> Dialled:
        """Return a connection that is nobody's now."""
        line = None
        with self._lock:
            while self._idle and line is None:
                line = self._idle.pop()
                fresh = self._clock.boottime() - line.used_at < _IDLE_S
                if not (fresh and line.is_open()):
                    self._drop(line)
                    line = None
        line = line or self._dial()
        with self._lock:
            self._all.add(line)
            if self._closed:
                line.end()
        return line

    def _give_back(self, line: Dialled, *, keep: bool) -> None:
        with self._lock:
            if keep and not self._closed:
                self._idle.append(line)
            else:
                self._drop(line)

    def _drop(self, line: Dialled) -> None:
        self._all.discard(line)
        line.close()


def _hear(line: Dialled, wire: h11.Connection) -> tuple[int, str, bool]:
    """Return the status of an answer, the beginning of what it says, and whether the connection can be used again."""
    status, told = 0, b""
    while len(told) < MAX_ANSWER_BYTES:
        event = wire.next_event()
        if event is h11.NEED_DATA:
            wire.receive_data(line.receive())
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            told += event.data
        elif isinstance(event, h11.EndOfMessage):
            is_done = wire.our_state is h11.DONE and wire.their_state is h11.DONE
            return status, _shown(told), is_done and not wire.trailing_data[0]
        elif isinstance(event, h11.ConnectionClosed):
            raise TargetError(f"{line.address} ended the connection without an answer")
    return status, _shown(told), False  # who says so much says nothing of use


def _shown(told: bytes) -> str:
    return printable(told[:_MAX_TOLD].decode(errors="replace"))


def _judge(address: str, status: int, told: str) -> None:
    if status in _SUCCESS:
        return
    words = f"{address} answers with the status {status}"
    if status in _REDIRECTS:
        raise TargetError(f"{words}, a redirect, which is not followed: put the url right")
    error = TargetRefusedError if status in _REFUSED else TargetError
    raise error(f"{words}{f': {told}' if told else ''}")
