"""Pack and unpack by gzip (RFC 1952), a piece at a time."""

import zlib
from collections.abc import Iterator
from typing import Final

from mftgit.adapters.content.steps import GIVEN_BYTES, Bound, Reader, UnfitError

_GZIP: Final = 31
"""zlib's word for: the largest window, and gzip around it. Its head then has no name and no time."""


def gzip(chunks: Iterator[bytes], *, level: int) -> Iterator[bytes]:
    """Give ``chunks`` packed; the same content gives the same bytes."""
    packer = zlib.compressobj(level, zlib.DEFLATED, _GZIP)
    for chunk in chunks:
        if packed := packer.compress(chunk):
            yield packed
    yield packer.flush()


def gunzip(chunks: Iterator[bytes], *, most_bytes: int) -> Iterator[bytes]:
    """Give what is packed in ``chunks``: one member of gzip, or several, as one file.

    Raises:
        UnfitError: they are something else, are cut off or damaged, have something behind, or unpack to too much.
    """
    reader, bound = Reader(chunks), Bound(most_bytes)
    piece = reader.some()
    if not piece:
        raise UnfitError("it is empty, and no gzip file")
    while piece:
        reader.give_back(piece)
        yield from inflate(reader, bound, zlib.decompressobj(_GZIP))
        piece = reader.some()


def inflate(reader: Reader, bound: Bound, unpacker: "zlib._Decompress") -> Iterator[bytes]:
    """Give what ``unpacker`` makes of what is next in ``reader``, which is then behind it.

    Raises:
        UnfitError: it is cut off or damaged, or unpacks to too much.
    """
    while not unpacker.eof:
        piece = reader.some()
        if not piece:
            raise UnfitError("it is cut off")
        while piece and not unpacker.eof:
            try:
                made = unpacker.decompress(piece, GIVEN_BYTES)
            except zlib.error as error:
                raise UnfitError(f"it is damaged, or not packed so ({error})") from error
            if made:
                yield bound.take(made)
            piece = unpacker.unconsumed_tail
    reader.give_back(unpacker.unused_data)
