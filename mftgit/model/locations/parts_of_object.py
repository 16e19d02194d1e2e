"""In which parts an object goes into a store: at most 10,000, of 5 MiB to 5 GiB (S3 user guide, multipart limits)."""

from collections.abc import Iterator
from typing import Final

_MIB: Final = 1 << 20

MOST_PARTS: Final = 10_000

COPIED_BYTES: Final = 256 * _MIB
"""What a store is let copy in one request, at the least; it says nothing meanwhile, and may take 5 GiB."""

LEAST_BYTES: Final = 5 * _MIB
"""A part has so many at the least, but for the last one of an object."""

_MOST_KEPT: Final = 1000
"""So many of the parts are copies of what was sent before, where a file is gone on with."""

_FIRST_BYTES: Final = 8 * _MIB
_ALIKE: Final = 100
"""So many parts are of one size. With the next ones 8 MiB larger each time, 10,000 of them are 3.8 TiB, a file of
100 GiB is held 128 MiB at a time, and one of 1 GiB 16."""


def part_bytes(number: int) -> int:
    """Return how large the part is that comes after ``number`` others; the whole size is not known before."""
    return _FIRST_BYTES * (1 + number // _ALIKE)


def copy_ranges(size_bytes: int, copied_bytes: int = COPIED_BYTES) -> Iterator[tuple[int, int]]:
    """Give first and last byte of each part of a copy, none of which has fewer than ``copied_bytes`` but the last."""
    each = max(copied_bytes, -(-size_bytes // MOST_PARTS))
    for first in range(0, size_bytes, each):
        yield first, min(first + each, size_bytes) - 1


def kept_ranges(size_bytes: int, copied_bytes: int = COPIED_BYTES) -> list[tuple[int, int]]:
    """Return first and last byte of the parts that begin an object which goes on behind ``size_bytes`` of another one.

    Up to `LEAST_BYTES` at its end are in none of them, since a part that others follow would be too small.
    """
    each = max(copied_bytes, -(-size_bytes // _MOST_KEPT))
    firsts = range(0, size_bytes, each)
    ranges = [(first, min(first + each, size_bytes) - 1) for first in firsts]
    return [(first, last) for first, last in ranges if last - first + 1 >= LEAST_BYTES]
