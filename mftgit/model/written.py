"""Which bytes of a file were written, when they may come in any order."""

from bisect import insort
from typing import Final

MAX_LATER: Final = 1000
"""How many pieces that lie behind a gap are kept in mind."""


class Written:
    """How far a file was written from its begin on, without a gap.

    What comes behind more than `MAX_LATER` gaps is forgotten: then `whole_bytes` tells less than is there.
    """

    __slots__ = ("_later", "whole_bytes")

    def __init__(self, whole_bytes: int = 0) -> None:
        self.whole_bytes = whole_bytes
        self._later: list[tuple[int, int]] = []

    def add(self, start: int, end: int) -> None:
        """Note that the bytes from ``start`` up to ``end`` were written."""
        if start > self.whole_bytes:
            if len(self._later) < MAX_LATER:
                insort(self._later, (start, end))
            return
        self.whole_bytes = max(self.whole_bytes, end)
        while self._later and self._later[0][0] <= self.whole_bytes:
            self.whole_bytes = max(self.whole_bytes, self._later.pop(0)[1])

    def cut(self, size_bytes: int) -> None:
        """Note that the file was cut, or grown without being written, to ``size_bytes``."""
        self.whole_bytes = min(self.whole_bytes, size_bytes)
        self._later = [
            (start, min(end, size_bytes)) for start, end in self._later if start < size_bytes
        ]
