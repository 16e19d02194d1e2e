"""Lots that are under way together: how many, in which order, and what one that fails means for the others."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Barrier, Event, get_ident

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mftgit.member.outbound.given.turns import Turns
from mftgit.member.outbound.ownership.own import OwnershipEndedError

PATIENCE_S = 20


@dataclass(frozen=True)
class Some:
    """A lot."""

    number: int
    is_alone: bool = False


def lots(count: int) -> Iterator[Some]:
    return (Some(number) for number in range(count))


def carried_out(
    work: Callable[[Turns, Some], None], given: Iterator[Some], at_once: int = 2
) -> None:
    turns = Turns()
    turns.carry_out(given, lambda lot: work(turns, lot), at_once=at_once)


def test_one_waits_while_the_other_goes_on() -> None:
    both = Barrier(2)

    def work(turns: Turns, _: Some) -> None:
        with turns.aside():
            both.wait(PATIENCE_S)

    carried_out(work, lots(6))


@pytest.mark.parametrize(("count", "at_once"), [(0, 2), (1, 2), (5, 1)])
def test_what_needs_no_other_thread_has_none(count: int, at_once: int) -> None:
    seen: list[tuple[int, int]] = []

    def work(turns: Turns, lot: Some) -> None:
        turns.hold({"name"})
        with turns.aside(), turns.in_order():
            seen.append((lot.number, get_ident()))

    carried_out(work, lots(count), at_once)
    assert seen == [(number, get_ident()) for number in range(count)]


@given(st.lists(st.booleans(), max_size=12), st.integers(1, 3))
@settings(deadline=None, max_examples=30)
def test_they_are_published_in_order_and_one_has_the_turn(alone: list[bool], at_once: int) -> None:
    published: list[int] = []
    inside, under_way = 0, set[int]()

    def work(turns: Turns, lot: Some) -> None:
        nonlocal inside
        inside += 1
        under_way.add(lot.number)
        assert len(under_way) <= (1 if lot.is_alone else at_once)
        assert inside == 1
        inside -= 1
        with turns.aside():
            pass
        inside += 1
        assert inside == 1
        inside -= 1
        with turns.in_order():
            with turns.aside():
                pass
            published.append(lot.number)
        under_way.discard(lot.number)

    carried_out(work, (Some(*each) for each in enumerate(alone)), at_once)
    assert published == list(range(len(alone)))


def test_a_later_one_waits_for_the_names_of_an_earlier_one() -> None:
    second_waits = Event()
    order: list[int] = []

    def work(turns: Turns, lot: Some) -> None:
        if lot.number == 0:
            with turns.aside():  # the second one comes first, and must not go ahead
                second_waits.wait(PATIENCE_S)
            turns.hold({"same", "other"})
        else:
            second_waits.set()
            turns.hold({"same"})
        order.append(lot.number)
        with turns.aside():
            pass

    carried_out(work, lots(2))
    assert order == [0, 1]


def test_other_names_wait_for_nobody() -> None:
    both = Barrier(2)

    def work(turns: Turns, lot: Some) -> None:
        turns.hold({f"{lot.number}"})
        with turns.aside():
            both.wait(PATIENCE_S)

    carried_out(work, lots(2))


def test_after_an_error_those_under_way_end_and_no_other_begins() -> None:
    begun: list[int] = []
    ended: list[int] = []
    second_is_there = Event()

    def work(turns: Turns, lot: Some) -> None:
        begun.append(lot.number)
        if lot.number == 0:
            with turns.aside():
                second_is_there.wait(PATIENCE_S)
            raise OwnershipEndedError("over")
        with turns.aside():
            second_is_there.set()
        with turns.in_order():
            ended.append(lot.number)

    with pytest.raises(OwnershipEndedError, match="over"):
        carried_out(work, lots(9))
    assert ended == begun[1:]
    assert begun[:2] == [0, 1]
    assert len(begun) < 9


def test_what_the_lots_themselves_raise_is_raised() -> None:
    def failing() -> Iterator[Some]:
        yield from lots(3)
        raise LookupError("no more")

    with pytest.raises(LookupError):
        carried_out(lambda _turns, _lot: None, failing())
    assert threading.active_count() == 1 or not any(
        thread.name.startswith("lane") for thread in threading.enumerate()
    )
