"""How often something failed is read as it was written, and may be tried again by whoever reads it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.transfers.failures import (
    MAX_KEPT,
    MAX_WHAT,
    Failure,
    describe_next,
    format_failures,
    parse_failures,
)
from mftgit.model.transfers.retry import Retry

RETRY = Retry(attempts=3)
marks = st.none() | st.tuples(st.integers(0), st.integers())
counts = st.dictionaries(st.text(max_size=20), st.tuples(st.integers(1), marks), max_size=5)


def failed(count: int, mark: tuple[int, int] | None = None) -> Failure:
    return Failure(count=count, mark=mark, until=1e9, spent=False)


@given(counts, st.floats(0, 1e9))
def test_counts_are_kept_and_no_wait_is(
    told: dict[str, tuple[int, tuple[int, int] | None]], now: float
) -> None:
    written = format_failures({what: failed(*each) for what, each in told.items()})
    read = parse_failures(written, retry=RETRY, now=now)
    assert list(read) == list(told)
    for what, (count, mark) in told.items():
        assert read[what] == Failure(count=count, mark=mark, until=now, spent=count >= 3)


def test_the_latest_are_kept_and_no_more_than_that() -> None:
    written = format_failures({str(at): failed(1) for at in range(MAX_KEPT + 5)})
    read = parse_failures(written, retry=RETRY, now=0)
    assert (len(read), next(iter(read))) == (MAX_KEPT, "5")
    many = json.dumps({"failures": json.loads(written)["failures"] * 2 + [{"what": "last"}]})
    assert len(parse_failures(many.encode(), retry=RETRY, now=0)) == MAX_KEPT


def test_a_path_that_is_too_long_is_not_kept() -> None:
    written = format_failures({"x" * MAX_WHAT: failed(1), "x" * (MAX_WHAT + 1): failed(1)})
    assert list(parse_failures(written, retry=RETRY, now=0)) == ["x" * MAX_WHAT]


def test_what_a_newer_version_adds_is_passed_over() -> None:
    told = {"failures": [{"what": "a", "count": 2, "mark": None, "side": "source"}], "more": 1}
    read = parse_failures(json.dumps(told).encode(), retry=RETRY, now=0)
    assert read["a"].count == 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b'{"failures": 1}',
        b'{"failures": [1]}',
        b'{"failures": [{"what": "a", "count": "x", "mark": null}]}',
        b'{"failures": [{"what": "a", "count": 1, "mark": [1]}]}',
        b'{"failures": [{"what": "a", "count": 1, "mark": 1}]}',
        b'{"failures": [{"what": "a", "count": Infinity, "mark": null}]}',
        b"[" * 99999,
    ],
)
def test_what_is_no_record_of_failures_is_told(content: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  JSON has its own texts
        parse_failures(content, retry=RETRY, now=0)


def test_people_are_told_whether_and_when_there_is_another_try() -> None:
    at = "2026-11-29T01:00:00.000Z"
    assert describe_next(failed(2), attempts=5, again_at=at) == (
        "try 2 of 5, the next one from 2026-11-29T01:00:00.000Z on"
    )
    assert describe_next(failed(2), attempts=None, again_at=at).startswith("try 2, the next")
    assert describe_next(failed(5), attempts=5, again_at=None) == "try 5 of 5, given up"
