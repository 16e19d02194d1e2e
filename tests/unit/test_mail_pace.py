"""A broken partner is one mail and not a thousand."""

import json

from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.handlers.mail_pace import MOST_TOLD, Pace

NOW = 1e9


def pace(most: int = 4) -> Pace:
    return Pace(settle_s=10.0, digest_s=900.0, at_most_per_hour=most)


def test_what_is_new_is_told_soon_and_more_of_it_seldom() -> None:
    it = pace()
    assert it.due_in_s("a", NOW) == 10.0
    it.sent(["a"], NOW + 10)
    assert it.due_in_s("a", NOW + 11) == 899.0
    assert it.due_in_s("b", NOW + 11) == 10.0
    assert it.due_in_s("a", NOW + 910) == 10.0


def test_no_more_mails_go_out_than_may_whatever_is_new() -> None:
    it = pace(2)
    it.sent(["a"], NOW)
    assert it.held_back_s(NOW) == 0.0
    it.sent(["b"], NOW + 100)
    assert it.due_in_s("c", NOW + 200) == 3400.0
    assert it.held_back_s(NOW + 200) == 3400.0
    assert it.due_in_s("c", NOW + 3600) == 10.0


def test_what_was_told_outlives_a_process() -> None:
    it, again = pace(1), pace(1)
    it.sent(["a"], NOW)
    again.resume(json.loads(json.dumps(it.as_json())), NOW + 1)
    assert again.due_in_s("a", NOW + 1) == 3599.0
    again.resume(None, NOW)
    again.resume({"told": {"a": NOW + 10**6}, "mails": [NOW + 10**6]}, NOW)
    assert again.due_in_s("a", NOW) == 3600.0


def test_what_is_remembered_is_bounded() -> None:
    it = pace()
    it.sent([str(number) for number in range(MOST_TOLD + 10)], NOW)
    assert len(it.as_json()["told"]) == MOST_TOLD
    it.sent(["x"], NOW + 10**6)
    assert it.as_json() == {"told": {"x": NOW + 10**6}, "mails": [NOW + 10**6]}


@given(st.lists(st.tuples(st.floats(0, 2000), st.sampled_from("abcdef")), max_size=200))
def test_in_no_hour_are_there_more_mails_than_may_be(events: list[tuple[float, str]]) -> None:
    it, now, waiting, mails = pace(3), NOW, dict[str, float](), list[float]()
    for later_s, sort in events:
        now += later_s
        while waiting and (due := min(waiting.values())) <= now:
            mails.append(due)
            it.sent(waiting, due)
            waiting = {}
        waiting.setdefault(sort, now + it.due_in_s(sort, now))
    assert all(second - first >= 3599.9 for first, second in zip(mails, mails[3:], strict=False))
