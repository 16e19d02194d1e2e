"""A server whose clients hold connections and say nothing still has room for those who ask."""

import contextlib
import errno
import http.client
import socket
import ssl
import struct
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from waiting import WAIT_S, until

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.http_server.connections import ConnectionLimits
from mftgit.adapters.http_server.doors import Door, NotAuthenticatedError, Request, Response
from mftgit.adapters.http_server.protocol import MAX_AROUND_BYTES
from mftgit.adapters.http_server.server import HttpServer
from mftgit.adapters.tls import pki
from mftgit.model.access import Access, Principal

HERE = "127.0.0.1"
ELSEWHERE = "127.0.0.2"
MAX_BODY_BYTES = 1 << 20
LIMITS = ConnectionLimits(total=24, per_source=16, first_request_s=600, keep_alive_s=600)
FEW = ConnectionLimits(total=24, per_source=16, first_request_s=0.5, keep_alive_s=600)
SHORT = ConnectionLimits(total=24, per_source=16, first_request_s=600, keep_alive_s=0.5)


@dataclass
class Served:
    """A running server, and the connections that a test has opened to it."""

    server: HttpServer
    port: int
    ca_file: Path
    release: threading.Event
    opened: list[socket.socket] = field(default_factory=list)

    def silent(self, source: str = HERE) -> socket.socket:
        """Open a connection on which nothing is said."""
        wire = socket.create_connection(
            (HERE, self.port), timeout=WAIT_S, source_address=(source, 0)
        )
        self.opened.append(wire)
        return wire

    def secure(self, source: str = HERE) -> ssl.SSLSocket:
        """Open a connection and finish the TLS handshake."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        wire = context.wrap_socket(self.silent(source), server_hostname=HERE)
        self.opened.append(wire)
        return wire

    def ask(self, path: str = "/fast", source: str = HERE) -> bytes:
        """Ask as any client does, and return the answer."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        client = http.client.HTTPSConnection(
            HERE, self.port, context=context, timeout=WAIT_S, source_address=(source, 0)
        )
        with contextlib.closing(client):
            client.request("GET", path)
            return client.getresponse().read()

    def lose_patience(self) -> None:
        """Hang up from now on on whoever is not heard of: what came before had the time that it took."""
        self.server._connections._limits = FEW

    def hold_busy(self, count: int, source: str = HERE) -> list[ssl.SSLSocket]:
        """Open connections with a request each that is not answered before ``release``."""
        wires = [self.secure(source) for _ in range(count)]
        for wire in wires:
            wire.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        connections = self.server._connections
        until(
            lambda: (
                sum(each.busy and each.source == source for each in list(connections._all)) == count
            )
        )
        return wires


class Nobody:
    """Lets nobody in who says who they are."""

    def recognise(self, *_: str) -> None:
        return None

    def authenticate(self, *_: str) -> Principal:
        raise NotAuthenticatedError("nobody")

    def visitor(self, _cookies: str) -> None:
        return None


def running(folder: Path, limits: ConnectionLimits) -> Iterator[Served]:
    authority = pki.make_authority("c", now=SystemClock().now())
    issued = pki.issue_server(authority, hosts=(HERE,), now=SystemClock().now())
    for name, content in (
        ("ca", authority.certificate),
        ("tls", issued.certificate),
        ("key", issued.key),
    ):
        (folder / name).write_bytes(content)

    release = threading.Event()

    def slow(_request: Request) -> Response:
        release.wait()
        return Response(body=b"slow")

    def size(request: Request) -> Response:
        return Response(body=b"%d" % len(request.body.read()))

    doors = [
        Door(method="GET", path="/slow", access=Access.ANYONE, handle=slow),
        Door(method="GET", path="/fast", access=Access.ANYONE, handle=lambda _: Response(body=b"fast")),
        Door(method="POST", path="/fast", access=Access.ANYONE, handle=lambda _: Response(body=b"fast")),
        Door(method="POST", path="/size", access=Access.ANYONE, handle=size, max_body_bytes=MAX_BODY_BYTES),
    ]  # fmt: skip
    server = HttpServer(
        doors,
        doorkeeper=Nobody(),
        listen=(HERE, 0),
        certificate=folder / "tls",
        key=folder / "key",
        limits=limits,
    )
    port = server._socket.getsockname()[1]
    started = Served(server=server, port=port, ca_file=folder / "ca", release=release)
    server.start()
    yield started
    release.set()
    for wire in started.opened:
        wire.close()
    server.stop()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    yield from running(tmp_path, LIMITS)


