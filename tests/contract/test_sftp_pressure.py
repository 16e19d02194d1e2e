"""Clients that take too little, send too much or change keys meanwhile cost little, and get what they asked for."""

import os
import socket
import subprocess
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import paramiko
import pytest
from inbound_sftp import Inbound, inbound_sftp
from raw_sftp import RawSftp, raw_session, raw_transport
from sftp_requests import framed, request, text, u32, u64
from ssh_keys import program

from mftgit.adapters.ssh_server.packets import ServerPackets
from mftgit.model.inbound.service import ServiceLimits

CONTENT = os.urandom(1 << 20)
READ_BYTES = 255 << 10
MIB = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inbound]:
    with inbound_sftp(tmp_path_factory.mktemp("inbound")) as inbound:
        (inbound.site.root / "a").write_bytes(CONTENT)
        yield inbound


@pytest.fixture
def transport(server: Inbound) -> Iterator[paramiko.Transport]:
    with raw_transport(server.port) as transport:
        yield transport


def reads(handle: bytes, count: int) -> list[bytes]:
    """Ask ``count`` times for the begin of a file."""
    return [request(5, text(handle), u64(0), u32(READ_BYTES), number=n) for n in range(count)]


def take(session: RawSftp, count: int) -> None:
    for number in range(count):
        answer = session.receive()
        assert (answer.number, answer.data) == (number, CONTENT[:READ_BYTES])


def test_what_is_asked_for_and_not_taken_is_not_read(transport: paramiko.Transport) -> None:
    session = raw_session(transport)
    handle = session.open("/a")
    tracemalloc.start()
    try:
        session.send(*reads(handle, 200))  # 50 MiB
        other = raw_session(transport)
        assert other.ask(17, text("/a")).sort == 105  # by now the first one was looked at
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # The window of paramiko's client is 2 MiB, which is what this process has received of them.
    assert most_bytes < 6 * MIB
    take(session, 200)


def test_bytes_that_come_one_by_one_take_no_more_room_than_they_are(
    transport: paramiko.Transport,
) -> None:
    session = raw_session(transport)
    handle = session.open("/a")
    packets = b"".join(map(framed, reads(handle, 100)))
    for at in range(len(packets)):
        session.channel.sendall(packets[at : at + 1])
    take(session, 100)


@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.needs("sftp")
def test_keys_are_changed_while_files_are_moved(
    server: Inbound, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, side: str
) -> None:
    content = os.urandom(8 * MIB)
    (tmp_path / "big").write_bytes(content)
    options = ["-o", "RekeyLimit=1M"] if side == "client" else []
    if side == "server":
        monkeypatch.setattr(ServerPackets, "REKEY_BYTES", MIB)
    told = subprocess.run(
        [
            program("sftp"), "-v", "-P", str(server.port), "-i", str(server.key), "-b", "-",
            *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
            *options, "acme@127.0.0.1",
        ],
        input="put big big\nget big back\n",
        cwd=tmp_path,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert (server.site.root / "big").read_bytes() == content == (tmp_path / "back").read_bytes()
    assert told.stderr.count("SSH2_MSG_NEWKEYS received") > 5


def test_a_client_that_reads_nothing_can_still_send_all_that_it_may(
    server: Inbound,
) -> None:
    """Both sides would wait for the other for ever, if a server that cannot send did not read."""
    with raw_transport(server.port) as transport:
        transport.default_window_size = 64 * MIB
        assert isinstance(transport.sock, socket.socket)
        for each in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            transport.sock.setsockopt(socket.SOL_SOCKET, each, 32 << 10)
        session = raw_session(transport)
        source, target = session.open("/a"), session.open("/b", 0x1A)
        goes_on = Event()
        read = transport.packetizer.read_message

        def wait() -> tuple[int, paramiko.Message]:
            goes_on.wait()
            return read()

        transport.packetizer.read_message = wait  # type: ignore[method-assign]
        session.send(*reads(source, 100))  # 25 MiB of answers
        piece = CONTENT[: 32 << 10]
        for number in range(100):  # 3.2 MiB, within the window
            offset = number * len(piece)
            session.send(request(6, text(target), u64(offset), text(piece), number=100 + number))
        goes_on.set()
        take(session, 100)
        assert [session.receive().number for _ in range(100)] == list(range(100, 200))
        assert session.ask(4, text(target)).status == 0
    assert (server.site.root / "b").read_bytes() == piece * 100


def test_a_client_that_takes_nothing_is_idle_and_hung_up_on(tmp_path: Path) -> None:
    with inbound_sftp(tmp_path / "in", limits=ServiceLimits(idle_s=5.0)) as inbound:
        (inbound.site.root / "a").write_bytes(CONTENT)
        with raw_transport(inbound.port) as transport:
            session = raw_session(transport)
            handle = session.open("/a")
            upload = session.open("/b", 0x1A)
            assert session.ask(6, text(upload), u64(0), text("12345")).status == 0
            session.send(*reads(handle, 400))
            assert inbound.ended.get(timeout=60) == "the client left"
        assert not (inbound.site.root / "b").exists()


def test_an_end_that_comes_while_a_file_is_looked_through_does_not_wait_for_it(
    server: Inbound,
) -> None:
    with (server.site.root / "huge").open("wb") as file:
        file.truncate(1 << 40)
    before = len(server.connections)  # those before it are in the list: each has been spoken with
    with raw_transport(server.port) as transport:
        session = raw_session(transport)
        thread = Thread(target=lambda: _ask_for_digest(session))
        thread.start()
        connection = server.connection(before)
        while not connection.sessions:
            Event().wait(0.01)
        connection.end("the server stops")
        assert connection.wait(60)
        thread.join()


def _ask_for_digest(session: RawSftp) -> None:
    with pytest.raises((EOFError, OSError)):
        session.extended("check-file-name", text("/huge"), text("sha256"), u64(0), u64(0), u32(0))
