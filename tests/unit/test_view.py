"""What members tell, and what is made of it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.names import Epoch, MemberName, TransferName
from mftgit.model.ownership.session import Told, format_told, parse_told, see_sessions
from mftgit.model.ownership.standing import MAX_KEYS, MAX_WHY, Handover, Standing, parse_standing
from mftgit.model.ownership.view import FREE, View

ONE, TWO = MemberName("one"), MemberName("two")
T, U = TransferName("t"), TransferName("u")
NAMES = st.sampled_from([T, U, TransferName("ü/x")])
EPOCHS = st.integers(0, 2**62).map(Epoch)
HANDOVERS = st.builds(
    Handover,
    epoch=EPOCHS,
    why=st.text(max_size=MAX_WHY),
    to=st.none() | st.sampled_from([ONE, TWO]),
    stays=st.booleans(),
)
STANDINGS = st.builds(
    Standing,
    draining=st.booleans(),
    aside=st.frozensets(NAMES),
    handovers=st.dictionaries(NAMES, HANDOVERS),
)
TOLD = st.builds(
    Told,
    member=st.just(ONE),
    ttl_s=st.floats(0.1, 300),
    closed=st.booleans(),
    standing=STANDINGS,
    holds=st.dictionaries(
        NAMES,
        st.builds(
            View,
            owner=st.just(ONE),
            epoch=EPOCHS,
            why=st.text(max_size=MAX_WHY),
            since=st.none() | st.just("2026-11-29T05:00:00Z"),
        ),
    ),
)


@given(told=TOLD)
def test_what_is_told_is_read_as_it_was_told(told: Told) -> None:
    assert parse_told(format_told(told), member=ONE, ttl_s=7) == told


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"{",
        b"[]",
        b"{}",
        b'{"holds": 1}',
        b'{"holds": [1], "ttl_s": 1, "closed": false, "standing": {}}',
        b"[" * 100_000,
        json.dumps({"holds": {str(number): 0 for number in range(MAX_KEYS + 1)}}).encode(),
    ],
)
def test_what_is_damaged_tells_that_somebody_lives_and_has_the_ttl_that_is_usual(
    content: bytes,
) -> None:
    assert parse_told(content, member=ONE, ttl_s=7) == Told(member=ONE, ttl_s=7)


@pytest.mark.parametrize(
    "value",
    [
        {"draining": False, "aside": [], "handovers": []},
        {"draining": False, "aside": [], "handovers": {"t": {"epoch": 1, "why": "", "to": "../x", "stays": False}}},
        {"draining": False, "aside": [], "handovers": {"t": {"epoch": 1, "why": "", "to": 3, "stays": False}}},
    ],
)  # fmt: skip
def test_a_standing_that_is_damaged_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="not the"):
        parse_standing(value)


def held(
    member: MemberName, epoch: int, *, handovers: dict[TransferName, Handover] | None = None
) -> Told:
    return Told(
        member=member,
        ttl_s=10,
        holds={T: View(owner=member, epoch=Epoch(epoch))} if epoch else {},
        standing=Standing(handovers=handovers or {}),
    )


def test_the_highest_epoch_counts() -> None:
    sight = see_sessions([held(ONE, 2), held(TWO, 1)], [])
    assert sight.views[T].owner == ONE
    assert see_sessions([held(ONE, 1), held(TWO, 2)], []).views[T].owner == TWO


def test_a_handover_counts_until_a_higher_epoch_is_owned() -> None:
    words = Handover(epoch=Epoch(2), why="drained")
    sight = see_sessions([held(ONE, 0, handovers={T: words})], [])
    assert sight.views[T] == View(epoch=Epoch(2), handover=words)
    sight = see_sessions([held(ONE, 0, handovers={T: words}), held(TWO, 3)], [])
    assert sight.views[T].owner == TWO
    sight = see_sessions([held(ONE, 2, handovers={T: words})], [])
    assert sight.views[T].owner is None


def test_what_a_session_that_is_over_held_is_free_and_says_why() -> None:
    sight = see_sessions([held(TWO, 0)], [held(ONE, 2), Told(member=None)])
    assert sight.members.keys() == {TWO}
    assert sight.views[T].handover == Handover(epoch=Epoch(2), why="one was silent for 10 s")
    assert see_sessions([Told(member=None)], []).members == {}
    assert FREE.owner is None
