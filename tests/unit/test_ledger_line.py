"""Lines of the ledger are read as they were written, by this version and by older ones."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.names import Epoch, LocationName, MemberName, Revision, TransferName
from mftgit.model.transfers.claim import ClaimId
from mftgit.model.transfers.ledger_line import (
    Line,
    file_mark,
    format_head,
    format_line,
    is_old,
    parse_head,
    parse_line,
    parse_moment,
)

NOW = datetime(2026, 11, 28, tzinfo=UTC)

names = st.text(
    st.characters(codec="utf-8") | st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF)
)
lines = st.builds(
    Line,
    id=st.builds(ClaimId, st.text()),
    transfer=st.just(TransferName("t")),
    member=st.just(MemberName("m")),
    epoch=st.builds(Epoch, st.integers(1, 10**12)),
    revision=st.none() | st.just(Revision("a" * 40)),
    path=names,
    destination=st.none() | st.just(LocationName("there")),
    final=names,
    size_bytes=st.integers(0, 2**63),
    mtime_ns=st.integers(-(2**63), 2**63),
    sha256=st.text(),
    started_at=st.text(),
    ended_at=st.text(),
    skipped=st.booleans(),
    source_bytes=st.none() | st.integers(0, 2**63),
)


def line(
    *, started_at: str = "2026-11-28T08:00:00.000Z", ended_at: str = "2026-11-28T08:00:02.500Z",
    skipped: bool = False,
) -> Line:  # fmt: skip
    return Line(
        id=ClaimId("1-1-a"),
        transfer=TransferName("t"),
        member=MemberName("m"),
        epoch=Epoch(1),
        revision=None,
        path="a",
        final="a",
        size_bytes=5000,
        mtime_ns=0,
        sha256="",
        started_at=started_at,
        ended_at=ended_at,
        skipped=skipped,
    )


@given(lines)
def test_a_line_is_read_as_it_was_written_and_is_one_line(each: Line) -> None:
    content = format_line(each)
    assert content.count(b"\n") == 1
    assert content.endswith(b"\n")
    assert parse_line(content) == each
    assert parse_head(content) is None


def test_a_line_of_an_older_version_names_no_destination() -> None:
    value = json.loads(format_line(line()))
    del value["destination"]
    assert parse_line(json.dumps(value).encode()) == line()


@given(st.binary() | st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(), lambda each: st.lists(each) | st.dictionaries(st.text(), each)
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_what_is_no_line_is_none_and_raises_nothing(content: bytes) -> None:
    assert parse_line(content) is None
    parse_head(content)


@pytest.mark.parametrize("cut", [1, 20, 100])
def test_a_torn_line_is_none(cut: int) -> None:
    assert parse_line(format_line(line())[:-cut]) is None or cut == 1


def test_a_head_tells_how_many_were_dropped_and_is_no_line() -> None:
    content = format_head(17, "2026-11-28T08:00:00.000Z")
    assert parse_head(content) == 17
    assert parse_line(content) is None
    assert parse_head(b'{"dropped": "x"}') is None
    assert parse_head(b'["dropped"]') is None


def test_a_rate_is_size_over_time() -> None:
    assert line().took_s == 2.5
    assert line().bytes_per_s == 2000


@pytest.mark.parametrize("started_at", ["2026-11-28T08:00:02.600Z", "soon", "2026-11-28T08:00:00"])
def test_times_that_make_no_sense_make_no_rate(started_at: str) -> None:
    assert line(started_at=started_at).took_s is None
    assert line(started_at=started_at).bytes_per_s is None


def test_no_time_and_what_was_skipped_have_no_rate() -> None:
    assert line(started_at="2026-11-28T08:00:02.500Z").bytes_per_s is None
    assert line(skipped=True).bytes_per_s is None


def test_a_line_bears_the_mark_of_its_file() -> None:
    assert line().mark == file_mark("a", 5000, 0)


def test_a_line_is_old_after_so_many_days() -> None:
    ended = parse_moment(line().ended_at)
    assert ended is not None
    assert not is_old(line(), ended + timedelta(days=30), days=30)
    assert is_old(line(), ended + timedelta(days=30, seconds=1), days=30)
    assert not is_old(line(ended_at="once"), NOW + timedelta(days=9999), days=1)


@given(names, st.integers(0), st.integers())
def test_a_mark_tells_apart_what_differs_in_path_size_or_time(
    path: str, size: int, mtime: int
) -> None:
    marks = {
        file_mark(path, size, mtime),
        file_mark(path + " ", size, mtime),
        file_mark(path, size + 1, mtime),
        file_mark(path, size, mtime + 1),
    }
    assert len(marks) == 4
    assert {len(mark) for mark in marks} == {16}


def test_a_file_is_known_by_its_size_at_the_source_whatever_was_made_of_it() -> None:
    plain, made = line(), replace(line(), size_bytes=9, source_bytes=5000)
    assert (made.mark, made.read_bytes) == (plain.mark, 5000)
    assert b"source_bytes" not in format_line(plain)  # an older member reads it
