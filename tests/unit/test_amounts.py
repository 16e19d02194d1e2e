"""Sizes, rates and spans are written so that people can compare them at a glance."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.amounts import format_bytes, format_rate, format_span


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (1234, "1.23 kB"),
        (9999, "10.0 kB"),
        (99_949, "99.9 kB"),
        (99_960, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (12_345_678, "12.3 MB"),
        (2 * 10**21, "2000 EB"),
    ],
)
def test_a_size_has_three_digits_and_its_unit(size_bytes: int, text: str) -> None:
    assert format_bytes(size_bytes) == text


@given(st.floats(0, 9.9e20))
def test_no_size_is_wider_than_its_column(size_bytes: float) -> None:
    assert len(format_bytes(size_bytes)) <= 8


def test_a_rate_that_is_not_known_is_a_dash() -> None:
    assert format_rate(None) == "-"
    assert format_rate(1.5e6) == "1.50 MB/s"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.254, "0.25 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 05 min"),
        (4 * 86400 + 3 * 3600, "4 d 3 h"),
    ],
)
def test_a_span_has_its_two_largest_units(seconds: float | None, text: str) -> None:
    assert format_span(seconds) == text
