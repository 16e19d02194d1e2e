"""The owner always stops before anybody else may begin."""

from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.ownership.lease import (
    CLOCK_RATE_ERROR,
    Observation,
    deadline,
    drain_s,
    renew_every_s,
    wait_s,
    watch_every_s,
)

RATES = st.floats(1 - CLOCK_RATE_ERROR, 1 + CLOCK_RATE_ERROR)
TTLS = st.floats(0.2, 3600)


@given(ttl_s=TTLS, owner=RATES, watcher=RATES, start=st.floats(0, 1e6), other=st.floats(0, 1e6))
def test_the_deadline_is_before_any_takeover_while_clocks_run_nearly_right(
    ttl_s: float, owner: float, watcher: float, start: float, other: float
) -> None:
    # The watcher saw the renewal the very moment it was sent; later would only make it later.
    owner_stops = (deadline(start, ttl_s) - start) / owner
    seen = Observation(beat=1, since=other)
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


def test_an_observation_lasts_until_the_beat_changes() -> None:
    first = Observation(beat=1, since=0.0)
    assert first.seen(1, 50.0) is first
    assert first.seen(2, 50.0) == Observation(beat=2, since=50.0)
    assert first.seen(None, 50.0).since == 50.0
    assert first.has_run_out(10.0, 10.0)
    assert not first.has_run_out(9.9, 10.0)


@given(ttl_s=TTLS, others=st.integers(0, 10_000))
def test_others_are_looked_at_often_where_they_are_few_and_ten_times_a_ttl_at_least(
    ttl_s: float, others: int
) -> None:
    every_s = watch_every_s(ttl_s, others)
    assert 0.1 <= every_s <= max(0.1, ttl_s / 10)
    assert others / every_s <= 20 or every_s == max(0.1, ttl_s / 10)
