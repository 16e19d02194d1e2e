"""Numbers that a member tells of itself: of a size that databases, readers of JSON and pages can take."""

import math
from typing import Any, Final

MOST: Final = 1 << 53
"""JSON's numbers are whole up to here for every reader (RFC 8259, 6)."""


def count_of(value: Any) -> int:
    """Return how many that are, from 0 to `MOST`.

    Raises:
        ValueError, TypeError, OverflowError: it is no number.
    """
    return max(0, min(int(value), MOST))


def measure_of(value: Any) -> float:
    """Return a number with a fraction, from 0 to `MOST`.

    Raises:
        ValueError, TypeError, OverflowError: it is no number, or none that JSON has.
    """
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r:.40} is no number")
    return max(0.0, min(number, float(MOST)))
