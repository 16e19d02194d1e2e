"""Guessing passwords becomes slower with each wrong one, and never slower for anybody else."""

from hypothesis import given
from hypothesis import strategies as st

from mftgit.model import brake
from mftgit.model.brake import FORGET_S, FREE_TRIES, LONGEST_WAIT_S, Brake


def failed(times: int, *, every_s: float = 0.0) -> tuple[Brake, float]:
    made, now = Brake(), 100.0
    for _ in range(times):
        now += every_s
        made.failed("k", now)
    return made, now


def test_a_few_mistakes_cost_nothing_and_each_more_doubles_the_wait() -> None:
    for times in range(FREE_TRIES):
        made, now = failed(times)
        assert made.waits_s("k", now) == 0
    waits = [failed(times)[0].waits_s("k", 100.0) for times in range(FREE_TRIES, FREE_TRIES + 9)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_wait_passes_and_nobody_else_waits() -> None:
    made, now = failed(FREE_TRIES + 2)
    assert made.waits_s("k", now + 1.0) == 3.0
    assert made.waits_s("k", now + 4.0) == 0
    assert made.waits_s("other", now) == 0


def test_a_success_and_a_long_time_make_all_forgotten() -> None:
    made, now = failed(FREE_TRIES + 5)
    made.succeeded("k")
    assert made.waits_s("k", now) == 0
    made, now = failed(FREE_TRIES + 5)
    made.failed("k", now + FORGET_S)
    assert made.waits_s("k", now + FORGET_S) == 0


def test_the_latest_are_remembered() -> None:
    made = Brake()
    for _ in range(FREE_TRIES + 3):
        made.failed("first", 0.0)
    for number in range(brake._MOST):
        made.failed(number, 0.0)
    assert made.waits_s("first", 0.0) == 0
    assert len(made._failures) == brake._MOST


@given(st.lists(st.floats(0, 100), max_size=40))
def test_nobody_ever_waits_for_longer_than_a_minute(gaps: list[float]) -> None:
    made, now = Brake(), 0.0
    for gap in gaps:
        now += gap
        made.failed("k", now)
        assert made.waits_s("k", now) <= LONGEST_WAIT_S
