"""One file up or down over SMB, with several requests on the way at once, as many as the server gives credits for."""

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any, Final

from smbprotocol.exceptions import SMBResponseException

from mftgit.adapters.endpoint.contract import EndpointFullError
from mftgit.adapters.endpoint.read_stream import ReadStream
from mftgit.adapters.smb import requests
from mftgit.adapters.smb.share import CREDIT_BYTES, Share
from mftgit.adapters.smb.status import END_OF_FILE, BrokenAnswerError, status_of

_STEP_BYTES: Final = 512 << 10
_ON_THE_WAY: Final = 8
_KEPT_CREDITS: Final = 8  # for what else is asked meanwhile


def _step(share: Share, most_bytes: int) -> int:
    """Return how much one request moves: nothing else is on the way now."""
    free = max(share.credits_left - _KEPT_CREDITS, 1)
    return max(1, min(most_bytes, _STEP_BYTES, free * CREDIT_BYTES))


def _has_room(share: Share, on_the_way: int, length: int) -> bool:
    needed = -(-length // CREDIT_BYTES) + _KEPT_CREDITS
    return on_the_way == 0 or (on_the_way < _ON_THE_WAY and needed <= share.credits_left)


class Upload:
    """Writes to one open file, each answer looked at.

    ``sent_bytes`` is the place in the file up to which all was sent; of that, the last 4 MiB may not have arrived.
    """

    def __init__(self, share: Share, file_id: bytes, *, sent_bytes: int = 0) -> None:
        self._share = share
        self._file_id = file_id
        self._on_the_way: deque[tuple[Any, int]] = deque()
        self._step = _step(share, share.write_bytes)
        self.sent_bytes = sent_bytes

    def send(self, chunk: bytes) -> None:
        """Send ``chunk``; the answers are looked at in a later call."""
        for start in range(0, len(chunk), self._step):
            piece = chunk[start : start + self._step]
            while not _has_room(self._share, len(self._on_the_way), len(piece)):
                self._settle()
            message = requests.write(self._file_id, self.sent_bytes, piece)
            self._on_the_way.append((self._share.send(message), len(piece)))
            self.sent_bytes += len(piece)

    def finish(self, *, flush: bool) -> int:
        """Wait for every answer, close the file and return its size; ``flush`` makes the content last."""
        while self._on_the_way:
            self._settle()
        if flush:
            self._share.ask(requests.flush(self._file_id))
        answer = self._share.ask(requests.close(self._file_id, told=True))
        return requests.read_closed(answer).size_bytes

    def _settle(self) -> None:
        request, length = self._on_the_way.popleft()
        written = requests.read_written(self._share.answer(request))
        if written != length:
            raise EndpointFullError(
                f"{self._share.server}: {written} bytes of {length} were taken: is it full?"
            )

    def drop(self) -> None:
        """Close the file, whatever becomes of what is on the way."""
        while self._on_the_way:
            with suppress(SMBResponseException):
                self._share.answer(self._on_the_way.popleft()[0])
        drop(self._share, self._file_id)


def drop(share: Share, file_id: bytes) -> None:
    """Close what is open by ``file_id``, whatever the server says to that."""
    with suppress(SMBResponseException):
        share.ask(requests.close(file_id))


class Download(ReadStream):
    """Reads from one open file, from ``offset`` on, ahead of its reader, at most 4 MiB.

    ``telling`` is put around what is asked of the server. Closing the stream does not close the file: `drop` does.
    """

    def __init__(
        self,
        share: Share,
        opened: requests.Opened,
        telling: Callable[[], AbstractContextManager[None]],
        offset: int = 0,
    ) -> None:
        super().__init__()
        self._share = share
        self._file_id = opened.file_id
        self._size_bytes = opened.found.size_bytes
        self._telling = telling
        self._step = _step(share, share.read_bytes)
        self._on_the_way: deque[tuple[Any, int, int]] = deque()  # request, offset, length
        self._next = offset
        self._left = memoryview(b"")
        self._ended = False

    def read(self, size: int = -1, /) -> bytes:
        """See `io.RawIOBase.read`; it gives what came in one answer."""
        if size < 0:
            return self.readall()
        with self._telling():
            while not self._left and not self._ended:
                self._left = memoryview(self._following())
        data = bytes(self._left[:size])
        self._left = self._left[size:]
        return data

    def drop(self) -> None:
        """Close the file, whatever becomes of what is on the way."""
        while self._on_the_way:
            with suppress(SMBResponseException):
                self._share.answer(self._on_the_way.popleft()[0])
        drop(self._share, self._file_id)

    def _following(self) -> bytes:
        """Return the content that follows; nothing at the end of the file."""
        self._ask_ahead()
        request, offset, length = self._on_the_way.popleft()
        try:
            data = requests.read_data(self._share.answer(request), length)
        except SMBResponseException as error:
            if status_of(error) != END_OF_FILE:
                raise
            if offset < self._size_bytes:
                raise BrokenAnswerError(
                    f"the file ended after {offset} of {self._size_bytes} bytes"
                ) from error
            self._ended = True
            return b""
        if len(data) < length:
            self._on_the_way.appendleft(self._ask(offset + len(data), length - len(data)))
        return data

    def _ask_ahead(self) -> None:
        # One request past the end finds the end without a wait; it may also find that the file has grown.
        while not self._on_the_way or self._next <= self._size_bytes:
            before_end = self._size_bytes - self._next
            length = min(self._step, before_end) if before_end > 0 else self._step
            if not _has_room(self._share, len(self._on_the_way), length):
                return
            self._on_the_way.append(self._ask(self._next, length))
            self._next += length

    def _ask(self, offset: int, length: int) -> tuple[Any, int, int]:
        return self._share.send(requests.read(self._file_id, offset, length)), offset, length
