"""Which files are delivered together: small ones, as many as take about a second; larger ones as may go in parallel."""

from collections.abc import Iterator
from itertools import groupby, islice

from mftgit.adapters.clock import Clock
from mftgit.member.outbound.digests import SMALL_BYTES
from mftgit.model.run import Pace

File = tuple[str, tuple[int, int]]
"""Path below the source, and what tells when it is another file: size and time of change."""


def together(fresh: Iterator[File], clock: Clock, *, parallel: int = 1) -> Iterator[list[File]]:
    """Give files some at a time, in their order: small ones by `Pace`, larger ones by ``parallel``."""
    pace = Pace()
    for large, files in groupby(fresh, key=_is_large):
        if large:
            yield from _by_number(files, parallel)
        else:
            yield from _paced(files, pace, clock)


def _is_large(file: File) -> bool:
    return file[1][0] > SMALL_BYTES


def _by_number(files: Iterator[File], number: int) -> Iterator[list[File]]:
    while some := list(islice(files, number)):
        yield some


def _paced(files: Iterator[File], pace: Pace, clock: Clock) -> Iterator[list[File]]:
    some: list[File] = []
    size_bytes = 0
    for file in files:
        _, (size, _) = file
        if some and (len(some) >= pace.files or size_bytes + size > pace.size_bytes):
            yield from _timed(some, pace, clock)
            some, size_bytes = [], 0
        some.append(file)
        size_bytes += size
    yield some


def _timed(some: list[File], pace: Pace, clock: Clock) -> Iterator[list[File]]:
    began = clock.boottime()
    yield some
    pace.took(clock.boottime() - began)
