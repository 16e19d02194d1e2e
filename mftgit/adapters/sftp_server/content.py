"""What a server does with the content of whole files by itself: digests, and copies."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from mftgit.adapters.home.contract import HomeError, OpenFile, Refusal

_PIECE_BYTES: Final = 256 << 10
_MOST_DIGESTS_BYTES: Final = 64 << 10

_ALGORITHMS: Final = ("sha256", "sha384", "sha512", "sha1", "md5")
"""What files are compared by: the last two are no proof against somebody who means harm, and still what clients ask."""


def pick_algorithm(wanted: Iterable[str]) -> str:
    """Return the first of ``wanted`` that is known.

    Raises:
        HomeError: none is.
    """
    for name in wanted:
        if name in _ALGORITHMS:
            return name
    raise HomeError(
        Refusal.UNSUPPORTED, f"none of these digests is known: ask for {', '.join(_ALGORITHMS)}"
    )


def digests(
    file: OpenFile,
    algorithm: str,
    *,
    offset: int,
    length: int,
    block_bytes: int,
    work: Callable[[], None],
) -> Iterator[bytes]:
    """Give the digest of each block of ``block_bytes``, 0 being one block; ``length`` 0 is to the end.

    ``work`` is called again and again.

    Raises:
        HomeError: there would be too many for one answer.
    """
    if not block_bytes:
        state = hashlib.new(algorithm, usedforsecurity=False)
        for piece in _pieces(file, offset, length):
            state.update(piece)
            work()
        yield state.digest()
        return
    size_bytes = file.attributes().size_bytes
    until = min(offset + length, size_bytes) if length else size_bytes
    digest_bytes = hashlib.new(algorithm, usedforsecurity=False).digest_size
    if -(-(until - offset) // block_bytes) * digest_bytes > _MOST_DIGESTS_BYTES:
        raise HomeError(
            Refusal.FAILED, "too many blocks for one answer: ask for larger ones, or a shorter part"
        )
    for at in range(offset, until, block_bytes):
        state = hashlib.new(algorithm, usedforsecurity=False)
        for piece in _pieces(file, at, min(block_bytes, until - at)):
            state.update(piece)
            work()
        yield state.digest()


def copy(
    source: OpenFile,
    target: OpenFile,
    *,
    offset: int,
    length: int,
    target_offset: int,
    work: Callable[[], None],
) -> None:
    """Copy ``length`` bytes from ``offset`` on, with 0 up to the end, as it is when this begins; see `digests`."""
    at = target_offset
    for piece in _pieces(source, offset, length):
        target.write(at, piece)
        at += len(piece)
        work()


def _pieces(file: OpenFile, offset: int, length: int) -> Iterator[bytes]:
    """Give what is in the file, not beyond the end that it has now: it may be growing."""
    end = file.attributes().size_bytes
    if length:
        end = min(end, offset + length)
    while offset < end:
        piece = file.read(offset, min(_PIECE_BYTES, end - offset))
        if not piece:
            return
        yield piece
        offset += len(piece)
