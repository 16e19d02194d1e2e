"""A file on a server that a client has open for reading: in order as it comes, and elsewhere by opening it again."""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import BinaryIO, Final

from mftgit.adapters.endpoint.contract import Kind, Named
from mftgit.adapters.home.contract import Attributes, HomeError, Refusal, Traits
from mftgit.adapters.home.far import far_attributes
from mftgit.adapters.home.partner import Line, Partner
from mftgit.errors import MftgitError
from mftgit.model.inbound.finished import Finished

_MOST_READ: Final = 4 << 20
_MOST_SKIPPED: Final = 1 << 20
"""So far ahead is read without opening the file again."""


class FarFile:
    """See `OpenFile`; ``remote`` is what the endpoint calls the file that was ``found``."""

    def __init__(
        self,
        partner: Partner,
        remote: str,
        path: str,
        found: Named,
        *,
        change: Callable[[Traits], None],
        let_go: Callable[["FarFile"], None],
    ) -> None:
        self._partner = partner
        self._remote = remote
        self._path = path
        self._found = found
        self._change = change
        self._let_go = let_go
        self._opened = ExitStack()
        self._line: Line | None = None
        self._stream: BinaryIO | None = None
        self._at = 0
        self._is_closed = False

    def read(self, offset: int, length: int) -> bytes:
        """See `OpenFile.read`."""
        self._require_open()
        if offset >= self._found.size_bytes:
            return b""
        wanted = min(length, _MOST_READ)
        with self._partner.asking(self._path) as line:
            try:
                return self._read(line, offset, wanted)
            except BaseException:
                self._end_stream()
                raise

    def _read(self, line: Line, offset: int, wanted: int) -> bytes:
        stream = self._stream_at(line, offset)
        pieces: list[bytes] = []
        while wanted > 0 and (piece := stream.read(wanted)):
            pieces.append(piece)
            wanted -= len(piece)
            self._at += len(piece)
        return b"".join(pieces)

    def _stream_at(self, line: Line, offset: int) -> BinaryIO:
        stream = self._stream
        if stream is None or line is not self._line or not 0 <= offset - self._at <= _MOST_SKIPPED:
            stream = self._open_at(line, offset)
        while self._at < offset:
            piece = stream.read(offset - self._at)
            if not piece:
                raise HomeError(Refusal.BUSY, f"{self._path!r} has become shorter")
            self._at += len(piece)
        return stream

    def _open_at(self, line: Line, offset: int) -> BinaryIO:
        """Open the file at ``offset``, if it is still the one that was found."""
        self._end_stream()
        found = line.endpoint.look(self._remote)
        if found is None or not is_unchanged(self._found, found):
            raise HomeError(Refusal.BUSY, f"{self._path!r} was changed by others meanwhile")
        self._stream = self._opened.enter_context(line.endpoint.open_read(self._remote, offset))
        self._line, self._at = line, offset
        line.held += 1
        return self._stream

    def _end_stream(self) -> None:
        """Let go of what is open; the partner is being asked."""
        line, self._line, self._stream = self._line, None, None
        with suppress(MftgitError):
            self._opened.close()
        if line is not None:
            line.held -= 1

    def read_at_once(self, offset: int, length: int) -> bytes | bytearray | None:  # noqa: ARG002  it has to be asked for
        """See `OpenFile.read_at_once`."""
        return None

    def writes_at_once(self, offset: int) -> bool:  # noqa: ARG002  it is refused
        """See `OpenFile.writes_at_once`."""
        return True

    def write(self, offset: int, data: bytes | memoryview) -> None:  # noqa: ARG002  it is refused
        """See `OpenFile.write`."""
        raise HomeError(Refusal.DENIED, f"{self._path!r} was opened for reading only")

    def attributes(self) -> Attributes:
        """See `OpenFile.attributes`; as it was when it was opened."""
        self._require_open()
        return far_attributes(self._found)

    def set(self, traits: Traits) -> None:
        """See `OpenFile.set`."""
        if traits.size_bytes is not None:
            raise HomeError(Refusal.DENIED, f"{self._path!r} was opened for reading only")
        self._change(traits)

    def flush(self) -> None:
        """See `OpenFile.flush`."""

    def publish(self) -> Finished | None:
        """See `OpenFile.publish`."""
        raise HomeError(Refusal.FAILED, f"{self._path!r} was opened for reading only")

    def close(self) -> Finished | None:
        """See `OpenFile.close`."""
        self.abandon()
        return None

    def abandon(self) -> None:
        """See `OpenFile.abandon`."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._line is not None:
            with suppress(HomeError), self._partner.asking(self._path, self._line):
                self._end_stream()
        self._let_go(self)

    def _require_open(self) -> None:
        if self._is_closed:
            raise HomeError(Refusal.FAILED, f"{self._path!r} is closed")


def is_unchanged(before: Named, after: Named) -> bool:
    """Tell whether a file is, as far as can be seen, the one that was looked at ``before``."""
    return (after.kind, after.size_bytes, after.mtime_ns) == (
        Kind.FILE,
        before.size_bytes,
        before.mtime_ns,
    )
