"""Objects of any size go into a store in parts that it takes."""

from itertools import count, pairwise

from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.locations.parts_of_object import (
    MOST_PARTS,
    copy_ranges,
    kept_ranges,
    part_bytes,
)

MIB, GIB = 1 << 20, 1 << 30


@given(st.integers(0, MOST_PARTS - 1))
def test_every_part_that_is_sent_has_a_size_that_a_store_takes(number: int) -> None:
    assert 5 * MIB <= part_bytes(number) <= 5 * GIB
    assert part_bytes(number) % MIB == 0


def test_a_file_of_100_gib_is_sent_in_parts_that_fit_into_memory() -> None:
    left, largest = 100 * GIB, 0
    for number in count():
        if left <= 0:
            break
        largest = part_bytes(number)
        left -= largest
    assert number < MOST_PARTS
    assert largest == 128 * MIB


def test_ten_thousand_parts_are_nearly_four_tebibytes() -> None:
    assert 3.8 * (1 << 40) < sum(map(part_bytes, range(MOST_PARTS))) < 5 * (1 << 40)


@given(st.integers(1, 50 * 10**12))
def test_a_copy_is_whole_and_of_parts_that_a_store_takes(size_bytes: int) -> None:
    ranges = list(copy_ranges(size_bytes))
    assert (ranges[0][0], ranges[-1][1]) == (0, size_bytes - 1)
    assert all(one[1] + 1 == two[0] for one, two in pairwise(ranges))
    assert len(ranges) <= MOST_PARTS
    assert all(last - first + 1 <= 5 * GIB for first, last in ranges)


@given(st.integers(0, 5 * 10**12))
def test_what_is_kept_of_an_object_is_in_parts_that_others_may_follow(size_bytes: int) -> None:
    ranges = kept_ranges(size_bytes)
    assert all(5 * MIB <= last - first + 1 <= 5 * GIB for first, last in ranges)
    assert [first for first, _ in ranges] == [0, *(last + 1 for _, last in ranges[:-1])][
        : len(ranges)
    ]
    assert size_bytes - (ranges[-1][1] + 1 if ranges else 0) < 5 * MIB
    assert len(ranges) <= MOST_PARTS // 10
