"""Clients that are slow on purpose, to a controller that runs as a process: cheap, and in nobody's way."""

import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from git_raw import line
from outside import Outside, outside

pytestmark = [pytest.mark.needs("git"), pytest.mark.long]

SMALL_MIB = 64
MANY = 200
PUSH = b"POST /config.git/git-receive-pack HTTP/1.1\r\nHost: x\r\nAuthorization: %b\r\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with outside(tmp_path_factory.mktemp("slow")) as running:
        work = running.cluster.clone()
        (work / "large.md").write_bytes(os.urandom(8 << 20))  # what a clone has to bring
        running.cluster.push(work, {"notes.md": "x\n"})
        yield running


@pytest.fixture(autouse=True)
def closed(served: Outside) -> Iterator[None]:
    yield
    served.close()


def asked(served: Outside, content: bytes) -> list[socket.socket]:
    """Open many connections, and ask on each at once: who says nothing for ten seconds is hung up on."""
    wires: list[socket.socket] = []
    for _ in range(MANY):
        wires.append(served.secure())
        wires[-1].sendall(content)
    return wires


def drip(wires: list[socket.socket], content: bytes, over: Callable[[], bool]) -> None:
    """Send on each connection one byte after the other, with a pause after each round, until ``over``."""
    for byte in content:
        if over():
            return
        for wire in wires:
            with suppress(OSError):
                wire.send(bytes([byte]))
        threading.Event().wait(0.2)


def ended(wire: socket.socket) -> bool:
    """Tell whether the server has ended the connection; what it said before is passed over."""
    wire.settimeout(0)
    try:
        while wire.recv(1 << 12):
            pass
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    return True


def clone_request(served: Outside) -> bytes:
    """Return a request for the whole repository."""
    caps = b" multi_ack_detailed no-done side-band-64k thin-pack ofs-delta\n"
    wants = line(b"want " + served.head()["oid"].encode() + caps) + b"0000" + line(b"done\n")
    return (
        b"POST /config.git/git-upload-pack HTTP/1.1\r\nHost: x\r\nAuthorization: %b\r\n"
        b"Content-Type: application/x-git-upload-pack-request\r\nContent-Length: %d\r\n\r\n%b"
    ) % (served.basic.encode(), len(wants), wants)


HEADS = {
    "no hello": (False, b""),
    "half a hello": (False, b"\x16\x03\x01\x02\x00\x01"),
    "no request": (True, b""),
    "a slow line": (True, b"GET /" + b"x" * 10_000),
    "slow headers": (True, b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 2_000),
}


@pytest.mark.parametrize("case", HEADS)
def test_who_does_not_come_to_the_end_of_a_request_is_hung_up_on_and_keeps_nobody_waiting(
    served: Outside, case: str
) -> None:
    is_secure, content = HEADS[case]
    with served.unharmed(mib=SMALL_MIB):
        wires = [served.secure() if is_secure else served.plain() for _ in range(MANY)]

        def over() -> bool:
            return all(ended(wire) for wire in wires)

        drip(wires, content, over)
        served.cluster.until("every connection is ended", over)


@pytest.mark.parametrize(
    "framed", [b"Content-Length: 1000000\r\n", b"Transfer-Encoding: chunked\r\n"]
)
def test_a_body_that_comes_slowly_keeps_nobody_waiting(served: Outside, framed: bytes) -> None:
    kind = b"Content-Type: application/x-git-receive-pack-request\r\n"
    with served.unharmed(mib=SMALL_MIB):
        wires = asked(served, PUSH % served.basic.encode() + kind + framed + b"\r\n")
        drip(wires, b"5\r\n12345\r\n" * 2, lambda: False)
        work = served.cluster.root / "clone"
        served.cluster.push(work, {"notes.md": framed.decode()})


def test_who_does_not_read_the_answer_keeps_nobody_waiting_and_costs_little(
    served: Outside,
) -> None:
    asking = clone_request(served)
    one = served.secure()
    one.sendall(asking)
    end = b""
    while not end.endswith(b"0000"):  # so that working the answer out is not measured
        more = one.recv(1 << 16)
        assert more
        end = (end + more)[-4:]
    with served.unharmed(mib=MANY / 2 + SMALL_MIB):  # the latter for the clone
        for wire in asked(served, asking):
            assert wire.makefile("rb", buffering=0).readline() == b"HTTP/1.1 200 OK\r\n"
        served.cluster.clone("another")


@pytest.mark.needs("prlimit")
def test_who_asks_again_and_again_and_reads_nothing_gives_way_to_who_comes_after(
    tmp_path: Path,
) -> None:
    with outside(tmp_path, "prlimit", "--nofile=200:200") as served:
        for source in ("127.0.0.2", "127.0.0.3"):
            for _ in range(120):
                with suppress(OSError):
                    wire = served.secure(source=source, receives_bytes=4096)
                    wire.settimeout(0.1)
                    wire.sendall(b"GET /api/authority HTTP/1.1\r\nHost: x\r\n\r\n" * 1_000)
        served.cluster.until("who comes after is served", lambda: _is_served(served), within_s=150)


@pytest.mark.needs("prlimit")
def test_who_reads_no_answer_for_long_gives_way_to_who_comes_after(tmp_path: Path) -> None:
    with outside(tmp_path, "prlimit", "--nofile=200:200") as served:
        work = served.cluster.clone()
        (work / "large.md").write_bytes(os.urandom(8 << 20))
        served.cluster.push(work, {"notes.md": "x\n"})
        asking = clone_request(served)
        for source in ("127.0.0.2", "127.0.0.3"):
            for _ in range(113):
                with suppress(OSError):
                    served.secure(source=source, receives_bytes=4096).sendall(asking)
        served.cluster.until("who comes after is served", lambda: _is_served(served), within_s=150)


def _is_served(served: Outside) -> bool:
    with suppress(OSError):
        return served.ask("GET", "/healthz").status == 200
    return False
