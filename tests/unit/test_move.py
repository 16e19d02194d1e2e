"""What becomes of an operator's word that a transfer is to go to another member."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.names import MemberName, TransferName
from mftgit.model.ownership.spread import Want
from mftgit.model.ownership.standing import Standing
from mftgit.model.transfers.move import Answer, Move, answer, format_move, parse_move

ONE, TWO, T = MemberName("one"), MemberName("two"), TransferName("t")
TO_TWO = Move(to=TWO, by="ann", member="three", at="2026-11-23T08:00:00.000Z")
WELL, ASIDE, DRAINED = Standing(), Standing(aside=frozenset({T})), Standing(draining=True)


@pytest.mark.parametrize(
    ("two", "owner", "other"),
    [
        (WELL, Answer.MOVE, Answer.WAIT),
        (ASIDE, Answer.WAIT, Answer.MAKE_READY),
        (DRAINED, Answer.DROP, Answer.WAIT),
        (None, Answer.DROP, Answer.WAIT),
    ],
)
def test_the_owner_moves_it_once_the_other_is_ready_and_forgets_it_where_that_is_not_there(
    two: Standing | None, owner: Answer, other: Answer
) -> None:
    members = {ONE: WELL} if two is None else {ONE: WELL, TWO: two}
    assert answer(TO_TWO, T, Want(), members, me=ONE, mine=True) is owner
    assert answer(TO_TWO, T, Want(), members, me=TWO, mine=False) is other
    assert answer(TO_TWO, T, Want(), members, me=ONE, mine=False) is Answer.WAIT


def test_a_word_that_is_carried_out_or_goes_where_it_may_not_is_dropped() -> None:
    members = {ONE: WELL, TWO: WELL}
    assert answer(TO_TWO, T, Want(), members, me=TWO, mine=True) is Answer.DROP
    narrow = Want(eligible=frozenset({ONE}))
    assert answer(TO_TWO, T, narrow, members, me=ONE, mine=True) is Answer.DROP


@given(st.text(max_size=50), st.text(max_size=50))
def test_a_word_is_read_as_it_was_written(by: str, at: str) -> None:
    move = Move(to=TWO, by=by, member="m", at=at)
    assert parse_move(format_move(move)) == move


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "Expecting value"),
        (b"[]", "not a word of an operator"),
        (b'{"to": "../x"}', "name"),
        (b"\xff", "decode"),
    ],
)
def test_what_is_no_word_is_refused(content: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_move(content)
