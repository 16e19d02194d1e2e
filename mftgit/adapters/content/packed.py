"""Unpack a packed OpenPGP message (RFC 4880, 5.6) whose length is not told: gpg passes over what stands behind one."""

import zlib
from collections.abc import Iterator
from typing import Final

from mftgit.adapters.content.gzip import inflate
from mftgit.adapters.content.steps import GIVEN_BYTES, Bound, Reader, UnfitError

_PACKED: Final = b"\xa3"
"""The head of such a packet, as gpg writes it: of the old format, and as long as the file is."""

_WINDOWS: Final = {b"\1": -15, b"\2": 15}
"""zlib's words for raw deflate and for its own format, by OpenPGP's numbers."""


def unpacked(chunks: Iterator[bytes], *, most_bytes: int) -> Iterator[bytes]:
    """Give the packets in ``chunks``; what is not packed so, or by bzip2, as it is.

    ``most_bytes`` bounds the content, to which the packets add their heads.

    Raises:
        UnfitError: it is cut off or damaged, has something behind, or unpacks to too much.
    """
    reader = Reader(chunks)
    head = reader.some(2)
    if len(head) == 1:
        head += reader.some(1)
    window = _WINDOWS.get(head[1:])
    if head[:1] != _PACKED or window is None:
        yield head
        while piece := reader.some(GIVEN_BYTES):
            yield piece
        return
    yield from inflate(reader, Bound(2 * most_bytes + GIVEN_BYTES), zlib.decompressobj(window))
    if reader.some():
        raise UnfitError("there is something behind the message")
