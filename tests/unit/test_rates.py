"""A rate is that of the last seconds: steady where it is steady, and 0 where nothing moves."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.transfers.rates import (
    STEP_S,
    WINDOW_S,
    Sample,
    add_sample,
    bytes_per_s,
    remaining_s,
)

steps = st.lists(st.tuples(st.floats(0.01, 20), st.integers(0, 10**12)), min_size=1, max_size=60)


def taken(these: list[tuple[float, int]]) -> tuple[tuple[Sample, ...], list[Sample]]:
    """Return what is kept, and all of them; each step is (seconds since the one before, bytes since then)."""
    every = [Sample(at=100.0, done_bytes=0)]
    kept = add_sample((), every[0])
    for seconds, size in these:
        last = every[-1]
        every.append(Sample(at=last.at + seconds, done_bytes=last.done_bytes + size))
        kept = add_sample(kept, every[-1])
    return kept, every


def test_nothing_tells_no_rate() -> None:
    assert bytes_per_s((), 5.0) is None
    assert bytes_per_s((Sample(at=5.0, done_bytes=0),), 5.0) is None


@given(st.integers(1, 10**9), st.floats(0.01, 3.0), st.integers(1, 200))
def test_what_is_steady_has_its_rate(per_step: int, every_s: float, count: int) -> None:
    kept, every = taken([(every_s, per_step)] * count)
    assert bytes_per_s(kept, every[-1].at) == pytest.approx(per_step / every_s)


@given(steps)
def test_a_rate_is_never_faster_than_the_fastest_moment_nor_below_0(
    these: list[tuple[float, int]],
) -> None:
    kept, every = taken(these)
    rate = bytes_per_s(kept, every[-1].at)
    assert rate is not None
    fastest = max((b.done_bytes - a.done_bytes) / (b.at - a.at) for a, b in pairwise(every))
    assert 0 <= rate <= fastest * (1 + 1e-6) + 1e-6


@given(steps, st.floats(0.01, 1000))
def test_what_stands_still_becomes_slower_until_it_is_0(
    these: list[tuple[float, int]], later_s: float
) -> None:
    kept, every = taken(these)
    end = every[-1].at
    now, then = bytes_per_s(kept, end), bytes_per_s(kept, end + WINDOW_S + later_s)
    assert now is not None
    assert then == 0


@given(steps)
def test_only_what_a_window_needs_is_kept(these: list[tuple[float, int]]) -> None:
    kept, every = taken(these)
    assert len(kept) <= 2 * WINDOW_S / STEP_S + 3
    assert kept[-1] == every[-1]
    assert all(a.at <= b.at for a, b in pairwise(kept))
    assert sum(each.at < every[-1].at - WINDOW_S for each in kept) <= 1


def test_many_samples_in_one_moment_become_few() -> None:
    kept, _ = taken([(0.001, 1)] * 20_000)
    assert len(kept) <= 2 * WINDOW_S / STEP_S + 3
    assert bytes_per_s(kept, kept[-1].at) == pytest.approx(1000, rel=0.01)


def test_what_was_begun_anew_counts_from_there() -> None:
    kept, _ = taken([(1.0, 1000)] * 5)
    kept = add_sample(kept, Sample(at=106.0, done_bytes=0))
    kept = add_sample(kept, Sample(at=107.0, done_bytes=70))
    assert bytes_per_s(kept, 107.0) == 70


@pytest.mark.parametrize(
    ("size", "done", "rate", "left_s"),
    [
        (100, 0, 10.0, 10.0),
        (100, 50, 10.0, 5.0),
        (100, 100, None, 0.0),
        (100, 120, 10.0, 0.0),
        (0, 0, None, 0.0),
        (100, 50, None, None),
        (100, 50, 0.0, None),
    ],
)
def test_what_is_left_takes_as_long_as_the_rate_says(
    size: int, done: int, rate: float | None, left_s: float | None
) -> None:
    assert remaining_s(size, done, rate) == left_s
