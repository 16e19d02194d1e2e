"""When a member that cannot do a transfer gives it up, and for how long it leaves it to others."""

from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.transfers.failover import LONGEST_REST_S, Failover, Health, Sign

SIGNS = st.lists(st.sampled_from(Sign))


def after(signs: list[Sign]) -> Health:
    health = Health()
    for sign in signs:
        health = health.after(sign)
    return health


@given(SIGNS, st.integers(1, 5))
def test_it_is_due_after_so_many_failures_with_no_success_in_between(
    signs: list[Sign], limit: int
) -> None:
    telling = [sign for sign in signs if sign is not Sign.NEITHER]
    due = telling[-limit:] == [Sign.UNABLE] * limit
    assert Failover(after_failures=limit).is_due(after(signs).failures) is due


@given(SIGNS)
def test_with_0_it_is_never_due(signs: list[Sign]) -> None:
    assert not Failover(after_failures=0).is_due(after(signs).failures)


def test_who_takes_it_again_counts_anew_and_rests_longer_each_time_until_a_run_went_well() -> None:
    rules, health, rests = Failover(after_failures=2, cool_down_s=10), Health(), []
    for _ in range(3):
        health = health.after(Sign.UNABLE).after(Sign.UNABLE)
        rests.append(rules.rest_s(health.given_up))
        health = rules.lost(health)
        assert health.failures == 0
    assert rests == [10, 20, 40]
    assert rules.lost(health.after(Sign.UNABLE)) == health  # it was lost for another reason
    assert health.after(Sign.ABLE) == Health()


@given(st.integers(0, 10_000), st.floats(1, LONGEST_REST_S))
def test_nobody_rests_for_more_than_a_day_nor_for_less_than_the_cool_down(
    given_up: int, cool_down_s: float
) -> None:
    assert cool_down_s <= Failover(cool_down_s=cool_down_s).rest_s(given_up) <= LONGEST_REST_S
