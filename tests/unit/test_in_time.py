"""What hangs is asked no second time, and nobody waits for it."""

import threading

from mftgit.member.outbound.places.in_time import InTime


def test_an_answer_is_kept() -> None:
    asking = InTime[int]("asking", within_s=30)
    assert asking.last is None
    assert asking.ask(lambda: 1)
    assert asking.last == 1


def test_a_question_that_hangs_leaves_the_last_answer_and_no_other_is_asked_meanwhile() -> None:
    asking, go_on = InTime[int]("asking", within_s=0.05), threading.Event()
    asking.last = 1

    def hang() -> int:
        go_on.wait(30)
        return 2

    assert not asking.ask(hang)
    assert not asking.ask(lambda: 3)
    assert asking.last == 1
    go_on.set()
    while not asking.ask(lambda: 4):
        threading.Event().wait(0.01)
    assert asking.last == 4
