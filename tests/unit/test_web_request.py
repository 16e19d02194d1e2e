"""What requests of HTTP ask for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.inbound.web_request import (
    MAX_TARGET_BYTES,
    NoSuchSpanError,
    Piece,
    Span,
    read_content_range,
    read_path,
    read_range,
    tag_of,
)


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/", "/"),
        ("/a%20b?x=1", "/a b"),
        ("/%C3%A4#f", "/ä"),
        ("/%ff", "/\udcff"),
        ("/a/../b", "/a/../b"),
    ],
)
def test_a_path_is_read_out_of_a_target(target: str, path: str) -> None:
    assert read_path(target) == path


@pytest.mark.parametrize("target", ["*", "http://host/", "", "/" + "a" * MAX_TARGET_BYTES])
def test_what_is_no_path_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="not a path"):
        read_path(target)


@pytest.mark.parametrize(
    ("value", "span"),
    [
        ("bytes=0-0", Span(first=0, length=1)),
        ("bytes=2-4", Span(first=2, length=3)),
        ("bytes=5-", Span(first=5, length=5)),
        ("bytes=5-100", Span(first=5, length=5)),
        ("bytes=-3", Span(first=7, length=3)),
        ("bytes=-100", Span(first=0, length=10)),
        ("bytes=4-2", None),
        ("bytes=0-1,3-4", None),
        ("lines=1-2", None),
    ],
)
def test_one_range_of_ten_bytes_is_read_and_others_mean_all(value: str, span: Span | None) -> None:
    assert read_range(value, 10) == span


@pytest.mark.parametrize(
    ("value", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-5", 0)]
)
def test_a_range_that_a_file_has_not_is_told_apart(value: str, size: int) -> None:
    with pytest.raises(NoSuchSpanError):
        read_range(value, size)


@given(st.text(max_size=30), st.integers(0, 2**63))
def test_no_range_leads_out_of_a_file(value: str, size_bytes: int) -> None:
    try:
        span = read_range(f"bytes={value}", size_bytes)
    except NoSuchSpanError:
        return
    assert span is None or 0 <= span.first < span.first + span.length <= size_bytes


def test_pieces_of_uploads_are_read() -> None:
    assert read_content_range("bytes */10") == Piece(total=10)
    first = read_content_range("bytes 0-3/10")
    assert (first, first.is_last) == (Piece(total=10, span=Span(first=0, length=4)), False)
    assert read_content_range("bytes 4-9/10").is_last
    assert not Piece(total=0).is_last


@pytest.mark.parametrize(
    "value", ["bytes 4-2/10", "bytes 4-10/10", "bytes 0-3/*", "bytes 0-3", "", "x 0-3/4"]
)
def test_what_is_no_piece_of_an_upload_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="Content-Range"):
        read_content_range(value)


def test_a_span_is_told_and_a_file_has_a_tag() -> None:
    assert Span(first=2, length=3).content_range(10) == "bytes 2-4/10"
    assert tag_of(10, 20) == '"a-14"'
