"""The packets of a server's connection: what an outsider can make it hold or do before a login is bounded."""

import select
import socket
from typing import TYPE_CHECKING, Any, Final

import paramiko

from mftgit.adapters.sftp_packets import packetizer_class

_LINE_BYTES: Final = 255
"""How long a version may be (RFC 4253, 4.2)."""

_BEFORE_LOGIN_BYTES: Final = 64 << 10
"""How long a packet may be before a login: RFC 4253, 6.1 asks for 35,000."""

_AFTER_LOGIN_BYTES: Final = 1 << 20
_MESSAGES: Final = 128
"""How many messages there may be before a login: one takes four, each try of it up to three."""

if TYPE_CHECKING:
    from paramiko.packet import Packetizer as _Packets
else:
    _Packets = packetizer_class()


class ServerPackets(_Packets):
    """See the module. Times are kept by `ssh_server_watch`, and not by a thread for each handshake."""

    largest_bytes = _BEFORE_LOGIN_BYTES

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._socket = sock
        self._read = 0
        self._known = False
        self._passes_over = False

    def start_handshake(self, timeout: float) -> None:
        """Start no timer."""

    def set_log(self, log: object) -> None:
        """Write no log: what would stand there is the outsider's to choose."""

    def know(self) -> None:
        """Take what somebody sends who has logged in."""
        self._known = True
        self.largest_bytes = _AFTER_LOGIN_BYTES

    def pass_over_next(self) -> None:
        """Pass over the next message, which a client sent by a wrong guess (RFC 4253, 7)."""
        self._passes_over = True

    def readline(self, timeout: float) -> str:
        """Return the version that the client sends; it is not read beyond its end."""
        del timeout
        line = bytearray()
        while not line.endswith(b"\n"):
            if len(line) == _LINE_BYTES:
                raise paramiko.SSHException("a version that is too long")
            line += self.read_all(1)
        return line.decode("ascii").rstrip("\r\n")

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:  # noqa: FBT001, FBT002  paramiko's signature
        """See paramiko."""
        if not 0 <= n <= self.largest_bytes:
            raise paramiko.SSHException(f"packet of {n} bytes")
        read: bytes = super().read_all(n, check_rekey)
        return read

    def read_message(self) -> tuple[int, paramiko.Message]:
        """See paramiko."""
        kind, message = self._next()
        if self._passes_over:
            self._passes_over = False
            kind, message = self._next()
        return kind, message

    def _next(self) -> tuple[int, paramiko.Message]:
        if not self._known:
            self._read += 1
            if self._read > _MESSAGES:
                raise paramiko.SSHException("too many messages before a login")
        message: Any = super().read_message()
        return message[0], message[1]

    def send_at_once(self, message: paramiko.Message, patience_s: float) -> None:
        """Send ``message``, unless another is being sent for as long as ``patience_s``, or there is no room for it."""
        lock = getattr(self, "_Packetizer__write_lock")  # noqa: B009  private to paramiko
        if not lock.acquire(timeout=patience_s):
            return
        try:
            room = select.poll()
            room.register(self._socket, select.POLLOUT)
            if room.poll(0):
                self.send_message(message)
        finally:
            lock.release()
