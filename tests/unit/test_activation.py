"""A member's record moves only as the table says."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model import activation
from mftgit.model.activation import NEXT, OutOfOrderError, Record, Stage
from mftgit.model.names import Revision

A, B, C = (Revision(digit * 40) for digit in "abc")


def active(oid: Revision, *, seq: int = 1) -> Record:
    return activation.activated(
        activation.activating(activation.attempt(Record(), oid=oid, seq=seq))
    )


def test_an_activated_candidate_is_active_anchor_and_last_known_good() -> None:
    record = active(A)
    assert (record.active, record.anchor, record.lkg, record.stage) == (A, A, A, Stage.ACTIVATED)


@pytest.mark.parametrize("ending", ["refused", "held"])
def test_a_candidate_that_does_not_come_through_changes_nothing_that_runs(ending: str) -> None:
    running = active(A)
    attempted = activation.attempt(running, oid=B, seq=2)
    if ending == "refused":
        after = activation.refused(attempted, reason="a typo", version="1")
    else:
        after = activation.held(attempted, reason="history was rewritten")
    assert (after.active, after.anchor, after.lkg) == (A, A, A)
    assert (after.attempted, after.seq) == (B, 2)
    assert after.reason


def test_a_replayed_head_is_not_news() -> None:
    record = active(B, seq=5)
    assert not activation.is_news(record, oid=A, seq=4, version="1")


def test_what_was_activated_is_not_news_again() -> None:
    record = active(A)
    assert not activation.is_news(record, oid=A, seq=2, version="1")
    assert activation.is_news(record, oid=B, seq=2, version="1")


def test_what_was_refused_is_tried_again_only_by_another_version() -> None:
    record = activation.refused(
        activation.attempt(Record(), oid=A, seq=1), reason="no", version="1"
    )
    assert not activation.is_news(record, oid=A, seq=1, version="1")
    assert activation.is_news(record, oid=A, seq=1, version="2")


def test_what_was_held_stays_held_until_another_revision_comes() -> None:
    record = activation.held(activation.attempt(active(A), oid=B, seq=2), reason="rewritten")
    assert not activation.is_news(record, oid=B, seq=9, version="2")
    assert activation.is_news(record, oid=C, seq=3, version="1")


def test_what_was_decided_for_runs_after_a_restart_and_is_not_attempted_again() -> None:
    record = activation.activating(activation.attempt(active(A), oid=B, seq=2))
    assert (record.active, record.anchor, record.lkg, record.stage) == (B, B, B, Stage.ACTIVATING)
    assert not activation.is_news(record, oid=B, seq=2, version="2")
    assert activation.attempt(record, oid=C, seq=3).active == B


def test_a_removed_member_keeps_in_mind_what_it_ran() -> None:
    gone = activation.removed(active(A))
    assert (gone.removed, gone.active) == (True, A)
    assert activation.let_in(gone) == active(A)


def test_a_record_of_before_there_were_removals_is_read() -> None:
    value = json.loads(activation.format_record(active(A)))
    del value["removed"]
    assert activation.parse_record(json.dumps(value).encode()) == active(A)


def test_what_was_broken_off_is_tried_again() -> None:
    record = activation.attempt(Record(), oid=A, seq=1)
    assert activation.is_news(record, oid=A, seq=1, version="1")


def test_what_could_not_be_decided_is_tried_again_and_forgets_why_once_it_is_decided() -> None:
    record = activation.put_off(activation.attempt(active(A), oid=B, seq=2), reason="no gpg")
    assert (record.active, record.anchor, record.reason) == (A, A, "no gpg")
    assert activation.is_news(record, oid=B, seq=2, version="1")
    assert activation.attempt(record, oid=B, seq=2).reason is None
    assert activation.activating(record).reason is None


def test_an_illegal_move_raises() -> None:
    with pytest.raises(OutOfOrderError, match="none cannot be activated"):
        activation.activated(Record())


events = st.lists(
    st.tuples(
        st.sampled_from(["attempt", "activating", "activated", "refused", "held"]),
        st.sampled_from([A, B, C]),
    )
)


@given(events)
def test_the_active_revision_is_always_one_that_was_decided_for(
    moves: list[tuple[str, Revision]],
) -> None:
    record, decided = Record(), {Record().active}
    for seq, (move, oid) in enumerate(moves, start=1):
        before = record
        try:
            match move:
                case "attempt":
                    record = activation.attempt(record, oid=oid, seq=seq)
                case "activating":
                    record = activation.activating(record)
                    decided.add(record.active)
                case "activated":
                    record = activation.activated(record)
                case "refused":
                    record = activation.refused(record, reason="x", version="1")
                case _:
                    record = activation.held(record, reason="x")
        except OutOfOrderError:
            assert record is before
        else:
            assert (before.stage, record.stage) in NEXT
        assert record.active in decided
        assert record.anchor == record.active == record.lkg


@given(
    st.builds(
        Record,
        seq=st.integers(0, 9),
        stage=st.sampled_from(Stage),
        active=st.sampled_from([None, A]),
        anchor=st.sampled_from([None, A]),
        lkg=st.sampled_from([None, A]),
        attempted=st.sampled_from([None, B]),
        reason=st.none() | st.text(),
        checked_by=st.none() | st.text(),
        removed=st.booleans(),
    )
)
def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    assert activation.parse_record(activation.format_record(record)) == record


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"seq": 1}', b"\xff"])
def test_a_damaged_record_is_noticed(content: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        activation.parse_record(content)
