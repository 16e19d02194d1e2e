"""A process of a service and its member never wait for each other."""

import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from ssh_door import serving
from ssh_keys import make_key
from waiting import until

from mftgit.adapters.control_line import ControlLine, LineEndedError
from mftgit.member.inbound.asking import Asking
from mftgit.member.inbound.worker import Serving
from mftgit.model.inbound_messages import (
    MAX_TELLING_BYTES,
    Configure,
    Noted,
    Verdict,
    format_message,
)
from mftgit.model.secret_value import SecretValue

pytestmark = pytest.mark.needs("ssh-keygen")


def test_a_process_hears_verdicts_while_its_member_takes_nothing_and_it_has_orders(
    tmp_path: Path,
) -> None:
    """Its member takes nothing as long as the verdicts that it sends are not heard."""
    make_key(tmp_path / "host", "ed25519")
    key = SecretValue((tmp_path / "host").read_text(encoding="ascii"))
    ours, its = socket.socketpair()
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
        return told[0] == before and not select.select([], [its], [], 0)[1]

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
