"""One thread serves all who have logged in: nobody waits for another's storage, network or mass of requests."""

import os
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from inbound_sftp import ACCOUNT, Inbound, inbound_sftp
from paramiko.common import MSG_GLOBAL_REQUEST
from raw_sftp import RawSftp, raw_session
from rounds_clients import STAT, is_answered, log_in, serve_from, session, threads
from sftp_requests import request, text, u32, u64
from waiting import until

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.home import beginning as home_beginning
from mftgit.adapters.home.contract import Home, HomeError
from mftgit.adapters.home.reading import ReadFile
from mftgit.adapters.home.temporary import drop
from mftgit.adapters.ssh_server import rounds as ssh_server_rounds
from mftgit.adapters.ssh_server import stream as sftp_serve_stream
from mftgit.adapters.ssh_server import transport as ssh_server_transport
from mftgit.adapters.ssh_server.packets import ServerPackets
from mftgit.adapters.ssh_server.rounds import Rounds
from mftgit.adapters.ssh_server.transport import ServerTransport
from mftgit.model.inbound.account_path import temporary_name
from mftgit.model.inbound.finished import Finished

WAIT_S = 60.0
READ, CLOSE, OPEN_FOLDER = 5, 4, 11
WRITE_NEW = 0x02 | 0x08 | 0x10
PIECE = 255 << 10


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Inbound]:
    with inbound_sftp(tmp_path / "inbound") as inbound:
        yield inbound


def test_all_who_have_logged_in_share_one_thread(server: Inbound) -> None:
    before = set(threading.enumerate())  # that of another server may be about to end

    def rounds() -> list[threading.Thread]:
        fresh = set(threading.enumerate()) - before
        return [each for each in fresh if each.name == "ssh-rounds"]

    with ExitStack() as stack:
        clients = [stack.enter_context(session(server)) for _ in range(6)]
        for client in clients * 3:
            assert is_answered(client)
        until(lambda: threads("ssh") == 0)
        assert len(rounds()) == 1
    # It ends with the last of them, and there is another one for who comes then.
    until(lambda: not rounds())
    with session(server) as client:
        assert is_answered(client)


class Relay:
    """A way to a server, on which what the server sends can be held up."""

    def __init__(self, port: int) -> None:
        self.flows = threading.Event()
        self.flows.set()
        self.end, inner = socket.socketpair()
        self._server = socket.create_connection(("127.0.0.1", port))
        ways: tuple[tuple[socket.socket, socket.socket, Callable[[], object]], ...] = (
            (inner, self._server, bool),
            (self._server, inner, self.flows.wait),
        )
        for way in ways:
            threading.Thread(target=self._pass_on, args=way, daemon=True).start()

    def _pass_on(
        self, source: socket.socket, target: socket.socket, wait: Callable[[], object]
    ) -> None:
        with source, suppress(OSError):
            while content := source.recv(1 << 16):
                wait()
                target.sendall(content)
            target.shutdown(socket.SHUT_WR)


def test_who_takes_nothing_is_kept_little_for_and_keeps_nobody_waiting(server: Inbound) -> None:
    content = os.urandom(PIECE)
    (server.site.root / "a").write_bytes(content)
    relay = Relay(server.port)
    lazy = log_in(relay.end, window_bytes=1 << 30)
    with session(server) as other:
        stuck = raw_session(lazy)
        handle = stuck.open("/a")
        connection = server.connection()
        assert isinstance(connection, ServerTransport)
        relay.flows.clear()
        asked = [request(READ, text(handle), u64(0), u32(PIECE), number=n) for n in range(400)]
        stuck.send(*asked)  # for 100 MB
        until(lambda: connection.packetizer.is_full)
        for _ in range(200):
            assert is_answered(other)
        assert len(connection.packetizer._unsent) < 2 << 20
        relay.flows.set()
        for number in range(len(asked)):
            answer = stuck.receive()
            assert (answer.number, answer.data) == (number, content)
    lazy.close()


def test_a_client_that_says_nothing_is_asked_whether_it_is_there(
    server: Inbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_server_transport, "_KEEPALIVE_S", 0.01)
    monkeypatch.setattr(ssh_server_rounds, "_TICK_S", 0.05)
    asked: queue.Queue[str] = queue.Queue()
    with session(server) as client:
        transport: Any = client.channel.get_transport()
        transport._handler_table[MSG_GLOBAL_REQUEST] = lambda message: asked.put(message.get_text())
        assert is_answered(client)
        until(lambda: asked.get(timeout=WAIT_S) == "keepalive@lag.net")


def test_a_mass_of_requests_is_answered_in_turns(
    server: Inbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sftp_serve_stream, "_TURN", 1)
    with session(server) as many, session(server) as other:
        many.send(*(request(STAT, text("/"), number=number) for number in range(500)))
        for _ in range(20):
            assert is_answered(other)
        assert [many.receive().number for _ in range(500)] == list(range(500))


