"""Files under way are told while they are under way, with rates, and forgotten after."""

import threading
from datetime import UTC, datetime

import pytest

from mftgit.member.outbound.given.progress import Progress
from mftgit.model.names import TransferName
from mftgit.model.transfers.status import TransferState, TransferStatus, parse_transfer_status
from mftgit.model.transfers.under_way import (
    MAX_TOLD,
    Side,
    UnderWay,
    describe_rest,
    describe_under_way,
    parse_under_way,
)

T = TransferName("t")


class Ticking:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.at = 1000.0

    def boottime(self) -> float:
        return self.at

    def now(self) -> datetime:
        return datetime(2026, 11, 28, tzinfo=UTC)


def test_a_file_is_told_from_its_beginning_to_its_end_with_rate_and_rest() -> None:
    clock = Ticking()
    progress = Progress(clock=clock)
    assert progress.under_way(T) == ()
    with progress.begin(T, "a.csv", side=Side.DESTINATION, size_bytes=1000) as way:
        (told,) = progress.under_way(T)
        assert (told.done_bytes, told.bytes_per_s, told.remaining_s) == (0, None, None)
        clock.at += 2
        way.advance(500)
        (told,) = progress.under_way(T)
        assert told == UnderWay(
            path="a.csv",
            side=Side.DESTINATION,
            size_bytes=1000,
            done_bytes=500,
            elapsed_s=2.0,
            bytes_per_s=250.0,
            remaining_s=2.0,
        )
        clock.at += 60  # it stands still
        (told,) = progress.under_way(T)
        assert (told.bytes_per_s, told.remaining_s) == (0.0, None)
        assert progress.under_way(TransferName("other")) == ()
    assert progress.under_way(T) == ()
    way.advance(700)  # too late
    way.end()
    assert progress.under_way(T) == ()


def test_a_file_that_fails_is_not_under_way_any_more() -> None:
    progress = Progress(clock=Ticking())
    with (
        pytest.raises(OSError, match="gone"),
        progress.begin(T, "a", side=Side.SOURCE, size_bytes=1),
    ):
        raise OSError("gone")
    assert progress.under_way(T) == ()


def test_the_oldest_ones_are_told_and_no_more_than_a_few() -> None:
    progress = Progress(clock=Ticking())
    for number in range(MAX_TOLD + 5):
        progress.begin(T, str(number), side=Side.SOURCE, size_bytes=1)
    assert [each.path for each in progress.under_way(T)] == [str(n) for n in range(MAX_TOLD)]


def test_many_threads_move_files_at_a_time() -> None:
    progress = Progress(clock=Ticking())
    start, faults = threading.Barrier(8), []

    def move(number: int) -> None:
        start.wait()
        for turn in range(200):
            with progress.begin(T, f"{number}", side=Side.SOURCE, size_bytes=100) as way:
                way.advance(turn)
                mine = [each for each in progress.under_way(T) if each.path == str(number)]
                if [each.done_bytes for each in mine] != [turn]:
                    faults.append(number)

    threads = [threading.Thread(target=move, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert progress.under_way(T) == ()


def way(path: str = "a", *, size_bytes: int = 1000, done_bytes: int = 500) -> UnderWay:
    return UnderWay(
        path=path,
        side=Side.SOURCE,
        size_bytes=size_bytes,
        done_bytes=done_bytes,
        elapsed_s=2.0,
        bytes_per_s=250.0,
        remaining_s=200.0,
    )


def test_a_status_is_read_with_what_is_under_way() -> None:
    status = TransferStatus(
        name=T,
        owner=None,
        epoch=None,
        state=TransferState.RUNNING,
        last_run=None,
        delivered=0,
        under_way=(way(),),
    )
    assert parse_transfer_status(status.as_json()) == status


def test_more_than_is_ever_told_and_what_is_none_are_refused() -> None:
    told = way("x" * 5000).as_json()
    assert len(told["path"]) == 1000
    assert parse_under_way([told])[0].path == "x" * 1000
    with pytest.raises(ValueError, match="files under way"):
        parse_under_way([told] * (MAX_TOLD + 1))
    with pytest.raises(ValueError, match="middle"):
        parse_under_way([told | {"side": "middle"}])
    unknown = parse_under_way([told | {"bytes_per_s": None, "remaining_s": None}])[0]
    assert (unknown.bytes_per_s, unknown.remaining_s) == (None, None)
    assert unknown.as_json()["remaining_s"] is None


@pytest.mark.parametrize(
    ("size_bytes", "done_bytes", "bar"),
    [
        (1000, 500, "[##########..........]  50 %  500 B of 1.00 kB, 250 B/s, 3 min 20 s left  a"),
        (0, 0, "[####################] 100 %"),
        (1000, 2000, "[####################] 100 %"),  # it has grown since it was listed
    ],
)
def test_people_see_a_bar_the_rate_and_what_is_left(
    size_bytes: int, done_bytes: int, bar: str
) -> None:
    each = way(size_bytes=size_bytes, done_bytes=done_bytes)
    assert describe_under_way(each).startswith(bar)


def test_what_cannot_be_told_is_left_out() -> None:
    (each,) = parse_under_way([way().as_json() | {"bytes_per_s": None, "remaining_s": None}])
    assert "500 B of 1.00 kB, -  a" in describe_under_way(each)


@pytest.mark.parametrize(
    ("remaining_s", "rest"),
    [(None, "a (500 B of 1.00 kB)"), (90.0, "a (500 B of 1.00 kB, some 1 min 30 s left)")],
)
def test_what_is_still_to_come_of_a_file_is_told(remaining_s: float | None, rest: str) -> None:
    each = UnderWay(
        path="a",
        side=Side.SOURCE,
        size_bytes=1000,
        done_bytes=500,
        elapsed_s=1.0,
        bytes_per_s=None,
        remaining_s=remaining_s,
    )
    assert describe_rest(each) == rest
