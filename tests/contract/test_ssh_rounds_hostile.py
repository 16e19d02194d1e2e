"""One client that has logged in cannot stop the thread that serves all of them, or have it to itself."""

import fcntl
import queue
import socket
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import paramiko
import pytest
from inbound_sftp import Inbound, inbound_sftp
from raw_sftp import RawSftp
from rounds_clients import STAT, is_answered, log_in, serve_from, session
from sftp_requests import request, text
from waiting import until

from mftgit.adapters.home import upload as home_upload
from mftgit.adapters.home.contract import Home
from mftgit.adapters.ssh_server import turns as ssh_server_turns
from mftgit.adapters.ssh_server.rounds import Rounds
from mftgit.adapters.ssh_server.transport import ServerTransport
from mftgit.model.inbound.finished import Finished

WAIT_S = 60.0
CLOSE = 4
WRITE_NEW = 0x02 | 0x08 | 0x10
KEXINIT_END = 5
"""Bytes of whether a guess follows, and of what is reserved (RFC 4253, 7.1)."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Inbound]:
    with inbound_sftp(tmp_path / "inbound") as inbound:
        yield inbound


def test_who_sends_half_of_a_wrong_guess_keeps_nobody_waiting(server: Inbound) -> None:
    """RFC 4253, 7: the first message of the method that was guessed is passed over, and the next one may be late."""
    guesser = log_in(socket.create_connection(("127.0.0.1", server.port)))
    guesser.get_security_options().kex = ("ecdh-sha2-nistp384",)  # which no server puts first
    goes_on = threading.Event()
    guess_is_sent = threading.Event()
    send: Any = guesser._send_message  # type: ignore[attr-defined]

    def send_with_guess(message: paramiko.Message) -> None:
        content = message.asbytes()
        if content[:1] == b"\x14":
            content = content[:-KEXINIT_END] + b"\x01" + bytes(4)
            guesser.local_kex_init = guesser._latest_kex_init = content  # type: ignore[attr-defined]
            send(paramiko.Message(content))
            send(paramiko.Message(b"\x1e" + bytes(40)))
            guess_is_sent.set()
            return
        if content[:1] == b"\x1e":
            assert goes_on.wait(3 * WAIT_S)
        send(message)

    guesser._send_message = send_with_guess  # type: ignore[attr-defined]
    renewing = threading.Thread(target=guesser.renegotiate_keys)
    with session(server, patience_s=WAIT_S) as other:
        try:
            renewing.start()
            assert guess_is_sent.wait(WAIT_S)
            for _ in range(50):
                assert is_answered(other)
        finally:
            goes_on.set()
            renewing.join()
        assert guesser.is_active()
        guesser.close()


def test_an_upload_whose_folder_was_moved_keeps_nobody_waiting(
    server: Inbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home_upload, "_TRIES", 1_000_000)
    told: queue.Queue[str] = queue.Queue()

    def tell(done: Finished, then: Callable[[bool], None]) -> None:
        told.put(done.path)
        then(True)  # noqa: FBT003  as it is called

    homes: queue.Queue[Any] = queue.Queue()
    serve_from(server, homes, tell_upload=tell)
    here, there = server.site.root / "here", server.site.root / "there"
    here.mkdir()
    for _ in range(2):
        homes.put(server.site.open())
    with (
        session(server, patience_s=WAIT_S) as mover,
        session(server, patience_s=WAIT_S) as other,
    ):
        handles = [mover.open(f"/here/{name}", WRITE_NEW) for name in ("one", "two")]
        here.rename(there)
        here.mkdir()
        mover.send(*(request(CLOSE, text(handle), number=9) for handle in handles))
        for _ in range(50):
            assert is_answered(other)
        for each in there.iterdir():
            each.rename(here / each.name)
        assert [mover.receive().status for _ in handles] == [0, 0]
    assert sorted(each.name for each in here.iterdir()) == ["one", "two"]


class Watched:
    """A home of which a test is told when it is asked for attributes, by the thread that serves all clients."""

    is_near = True

    def __init__(self, home: Home, told: Callable[[], object]) -> None:
        self._home = home
        self._told = told

    def __getattr__(self, name: str) -> Any:
        return getattr(self._home, name)

    def stat(self, path: str) -> Any:
        self._told()
        return self._home.stat(path)


def came(connection: ServerTransport) -> int:
    """Return how many bytes have come that were not read yet."""
    return int.from_bytes(fcntl.ioctl(connection.sock, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_messages_of_one_are_read_in_turns(
    server: Inbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_server_turns, "_TURN_S", 0.0)
    homes: queue.Queue[Any] = queue.Queue()
    serve_from(server, homes)
    halts, goes_on = threading.Event(), threading.Event()
    read: list[int] = []
    flooded: ServerTransport

    def halt() -> None:
        halts.set()
        assert goes_on.wait(3 * WAIT_S)

    def count() -> None:
        read.append(flooded.packetizer._Packetizer__sequence_number_in)

    with ExitStack() as stack:

        def client(told: Callable[[], object]) -> RawSftp:
            homes.put(Watched(server.site.open(), told))
            return stack.enter_context(session(server, patience_s=WAIT_S))

        halting, flooding, other = client(halt), client(bool), client(count)
        flooded, others = (cast("ServerTransport", server.connection(each)) for each in (1, 2))
        halting.send(request(STAT, text("/"), number=1))
        assert halts.wait(WAIT_S)
        before = flooded.packetizer._Packetizer__sequence_number_in
        for _ in range(500):
            flooding.channel.get_transport().send_ignore(8)
        flooding.send(request(STAT, text("/"), number=77))
        until(lambda: came(flooded) > 500 * 36)
        other.send(request(STAT, text("/"), number=1))
        until(lambda: came(others) > 0)
        goes_on.set()
        assert other.receive().number == 1
        assert read[0] - before <= 3
        assert flooding.receive().number == 77


class Broken:
    """A connection that is a defect."""

    is_heavy = False

    def __init__(self, *, at_first: bool) -> None:
        self._at_first = at_first
        self.end, self.other_end = socket.socketpair()
        self.concluded: queue.Queue[Exception] = queue.Queue()
        self.begun = threading.Event()

    def fileno(self) -> int:
        return self.end.fileno()

    def begin_rounds(self, rounds: Rounds) -> None:
        del rounds
        self.begun.set()
        if self._at_first:
            raise ZeroDivisionError

    def go_on(self, events: int) -> None:
        raise ZeroDivisionError(events)

    def tick(self) -> None:
        pass

    def conclude(self, error: Exception) -> None:
        self.concluded.put(error)
        raise ZeroDivisionError


@pytest.mark.parametrize("at_first", [True, False])
def test_a_defect_ends_one_connection_and_is_not_come_back_to(at_first: bool) -> None:  # noqa: FBT001  a parameter of the test
    rounds = Rounds(time.monotonic)
    broken = Broken(at_first=at_first)
    broken.other_end.send(b"what keeps coming")
    rounds.take(broken)
    assert isinstance(broken.concluded.get(timeout=WAIT_S), ZeroDivisionError)
    with pytest.raises(FileNotFoundError):
        rounds._epoll.unregister(broken.fileno())
    until(lambda: not rounds._runs)
    broken.end.close()
    broken.other_end.close()
