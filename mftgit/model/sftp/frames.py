"""A client's stream of bytes, cut into the packets of SFTP (draft-ietf-secsh-filexfer-02, 3)."""

from collections.abc import Iterator
from typing import Final

MOST_PACKET_BYTES: Final = (256 << 10) + 1024
"""As long as OpenSSH takes them, and room for the fields of a WRITE of 256 KiB, as others send it."""

_LENGTH_BYTES: Final = 4


class Frames:
    """What has arrived of a stream: of one packet what has come, without room made for what is announced."""

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        self._begun = bytearray()

    def __len__(self) -> int:
        """Return how many bytes are held."""
        return len(self._begun)

    def feed(self, arrived: bytes | bytearray) -> Iterator[memoryview]:
        """Give the packets that ``arrived`` ends, each without its length; all are to be taken before the next call.

        Raises:
            ValueError: a packet is empty or longer than `MOST_PACKET_BYTES`; nothing after it can be understood.
        """
        left = memoryview(arrived)
        if self._begun:
            left = self._go_on(left)
            if (packet := self._ended()) is None:
                return
            yield packet
        while len(left) >= _LENGTH_BYTES:
            end = _LENGTH_BYTES + _length(left)
            if len(left) < end:
                break
            yield left[_LENGTH_BYTES:end]
            left = left[end:]
        self._begun += left

    def _go_on(self, arrived: memoryview) -> memoryview:
        """Add to the packet that was begun, and return what is not of it."""
        for _ in range(2):  # first its length, which tells of the rest
            missing = self._missing_bytes()
            self._begun += arrived[:missing]
            arrived = arrived[missing:]
        return arrived

    def _missing_bytes(self) -> int:
        if len(self._begun) < _LENGTH_BYTES:
            return _LENGTH_BYTES - len(self._begun)
        return _LENGTH_BYTES + _length(self._begun) - len(self._begun)

    def _ended(self) -> memoryview | None:
        """Return the packet that was begun, once all of it is there; what is given out is not added to any more."""
        if self._missing_bytes():
            return None
        ended, self._begun = self._begun, bytearray()
        return memoryview(ended)[_LENGTH_BYTES:]


def _length(packet: memoryview | bytearray) -> int:
    length = int.from_bytes(packet[:_LENGTH_BYTES], "big")
    if not 1 <= length <= MOST_PACKET_BYTES:
        raise ValueError(f"a packet of {length} bytes; from 1 to {MOST_PACKET_BYTES} are taken")
    return length
