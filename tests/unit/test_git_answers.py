"""Answers that are kept for others, worked out once for all who ask at the same time."""

import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.adapters.git.answers import Answers

ASKERS = 50


def ask(
    answers: Answers, question: bytes, content: bytes | None = None, state: bytes = b""
) -> bytes:
    with answers.get(state, question, lambda: BytesIO(content or question)) as out:
        return out.read()


def test_what_was_asked_before_is_not_worked_out_again() -> None:
    answers = Answers()
    assert [ask(answers, b"q", b"one"), ask(answers, b"q", b"two")] == [b"one", b"one"]
    assert answers.computed == 1


def test_the_same_question_under_other_refs_is_another() -> None:
    answers = Answers()
    assert ask(answers, b"q", b"before", state=b"1") == b"before"
    assert ask(answers, b"q", b"after", state=b"2") == b"after"
    assert ask(answers, b"q", b"later", state=b"1") == b"before"


def test_where_the_refs_end_and_the_question_begins_is_part_of_the_key() -> None:
    answers = Answers()
    assert ask(answers, b"bc", b"one", state=b"a") == b"one"
    assert ask(answers, b"c", b"two", state=b"ab") == b"two"


def test_many_who_ask_at_once_cost_one_computation() -> None:
    answers, together = Answers(), threading.Barrier(ASKERS)
    begun, go_on = threading.Event(), threading.Event()

    def compute() -> BinaryIO:
        begun.set()
        go_on.wait()
        return BytesIO(b"answer")

    def one() -> bytes:
        together.wait()
        with answers.get(b"", b"q", compute) as out:
            return out.read()

    with ThreadPoolExecutor(ASKERS) as pool:
        asked = [pool.submit(one) for _ in range(ASKERS)]
        begun.wait()
        go_on.set()
        assert {each.result() for each in asked} == {b"answer"}
    assert answers.computed == 1


def test_of_those_who_wait_for_a_failure_each_tries_for_itself() -> None:
    answers = Answers()
    begun, go_on = threading.Event(), threading.Event()

    def fails() -> BinaryIO:
        begun.set()
        go_on.wait()
        raise OSError("no disk")

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(answers.get, b"", b"q", fails)
        begun.wait()
        second = pool.submit(ask, answers, b"q", b"answer")
        go_on.set()
        with pytest.raises(OSError, match="no disk"):
            first.result()
        assert second.result() == b"answer"


def test_an_answer_of_more_than_half_of_the_room_is_given_and_not_kept() -> None:
    answers = Answers(max_bytes=10)
    assert ask(answers, b"q", b"123456") == b"123456"
    assert (len(answers), answers.size_bytes) == (0, 0)
    assert ask(answers, b"q", b"12345") == b"12345"
    assert (len(answers), answers.size_bytes) == (1, 5)


def test_what_was_not_asked_for_the_longest_is_dropped_first() -> None:
    answers = Answers(max_entries=2)
    for question in (b"a", b"b", b"a", b"c", b"a"):
        ask(answers, question)
    assert answers.computed == 3
    ask(answers, b"b")
    assert answers.computed == 4


@given(
    asked=st.lists(st.tuples(st.binary(max_size=1), st.integers(0, 9), st.binary(max_size=1))),
    max_bytes=st.integers(0, 30),
    max_entries=st.integers(0, 4),
)
def test_whatever_is_asked_the_room_is_kept_and_the_answer_is_the_right_one(
    asked: list[tuple[bytes, int, bytes]], max_bytes: int, max_entries: int
) -> None:
    answers = Answers(max_bytes=max_bytes, max_entries=max_entries)
    for question, size, state in asked:
        right = repr((question, state)).encode() + b"-" * size
        assert ask(answers, question + b"%d" % size, right, state) == right
        assert answers.size_bytes <= max_bytes
        assert len(answers) <= max_entries
