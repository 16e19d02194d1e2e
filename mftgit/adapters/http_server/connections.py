"""The connections of a listening socket: how many at most, from whom, and how long each may do nothing.

Each takes a file descriptor, from before the TLS handshake on, and without files the whole process stands still.
Where there is no room, the newcomer takes the place of the connection that has been idle for the longest; one whose
request is being answered is never ended. Everything here happens on the loop of asyncio that accepts.
"""

import asyncio
import resource
import socket
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from loguru import logger

KEEP_ALIVE_S: Final = 75
"""How long a client may take from an answer to the end of its next request's head."""

_FILES_WANTED: Final = 65_536
_MAX_CONNECTIONS: Final = 4096
_ROUNDS, _ROUND_S = 100, 0.01
_LEAVING: Final = 16  # so many more than the limits say are open at a time
_LOOK_S: Final = 0.5
_TELL_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """``first_request_s`` runs from the accept to the end of the first request's head, the TLS handshake included.

    ``unread_s`` is how long a client may leave an answer where it is, once the buffers are full. Behind a proxy
    everybody comes from one source, so ``per_source`` is only a little less than ``total``.
    """

    total: int
    per_source: int
    first_request_s: float = 10.0
    keep_alive_s: float = KEEP_ALIVE_S
    unread_s: float = 20.0

    @classmethod
    def of_process(cls) -> "ConnectionLimits":
        """Let this process open as many files as it may; a quarter of them, 120 at least, are for other things."""
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        files = _FILES_WANTED if hard == resource.RLIM_INFINITY else min(hard, _FILES_WANTED)
        if soft != resource.RLIM_INFINITY and soft < files:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
        others = min(max(files // 4, _OTHER_FILES), files * 3 // 4)
        total = min(_MAX_CONNECTIONS, files - others)
        return cls(total=total, per_source=max(1, total * 3 // 4))


_OTHER_FILES = 120  # databases take three in each thread that uses them


class _Connection(socket.socket):
    """An accepted socket. It is idle since ``since``, or ``busy`` with a request; ``transport`` is there after TLS."""

    def __init__(self, accepted: socket.socket, address: Any, room: "Connections") -> None:
        super().__init__(fileno=accepted.detach())
        self.address = address
        self.source = str(address[0])
        self.since = room.now()
        self.busy = self.leaving = self.asked = False
        self.transport: asyncio.Transport | None = None
        self._room = room

    def close(self) -> None:
        """Close the socket, and give its place to others."""
        is_open = self.fileno() >= 0
        super().close()
        if is_open:
            self._room.remove(self)

    def end(self) -> None:
        """End the connection, whatever it is in the middle of; the loop closes it in its next rounds."""
        if self.transport is not None:
            self.transport.abort()
        else:
            with suppress(OSError):
                self.shutdown(socket.SHUT_RDWR)


class Connections:
    """The connections of one listening socket."""

    def __init__(self, limits: ConnectionLimits) -> None:
        self._limits = limits
        # An address may come again before the end of its last connection was seen, so it counts for nothing here.
        self._all: set[_Connection] = set()  # without those that are leaving
        self._idle: dict[_Connection, None] = {}  # of these; the longest idle first
        self._unread: dict[
            _Connection, float
        ] = {}  # of these; since when no more of an answer is taken
        self._latest: dict[Any, _Connection] = {}  # of each address
        self._sources: Counter[str] = Counter()
        self._leaving = 0
        self._ended = 0

    @staticmethod
    def now() -> float:
        """Return the time by the loop's clock."""
        return asyncio.get_running_loop().time()

    def has_room(self) -> bool:
        """Tell whether one more may be accepted now, and not first those be closed that had to go."""
        return self._leaving < _LEAVING

    def add(self, accepted: socket.socket, address: Any) -> socket.socket | None:
        """Return the socket to go on with, None where it had to be closed."""
        source = str(address[0])
        if self._sources[source] >= self._limits.per_source:
            has_place = self._end_longest_idle(source)
        else:
            has_place = len(self._all) < self._limits.total or self._end_longest_idle()
        if not has_place:
            accepted.close()
            self._ended += 1
            return None
        connection = _Connection(accepted, address, self)
        self._all.add(connection)
        self._idle[connection] = None
        self._latest[address] = connection
        self._sources[source] += 1
        return connection

    def remove(self, connection: _Connection) -> None:
        """Forget a connection that is closed."""
        if connection.leaving:
            self._leaving -= 1
        else:
            self._forget(connection)

    def secured(self, address: Any, transport: asyncio.Transport) -> None:
        """Take note that TLS is there."""
        if connection := self._latest.get(address):
            connection.transport = transport

    def mark(self, address: Any, *, busy: bool) -> None:
        """Take note of whether a request of this connection is being answered."""
        connection = self._latest.get(address)
        if connection is None or connection.busy == busy:
            return
        connection.busy = busy
        if busy:
            connection.asked = True
            del self._idle[connection]
        else:
            connection.since = self.now()
            self._idle[connection] = None

    def mark_unread(self, address: Any, *, unread: bool) -> None:
        """Take note of whether a client leaves so much of an answer unread that the rest has to wait."""
        connection = self._latest.get(address)
        if connection is None:
            return
        if unread:
            self._unread[connection] = self.now()
        else:
            self._unread.pop(connection, None)

    async def watch(self) -> None:
        """End what has been idle for too long, for as long as this runs."""
        told_at = self.now() - _TELL_S
        while True:
            await asyncio.sleep(_LOOK_S)
            self._end_overdue()
            if self._ended and self.now() - told_at >= _TELL_S:
                logger.warning(
                    "too many connections: idle ones were ended",
                    ended=self._ended,
                    open=len(self._all),
                )
                self._ended, told_at = 0, self.now()

    async def end_all(self) -> None:
        """End every connection, also one that is in the middle of its handshake; the loop ends after this."""
        for connection in list(self._all):
            self._end(connection)
        for _ in range(_ROUNDS):
            if not self._leaving:
                return
            await asyncio.sleep(_ROUND_S)

    def _end_overdue(self) -> None:
        now = self.now()
        for connection in list(self._idle):
            asked = connection.asked
            most = self._limits.keep_alive_s if asked else self._limits.first_request_s
            if now - connection.since >= most:
                self._end(connection)
        for connection, since in list(self._unread.items()):
            if now - since >= self._limits.unread_s:
                self._end(connection)

    def _end_longest_idle(self, source: str | None = None) -> bool:
        for connection in self._idle:
            if source in {None, connection.source}:
                self._end(connection)
                self._ended += 1
                return True
        return False

    def _end(self, connection: _Connection) -> None:
        self._forget(connection)
        connection.leaving = True
        self._leaving += 1
        connection.end()

    def _forget(self, connection: _Connection) -> None:
        self._all.discard(connection)
        self._idle.pop(connection, None)
        self._unread.pop(connection, None)
        if self._latest.get(connection.address) is connection:
            del self._latest[connection.address]
        self._sources[connection.source] -= 1
        if not self._sources[connection.source]:
            del self._sources[connection.source]


class Listener(socket.socket):
    """A listening socket that accepts as `Connections` has room."""

    room: Connections

    def accept(self) -> tuple[socket.socket, Any]:
        """Return the next connection; BlockingIOError says, as ever, that there is none just now."""
        if not self.room.has_room():
            raise BlockingIOError
        accepted, address = super().accept()
        taken = self.room.add(accepted, address)
        if taken is None:
            raise BlockingIOError
        return taken, address
