"""A file that trickles is told from one that flows, and from one that stops for a while."""

import pytest
from clocks import SetClock
from hypothesis import given
from hypothesis import strategies as st

from mftgit.adapters.endpoint.flow import LEAST_BYTES_PER_S, Flow

MIB = 1 << 20


def move(flow: Flow, clock: SetClock, seconds: float, size_bytes: int) -> None:
    begun = flow.begin()
    clock.pass_s(seconds)
    flow.moved(begun, size_bytes)


@given(st.lists(st.tuples(st.floats(0, 29), st.integers(0, MIB)), max_size=50))
def test_what_is_as_fast_as_that_or_faster_flows(moves: list[tuple[float, int]]) -> None:
    clock = SetClock()
    flow = Flow(clock, timeout_s=30)
    for seconds, size_bytes in moves:
        move(flow, clock, seconds, max(size_bytes, int(LEAST_BYTES_PER_S * seconds) + 1))


@given(st.floats(0.1, 29))
def test_a_byte_now_and_then_does_not(seconds: float) -> None:
    clock = SetClock()
    flow = Flow(clock, timeout_s=30)
    begun = clock.boottime()

    def trickle() -> None:
        for _ in range(2000):
            move(flow, clock, seconds, 1)

    with pytest.raises(TimeoutError, match="too few"):
        trickle()
    assert 120 <= clock.boottime() - begun < 120 + 30


def test_a_pause_and_what_is_not_waited_for_do_no_harm() -> None:
    clock = SetClock()
    flow = Flow(clock, timeout_s=30)
    for _ in range(100):
        move(flow, clock, 29, 128 << 10)
        clock.pass_s(10_000)
        move(flow, clock, 0, 1)
    move(flow, clock, 10_000, 0)  # the machine slept
    move(flow, clock, 10_000, 1)
