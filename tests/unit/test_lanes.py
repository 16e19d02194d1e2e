"""Many files over several lanes: each once, in the order asked, and an error ends all."""

from collections.abc import Iterator
from itertools import islice
from threading import Barrier, Lock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.adapters.endpoint import EndpointLostError
from mftgit.member.outbound.lanes import HaltedError, spread
from mftgit.member.outbound.own import OwnershipEndedError


@given(st.lists(st.integers()), st.integers(0, 5), st.integers(1, 7))
def test_what_became_of_each_comes_in_the_order_asked(
    items: list[int], more: int, greedy: int
) -> None:
    took: list[int] = []
    lock = Lock()

    def call(lane: int, some: Iterator[int]) -> list[str]:
        ended = []
        for item in some:
            with lock:
                took.append(lane)
            ended.append(f"{item}")
            if lane == 0:  # which takes more at a time than others
                ended.extend(str(each) for each in islice(some, greedy - 1))
        return ended

    assert spread(0, lambda: list(range(1, more + 1)), call, items) == [str(i) for i in items]
    assert set(took) <= set(range(more + 1))


def test_the_lanes_work_at_the_same_time() -> None:
    meet = Barrier(3)

    def call(_lane: int, some: Iterator[int]) -> list[int]:
        ended = []
        for item in some:
            meet.wait(20)
            ended.append(item)
        return ended

    assert spread(0, lambda: [1, 2], call, range(6)) == list(range(6))


def test_for_one_item_no_further_lane_is_asked_for() -> None:
    def more() -> list[int]:
        raise AssertionError("not needed")

    assert spread(0, more, lambda _, some: list(some), [7]) == [7]
    assert spread(0, more, lambda _, some: list(some), []) == []


@pytest.mark.parametrize("lane", [0, 1])
def test_a_lane_that_is_lost_ends_the_others(lane: int) -> None:
    took: list[int] = []

    def call(mine: int, some: Iterator[int]) -> list[int]:
        for item in some:
            if mine == lane:
                raise EndpointLostError("gone")
            took.append(item)
        return took

    def endless() -> Iterator[int]:
        at = 0
        while True:
            yield (at := at + 1)

    with pytest.raises(EndpointLostError):
        spread(0, lambda: [1], call, endless())


def test_that_the_ownership_has_ended_is_told_before_a_loss() -> None:
    meet = Barrier(2)

    def call(lane: int, some: Iterator[int]) -> list[int]:
        next(some)
        meet.wait(20)
        raise OwnershipEndedError("over") if lane else EndpointLostError("gone")

    with pytest.raises(OwnershipEndedError):
        spread(0, lambda: [1], call, range(9))


@pytest.mark.parametrize("halted", [0, 1])
def test_what_halted_a_lane_is_told_before_that_it_was(halted: int) -> None:
    meet = Barrier(2)

    def call(lane: int, some: Iterator[int]) -> list[int]:
        next(some)
        meet.wait(20)
        raise HaltedError("by another") if lane == halted else EndpointLostError("gone")

    with pytest.raises(EndpointLostError, match="gone"):
        spread(0, lambda: [1], call, range(9))


def test_an_error_of_the_items_passes_through() -> None:
    def items() -> Iterator[int]:
        yield from (1, 2, 3)
        raise OwnershipEndedError("over")

    with pytest.raises(OwnershipEndedError):
        spread(0, lambda: [1, 2], lambda _, some: list(some), items())
