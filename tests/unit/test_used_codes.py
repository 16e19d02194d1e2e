from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.inbound.used_codes import KEPT_STEPS, UsedCodes
from mftgit.model.names import AccountName

ACME, OTHER = AccountName("acme"), AccountName("other")
NOW = 60_000_000


def test_a_code_opens_once_and_never_after_a_later_one() -> None:
    codes = UsedCodes()

    assert codes.take(ACME, NOW, now=NOW)
    assert not codes.take(ACME, NOW, now=NOW)
    assert not codes.take(ACME, NOW - 1, now=NOW)
    assert codes.take(ACME, NOW + 1, now=NOW)
    assert codes.take(OTHER, NOW, now=NOW)
    assert codes.recent(now=NOW) == {ACME: NOW + 1, OTHER: NOW}


def test_a_code_that_was_used_elsewhere_opens_nothing_here() -> None:
    codes = UsedCodes()
    codes.learn(ACME, NOW, now=NOW)
    codes.learn(ACME, NOW - 1, now=NOW)

    assert not codes.take(ACME, NOW, now=NOW)
    assert codes.take(ACME, NOW + 1, now=NOW)


def test_nobody_is_shut_out_by_what_another_member_says_of_times_to_come() -> None:
    codes = UsedCodes()
    codes.learn(ACME, NOW + 3, now=NOW)
    codes.learn(ACME, NOW - KEPT_STEPS - 1, now=NOW)

    assert not codes.recent(now=NOW)
    assert codes.take(ACME, NOW, now=NOW)


def test_where_too_many_are_kept_in_mind_none_is_taken_until_some_are_old() -> None:
    codes = UsedCodes(most=1)
    assert codes.take(ACME, NOW, now=NOW)
    codes.learn(OTHER, NOW, now=NOW)

    assert not codes.take(OTHER, NOW, now=NOW)
    assert codes.take(OTHER, NOW + KEPT_STEPS + 1, now=NOW + KEPT_STEPS + 1)
    assert list(codes.recent(now=NOW + KEPT_STEPS + 1)) == [OTHER]


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 4), st.booleans()), max_size=30))
def test_of_two_members_that_hear_of_each_other_none_takes_what_was_used(
    tries: list[tuple[int, int, bool]],
) -> None:
    members, used, now = (UsedCodes(), UsedCodes()), set[int](), NOW
    for off, later, first in tries:
        now += later
        step = now + max(-1, min(off, 1))
        taken = members[first].take(ACME, step, now=now)
        assert not (taken and step in used)
        if taken:
            used.add(step)
            members[not first].learn(ACME, step, now=now)
