"""What members listen with, and what they say to balancers, over real sockets."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest
from inbound_site import until
from ports import own_port

from mftgit.adapters.control_line import ControlLine, LineEndedError
from mftgit.adapters.health_server import HealthServer
from mftgit.adapters.listening import Acceptor, close_listening, listen_on
from mftgit.errors import ConfigError
from mftgit.model.inbound.service import Listen


@contextmanager
def _health(*, ready: bool) -> Iterator[tuple[str, int]]:
    with own_port() as port, closing(listen_on(Listen(address="127.0.0.1", port=port))) as made:
        server = HealthServer(made, lambda: ready)
        server.start()
        try:
            yield "127.0.0.1", port
        finally:
            server.stop()


def _ask(address: tuple[str, int], request: bytes) -> bytes:
    with socket.create_connection(address, timeout=60) as client:
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(4096), b""))


@pytest.mark.parametrize(
    ("ready", "line", "status"),
    [
        (True, b"GET /readyz HTTP/1.1", b"200 OK"),
        (False, b"GET /readyz?x=1 HTTP/1.0", b"503 Service Unavailable"),
        (False, b"GET /healthz HTTP/1.1", b"200 OK"),
        (True, b"POST /readyz HTTP/1.1", b"405 Method Not Allowed"),
        (True, b"GET /secrets HTTP/1.1", b"404 Not Found"),
        (True, b"\x16\x03\x01", b"404 Not Found"),
    ],
)
def test_a_balancer_is_told_whether_clients_are_welcome(
    ready: bool,  # noqa: FBT001  a parameter of the test
    line: bytes,
    status: bytes,
) -> None:
    with _health(ready=ready) as address:
        answer = _ask(address, line + b"\r\nHost: member\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 " + status + b"\r\n")
    assert b"\r\nConnection: close\r\n" in answer


def test_a_question_without_an_end_is_not_answered_and_keeps_nobody_else_waiting() -> None:
    with _health(ready=True) as address, socket.create_connection(address) as silent:
        silent.sendall(b"GET /re")
        try:
            endless = _ask(address, b"GET /readyz HTTP/1.1\r\nX: " + b"x" * 100_000)
        except ConnectionError:
            endless = b""

        assert endless == b""
        assert _ask(address, b"HEAD /readyz HTTP/1.1\r\n\r\n").endswith(b"\r\n\r\n")


def test_who_only_connects_keeps_no_balancer_from_its_answer() -> None:
    with _health(ready=True) as address, ExitStack() as held:
        silent = [held.enter_context(socket.create_connection(address)) for _ in range(70)]

        assert _ask(address, b"GET /readyz HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        assert silent[0].recv(1) == b""  # the oldest one went for it


def test_all_addresses_of_ipv6_are_all_of_ipv4_too() -> None:
    met: list[str] = []

    def meet(sock: socket.socket, address: str, port: int) -> None:
        assert port
        sock.close()
        met.append(address)

    with own_port() as port, closing(listen_on(Listen(address="::", port=port))) as made:
        acceptor = Acceptor(meet, lambda: 0.0)
        acceptor.take_from(made.dup())
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, port)).close()

        until("both are met", lambda: met == ["::ffff:127.0.0.1", "::1"])
        close_listening(made)
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", port))
        acceptor.take_from(None)


def test_an_address_of_another_machine_is_refused_with_a_way_out() -> None:
    with pytest.raises(ConfigError, match=r"192\.0\.2\.1 port 2022: .* has that address"):
        listen_on(Listen(address="192.0.2.1", port=2022))


def test_a_name_instead_of_an_address_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot listen on localhost"):
        listen_on(Listen(address="localhost", port=2022))


def test_a_message_and_a_socket_go_over_a_control_line() -> None:
    one, other = socket.socketpair()
    with closing(ControlLine(one, most_bytes=10)) as ours:
        with closing(ControlLine(other, most_bytes=1 << 20)) as its, socket.socket() as passed:
            content = b"x" * 500_000
            sender = threading.Thread(
                target=ours.send, args=(len(content).to_bytes(4, "big") + content, passed)
            )
            sender.start()
            assert its.receive() == content
            sender.join()
            taken = its.take_socket()
            assert taken is not None
            with taken:
                assert taken.family == passed.family
            assert its.take_socket() is None
            its.send((11).to_bytes(4, "big"))
            with pytest.raises(LineEndedError, match="11 bytes"):
                ours.receive()
        with pytest.raises(LineEndedError):
            ours.receive()
        with pytest.raises(LineEndedError):
            ours.send(b"\0\0\0\0")
