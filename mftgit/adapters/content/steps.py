"""What the steps that change content on its way have in common."""

from collections.abc import Iterator
from typing import Final

from mftgit.errors import MftgitError

PIECE_BYTES: Final = 16 << 10
"""So much is unpacked at a time: what a packer leaves over is copied, once for each member of a stream."""

GIVEN_BYTES: Final = 1 << 20
"""No step gives more at a time, whatever it was given."""


class UnfitError(MftgitError):
    """A step was given other content than it takes; the message says what it found, as the end of a sentence."""


class Bound:
    """Counts what comes out, and stops it at ``most_bytes``."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self.size_bytes = 0

    def take(self, piece: bytes) -> bytes:
        """Return ``piece``; raises `UnfitError` where it is too much."""
        self.size_bytes += len(piece)
        if self.size_bytes > self._most_bytes:
            raise UnfitError(
                f"it unpacks to more than {self._most_bytes:,} bytes: "
                "raise most_bytes of the step where that is meant to be"
            )
        return piece


class Reader:
    """Reads chunks in the pieces that somebody asks for; it holds one chunk and one piece.

    ``offset`` is how much was read so far.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._chunk = b""
        self._at = 0
        self.offset = 0

    def some(self, most: int = PIECE_BYTES) -> bytes:
        """Return 1 to ``most`` bytes, nothing at the end."""
        while self._at >= len(self._chunk):
            following = next(self._chunks, None)
            if following is None:
                return b""
            self._chunk, self._at = following, 0
        piece = self._chunk[self._at : self._at + most]
        self._at += len(piece)
        self.offset += len(piece)
        return piece

    def exactly(self, count: int) -> bytes:
        """Return ``count`` bytes; raises `UnfitError` where there are fewer."""
        found = b""
        while len(found) < count:
            piece = self.some(count - len(found))
            if not piece:
                raise UnfitError("it is cut off")
            found += piece
        return found

    def give_back(self, piece: bytes) -> None:
        """Let ``piece``, the last bytes that were read, be read again; raises ValueError for more than one piece."""
        if len(piece) > self._at:
            raise ValueError("only what was read last can be given back")
        self._at -= len(piece)
        self.offset -= len(piece)
