"""One file up or down over an SFTP session, with many requests on the way at once.

Reads and writes are those of draft-ietf-secsh-filexfer-02, 6.4; the server may answer them in any order (7).
"""

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

import paramiko
from paramiko import sftp as wire

from mftgit.adapters.endpoint.read_stream import ReadStream
from mftgit.adapters.sftp.session import FSYNC, Session
from mftgit.adapters.sftp.wire import Attributes, StatusError, attributes
from mftgit.adapters.ssh.fields import text, u32, u64

_LEAST_IN_FLIGHT = 4 << 20
_MOST_IN_FLIGHT = 16 << 20
_LINE_BYTES_PER_S = 400 << 20
_REQUESTS_IN_FLIGHT = 64  # OpenSSH's own client stays below this too


WIDEN_AFTER_BYTES: Final = 4 << 20
"""A file that has more is sent over several sessions, where there are any: what opening those takes is made up for."""


class _Lane:
    """Writes of one file over one session."""

    def __init__(self, session: Session, handle: bytes) -> None:
        self._session = session
        self._handle = handle
        self._on_the_way: deque[int] = deque()
        self._most = min(_REQUESTS_IN_FLIGHT, _LEAST_IN_FLIGHT // session.write_bytes)

    def send(self, piece: memoryview, offset: int) -> None:
        if len(self._on_the_way) >= self._most:
            self._session.answer(self._on_the_way.popleft())
        place = text(self._handle), u64(offset)
        self._on_the_way.append(self._session.send_data(wire.CMD_WRITE, *place, data=piece))

    def finish(self) -> None:
        while self._on_the_way:
            self._session.answer(self._on_the_way.popleft())

    def flush_file(self) -> None:
        if FSYNC in self._session.extensions:
            try:
                self._session.extended(FSYNC, text(self._handle))
            except StatusError as error:
                if error.code != wire.SFTP_OP_UNSUPPORTED:
                    raise

    def begin_close(self) -> Callable[[], object]:
        number = self._session.send(wire.CMD_CLOSE, text(self._handle))
        self._session.flush()
        return lambda: self._session.answer(number)

    def drop(self) -> None:
        while self._on_the_way:
            self._session.forget(self._on_the_way.popleft())
        self._session.drop(self._handle)


class Upload:
    """Writes to one file, many on the way at once, each status looked at.

    ``sent_bytes`` is the place in the file up to which all was sent; of that, the last 4 MiB of each session may not
    have arrived. ``more`` opens the file in further sessions, over which it is spread: a server's window caps what one
    channel carries over a distance (OpenSSH's has 2 MiB).
    """

    def __init__(
        self,
        session: Session,
        handle: bytes,
        *,
        sent_bytes: int = 0,
        more: Callable[[], list[tuple[Session, bytes]]] = list,
    ) -> None:
        self._step = session.write_bytes
        self._lanes = [_Lane(session, handle)]
        self._next = 0
        self._more: Callable[[], list[tuple[Session, bytes]]] | None = more
        self._widen_at = sent_bytes + WIDEN_AFTER_BYTES
        self.sent_bytes = sent_bytes

    def send(self, chunk: bytes) -> None:
        """Send ``chunk``; its status is looked at in a later call."""
        if self._more is not None and self.sent_bytes >= self._widen_at:
            more, self._more = self._more, None
            self._lanes += [_Lane(session, handle) for session, handle in more()]
        whole = memoryview(chunk)
        for start in range(0, len(chunk), self._step):
            piece = whole[start : start + self._step]
            self._next = (self._next + 1) % len(self._lanes)
            self._lanes[self._next].send(piece, self.sent_bytes)
            self.sent_bytes += len(piece)

    def finish(self) -> None:
        """Wait for every status, make the content last where the server can, and close the file."""
        for lane in self._lanes:
            lane.finish()
        self._lanes[0].flush_file()  # of all of it, whoever wrote
        for ended in [lane.begin_close() for lane in self._lanes]:
            ended()

    def drop(self) -> None:
        """Give up on what is on the way, and close the file without waiting."""
        for lane in self._lanes:
            lane.drop()


class Download(ReadStream):
    """Reads from one handle, from ``offset`` on, ahead of its reader, at most 16 MiB and 64 requests.

    It begins with `look`. ``telling`` is put around what is asked of the server. Closing the stream does not close the
    handle: `drop` does.
    """

    def __init__(
        self,
        session: Session,
        handle: bytes,
        telling: Callable[[], AbstractContextManager[None]],
        offset: int = 0,
    ) -> None:
        super().__init__()
        self._session = session
        self._handle = handle
        self._size_bytes = offset
        self._telling = telling
        self._on_the_way: deque[tuple[int, int, int]] = deque()  # number, offset, length
        self._most = _most_in_flight(session)
        self._next = offset
        self._piece, self._taken = b"", 0
        self._ended = False
        self._cut_at: int | None = None

    def look(self) -> Attributes:
        """Return what the file is; from a server that is far away its content is asked for meanwhile.

        Raises:
            StatusError: the server does not tell.
        """
        asked = self._session.send(wire.CMD_FSTAT, text(self._handle))
        if self._session.is_far:
            self._size_bytes = self._next + self._most * self._session.read_bytes
            self._ask_ahead()
        found = attributes(self._session.answer(asked, wire.CMD_ATTRS))
        self._size_bytes = found.size_bytes or 0
        return found

    def read(self, size: int = -1, /) -> bytes:
        """See `io.RawIOBase.read`; it gives what came in one answer, without another copy."""
        if size < 0:
            return self.readall()
        with self._telling():
            while self._taken == len(self._piece) and not self._ended:
                self._piece, self._taken = self._following(), 0
        start = self._taken
        self._taken = min(start + size, len(self._piece))
        return self._piece[start : self._taken]  # all of it is no copy

    def drop(self) -> None:
        """Give up on what is on the way, and close the file without waiting."""
        while self._on_the_way:
            self._session.forget(self._on_the_way.popleft()[0])
        self._session.drop(self._handle)

    def _following(self) -> bytes:
        """Return the content that follows; nothing at the end of the file."""
        self._ask_ahead()
        number, offset, length = self._on_the_way.popleft()
        try:
            data = self._session.answer(number, wire.CMD_DATA).text()
        except StatusError as error:
            if error.code != wire.SFTP_EOF:
                raise
            if offset < self._size_bytes:
                raise paramiko.SFTPError(
                    f"the file ended after {offset} of {self._size_bytes} bytes"
                ) from error
            self._ended = True
            return b""
        if not 0 < len(data) <= length:
            raise paramiko.SFTPError(f"{len(data)} bytes where {length} were asked for")
        if self._cut_at is not None:  # it has grown since
            self._ask_again_from(self._cut_at)
            return self._following()
        end = offset + len(data)
        if len(data) < length:
            if end >= self._size_bytes and self._on_the_way:
                self._cut_at = end  # the next answer tells whether that is the end
            else:
                self._on_the_way.appendleft(self._ask(end, length - len(data)))
        return data

    def _ask_again_from(self, offset: int) -> None:
        while self._on_the_way:
            self._session.forget(self._on_the_way.popleft()[0])
        self._next, self._cut_at = offset, None

    def _ask_ahead(self) -> None:
        # One request past the end finds the end without a wait; it may also find that the file has grown.
        while not self._on_the_way or (
            self._next <= self._size_bytes and len(self._on_the_way) < self._most
        ):
            before_end = self._size_bytes - self._next
            most = self._session.read_bytes
            length = min(most, before_end) if before_end > 0 else most
            self._on_the_way.append(self._ask(self._next, length))
            self._next += length

    def _ask(self, offset: int, length: int) -> tuple[int, int, int]:
        place = text(self._handle), u64(offset)
        return self._session.send(wire.CMD_READ, *place, u32(length)), offset, length


def _most_in_flight(session: Session) -> int:
    """Return how many reads are on the way at once: what a fast line holds for as long as an answer takes."""
    line = int(session.round_trip_s * _LINE_BYTES_PER_S)
    size_bytes = min(max(line, _LEAST_IN_FLIGHT), _MOST_IN_FLIGHT)
    return min(_REQUESTS_IN_FLIGHT, size_bytes // session.read_bytes)
