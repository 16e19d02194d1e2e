"""Which files are delivered together: small ones, as many as take about a second; larger ones as may go in parallel."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice

from mftgit.member.outbound.places.digests import SMALL_BYTES
from mftgit.model.transfers.run import Pace

File = tuple[str, tuple[int, int]]
"""Path below the source, and what tells when it is another file: size and time of change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lot:
    """Files that are delivered together; ``pace``, where they are small, is told how long that took."""

    files: Sequence[File]
    pace: Pace | None = None

    @property
    def is_alone(self) -> bool:
        """Whether no other lot may be under way with it: a large file takes all that there is."""
        return self.pace is None

    def took(self, seconds: float) -> None:
        """Take note of how long their delivery took."""
        if self.pace is not None:
            self.pace.took(seconds)


def together(fresh: Iterator[File], *, parallel: int = 1) -> Iterator[Lot]:
    """Give files some at a time, in their order: small ones by `Pace`, larger ones by ``parallel``."""
    pace = Pace()
    for large, files in groupby(fresh, key=_is_large):
        if large:
            yield from _by_number(files, parallel)
        else:
            yield from _paced(files, pace)


def _is_large(file: File) -> bool:
    return file[1][0] > SMALL_BYTES


def _by_number(files: Iterator[File], number: int) -> Iterator[Lot]:
    while some := list(islice(files, number)):
        yield Lot(files=some)


def _paced(files: Iterator[File], pace: Pace) -> Iterator[Lot]:
    some: list[File] = []
    size_bytes = 0
    for file in files:
        _, (size, _) = file
        if some and (len(some) >= pace.files or size_bytes + size > pace.size_bytes):
            yield Lot(files=some, pace=pace)
            some, size_bytes = [], 0
        some.append(file)
        size_bytes += size
    yield Lot(files=some, pace=pace)
