"""Which files are delivered together: small ones, as many as take about a second; a larger one alone."""

from collections.abc import Iterator

from mftgit.adapters.clock import Clock
from mftgit.member.outbound.digests import SMALL_BYTES
from mftgit.model.run import Pace

File = tuple[str, tuple[int, int]]
"""Path below the source, and what tells when it is another file: size and time of change."""


def together(fresh: Iterator[File], clock: Clock) -> Iterator[list[File]]:
    """Give files some at a time, in their order: small ones by `Pace`, a larger one alone."""
    pace = Pace()
    some: list[File] = []
    size_bytes = 0
    for file in fresh:
        _, (size, _) = file
        if some and (
            size > SMALL_BYTES or len(some) >= pace.files or size_bytes + size > pace.size_bytes
        ):
            yield from _timed(some, pace, clock)
            some, size_bytes = [], 0
        some.append(file)
        size_bytes += size
        if size > SMALL_BYTES:
            yield some
            some, size_bytes = [], 0
    if some:
        yield some


def _timed(some: list[File], pace: Pace, clock: Clock) -> Iterator[list[File]]:
    began = clock.boottime()
    yield some
    pace.took(clock.boottime() - began)
