"""Which bytes of a file were written, when they may come in any order."""

from bisect import bisect_left
from typing import Final

MAX_PIECES: Final = 1000
"""How many pieces that lie behind gaps are kept in mind."""


class Written:
    """How far a file was written from its begin on, without a gap.

    What comes when there are `MAX_PIECES` behind gaps is forgotten: then `whole_bytes` tells less than is there.
    """

    __slots__ = ("_pieces", "whole_bytes")

    def __init__(self, whole_bytes: int = 0) -> None:
        self.whole_bytes = whole_bytes
        self._pieces: list[tuple[int, int]] = []  # behind `whole_bytes`; none touches another

    def add(self, start: int, end: int) -> None:
        """Note that the bytes from ``start`` up to ``end`` were written."""
        if start > self.whole_bytes:
            self._keep(start, end)
            return
        self.whole_bytes = max(self.whole_bytes, end)
        while self._pieces and self._pieces[0][0] <= self.whole_bytes:
            self.whole_bytes = max(self.whole_bytes, self._pieces.pop(0)[1])

    def cut(self, size_bytes: int) -> None:
        """Note that the file has ``size_bytes`` now; what it has grown by was not written."""
        self.whole_bytes = min(self.whole_bytes, size_bytes)
        self._pieces = [
            (start, min(end, size_bytes)) for start, end in self._pieces if start < size_bytes
        ]

    def _keep(self, start: int, end: int) -> None:
        first = bisect_left(self._pieces, start, key=lambda piece: piece[1])
        last = first
        while last < len(self._pieces) and self._pieces[last][0] <= end:
            last += 1
        touched = self._pieces[first:last]
        if not touched and len(self._pieces) >= MAX_PIECES:
            return
        if touched:
            start, end = min(start, touched[0][0]), max(end, touched[-1][1])
        self._pieces[first:last] = [(start, end)]
