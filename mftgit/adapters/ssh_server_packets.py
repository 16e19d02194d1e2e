"""The packets of a server's connection: what an outsider can make it hold or do before a login is bounded."""

import os
import select
import socket
import threading
from typing import Any, Final

import paramiko

from mftgit.adapters.sftp_packets import Packets

_LINE_BYTES: Final = 255
"""How long a version may be (RFC 4253, 4.2)."""

_BEFORE_LOGIN_BYTES: Final = 64 << 10
"""How long a packet may be before a login: RFC 4253, 6.1 asks for 35,000."""

_AFTER_LOGIN_BYTES: Final = 1 << 20
_AHEAD_BYTES: Final = 8 << 20
"""How much is read at the most while something cannot be sent: more than the windows of all channels have."""

_MESSAGES: Final = 128
"""How many messages there may be before a login: one takes four, each try of it up to three."""


class ServerPackets(Packets):
    """See the module. Times are kept by `ssh_server`, and not by a thread for each handshake."""

    largest_bytes = _BEFORE_LOGIN_BYTES
    receive_bytes = 64 << 10  # more is hardly faster, and is kept several times over

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._socket = sock
        self._read = 0
        self.is_known = False
        self._passes_over = False
        self._reader: int | None = None

    def start_handshake(self, timeout: float) -> None:
        """Start no timer."""

    def set_log(self, log: object) -> None:
        """Write no log: what would stand there is the outsider's to choose."""

    def know(self) -> None:
        """Take what somebody sends who has logged in."""
        self.is_known = True
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
        self._reader = threading.get_ident()
        kind, message = self._read_bounded()
        if self._passes_over:
            self._passes_over = False
            kind, message = self._read_bounded()
        return kind, message

    def _read_bounded(self) -> tuple[int, paramiko.Message]:
        if not self.is_known:
            self._read += 1
            if self._read > _MESSAGES:
                raise paramiko.SSHException("too many messages before a login")
        message: Any = super().read_message()
        return message[0], message[1]

    def write_all(self, out: Any) -> None:
        """See paramiko; the thread that reads goes on reading while there is no room, lest both sides wait for that."""
        if threading.get_ident() != self._reader:
            super().write_all(out)
            return
        left = memoryview(out)
        while left:
            try:
                left = left[os.write(self._socket.fileno(), left) :]
            except BlockingIOError:
                self._wait_for_room()
            except OSError:
                raise EOFError from None

    def _wait_for_room(self) -> None:
        """Wait until something can be sent, and read meanwhile, as far as that has to be kept."""
        has_space = self.ahead_bytes < _AHEAD_BYTES
        line = select.poll()
        line.register(self._socket, select.POLLOUT | (select.POLLIN if has_space else 0))
        for _, events in line.poll():
            if events & select.POLLIN:
                self.read_ahead()

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
