"""Connections of one process that it has no room for."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from ssh_door import serving

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.control_line import ControlLine
from mftgit.member.inbound.asking import Asking
from mftgit.member.inbound.login import Logins, Passwords, TakenCodes
from mftgit.member.inbound.visits import Servant, Visits
from mftgit.model.inbound.messages import Admit, Telling, Verdict, parse_telling


class Quiet:
    """A connection that does nothing; see `Connection`."""

    def __init__(self) -> None:
        self.ended = threading.Event()

    def end(self, reason: str) -> None:
        del reason
        self.ended.set()


@pytest.fixture
def line() -> Iterator[tuple[ControlLine, Asking]]:
    """The member's end, and what asks at the other one."""
    ours, theirs = (ControlLine(end, most_bytes=1 << 20) for end in socket.socketpair())
    with closing(ours), closing(theirs):
        yield ours, Asking(theirs)


def _no_thread(_self: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_no_room_for_another_thread_closes_a_connection_and_nothing_else(
    line: tuple[ControlLine, Asking], monkeypatch: pytest.MonkeyPatch
) -> None:
    member, asking = line
    clock, quiet, greeted = SystemClock(), Quiet(), threading.Event()
    logins = Logins(serving(), clock=clock, passwords=Passwords(), codes=TakenCodes())
    visits = Visits(asking, clock)

    def greet(*_: object) -> Quiet:
        greeted.set()
        return quiet

    visits.servant = Servant(
        number=1,
        serving=serving(),
        greet=greet,  # type: ignore[arg-type]
        logins=logins,
    )
    with ExitStack() as held:

        def meet() -> socket.socket:
            client, server = (held.enter_context(each) for each in socket.socketpair())
            visits.meet(server, "192.0.2.1", 1)
            return client

        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", _no_thread)
            assert all(meet().recv(1) == b"" for _ in range(300))

        meet()
        asked: Telling = parse_telling(member.receive())
        assert isinstance(asked, Admit)
        asking.answer(Verdict(request=asked.request, granted=True))
        assert greeted.wait(60)
        while not quiet.ended.is_set():  # as soon as the connection is known
            with monkeypatch.context() as patched:
                patched.setattr(threading.Thread, "start", _no_thread)
                visits.end(None, "the process is full", idle=False)
