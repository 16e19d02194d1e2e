"""What is asked of the ledger, and how a time is said."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.names import Epoch, LocationName, MemberName, TransferName
from mftgit.model.transfers.claim import ClaimId
from mftgit.model.transfers.history import Asked, parse_when, tell_line
from mftgit.model.transfers.ledger_line import Line

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def line(ended_at: str = "2026-11-28T08:00:02.000Z", *, skipped: bool = False) -> Line:
    return Line(
        id=ClaimId("1-1-a"),
        transfer=TransferName("t"),
        member=MemberName("m"),
        epoch=Epoch(1),
        revision=None,
        path="in/a.csv",
        destination=LocationName("there"),
        final="out/a.csv",
        size_bytes=5000,
        mtime_ns=0,
        sha256="" if skipped else "ff",
        started_at="2026-11-28T08:00:00.000Z",
        ended_at=ended_at,
        skipped=skipped,
    )


ENDED = datetime(2026, 11, 28, 8, 0, 2, tzinfo=UTC)
LATER = ENDED + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        (Asked(), True),
        (Asked(since=ENDED), True),
        (Asked(since=LATER), False),
        (Asked(until=ENDED), False),
        (Asked(until=LATER), True),
        (Asked(since=ENDED, until=LATER), True),
        (Asked(glob="*.csv"), True),
        (Asked(glob="in/*.csv"), True),
        (Asked(glob="*.pdf"), False),
        (Asked(skipped=True), False),
    ],
)
def test_a_line_is_wanted_by_time_path_and_kind(asked: Asked, *, wanted: bool) -> None:
    assert asked.wants(line()) is wanted


def test_a_time_that_cannot_be_read_is_within_no_time() -> None:
    odd = line("yesterday")
    assert Asked().wants(odd)
    assert not Asked(since=ENDED).wants(odd)
    assert not Asked(until=LATER).wants(odd)
    assert not Asked(since=ENDED).is_over_at(odd)


def test_what_is_older_by_more_than_clocks_differ_ends_the_search() -> None:
    assert not Asked().is_over_at(line())
    assert not Asked(since=ENDED + timedelta(hours=23)).is_over_at(line())
    assert Asked(since=ENDED + timedelta(hours=25)).is_over_at(line())


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("90m", NOW - timedelta(minutes=90)),
        ("2w", NOW - timedelta(days=14)),
        ("30s", NOW - timedelta(seconds=30)),
        ("12h", NOW - timedelta(hours=12)),
        ("2026-11-28", datetime(2026, 11, 28, tzinfo=UTC)),
        (" 2026-11-28T08:00 ", datetime(2026, 11, 28, 8, tzinfo=UTC)),
        ("2026-11-28T08:00:00.5Z", datetime(2026, 11, 28, 8, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-11-28T08:00+01:00", datetime(2026, 11, 28, 7, tzinfo=UTC)),
    ],
)
def test_a_time_is_iso_8601_or_how_long_ago(text: str, moment: datetime) -> None:
    assert parse_when(text, NOW) == moment


@given(st.text() | st.from_regex(r"[0-9]{1,12}[smhdwy]", fullmatch=True))
def test_what_is_no_time_is_said_to_be_none(text: str) -> None:
    try:
        parse_when(text, NOW)
    except ValueError as error:
        assert "expected ISO 8601" in str(error)  # noqa: PT017  some texts are times


@pytest.mark.parametrize("text", ["", "soon", "999999999d", "0001-01-01T00:00+14:00"])
def test_a_time_that_no_calendar_has_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        parse_when(text, NOW)


def test_what_scripts_are_told_of_a_line() -> None:
    told = tell_line(line())
    assert (told["bytes_per_s"], told["seconds"], told["sha256"]) == (2500, 2.0, "ff")
    assert told["destination"] == {"location": "there", "path": "out/a.csv"}
    told = tell_line(line(skipped=True))
    assert (told["bytes_per_s"], told["sha256"], told["skipped"]) == (None, None, True)
