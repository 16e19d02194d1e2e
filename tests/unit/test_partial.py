"""What has arrived of a large file is known again by digests, and trusted no further than it is sure."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.transfers.claim import ClaimId
from mftgit.model.transfers.partial import (
    KEPT,
    UNSURE_BYTES,
    Partial,
    Reading,
    format_partial,
    parse_partial,
    segment_bytes,
    sure_segments,
)

MIB = 1 << 20
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
ONE = Partial(
    id=ClaimId("1-1-a"),
    temporary=".a.part",
    mark=(10 * MIB, 7),
    segment_bytes=MIB,
    digests=("aa", "bb", "cc"),
    proven=2,
    saved_at="2026-11-29T11:00:00Z",
)


@given(st.integers(0, 1 << 62))
def test_no_file_has_more_than_1024_segments(size_bytes: int) -> None:
    each = segment_bytes(size_bytes)
    assert each % MIB == 0
    assert size_bytes <= 1024 * each
    assert size_bytes <= 1024 * MIB or (each - MIB) * 1024 < size_bytes


@given(st.lists(st.binary(max_size=50), max_size=20), st.integers(1, 60))
def test_a_digest_is_taken_note_of_at_the_end_of_each_segment(
    pieces: list[bytes], each: int
) -> None:
    reading, whole = Reading(each), b"".join(pieces)
    for piece in pieces:
        reading.take(piece)
    ends = range(each, len(whole) + 1, each)
    assert reading.digests == [hashlib.sha256(whole[:end]).hexdigest() for end in ends]
    assert reading.sha256 == hashlib.sha256(whole).hexdigest()
    assert reading.size_bytes == len(whole)


def test_a_copy_of_a_reading_goes_its_own_way() -> None:
    one = Reading(3)
    one.take(b"abcd")
    other = one.copy()
    other.take(b"ef")
    one.take(b"xyz")
    assert other.sha256 == hashlib.sha256(b"abcdef").hexdigest()
    assert one.sha256 == hashlib.sha256(b"abcdxyz").hexdigest()
    assert (len(one.digests), len(other.digests)) == (2, 2)


@given(st.integers(0, 1 << 40), st.integers(1, 200))
def test_what_may_be_on_the_way_is_not_sure(written: int, mib: int) -> None:
    segments = sure_segments(written, mib * MIB)
    sure = segments * mib * MIB
    assert sure <= max(0, written - UNSURE_BYTES)
    assert max(0, written - UNSURE_BYTES) < sure + mib * MIB or segments == 1024
    assert segments <= 1024  # what is unpacked may be longer than its source


def test_a_partial_is_read_as_it_was_written() -> None:
    assert parse_partial(format_partial(ONE)) == ONE


def test_what_a_newer_version_puts_in_is_passed_over() -> None:
    told = format_partial(ONE).replace(b'"id"', b'"news": [], "id"')
    assert parse_partial(told) == ONE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"proven": 2', b'"proven": 4'),
        (b'"proven": 2', b'"proven": -1'),
        (b'"proven": 2', b'"proven": null'),
        (b'"segment_bytes": 1048576', b'"segment_bytes": 1'),
        (b'"mark": [10485760, 7]', b'"mark": [10485760]'),
        (b'"mark": [10485760, 7]', b'"mark": 7'),
        (b'"id": "1-1-a", ', b""),
        (b'"aa", "bb", "cc"', b", ".join([b'"aa"'] * 1025)),
        (b"}", b""),
    ],
)
def test_what_is_no_record_of_a_partial_is_refused(old: bytes, new: bytes) -> None:
    told = format_partial(ONE)
    assert old in told
    with pytest.raises(ValueError, match=r".+"):
        parse_partial(told.replace(old, new))


@pytest.mark.parametrize(
    ("mark", "age", "fits"),
    [
        ((10 * MIB, 7), timedelta(), True),
        ((10 * MIB, 8), timedelta(), False),
        ((10 * MIB + 1, 7), timedelta(), False),
        ((10 * MIB, 7), KEPT - timedelta(hours=2), True),
        ((10 * MIB, 7), KEPT, False),
        ((10 * MIB, 7), -KEPT - timedelta(hours=2), False),
    ],
)
def test_only_what_has_not_changed_and_is_not_old_fits(
    mark: tuple[int, int],
    age: timedelta,
    fits: bool,  # noqa: FBT001
) -> None:
    assert ONE.fits(mark, NOW + age) == fits


@pytest.mark.parametrize(
    ("first", "then", "fits"),
    [
        (None, '"a"', True), ('"a"', None, True), ('"a"', '"a"', True), ('"a"', '"b"', False),
        ('W/"a"', '"a"', True), ('"a"', 'W/"a"', True), ('W/"a"', '"b"', False),
    ],
)  # fmt: skip
def test_a_tag_tells_of_another_file_where_both_are_known(
    first: str | None, then: str | None, *, fits: bool
) -> None:
    one = parse_partial(format_partial(replace(ONE, tag=first)))
    assert one.tag == first
    assert one.fits(ONE.mark, NOW, tag=then) == fits


@pytest.mark.parametrize("saved_at", ["", "yesterday", "2026-11-29T11:00:00"])
def test_a_time_that_is_none_fits_nothing(saved_at: str) -> None:
    told = format_partial(ONE).replace(b"2026-11-29T11:00:00Z", saved_at.encode())
    assert not parse_partial(told).fits(ONE.mark, NOW)


def test_only_whole_segments_are_counted() -> None:
    assert ONE.segments_in(2 * MIB + 5) == 2
    assert ONE.segments_in(9 * MIB) == 3
    assert ONE.segments_in(5) == 0
