"""Post events to an address of HTTP: one answer each, of which little is read, and no redirect is followed."""

import ssl
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from threading import Lock
from typing import Final
from urllib.parse import urlsplit

from mftgit.adapters.clock import Clock
from mftgit.adapters.handlers.dialled import Dialled
from mftgit.adapters.handlers.http_post import post
from mftgit.adapters.handlers.target import TargetError, TargetRefusedError
from mftgit.model.events.event import Event
from mftgit.model.printable import printable

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
        self._url = parts
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
        keeps = False
        try:
            answer = post(line, self._url, headers=headers, body=body)
            keeps = answer.keeps
        finally:
            self._give_back(line, keep=keeps)
        _judge(line.address, answer.status, _shown(answer.content))

    def _take(self) -> Dialled:
        """Return a connection that is nobody's now."""
        line = None
        with self._lock:
            while self._idle and line is None:
                line = self._idle.pop()
                fresh = self._clock.boottime() - line.used_at < _IDLE_S
                if not (fresh and line.is_quiet()):  # RFC 9112, 9.2
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
