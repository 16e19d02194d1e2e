"""A TCP connection with SSH keys exchanged: the socket, the algorithms that are allowed, and its end."""

import socket
import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import ClassVar

import paramiko
from paramiko.kex_curve25519 import KexCurve25519

from mftgit.adapters.sftp_packets import packetizer_class
from mftgit.model.config import SftpLocation

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


def server_name(location: SftpLocation) -> str:
    """Return the server as messages name it: ``host:port``."""
    return f"{location.host}:{location.port}"


def reason(error: BaseException) -> str:
    """Return what ``error`` says, or for one that says nothing what it means."""
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    return str(error) or "the connection was closed"


def open_transport(location: SftpLocation, *, key_types: Iterable[str]) -> paramiko.Transport:
    """Connect to ``location`` and exchange keys; the server shows a host key of ``key_types``, not yet checked.

    Raises:
        IncompatiblePeer: the server and we have no algorithm in common. It is one of `TROUBLE`, as all else.
    """
    transport = _transport(_dial(location), location, key_types)
    try:
        transport.start_client(timeout=location.connect_s)
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


def _dial(location: SftpLocation) -> socket.socket:
    sock = socket.create_connection((location.host, location.port), timeout=location.connect_s)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # paramiko sends without end into a peer that takes nothing any more; this makes the kernel give up (tcp(7)).
    sock.setsockopt(
        socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, max(1, int(location.timeout_s * 1000))
    )
    return sock


def _transport(
    sock: socket.socket, location: SftpLocation, key_types: Iterable[str]
) -> paramiko.Transport:
    transport = _ExactTransport(
        sock,
        default_window_size=_WINDOW_BYTES,
        default_max_packet_size=_PACKET_BYTES,
        packetizer_class=packetizer_class(),
    )
    sock.settimeout(min(_POLL_S, location.connect_s))
    options = transport.get_security_options()
    options.ciphers = location.algorithms.ciphers
    options.digests = location.algorithms.macs
    # Which ones paramiko has depends on the cryptography that is installed.
    options.kex = tuple(
        name
        for name in location.algorithms.kex
        if name in transport._kex_info  # noqa: SLF001
    )
    options.key_types = tuple(key_types)
    transport.banner_timeout = location.connect_s
    transport.handshake_timeout = location.connect_s
    transport.auth_timeout = location.connect_s
    transport.channel_timeout = location.connect_s
    transport.clear_to_send_timeout = location.timeout_s
    return transport
