"""One operator fills no more than a share of the log of reviews in a day."""

from mftgit.model.names import Revision
from mftgit.model.review.record import Entry, Record, Said, Via
from mftgit.model.review.share import DAY_S, MAX_A_DAY, Shares

NOW_S = 10.0 * DAY_S


def entry(said: Said, by: str, at_s: float) -> Entry:
    record = Record(
        said=said, change="x", commit=Revision("a" * 40), by=by, via=Via.CONTROLLER, text="t"
    )
    return Entry(oid=Revision("b" * 40), at_s=int(at_s), record=record)


def test_there_is_room_until_a_day_s_share_is_filled_and_again_when_the_oldest_is_a_day_old() -> (
    None
):
    shares = Shares()
    assert shares.full_for_s("ann", NOW_S) == 0.0
    for number in range(MAX_A_DAY):
        assert shares.full_for_s("ann", NOW_S + number) == 0.0
        shares.note("ann", NOW_S + number)
    end_s = NOW_S + MAX_A_DAY
    assert shares.full_for_s("ann", end_s) == DAY_S - MAX_A_DAY
    assert shares.full_for_s("bob", end_s) == 0.0
    assert shares.full_for_s("ann", NOW_S + DAY_S) == 0.0
    shares.note("ann", NOW_S + DAY_S)
    assert shares.full_for_s("ann", NOW_S + DAY_S) == 1.0


def test_what_is_in_the_log_counts_after_a_restart_but_for_what_is_old_or_for_an_emergency() -> (
    None
):
    old = [entry(Said.COMMENT, "ann", NOW_S - DAY_S)] * 5
    other = [entry(said, "ann", NOW_S) for said in (Said.BREAK_GLASS, Said.MERGE, Said.CLOSE)]
    own = [entry(Said.COMMENT, "ann", NOW_S - 5)] * (MAX_A_DAY - 1)
    shares = Shares([*old, *other, *own])
    assert shares.full_for_s("ann", NOW_S) == 0.0
    shares.note("ann", NOW_S)
    assert shares.full_for_s("ann", NOW_S) == DAY_S - 5


def test_what_says_that_it_comes_from_the_future_counts_for_nothing() -> None:
    shares = Shares([entry(Said.COMMENT, "ann", NOW_S + 100 * DAY_S)] * MAX_A_DAY)
    assert shares.full_for_s("ann", NOW_S) == 0.0