class Slow:
    """A home on storage that can be waited for: what is asked of it waits until `goes_on`."""

    def __init__(self, home: Home, *, is_near: bool) -> None:
        self._home = home
        self.is_near = is_near
        self.goes_on = threading.Event()
        self.is_waited_for = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._home, name)

    def list(self, path: str) -> Any:
        self._wait()
        return self._home.list(path)

    def stat(self, path: str) -> Any:
        if not self.is_near:
            self._wait()
        return self._home.stat(path)

    def _wait(self) -> None:
        self.is_waited_for.set()
        assert self.goes_on.wait(WAIT_S)


@pytest.mark.parametrize(
    ("is_near", "asked"),
    [
        pytest.param(True, OPEN_FOLDER, id="what may take long"),
        pytest.param(False, STAT, id="anything, on storage that is far"),
    ],
)
def test_who_waits_for_storage_keeps_nobody_waiting(
    server: Inbound,
    is_near: bool,  # noqa: FBT001  a parameter of the test
    asked: int,
) -> None:
    homes: queue.Queue[Any] = queue.Queue()
    serve_from(server, homes)
    slow = Slow(server.site.open(), is_near=is_near)
    with (
        session_of(server, homes, slow) as stuck,
        session_of(server, homes, server.site.open()) as other,
    ):
        stuck.send(request(asked, text("/"), number=1), request(STAT, text("/"), number=2))
        assert slow.is_waited_for.wait(WAIT_S)
        for _ in range(50):
            assert is_answered(other)
        slow.goes_on.set()
        assert [stuck.receive().number for _ in range(2)] == [1, 2]
        assert is_answered(stuck)


@contextmanager
def session_of(server: Inbound, homes: "queue.Queue[Any]", home: object) -> Iterator[RawSftp]:
    homes.put(home)
    with session(server) as client:
        yield client


def test_what_broke_off_and_is_large_is_removed_while_others_are_served(
    server: Inbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed_by: list[str] = []

    def dropped(folder: int, name: str) -> os.stat_result | None:
        removed_by.append(threading.current_thread().name)
        return drop(folder, name)

    monkeypatch.setattr(home_beginning, "drop", dropped)
    left = server.site.root / temporary_name(ACCOUNT, "a")
    left.touch()
    os.truncate(left, 1 << 30)
    with session(server) as client:
        until(lambda: threads("ssh") == 0)
        handle = client.open("/a", WRITE_NEW)
        assert client.ask(CLOSE, text(handle)).status == 0
    assert len(removed_by) == 1
    assert "ssh-rounds" not in removed_by


def test_an_upload_is_acknowledged_once_it_is_written_down_and_nobody_waits_for_that(
    server: Inbound,
) -> None:
    told: queue.Queue[tuple[Finished, Callable[[bool], None]]] = queue.Queue()
    homes: queue.Queue[Any] = queue.Queue()
    serve_from(server, homes, tell_upload=lambda done, then: told.put((done, then)))
    with (
        session_of(server, homes, server.site.open()) as client,
        session_of(server, homes, server.site.open()) as other,
    ):
        for number, written in enumerate((True, False)):
            handle = client.open(f"/sent-{number}", WRITE_NEW)
            client.ask(6, text(handle), u64(0), text(b"content"))
            client.send(
                request(CLOSE, text(handle), number=70), request(STAT, text("/"), number=71)
            )
            done, then = told.get(timeout=WAIT_S)
            assert done.size_bytes == len(b"content")
            for _ in range(20):
                assert is_answered(other)
            assert not client.channel.recv_ready()
            then(written)
            closed, after = client.receive(), client.receive()
            assert (closed.number, closed.status, after.number) == (70, 0 if written else 4, 71)


def test_a_session_that_ends_while_its_upload_is_written_down_is_over(server: Inbound) -> None:
    told: queue.Queue[Callable[[bool], None]] = queue.Queue()
    homes: queue.Queue[Any] = queue.Queue()
    serve_from(server, homes, tell_upload=lambda _, then: told.put(then))
    with session_of(server, homes, server.site.open()) as client:
        handle = client.open("/sent", WRITE_NEW)
        client.send(request(CLOSE, text(handle), number=70))
        then = told.get(timeout=WAIT_S)
    assert server.connection().wait(WAIT_S)
    then(True)  # noqa: FBT003  as it is called
    assert (server.site.root / "sent").exists()
    with session_of(server, homes, server.site.open()) as client:
        assert is_answered(client)


def test_what_was_asked_before_the_end_is_answered_and_then_all_is_over(server: Inbound) -> None:
    content = os.urandom(PIECE)
    (server.site.root / "a").write_bytes(content)
    told: queue.Queue[Callable[[bool], None]] = queue.Queue()
    homes: queue.Queue[Any] = queue.Queue()
    serve_from(server, homes, tell_upload=lambda _, then: told.put(then))
    with session_of(server, homes, server.site.open()) as client:
        read, sent = client.open("/a"), client.open("/sent", WRITE_NEW)
        client.send(
            request(CLOSE, text(sent), number=0),
            request(OPEN_FOLDER, text("/"), number=1),
            *(request(READ, text(read), u64(0), u32(PIECE), number=n) for n in range(2, 42)),
        )  # for more than the window has
        client.channel.shutdown_write()
        told.get(timeout=WAIT_S)(True)  # noqa: FBT003  as it is called
        assert client.receive().status == 0
        assert [client.receive().number for _ in range(41)] == list(range(1, 42))
        assert client.is_over()
        assert client.channel.recv_exit_status() == 0


def test_an_answer_that_has_no_room_before_the_end_is_sent_after_it(server: Inbound) -> None:
    content = os.urandom(60_000)  # less than is sent together
    (server.site.root / "a").write_bytes(content)
    end = socket.create_connection(("127.0.0.1", server.port))
    transport = log_in(end, window_bytes=1 << 15)
    client = raw_session(transport)
    client.send(request(READ, text(client.open("/a")), u64(0), u32(PIECE), number=1))
    client.channel.shutdown_write()
    assert client.receive().data == content
    assert client.is_over()
    transport.close()


def test_keys_are_renewed_while_answers_are_sent_by_either_thread(
    server: Inbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ServerPackets, "REKEY_BYTES", 4 << 20)  # more than the window has
    content = os.urandom(PIECE)
    (server.site.root / "a").write_bytes(content)
    with session(server) as client:
        read = client.open("/a")
        connection = server.connection()
        assert isinstance(connection, ServerTransport)
        keys = {connection.packetizer._Packetizer__block_engine_out}
        for _ in range(6):
            client.send(
                *(request(READ, text(read), u64(0), u32(PIECE), number=1) for _ in range(5)),
                request(OPEN_FOLDER, text("/"), number=2),
                *(request(READ, text(read), u64(0), u32(PIECE), number=3) for _ in range(5)),
            )
            assert [client.receive().data for _ in range(5)] == [content] * 5
            assert client.receive().number == 2
            assert [client.receive().data for _ in range(5)] == [content] * 5
            keys.add(connection.packetizer._Packetizer__block_engine_out)
        assert len(keys) > 2
        assert is_answered(client)


def test_what_is_not_in_memory_is_left_to_who_may_wait() -> None:
    content = os.urandom(1 << 20)
    with TemporaryDirectory(dir="/var/tmp") as folder:  # on a disk, wherever the others are
        path = Path(folder, "a")
        path.write_bytes(content)
        descriptor = os.open(path, os.O_RDONLY)
    file = ReadFile(descriptor, "/a", change=lambda *_: None, let_go=lambda _: None)
    assert file.read_at_once(0, PIECE) == content[:PIECE]
    assert file.read_at_once(len(content) - 10, PIECE) == content[-10:]
    assert file.read_at_once(len(content), PIECE) == b""
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)  # no more is read than is asked for
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    assert file.read(0, 1) == content[:1]
    found = file.read_at_once(0, PIECE)
    assert found in (None, content[:PIECE])  # some disks keep it all the same
    assert file.read(0, PIECE) == content[:PIECE]
    file.abandon()
    with pytest.raises(HomeError):
        file.read_at_once(0, 1)


