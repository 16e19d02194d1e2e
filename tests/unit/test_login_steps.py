"""What a client may try next, and when it is in."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.inbound.account import Factor
from mftgit.model.inbound.login_steps import (
    Method,
    Require,
    asked_for,
    is_enough,
    methods,
    offered_to_all,
    useful,
)

KEY, PASSWORD, TOTP = Factor.KEY, Factor.PASSWORD, Factor.TOTP
SETS = tuple(frozenset(each) for n in range(4) for each in combinations(Factor, n))
requires = st.lists(st.sampled_from(SETS), max_size=4).map(tuple)


def _of(*ways: set[Factor]) -> Require:
    return tuple(map(frozenset, ways))


@pytest.mark.parametrize(
    ("require", "passed", "left"),
    [
        (_of({KEY}), set(), {KEY}),
        (_of({KEY}, {PASSWORD}), set(), {KEY, PASSWORD}),
        (_of({KEY, PASSWORD}), {PASSWORD}, {KEY}),
        (_of({PASSWORD, TOTP}), set(), {PASSWORD}),
        (_of({PASSWORD, TOTP}), {PASSWORD}, {TOTP}),
        (_of({KEY, PASSWORD, TOTP}), {KEY}, {PASSWORD}),
        (_of({KEY}, {PASSWORD, TOTP}), {PASSWORD}, {KEY, TOTP}),
        (_of({TOTP}), set(), set()),
        ((), set(), set()),
    ],
)
def test_what_is_offered_brings_one_nearer(
    require: Require, passed: set[Factor], left: set[Factor]
) -> None:
    assert useful(require, frozenset(passed)) == left


@given(requires, st.sampled_from(SETS))
def test_a_one_time_code_is_never_the_first_thing_that_is_proved(
    require: Require, passed: frozenset[Factor]
) -> None:
    if TOTP in useful(require, passed):
        assert any(TOTP in way and way - passed == {TOTP} for way in require)
        assert passed
    assert TOTP not in useful(require, frozenset())


@given(requires.filter(lambda require: any(len(way - {TOTP}) for way in require)))
def test_who_does_what_is_offered_gets_in(require: Require) -> None:
    passed: frozenset[Factor] = frozenset()
    while not is_enough(require, passed):
        step = useful(require, passed) - passed
        assert step
        passed |= {min(step, key=lambda factor: factor.value)}


def test_nobody_is_in_by_nothing() -> None:
    assert not is_enough(_of(set()), frozenset())
    assert not is_enough((), frozenset(Factor))
    assert is_enough(_of({KEY, TOTP}, {PASSWORD}), frozenset({PASSWORD}))


@pytest.mark.parametrize(
    ("require", "passed", "asked"),
    [
        (_of({KEY}), set(), PASSWORD),
        (_of({PASSWORD, TOTP}), {PASSWORD}, TOTP),
        (_of({KEY, PASSWORD}), {KEY}, PASSWORD),
        (_of({KEY, PASSWORD}), {PASSWORD}, None),
        (_of({KEY, TOTP}, {PASSWORD}), {KEY}, TOTP),
    ],
)
def test_a_conversation_asks_for_what_is_lacking(
    require: Require, passed: set[Factor], asked: Factor | None
) -> None:
    assert asked_for(require, frozenset(passed)) is asked


def test_everybody_is_offered_the_same_whatever_the_account_needs() -> None:
    keys, passwords = _of({KEY}), _of({PASSWORD, TOTP})
    assert offered_to_all([keys]) == (Method.KEY,)
    assert offered_to_all([keys, passwords]) == (Method.KEY, Method.PASSWORD, Method.INTERACTIVE)
    assert offered_to_all([passwords]) == (Method.PASSWORD, Method.INTERACTIVE)
    assert offered_to_all([]) == (Method.KEY, Method.PASSWORD, Method.INTERACTIVE)
    assert methods({TOTP}) == (Method.INTERACTIVE,)
