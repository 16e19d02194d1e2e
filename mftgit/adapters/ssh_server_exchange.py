"""The exchange of keys in paramiko's server mode, with current algorithms only, and messages that wait for its end."""

import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import paramiko
from paramiko.kex_curve25519 import KexCurve25519

from mftgit.adapters.ssh_server_keys import HostKeys
from mftgit.adapters.ssh_server_packets import ServerPackets
from mftgit.errors import ConfigError
from mftgit.model.algorithms import CIPHERS, KEX, MACS, Algorithms
from mftgit.model.ssh_user_key import ALGORITHMS

_VERSION: Final = "SSH-2.0-mftgit"
_POLL_S: Final = 10.0
"""How often a connection that waits wakes up; its end wakes it at once."""

_WINDOW_BYTES: Final = 4 << 20
_PACKET_BYTES: Final = 256 << 10
_HELD: Final = 256
"""How many answers may wait for the end of an exchange of keys."""

_GROUP_EXCHANGE: Final = "diffie-hellman-group-exchange-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what a server speaks with clients."""

    keys: HostKeys
    kex: tuple[str, ...]
    ciphers: tuple[str, ...]
    macs: tuple[str, ...]


def agree(algorithms: Algorithms, keys: HostKeys) -> Terms:
    """Return the terms that ``algorithms`` come to.

    Raises:
        ConfigError: none of a sort is left that a server can have.
    """
    known = paramiko.Transport.__dict__
    # Group exchange would need primes from a file of the machine.
    kex = tuple(
        name
        for name in _both(algorithms.kex, KEX, ServerExchange._kex_info)  # noqa: SLF001
        if not name.startswith(_GROUP_EXCHANGE)
    )
    ciphers = _both(algorithms.ciphers, CIPHERS, known["_cipher_info"])
    macs = _both(algorithms.macs, MACS, known["_mac_info"])
    for sort, left, given in (
        ("kex", kex, algorithms.kex),
        ("ciphers", ciphers, algorithms.ciphers),
        ("macs", macs, algorithms.macs),
    ):
        if not left:
            raise ConfigError(f"no algorithm is left of {sort}: {', '.join(given) or 'none given'}")
    return Terms(keys=keys, kex=kex, ciphers=ciphers, macs=macs)


def _both(
    given: tuple[str, ...], current: tuple[str, ...], known: Mapping[str, object]
) -> tuple[str, ...]:
    """Return those of ``given`` that are ``current`` and that paramiko has."""
    return tuple(name for name in given if name in current and name in known)


class ServerExchange(paramiko.Transport):
    """See the module; strict (OpenSSH's PROTOCOL, 1.10) with every client that can be."""

    if TYPE_CHECKING:  # what paramiko's types do not tell
        _really_parse_kex_init: Callable[[paramiko.Message], dict[str, Any]]
        packetizer: ServerPackets
        preferred_kex: tuple[str, ...]
        session_id: bytes
        host_key_type: str
        initial_kex_done: bool
        _send_message: Callable[[paramiko.Message], None]

    _kex_info: ClassVar[Mapping[str, type]] = {
        **paramiko.Transport._kex_info,  # type: ignore[attr-defined]  # noqa: SLF001  none is public
        "curve25519-sha256": KexCurve25519,  # RFC 8731, 1
    }

    def __init__(self, sock: socket.socket, terms: Terms) -> None:
        super().__init__(
            sock,
            default_window_size=_WINDOW_BYTES,
            default_max_packet_size=_PACKET_BYTES,
            packetizer_class=ServerPackets,
        )
        sock.settimeout(_POLL_S)
        self.local_version = _VERSION
        self._preferred_kex = terms.kex
        self._preferred_ciphers = terms.ciphers
        self._preferred_macs = terms.macs
        self._preferred_keys = tuple(terms.keys.shown)
        self._preferred_pubkeys = ALGORITHMS
        self.server_key_dict = dict(terms.keys.shown)
        self._held: deque[paramiko.Message] = deque()

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        """See paramiko, which adds certificates."""
        return self._preferred_keys

    def answer(self, message: paramiko.Message) -> None:
        """Send ``message`` from the thread that reads; it waits where keys are being exchanged (RFC 4253, 7.1).

        paramiko would have that thread itself wait, for what only it can read.
        """
        if self.clear_to_send.is_set() or not self.initial_kex_done:
            self._send_message(message)
        elif len(self._held) == _HELD:
            raise paramiko.SSHException("too many requests while keys are exchanged")
        else:
            self._held.append(message)

    def _send_user_message(self, data: paramiko.Message) -> None:
        """See paramiko; also its own channels send from the thread that reads."""
        if threading.current_thread() is self:
            self.answer(data)
        else:
            super()._send_user_message(data)  # type: ignore[misc]

    def _check_banner(self) -> None:
        """Read the client's version (RFC 4253, 4.2): it is the first thing that a client sends."""
        line = self.packetizer.readline(0.0)
        if not line.startswith("SSH-2.0-"):
            raise paramiko.SSHException("no SSH")
        self.remote_version = line

    def _parse_kex_init(self, m: paramiko.Message) -> None:
        """See paramiko; what a client sent by a wrong guess is passed over (RFC 4253, 7)."""
        if self.initial_kex_done and not self.packetizer.is_known:
            raise paramiko.SSHException("keys are exchanged once before a login")
        offered = self._really_parse_kex_init(paramiko.Message(m.asbytes()))
        guess = offered["kex_algo_list"][0], offered["server_key_algo_list"][0]
        super()._parse_kex_init(m)  # type: ignore[misc]
        if offered["kex_follows"] and guess != (self.preferred_kex[0], self.preferred_keys[0]):
            self.packetizer.pass_over_next()

    def _parse_newkeys(self, m: paramiko.Message) -> None:
        """See paramiko; extensions are told after the first exchange only (RFC 8308, 2.4), then what has waited."""
        super()._parse_newkeys(m)  # type: ignore[misc]
        self.server_sig_algs = False
        while self._held and self.clear_to_send.is_set():
            self._send_message(self._held.popleft())

    def _log(self, level: int, msg: object, *args: object) -> None:
        """Write nothing that an outsider causes."""