class Talker:
    """A connection that always has something; after ``turns`` of all of them it has hung up.

    None is served before ``all_there``.
    """

    def __init__(
        self,
        name: str,
        served: list[str],
        *,
        turns: int,
        is_heavy: bool,
        all_there: threading.Event,
    ) -> None:
        self.is_heavy = is_heavy
        self._all_there = all_there
        self.over = threading.Event()
        self._name = name
        self._served = served
        self._turns = turns
        self._socket, self._other = socket.socketpair()
        self._other.send(b"something")

    def fileno(self) -> int:
        return self._socket.fileno()

    def begin_rounds(self, rounds: Rounds) -> None:
        self._rounds = rounds
        assert self._all_there.wait(WAIT_S)

    def go_on(self, events: int) -> None:
        assert events
        self._served.append(self._name)
        if len(self._served) >= self._turns:
            self._rounds.let_go(self.fileno())
            self._socket.close()
            self._other.close()
            self.over.set()

    def tick(self) -> None:
        """Do nothing."""

    def conclude(self, error: Exception) -> None:
        raise AssertionError from error


def test_who_has_little_waits_for_one_of_those_who_have_much() -> None:
    served: list[str] = []
    rounds = Rounds(SystemClock().boottime)
    all_there = threading.Event()
    talkers = [
        Talker(name, served, turns=100, is_heavy=name.startswith("heavy"), all_there=all_there)
        for name in ("heavy-1", "heavy-2", "heavy-3", "light")
    ]
    for each in talkers:
        rounds.take(each)
    all_there.set()
    for each in talkers:
        assert each.over.wait(WAIT_S)
    while_all = served[served.index("light") : 100]
    assert {"heavy-1", "heavy-2", "heavy-3"} < set(while_all)
    assert while_all[::2] == ["light"] * len(while_all[::2])
    assert "light" not in while_all[1::2]
