"""How fast something goes, over a sliding window, and how long it still takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WINDOW_S: Final = 10.0
"""Over so many seconds a rate is taken: long enough not to jump, short enough to show that something stands still."""

STEP_S: Final = 0.25
"""Samples that are closer to each other than this become one, so that a window holds few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """So many bytes were done at ``at``, by a clock that never jumps, in seconds."""

    at: float
    done_bytes: int


def add_sample(samples: Sequence[Sample], fresh: Sample) -> tuple[Sample, ...]:
    """Return ``samples``, the oldest first, with ``fresh``, and without what no window needs any more.

    Of those that are older than the window the newest stays: the window begins between it and the next one. The first
    of two samples within a step gives way to the second, unless it is the only one. What was begun anew, with less done
    than before, counts from there.
    """
    if samples and fresh.done_bytes < samples[-1].done_bytes:
        return (fresh,)
    replaces = len(samples) > 1 and fresh.at - samples[-2].at < STEP_S
    kept = (*(samples[:-1] if replaces else samples), fresh)
    older = sum(each.at <= fresh.at - WINDOW_S for each in kept)
    return kept[max(0, older - 1) :]


def bytes_per_s(samples: Sequence[Sample], now: float) -> float | None:
    """Return the rate over the last `WINDOW_S`, or since the beginning where that is later.

    What stands still becomes slower until it is 0. None while nothing can be told.
    """
    if not samples:
        return None
    begins = now - WINDOW_S
    first = next((each for each in reversed(samples) if each.at <= begins), samples[0])
    span_s = now - first.at
    if span_s <= 0:
        return None
    return (samples[-1].done_bytes - first.done_bytes) / span_s


def remaining_s(size_bytes: int, done_bytes: int, rate: float | None) -> float | None:
    """Return in how many seconds the rest is done at ``rate`` bytes per second; None where nothing tells."""
    if done_bytes >= size_bytes:
        return 0.0
    if rate is None or rate <= 0:
        return None
    return (size_bytes - done_bytes) / rate