@pytest.fixture
def short(tmp_path: Path) -> Iterator[Served]:
    yield from running(tmp_path, SHORT)


def is_ended(wire: socket.socket) -> bool:
    """Wait until the server has ended the connection; whatever it said before is passed over."""
    try:
        while wire.recv(4096):
            pass
    except OSError as error:
        return not isinstance(error, TimeoutError)
    return True


@pytest.mark.parametrize("source", [HERE, ELSEWHERE])
@pytest.mark.parametrize("opened", ["silent", "secure"])
def test_who_asks_gets_an_answer_while_one_address_holds_idle_connections(
    served: Served, source: str, opened: str
) -> None:
    for _ in range(60):
        getattr(served, opened)(source)
    for _ in range(5):
        assert served.ask() == b"fast"
        assert served.ask(source=source) == b"fast"
    assert len(served.server._connections._all) <= LIMITS.total


def test_many_addresses_together_get_no_more_than_there_is(served: Served) -> None:
    for number in range(80):
        served.silent(f"127.0.1.{1 + number % 8}")
    assert served.ask() == b"fast"
    assert len(served.server._connections._all) <= LIMITS.total


def connects(wire: socket.socket, port: int) -> bool:
    """Tell whether it does; the system may hold the same two ends for taken for a moment."""
    try:
        wire.connect((HERE, port))
    except OSError as error:
        if error.errno != errno.EADDRNOTAVAIL:
            raise
        return False
    return True


def test_a_client_that_comes_again_from_its_port_before_its_end_was_seen_is_counted_once(
    served: Served,
) -> None:
    reset = struct.pack("ii", 1, 0)
    with socket.socket() as holder:  # nobody else gets the port meanwhile
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind((ELSEWHERE, 0))
        for _ in range(200):
            with socket.socket() as wire:
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                wire.bind(holder.getsockname())
                until(partial(connects, wire, served.port))
    connections = served.server._connections
    assert served.ask() == b"fast"
    # One follows after the other, and those that had to go are closed last.
    until(lambda: not (connections._all or connections._idle or connections._sources))
    until(lambda: connections._leaving == 0)
    assert served.ask() == b"fast"


def test_the_longest_idle_gives_its_place(served: Served) -> None:
    first, *others = [served.secure() for _ in range(LIMITS.per_source)]
    assert served.ask() == b"fast"
    assert is_ended(first)
    for wire in others[-3:]:
        wire.sendall(b"GET /fast HTTP/1.1\r\nHost: x\r\n\r\n")
        assert wire.recv(4096).startswith(b"HTTP/1.1 200")


def test_a_request_that_is_being_answered_is_never_ended(served: Served) -> None:
    busy = served.hold_busy(4)
    for source in (HERE, ELSEWHERE):
        for _ in range(40):
            served.silent(source)
    served.release.set()
    for wire in busy:
        answer = b""
        while not answer.endswith(b"slow"):
            answer += wire.recv(4096)


def test_where_everybody_is_being_answered_the_newcomer_is_turned_away(served: Served) -> None:
    served.hold_busy(LIMITS.per_source)
    assert is_ended(served.silent())
    served.hold_busy(LIMITS.total - LIMITS.per_source, ELSEWHERE)
    with pytest.raises(OSError):  # noqa: PT011  reset or end of file, as it comes
        served.ask(source="127.0.0.3")
    served.release.set()
    until(lambda: any(each.source == HERE for each in list(served.server._connections._idle)))
    assert served.ask() == b"fast"


def test_who_does_not_begin_the_handshake_is_hung_up_on(served: Served) -> None:
    wire = served.silent()
    served.lose_patience()
    assert is_ended(wire)


def test_who_does_not_finish_the_handshake_is_hung_up_on(served: Served) -> None:
    wire = served.silent()
    wire.sendall(b"\x16\x03\x01\x02\x00\x01")
    served.lose_patience()
    assert is_ended(wire)


def test_who_sends_no_request_is_hung_up_on(served: Served) -> None:
    wire = served.secure()
    served.lose_patience()
    assert is_ended(wire)


