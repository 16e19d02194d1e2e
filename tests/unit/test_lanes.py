"""Each event of a handler is handled, in the order of its lane, and no lane waits for another."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.handlers.lanes import MOST_LANES, Lanes, parse_lanes


def test_an_event_waits_in_its_lane_until_it_was_handled() -> None:
    lanes = Lanes(10)
    lanes.noticed("a", 12, due_at=0.0)
    lanes.passed(13)
    assert (lanes.due(1.0), lanes.waiting, lanes.oldest) == (["a"], 1, 11)
    assert lanes.begin("a") == (11, 13)
    assert (lanes.due(1.0), lanes.next_due_at()) == ([], math.inf)
    lanes.handled("a", 13, 1)
    assert lanes.ended("a") == 0
    assert (lanes.due(1.0), lanes.waiting, lanes.oldest) == ([], 0, 13)


def test_what_comes_while_a_lane_is_at_work_has_it_due_again() -> None:
    lanes = Lanes(0)
    lanes.noticed("a", 1, due_at=0.0)
    lanes.passed(1)
    lanes.begin("a")
    lanes.noticed("a", 2, due_at=5.0)
    lanes.passed(2)
    lanes.handled("a", 1, 1)
    lanes.ended("a")
    assert (lanes.due(4.0), lanes.due(5.0), lanes.next_due_at()) == ([], ["a"], 5.0)
    assert lanes.begin("a") == (1, 2)


def test_what_the_log_let_go_of_is_counted() -> None:
    lanes = Lanes(0)
    for position in (1, 2, 3):
        lanes.noticed("a", position, due_at=0.0)
    lanes.passed(3)
    lanes.begin("a")
    lanes.noticed("a", 4, due_at=0.0)
    lanes.handled("a", 3, 1)
    assert (lanes.ended("a"), lanes.waiting) == (2, 1)
    lanes.begin("a")
    lanes.handled("a", 4, 0)
    assert (lanes.ended("a"), lanes.waiting) == (1, 0)


def test_a_lane_that_fails_waits_alone_and_longer_each_time() -> None:
    lanes = Lanes(0)
    for position, key in enumerate("ab", 1):
        lanes.noticed(key, position, due_at=0.0)
    lanes.passed(2)
    lanes.begin("a")
    assert lanes.failed("a") == 1
    lanes.put_off("a", 9.0)
    assert lanes.due(1.0) == ["b"]
    lanes.noticed("a", 3, due_at=1.0)
    assert (lanes.due(1.0), lanes.failures) == (["b"], 1)
    lanes.begin("a")
    assert lanes.failed("a") == 2
    lanes.put_off("a", 20.0)
    lanes.begin("a")
    lanes.handled("a", 3, 0)
    assert lanes.failures == 2
    lanes.handled("a", 3, 1)
    assert lanes.failures == 0


def test_an_event_that_is_due_sooner_brings_its_lane_forward() -> None:
    lanes = Lanes(0)
    lanes.noticed("", 1, due_at=900.0)
    lanes.noticed("", 2, due_at=10.0)
    lanes.noticed("", 3, due_at=500.0)
    assert lanes.next_due_at() == 10.0


def test_so_many_lanes_and_no_more_are_kept() -> None:
    lanes = Lanes(0)
    for number in range(MOST_LANES):
        assert not lanes.is_full
        lanes.noticed(str(number), number + 1, due_at=0.0)
    assert lanes.is_full


def test_lanes_outlive_a_process() -> None:
    lanes = Lanes(3)
    lanes.noticed("a", 4, due_at=0.0)
    lanes.passed(7)
    lanes.begin("a")
    lanes.failed("a")
    again = parse_lanes(json.loads(json.dumps(lanes.as_json())))
    again.resume(2.0)
    assert (again.head, again.oldest, again.waiting, again.failures) == (7, 3, 1, 1)
    assert (again.due(1.0), again.due(2.0)) == ([], ["a"])


@pytest.mark.parametrize(
    "value", [None, {}, {"head": "x", "lanes": {}}, {"head": 1, "lanes": {"a": 3}}, []]
)
def test_what_is_damaged_is_told(value: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  of any words
        parse_lanes(value)


def by_key(log: list[str], seen: list[int]) -> list[list[int]]:
    return [[position for position in seen if log[position - 1] == key] for key in "abc"]


@given(
    keys=st.lists(st.sampled_from("abc"), max_size=30),
    script=st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 2), st.booleans(), st.booleans()), max_size=60
    ),
)
def test_whatever_fails_and_whenever_it_is_restarted_no_event_is_lost_nor_out_of_order(
    keys: list[str], script: list[tuple[int, int, bool, bool]]
) -> None:
    log, lanes, looked, now = keys, Lanes(0), 0, 0.0
    seen: list[int] = []

    def look(more: int) -> None:
        nonlocal looked
        for _ in range(min(more, len(log) - looked)):
            looked += 1
            lanes.noticed(log[looked - 1], looked, due_at=now)
            lanes.passed(looked)

    def work(key: str, meanwhile: int, *, fails: bool) -> None:
        after, upto = lanes.begin(key)
        look(meanwhile)
        for position in range(after + 1, upto + 1):
            if log[position - 1] == key:
                if fails:
                    lanes.failed(key)
                    lanes.put_off(key, now)
                    return
                seen.append(position)
                lanes.handled(key, position, 1)
        assert lanes.ended(key) == 0

    for more, meanwhile, fails, restarts in [*script, *[(len(log), 0, False, False)] * 4]:
        look(more)
        if restarts:
            lanes = parse_lanes(json.loads(json.dumps(lanes.as_json())))
        for key in lanes.due(now):
            work(key, meanwhile, fails=fails)
    assert sorted(seen) == list(range(1, len(log) + 1))
    assert all(mine == sorted(mine) for mine in by_key(log, seen))
    assert lanes.waiting == 0
