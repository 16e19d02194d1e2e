"""The owner always stops before anybody else may begin."""

from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.lease import (
    CLOCK_RATE_ERROR,
    Observation,
    deadline,
    drain_s,
    preference_delay_s,
    renew_every_s,
    wait_s,
    watch_every_s,
)
from mftgit.model.names import MemberName

RATES = st.floats(1 - CLOCK_RATE_ERROR, 1 + CLOCK_RATE_ERROR)
TTLS = st.floats(0.2, 3600)


@given(ttl_s=TTLS, owner=RATES, watcher=RATES, start=st.floats(0, 1e6), other=st.floats(0, 1e6))
def test_the_deadline_is_before_any_takeover_while_clocks_run_nearly_right(
    ttl_s: float, owner: float, watcher: float, start: float, other: float
) -> None:
    # The watcher saw the renewal the very moment it was sent; later would only make it later.
    owner_stops = (deadline(start, ttl_s) - start) / owner
    seen = Observation(epoch=1, beat="1", since=other)
    takes = wait_s(ttl_s) / watcher
    assert owner_stops < takes
    assert not seen.has_run_out(other + owner_stops * watcher, ttl_s)


@given(ttl_s=TTLS)
def test_two_renewals_may_fail_and_the_third_is_in_time(ttl_s: float) -> None:
    assert 2 * renew_every_s(ttl_s) < deadline(0, ttl_s)


@given(ttl_s=TTLS)
def test_what_is_left_for_draining_is_a_second_or_a_tenth_or_less_for_a_short_ttl(
    ttl_s: float,
) -> None:
    drain = drain_s(ttl_s)
    assert 0 < drain <= ttl_s / 4
    if ttl_s >= 10:
        assert drain == ttl_s / 10
    elif ttl_s >= 4:
        assert drain == 1.0


def test_an_observation_lasts_until_anything_changes() -> None:
    first = Observation(epoch=1, beat="a", since=0.0)
    assert first.seen(1, "a", 50.0) is first
    assert first.seen(1, "b", 50.0) == Observation(epoch=1, beat="b", since=50.0)
    assert first.seen(2, "a", 50.0).since == 50.0
    assert first.seen(1, None, 50.0).since == 50.0
    assert first.has_run_out(10.2, 10.0)
    assert not first.has_run_out(10.1, 10.0)


def test_a_free_lease_is_left_to_those_that_are_preferred() -> None:
    a, b, c = MemberName("a"), MemberName("b"), MemberName("c")
    assert preference_delay_s((), a, ttl_s=10) == 0
    assert preference_delay_s((a, b), a, ttl_s=10) == 0
    assert preference_delay_s((a, b), b, ttl_s=10) == 5
    assert preference_delay_s((a, b), c, ttl_s=10) == 10
    assert preference_delay_s((a,) * 9, c, ttl_s=10) == 20


def test_looks_are_never_more_often_than_ten_a_second() -> None:
    assert watch_every_s(0.5) == 0.1
    assert watch_every_s(15) == 1.5
