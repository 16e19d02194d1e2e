"""A git server that drips: a fetch ends with its time, or where too little comes, whatever the server is at."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest
from tls_script import Answer, scripted

from mftgit.adapters.endpoint import flow
from mftgit.adapters.git import mirror as git_mirror
from mftgit.adapters.git.fetch import RemoteUnreachableError
from mftgit.adapters.git.mirror import look_at
from mftgit.adapters.git.store import GitStore
from mftgit.model.revisions.limits import Limits
from mftgit.model.revisions.mirror import Mirror

HEAD = (
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
    b"Content-Type: application/x-git-upload-pack-advertisement\r\n"
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[GitStore]:
    with GitStore.create(tmp_path / "s.git") as made:
        yield made


def dripping(begin: bytes, drop: bytes) -> Callable[[], Iterator[bytes]]:
    """Return an answer that never ends, and is never silent for long."""

    def pieces() -> Iterator[bytes]:
        yield begin
        while True:
            Event().wait(0.02)
            yield drop

    return pieces


DRIPS = {
    "in a header": dripping(HEAD, b"X"),
    "in headers without end": dripping(HEAD, b"X: y\r\n"),
    "in the content": dripping(HEAD + b"\r\n10000\r\nfff0", b"0"),
    "in the size of a chunk": dripping(HEAD + b"\r\n", b"0"),
    "in what is said of an error": dripping(
        b"HTTP/1.1 500 Oh\r\nContent-Length: 9999\r\n\r\n", b"x"
    ),
}


def look(store: GitStore, url: str) -> None:
    with look_at(store, Mirror(url=url), limits=Limits()):
        pass


@pytest.mark.parametrize("drip", DRIPS.values(), ids=DRIPS)
def test_a_fetch_from_a_server_that_drips_ends_with_its_time(
    store: GitStore, monkeypatch: pytest.MonkeyPatch, drip: Answer
) -> None:
    monkeypatch.setattr(git_mirror, "_TIMEOUT_S", 2.0)
    with (
        scripted(None, drip) as server,
        pytest.raises(RemoteUnreachableError, match="took too long to send everything"),
    ):
        look(store, f"http://127.0.0.1:{server.port}/acme/config")


def test_a_fetch_ends_with_its_time_while_a_server_drips_its_part_of_a_handshake(
    store: GitStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_mirror, "_TIMEOUT_S", 2.0)
    with (
        no_tls() as port,
        pytest.raises(RemoteUnreachableError, match="took too long to send everything"),
    ):
        look(store, f"https://127.0.0.1:{port}/acme/config")


def test_a_fetch_ends_before_its_time_where_too_little_comes(
    store: GitStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_mirror, "_SILENT_S", 10.0)
    monkeypatch.setattr(flow, "_TIMEOUTS", 0.05)  # of these: half a second
    drip = dripping(HEAD + b"\r\n10000\r\nfff0", b"0")
    with (
        scripted(None, drip) as server,
        pytest.raises(RemoteUnreachableError, match="are too few: 1024 in each second"),
    ):
        look(store, f"http://127.0.0.1:{server.port}/acme/config")


@contextmanager
def no_tls() -> Iterator[int]:
    """Give the port of a server that begins a record of TLS and drips the rest of it."""

    def drip(listening: socket.socket) -> None:
        line, _ = listening.accept()
        with line:
            line.sendall(b"\x16\x03\x03\x40\x00")
            try:
                while True:
                    Event().wait(0.02)
                    line.sendall(b"\x02")
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=drip, args=(listening,), daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()
