"""The exchange of keys in paramiko's server mode, with current algorithms only, and messages that wait for its end."""

import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

import paramiko
from paramiko.common import (
    MSG_DEBUG,
    MSG_DISCONNECT,
    MSG_IGNORE,
    MSG_KEXINIT,
    MSG_UNIMPLEMENTED,
    cMSG_UNIMPLEMENTED,
)
from paramiko.packet import NeedRekeyException

from mftgit.adapters.ssh_server.message import message as made
from mftgit.adapters.ssh_server.packets import ServerPackets
from mftgit.adapters.ssh_server.terms import KEX_METHODS, Terms
from mftgit.model.keys.ssh_user_key import ALGORITHMS

_VERSION: Final = "SSH-2.0-mftgit"
_POLL_S: Final = 10.0
"""How often a connection that waits wakes up; its end wakes it at once."""

_WINDOW_BYTES: Final = 4 << 20
_PACKET_BYTES: Final = 256 << 10
_HELD: Final = 256
"""How many answers may wait for the end of an exchange of keys."""

_SEEN: Final = 1024
"""How many channels are remembered that were closed, for messages to them may still come."""

_PASSED_OVER: Final = (MSG_IGNORE, MSG_DEBUG)
_OF_METHOD: Final = range(30, 42)
"""What messages of a method of exchange have as numbers (RFC 4250, 4.1.2)."""


Channel = TypeVar("Channel", bound=paramiko.Channel)


class LeftError(EOFError):
    """The client has said goodbye."""


class ServerExchange(paramiko.Transport):
    """See the module; strict (OpenSSH's PROTOCOL, 1.10) with every client that can be."""

    if TYPE_CHECKING:  # what paramiko's types do not tell
        _really_parse_kex_init: Callable[[paramiko.Message], dict[str, Any]]
        packetizer: ServerPackets
        _channels: Any
        _next_channel: Callable[[], int]
        channels_seen: dict[int, bool]
        _channel_handler_table: ClassVar[Mapping[int, Callable[..., None]]]
        _handler_table: dict[int, Callable[[paramiko.Message], None]]
        _expected_packet: tuple[int, ...]
        _ensure_authed: Callable[[int, paramiko.Message], paramiko.Message | None]
        _enforce_strict_kex: Callable[[int], None]
        _expect_packet: Callable[[int], None]
        _send_kex_init: Callable[[], None]
        auth_handler: Any
        kex_engine: Any
        in_kex: bool
        preferred_kex: tuple[str, ...]
        session_id: bytes
        host_key_type: str
        initial_kex_done: bool
        _send_message: Callable[[paramiko.Message], None]

    _kex_info: ClassVar[Mapping[str, type]] = KEX_METHODS

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
        if threading.get_ident() == self.packetizer.reader:
            self.answer(data)
        else:
            super()._send_user_message(data)  # type: ignore[misc]

    def greet(self) -> None:
        """Begin: both sides say their version, and then what they can."""
        self.packetizer.reader = threading.get_ident()
        self.packetizer.write_all(f"{self.local_version}\r\n".encode())
        self._check_banner()
        self._send_kex_init()
        self._expect_packet(MSG_KEXINIT)

    def read(self) -> None:
        """Read a message, and do what it asks for (RFC 4253, 7 to 11).

        Raises:
            EOFError: the client has said goodbye, or the connection was ended.
            paramiko.SSHException: it is not what may come now.
        """
        if self.packetizer.need_rekey() and not self.in_kex:
            self._send_kex_init()
        try:
            kind, message = self.packetizer.read_message()
        except NeedRekeyException:
            return
        if not self.active:
            raise EOFError
        if self.packetizer.passes_over():
            return
        if kind in _PASSED_OVER:
            self._enforce_strict_kex(kind)
        elif kind == MSG_DISCONNECT:
            raise LeftError
        elif not self._is_of_exchange(kind, message):
            self._obey(kind, message)

    def _is_of_exchange(self, kind: int, message: paramiko.Message) -> bool:
        """Take a message of the exchange of keys; tell whether it was one of its method's own."""
        if not self._expected_packet:
            return False
        if kind not in self._expected_packet:
            raise paramiko.SSHException(f"message {kind} where {self._expected_packet} was due")
        self._expected_packet = ()
        if kind not in _OF_METHOD:
            return False
        self.kex_engine.parse_next(kind, message)
        return True

    def _obey(self, kind: int, message: paramiko.Message) -> None:
        talk = self.auth_handler
        if kind in self._handler_table:
            refusal = self._ensure_authed(kind, message)
            if refusal is None:
                self._handler_table[kind](message)
            else:
                self._send_message(refusal)
        elif kind in self._channel_handler_table:
            self._obey_on_channel(kind, message)
        elif talk is not None and kind in talk._handler_table:  # noqa: SLF001  paramiko's own name
            talk._handler_table[kind](message)  # noqa: SLF001
        elif kind != MSG_UNIMPLEMENTED:
            self._send_message(made(cMSG_UNIMPLEMENTED, message.seqno))

    def _obey_on_channel(self, kind: int, message: paramiko.Message) -> None:
        number = message.get_int()
        channel = self._channels.get(number)
        if channel is not None:
            self._channel_handler_table[kind](channel, message)
        elif number not in self.channels_seen:
            raise paramiko.SSHException("a message to a channel that never was")

    def add_channel(self, make: Callable[[int], Channel]) -> Channel:
        """Add the channel that ``make`` makes for a number, to which messages may come from now on."""
        with self.lock:
            number = self._next_channel()
            channel = make(number)
            self._channels.put(number, channel)
            self.channels_seen[number] = True
            if len(self.channels_seen) > _SEEN:
                del self.channels_seen[next(iter(self.channels_seen))]
        return channel

    def give_up(self) -> None:
        """Let go of all channels and of the socket; by the thread that reads."""
        for channel in self._channels.values():
            channel._unlink()  # noqa: SLF001  paramiko's
        self.active = False
        self.packetizer.end_rounds()

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
