"""A process of a service and its member never wait for each other."""

import os
import select
import signal
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from ssh_door import serving
from ssh_keys import make_key
from waiting import until

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.control_line import ControlLine, LineEndedError
from mftgit.member.inbound.asking import Asking
from mftgit.member.inbound.crew import Crew, Lost
from mftgit.member.inbound.worker import Serving
from mftgit.model.inbound.messages import (
    MAX_TELLING_BYTES,
    Configure,
    Noted,
    Telling,
    Traffic,
    Verdict,
    format_message,
)
from mftgit.model.names import ServiceName
from mftgit.model.secrets.value import SecretValue

pytestmark = pytest.mark.needs("ssh-keygen")


def test_a_process_hears_verdicts_while_its_member_takes_nothing_and_it_has_orders(
    tmp_path: Path,
) -> None:
    """Its member takes nothing as long as the verdicts that it sends are not heard."""
    make_key(tmp_path / "host", "ed25519")
    key = SecretValue((tmp_path / "host").read_text(encoding="ascii"))
    ours, its = socket.socketpair()
    room = select.poll()
    room.register(its, select.POLLOUT)
    member = ControlLine(ours, most_bytes=MAX_TELLING_BYTES)
    asking = Asking(ControlLine(its, most_bytes=MAX_TELLING_BYTES))
    process = Serving(asking._line, asking)
    told: list[int] = [0, 0]

    def tell_much() -> None:
        while True:
            asking.tell(Noted(level="INFO", message="x"))
            told[0] += 1

    def is_full() -> bool:
        told[1], before = told[0], told[1]
        return told[0] == before and not room.poll(0)

    def send() -> None:
        configure = Configure(number=1, serving=replace(serving(), keys=(key,)), listens=False)
        member.send(format_message(configure))
        for number in range(1000):
            member.send(format_message(Verdict(request=number, granted=True)))

    def until_it_ends(work: Callable[[], None]) -> None:
        with suppress(LineEndedError):
            work()

    threads = [
        threading.Thread(target=until_it_ends, args=(work,), daemon=True)
        for work in (tell_much, process.obey, process.carry_out, send)
    ]
    threads[0].start()
    until(is_full)
    try:
        for each in threads[1:]:
            each.start()
        until(lambda: not threads[3].is_alive())
    finally:
        member.end()
        ours.close()
        its.close()


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    make_key(tmp_path / "host", "ed25519")
    key = SecretValue((tmp_path / "host").read_text(encoding="ascii"))
    return Configure(number=1, serving=replace(serving(), keys=(key,)), listens=False)


def test_a_process_that_begins_slowly_is_waited_for(configure: Configure) -> None:
    crew = Crew(
        ServiceName("partners"),
        SystemClock(),
        heard=lambda _worker, _told: None,
        lost=lambda _: None,
        gone=lambda _worker: None,
        silent_s=5.0,
    )
    crew.configure(configure, None, processes=1)
    try:
        (first,) = crew.workers
        os.kill(first.child.pid, signal.SIGSTOP)
        threading.Event().wait(7)
        os.kill(first.child.pid, signal.SIGCONT)
        until(lambda: first.ready)
    finally:
        crew.end()


def test_a_process_that_stands_still_is_killed_and_another_one_takes_its_place(
    configure: Configure,
) -> None:
    heard: list[Telling] = []
    lost: list[Lost] = []
    crew = Crew(
        ServiceName("partners"),
        SystemClock(),
        heard=lambda _worker, told: heard.append(told),
        lost=lost.append,
        gone=lambda _worker: None,
    )

    def replaced() -> bool:
        crew.tick(set())
        return any(each.ready for each in crew.workers)

    crew.configure(configure, None, processes=1)
    try:
        until(lambda: crew.workers[0].ready)
        (first,) = crew.workers
        first.child.line._end.setsockopt(
            socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", 3, 0)
        )
        heard.clear()
        until(lambda: Traffic(usages=()) in heard)  # it is waited for with less patience now
        with suppress(ProcessLookupError):  # so busy a machine that it was given up before
            os.kill(first.child.pid, signal.SIGSTOP)
        until(lambda: lost)
        assert (lost[0].worker, lost[0].how) == (first, "it stood still for 30 s, SIGKILL")
        until(replaced)
        assert first not in crew.workers
    finally:
        crew.end()
