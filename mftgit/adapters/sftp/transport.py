"""A TCP connection with SSH keys exchanged: the socket, the algorithms that are allowed, and its end."""

import socket
import struct
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import ClassVar, Protocol, cast

import paramiko
from paramiko.kex_curve25519 import KexCurve25519

from mftgit.adapters.ssh.packets import packetizer_class
from mftgit.model.locations.hop import Hop

TROUBLE = (
    OSError,
    EOFError,
    UnicodeError,  # a host name that cannot be one
    struct.error,
    paramiko.SSHException,
    paramiko.SFTPError,
)
"""What sockets and paramiko raise when a connection fails, is lost, or carries nonsense."""

_POLL_S = 3.0  # paramiko's own 0.1 s costs 4.7 % of a core for 100 idle connections
_WINDOW_BYTES = (
    16 << 20
)  # more than is ever asked for at once, so that the window never stops a server
_PACKET_BYTES = 256 << 10


class _ExactTransport(paramiko.Transport):
    """A transport that asks for just those types of host keys that it was told; paramiko adds a certificate to each.

    And it knows curve25519-sha256 by that name too (RFC 8731, 1), and not only by the older one.
    """

    _kex_info: ClassVar[Mapping[str, type]] = {
        **paramiko.Transport._kex_info,  # type: ignore[attr-defined]  # noqa: SLF001  none is public
        "curve25519-sha256": KexCurve25519,
    }

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        return tuple(self.get_security_options().key_types)


def reason(error: BaseException) -> str:
    """Return what ``error`` says, or for one that says nothing what it means."""
    if isinstance(error, TimeoutError) and str(error) in {"", "timed out"}:
        return "no answer in time"
    return str(error) or "the connection was closed"


class Sock(Protocol):
    """What paramiko needs of a socket, and `hang_up`."""

    def settimeout(self, seconds: float, /) -> None:
        """See `socket.socket.settimeout`."""

    def recv(self, length: int, /) -> bytes:
        """See `socket.socket.recv`."""

    def send(self, data: bytes, /) -> int:
        """See `socket.socket.send`."""

    def shutdown(self, how: int, /) -> None:
        """See `socket.socket.shutdown`."""

    def close(self) -> None:
        """See `socket.socket.close`."""


def open_transport(
    hop: Hop, *, key_types: Iterable[str], dial: Callable[[Hop], Sock]
) -> paramiko.Transport:
    """Connect to ``hop`` and exchange keys; the server shows a host key of ``key_types``, not yet checked.

    Raises:
        IncompatiblePeer: the server and we have no algorithm in common. It is one of `TROUBLE`, as all else.
    """
    transport = _transport(dial(hop), hop, key_types)
    try:
        transport.start_client(timeout=hop.connect_s)
        if not transport.initial_kex_done:  # start_client returns as if all were well
            raise TimeoutError  # noqa: TRY301  the same end as for every other trouble
    except BaseException:
        hang_up(transport)
        raise
    return transport


def hang_up(transport: paramiko.Transport) -> None:
    """Close ``transport`` and wait for its thread; a closed one is fine."""
    # Without the shutdown, the thread would notice only at the end of its poll.
    with suppress(OSError):
        transport.sock.shutdown(socket.SHUT_RDWR)
    transport.close()
    transport.sock.close()
    if transport.is_alive():
        transport.join(_POLL_S)
    transport.packetizer.complete_handshake()  # ends the timer thread of a handshake that failed


def dial_directly(hop: Hop) -> socket.socket:
    """Connect to ``hop`` by TCP."""
    sock = socket.create_connection((hop.host, hop.port), timeout=hop.connect_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # paramiko sends without end into a peer that takes nothing any more; this makes the kernel give up (tcp(7)).
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, int(hop.timeout_s * 1000)))
    return sock


def _transport(sock: Sock, hop: Hop, key_types: Iterable[str]) -> paramiko.Transport:
    transport = _ExactTransport(
        cast("socket.socket", sock),
        default_window_size=_WINDOW_BYTES,
        default_max_packet_size=_PACKET_BYTES,
        packetizer_class=packetizer_class(),
    )
    sock.settimeout(min(_POLL_S, hop.connect_s))
    options = transport.get_security_options()
    options.ciphers = hop.algorithms.ciphers
    options.digests = hop.algorithms.macs
    # Which ones paramiko has depends on the cryptography that is installed.
    options.kex = tuple(
        name
        for name in hop.algorithms.kex
        if name in transport._kex_info  # noqa: SLF001
    )
    options.key_types = tuple(key_types)
    transport.banner_timeout = hop.connect_s
    transport.handshake_timeout = hop.connect_s
    transport.auth_timeout = hop.connect_s
    transport.channel_timeout = hop.connect_s
    transport.clear_to_send_timeout = hop.timeout_s
    return transport
