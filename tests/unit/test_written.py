"""Bytes of a file that come in any order."""

from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.inbound.written import MAX_PIECES, Written

PIECES = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 15), st.booleans()), max_size=40)


def whole(held: set[int]) -> int:
    at = 0
    while at in held:
        at += 1
    return at


@given(PIECES, st.integers(0, 10))
def test_what_is_whole_is_told_whatever_the_order(
    pieces: list[tuple[int, int, bool]], begun: int
) -> None:
    written = Written(begun)
    held = set(range(begun))
    for start, length, cut in pieces:
        if cut:
            written.cut(start)
            held = {at for at in held if at < start}
        else:
            written.add(start, start + length)
            held |= set(range(start, start + length))
        assert written.whole_bytes == whole(held)


def test_what_lies_behind_too_many_gaps_is_forgotten() -> None:
    written = Written()
    for at in range(MAX_PIECES + 5, 0, -1):
        written.add(10 * at, 10 * at + 1)
    written.add(0, 10 * 6)
    assert (
        written.whole_bytes == 10 * 6 + 1
    )  # the pieces at 10 to 50 were not kept; the first of the kept is at 60
    written.add(61, 10 * (MAX_PIECES + 5))
    assert written.whole_bytes == 10 * (MAX_PIECES + 5) + 1


def test_neighbours_are_one_piece() -> None:
    written = Written()
    for at in range(5 * MAX_PIECES, 0, -1):
        written.add(at, at + 1)
    written.add(0, 1)
    assert written.whole_bytes == 5 * MAX_PIECES + 1
