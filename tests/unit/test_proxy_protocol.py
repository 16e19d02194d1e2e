"""Whom load balancers forward, read from real sockets."""

import socket
from collections.abc import Iterator

import pytest

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.proxy_protocol import NotForwardedError, visitor_of
from mftgit.model.inbound.visitor import Visitor, read_visitor

PEER = read_visitor("198.51.100.9", 1)
HEADER = b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 22\r\n"


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def _visitor(ours: socket.socket, proxies: list[str], patience_s: float = 60.0) -> Visitor:
    return visitor_of(
        ours, PEER, proxies=proxies, patience_s=patience_s, monotonic=SystemClock().boottime
    )


def test_a_listed_balancer_tells_whom_it_forwards_and_nothing_beyond_is_read(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    theirs.sendall(HEADER + b"SSH-2.0-client\r\n")
    assert _visitor(ours, ["198.51.100.0/24"]).source == "192.0.2.7"
    assert ours.recv(100) == b"SSH-2.0-client\r\n"


def test_from_others_nothing_is_read(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    theirs.sendall(HEADER)
    assert _visitor(ours, ["203.0.113.0/24"]) is PEER
    assert ours.recv(100) == HEADER


def test_a_header_may_come_in_pieces(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    sent = iter(HEADER[at : at + 1] for at in range(len(HEADER)))

    def monotonic() -> float:  # it is asked before each look
        theirs.sendall(next(sent, b""))
        return 0.0

    found = visitor_of(ours, PEER, proxies=["0.0.0.0/0"], patience_s=60.0, monotonic=monotonic)
    assert found.source == "192.0.2.7"


def test_a_balancer_that_speaks_for_itself_is_the_visitor(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    theirs.sendall(b"PROXY UNKNOWN\r\n")
    assert _visitor(ours, ["0.0.0.0/0"]) is PEER


def test_a_balancer_that_sends_no_header_is_refused(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    theirs.sendall(b"SSH-2.0-client\r\n")
    with pytest.raises(NotForwardedError, match="no header of the PROXY protocol"):
        _visitor(ours, ["0.0.0.0/0"])


@pytest.mark.parametrize("sent", [b"", HEADER[:20]])
def test_a_balancer_that_takes_too_long_is_refused(
    ends: tuple[socket.socket, socket.socket], sent: bytes
) -> None:
    ours, theirs = ends
    theirs.sendall(sent)
    with pytest.raises(NotForwardedError, match=r"within 0\.01 s"):
        _visitor(ours, ["0.0.0.0/0"], patience_s=0.01)


def test_a_balancer_that_trickles_is_refused_by_the_clock(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends
    times = iter(range(1000))

    def monotonic() -> float:
        theirs.sendall(b"PROXY TCP4 "[(at := next(times)) : at + 1])
        return float(at)

    with pytest.raises(NotForwardedError, match="within 5 s"):
        visitor_of(ours, PEER, proxies=["0.0.0.0/0"], patience_s=5.0, monotonic=monotonic)


def test_a_balancer_that_hangs_up_is_refused(ends: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = ends
    theirs.sendall(b"PROXY")
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(NotForwardedError, match="no whole header"):
        _visitor(ours, ["0.0.0.0/0"])
