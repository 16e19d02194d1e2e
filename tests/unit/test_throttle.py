"""No more than so many bytes go in a second."""

from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.transfers.throttle import BURST_S, Throttle


@given(
    st.lists(st.tuples(st.integers(0, 10**7), st.floats(0, 5)), min_size=1, max_size=50),
    st.integers(1024, 10**6),
)
def test_over_any_time_no_more_goes_than_the_limit_and_one_burst_allow(
    moves: list[tuple[int, float]], bytes_per_s: int
) -> None:
    throttle, now, moved = Throttle(bytes_per_s), 1000.0, 0
    for size_bytes, pause_s in moves:
        now += pause_s
        moved += size_bytes
        now += throttle.wait_s(size_bytes, now)
        assert moved <= bytes_per_s * (now - 1000.0 + BURST_S) * 1.000001 + 1


def test_what_was_not_used_for_long_is_not_made_up_for() -> None:
    throttle = Throttle(1000)
    assert throttle.wait_s(1000, 0.0) == 1.0
    assert throttle.wait_s(1000, 100.0) == 0.0
    assert throttle.wait_s(1000, 100.0) == 1.0
