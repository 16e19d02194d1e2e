"""What costs much is worked out once, whoever asks."""

import threading
from collections.abc import Iterator

import pytest
from waiting import until

from mftgit.controller.views.worked_out import (
    MAX_OF_ONE,
    MAX_WAITING,
    MAX_WAITS_OF_ONE,
    StillWorkingError,
    WorkedOut,
)


class Work:
    """A work that begins when it is asked for, and ends when it is let go."""

    def __init__(self) -> None:
        self.done: list[int] = []
        self.go = threading.Event()
        self.go.set()

    def __call__(self, key: int) -> int:
        self.go.wait()
        self.done.append(key)
        if key < 0:
            raise ValueError(key)
        return 2 * key


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def worked(work: Work) -> Iterator[WorkedOut[int, int]]:
    made = WorkedOut("test", work, kept=2)
    yield made
    work.go.set()
    made.close()


def test_an_answer_is_worked_out_once(work: Work, worked: WorkedOut[int, int]) -> None:
    assert [worked.get(1, wait_s=60) for _ in range(3)] == [2, 2, 2]
    assert work.done == [1]


def test_many_who_ask_at_once_wait_for_one(work: Work, worked: WorkedOut[int, int]) -> None:
    work.go.clear()
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(worked.get(1, wait_s=60))) for _ in range(5)
    ]
    for each in threads:
        each.start()
    work.go.set()
    for each in threads:
        each.join()
    assert (found, work.done) == ([2] * 5, [1])


def test_who_does_not_wait_gets_it_later(work: Work, worked: WorkedOut[int, int]) -> None:
    work.go.clear()
    with pytest.raises(StillWorkingError, match="ask again"):
        worked.get(1, wait_s=0)
    work.go.set()
    assert worked.get(1, wait_s=60) == 2
    assert work.done == [1]


def test_no_more_wait_than_is_allowed(work: Work, worked: WorkedOut[int, int]) -> None:
    work.go.clear()
    for key in range(MAX_WAITING):
        with pytest.raises(StillWorkingError, match="takes long"):
            worked.get(key, wait_s=0)
    with pytest.raises(StillWorkingError, match="others"):
        worked.get(MAX_WAITING, wait_s=0)


def ask(worked: WorkedOut[int, int], key: int, by: str | None, *, wait_s: float = 0.0) -> str:
    """Return what somebody is told who asks."""
    try:
        return str(worked.get(key, wait_s=wait_s, by=by))
    except StillWorkingError as error:
        return str(error)


def test_one_who_asks_for_very_much_leaves_room_for_others(
    work: Work, worked: WorkedOut[int, int]
) -> None:
    work.go.clear()
    told = [ask(worked, key, "ann") for key in range(MAX_WAITING)]
    assert [text.startswith("this takes long") for text in told].count(True) == MAX_OF_ONE
    assert "that you asked for are being worked out" in told[-1]
    assert "this takes long" in ask(worked, 100, "bob")
    assert "this takes long" in ask(worked, 101, None)
    assert "this takes long" in ask(worked, 0, "ann")  # the same once more costs nothing
    work.go.set()
    until(lambda: ask(worked, 102, "ann", wait_s=60) == "204")


def test_one_who_asks_at_many_windows_holds_two_threads_at_most(
    work: Work, worked: WorkedOut[int, int]
) -> None:
    work.go.clear()
    threads = [
        threading.Thread(target=ask, args=(worked, 1, "ann"), kwargs={"wait_s": 60})
        for _ in range(MAX_WAITS_OF_ONE)
    ]
    for each in threads:
        each.start()
    until(lambda: worked._waits["ann"] == MAX_WAITS_OF_ONE)
    assert "ask again" in ask(worked, 1, "ann", wait_s=60)
    work.go.set()
    for each in threads:
        each.join()
    assert ask(worked, 1, "ann", wait_s=60) == "2"
    assert not worked._waits


def test_the_oldest_answer_is_forgotten(work: Work, worked: WorkedOut[int, int]) -> None:
    for key in (1, 2, 1, 3, 1, 2):
        worked.get(key, wait_s=60)
    assert work.done == [1, 2, 3, 2]


def test_a_failure_is_told_and_tried_again(work: Work, worked: WorkedOut[int, int]) -> None:
    for _ in range(2):
        with pytest.raises(ValueError, match="-1"):
            worked.get(-1, wait_s=60)
    assert work.done == [-1, -1]