def test_who_sends_a_request_byte_by_byte_is_hung_up_on(served: Served) -> None:
    wire = served.secure()
    wire.sendall(b"GET /")
    served.lose_patience()
    wire.settimeout(0.05)
    heard = b"-"
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while heard:
            wire.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                heard = wire.recv(1)
    with pytest.raises(OSError):  # noqa: PT011  as the system says it
        wire.sendall(b"x" * 9_999)


def test_who_asked_once_and_then_nothing_more_is_hung_up_on(short: Served) -> None:
    wire = short.secure()
    wire.sendall(b"GET /fast HTTP/1.1\r\nHost: x\r\n\r\nGET /")
    assert wire.recv(4096).startswith(b"HTTP/1.1 200")
    assert is_ended(wire)


def test_a_client_that_does_not_send_its_whole_body_is_hung_up_on_after_its_refusal(
    short: Served,
) -> None:
    wire = short.secure()
    wire.sendall(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n1")
    assert wire.recv(4096).startswith(b"HTTP/1.1 404")
    with contextlib.suppress(OSError):
        wire.sendall(b"2")
    assert is_ended(wire)


HEAD = b"GET /fast HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"POST /fast HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
LONG = b"x" * MAX_AROUND_BYTES


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + LONG,
        HEAD + b"A: " + LONG,
        HEAD + b"A: b\r\n" * (MAX_AROUND_BYTES // 6),
        CHUNKED + b"1;" + LONG,
        CHUNKED + b"1\r\nx\r\n" * (MAX_AROUND_BYTES // 4),
        CHUNKED + b"0\r\nA: " + LONG,
        CHUNKED + b"0\r\n" + b"A: b\r\n" * (MAX_AROUND_BYTES // 6),
        CHUNKED + b"0" * MAX_AROUND_BYTES,
    ],
    ids=["line", "header", "headers", "extension", "chunks", "trailer", "trailers", "size"],
)
def test_more_around_a_body_than_is_taken_is_refused(served: Served, sent: bytes) -> None:
    wire = served.secure()
    with contextlib.suppress(OSError):
        wire.sendall(sent)
    assert b" 400 Bad Request\r\n" in everything(wire)
    assert served.ask() == b"fast"


@pytest.mark.parametrize("size", [8, 1 << 16])
def test_a_body_in_chunks_is_taken_whole(served: Served, size: int) -> None:
    wire = served.secure()
    chunk = b"%x\r\n%b\r\n" % (size, b"x" * size)
    wire.sendall(CHUNKED.replace(b"/fast", b"/size") + chunk * (MAX_BODY_BYTES // size))
    wire.sendall(b"0\r\n\r\n" + HEAD.replace(b"GET", b"POST") + b"Connection: close\r\n\r\n")
    answer = everything(wire)
    assert b"\r\n\r\n%d" % MAX_BODY_BYTES in answer
    assert answer.count(b"HTTP/1.1") == 2


def everything(wire: socket.socket) -> bytes:
    """Return what the server says until it hangs up."""
    heard = b""
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while said := wire.recv(1 << 16):
            heard += said
    return heard


@pytest.mark.parametrize(
    "cipher", ["AES128-SHA", "AES256-GCM-SHA384", "ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES128-SHA"]
)
def test_tls_without_forward_secrecy_or_authenticated_encryption_is_refused(
    served: Served, cipher: str
) -> None:
    context = ssl.create_default_context(cafile=str(served.ca_file))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{cipher}:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(served.silent(), server_hostname=HERE)
    context.set_ciphers("ECDHE+AESGCM")
    with context.wrap_socket(served.silent(), server_hostname=HERE) as wire:
        assert wire.version() == "TLSv1.2"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_tls_before_1_2_is_refused(served: Served, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cafile=str(served.ca_file))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    with pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(served.silent(), server_hostname=HERE)


@pytest.mark.parametrize(("hard", "total"), [(200, 80), (1024, 768), (20_000, 4096)])
def test_the_room_follows_from_how_many_files_the_process_may_open(hard: int, total: int) -> None:
    script = (
        "import resource\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, (min(200, {hard}), {hard}))\n"
        "from mftgit.adapters.http_server.connections import ConnectionLimits\n"
        "limits = ConnectionLimits.of_process()\n"
        "print(limits.total, limits.per_source, resource.getrlimit(resource.RLIMIT_NOFILE))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )
    if "not allowed to raise" in ran.stderr:
        pytest.skip(f"this machine allows no {hard} files")
    assert ran.stdout.strip() == f"{total} {total * 3 // 4} ({hard}, {hard})", ran.stderr
