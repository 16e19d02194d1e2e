"""What was left at a place that was away: how it is written down, and for how long it is tried."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.configuration.config import EVERYWHERE, AfterSuccess, Overwrite, Ownership
from mftgit.model.locations.location import LocalLocation
from mftgit.model.names import Epoch, LocationName, MemberName, TransferName
from mftgit.model.transfers.claim import ClaimId
from mftgit.model.transfers.intent import Intent, Place
from mftgit.model.transfers.left import KEPT, Left, format_left, parse_left, wait_s
from mftgit.model.transfers.run import DeliveryState

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
PLACE = Place(location=LocalLocation(name=LocationName("here"), path="in"), alike=True)
INTENT = Intent(
    id=ClaimId("1-1-a"),
    state=DeliveryState.TAKEN,
    transfer=TransferName("t"),
    ownership=Ownership.SINGLE,
    active_on=EVERYWHERE,
    path="a.bin",
    source=PLACE,
    source_folder=".",
    destination=PLACE,
    destination_folder=".",
    temporary=".a.part",
    plain="a.bin",
    final="a.bin",
    archive_path=None,
    overwrite=Overwrite.FAIL,
    after=AfterSuccess.DELETE,
    started_at="2026-11-29T10:00:00Z",
    member=MemberName("m1"),
    epoch=Epoch(1),
    revision=None,
)


def test_it_is_read_as_it_was_written() -> None:
    told = format_left(INTENT, [".a.part", "line\nbreak"], "2026-11-29T11:00:00Z")
    left = parse_left(told)
    assert left == Left(
        intent=INTENT, names=(".a.part", "line\nbreak"), since="2026-11-29T11:00:00Z"
    )
    assert not left.is_given_up(NOW)
    assert left.is_given_up(NOW + KEPT + timedelta(hours=2))


@pytest.mark.parametrize("told", [b"", b"{}", b"[]\n[]", b'{"names": [], "since": ""}\n', b"\xff"])
def test_what_is_none_is_refused(told: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_left(told)


@pytest.mark.parametrize("since", ["", "yesterday", "2026-11-29T11:00:00"])
def test_a_time_that_is_none_is_given_up(since: str) -> None:
    assert parse_left(format_left(INTENT, [], since)).is_given_up(NOW)


@given(st.integers(0, 10**6))
def test_it_is_waited_for_longer_each_time_and_an_hour_at_the_most(tries: int) -> None:
    assert 60 <= wait_s(tries) <= wait_s(tries + 1) <= 3600
    assert (wait_s(1), wait_s(2), wait_s(10)) == (60, 120, 3600)
