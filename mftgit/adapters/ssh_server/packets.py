"""The packets of a server's connection: what an outsider can make it hold or do before a login is bounded.

At first a thread of the connection reads them, and waits. Later `mftgit.adapters.ssh_server.rounds` may, which never
waits: what there is no room for is kept, and sent when there is some.
"""

import os
import select
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any, Final

import paramiko

from mftgit.adapters.ssh.packets import TAG_BYTES, Packets

if TYPE_CHECKING:
    from mftgit.adapters.ssh_server.rounds import Rounds

_LENGTH: Final = struct.Struct(">I")
_LENGTH_BYTES: Final = 4
"""RFC 5647, 6."""

_LINE_BYTES: Final = 255
"""How long a version may be (RFC 4253, 4.2)."""

_BEFORE_LOGIN_BYTES: Final = 64 << 10
"""How long a packet may be before a login: RFC 4253, 6.1 asks for 35,000."""

_AFTER_LOGIN_BYTES: Final = 1 << 20
_AHEAD_BYTES: Final = 8 << 20
"""How much is read at the most while something cannot be sent: more than the windows of all channels have."""

_MOST_UNSENT_BYTES: Final = 1 << 20
"""When so much waits for room, nothing more is answered; one answer and what has come before it may be added."""

_ROUND_BYTES: Final = 128 << 10
"""What is read of one connection before it is another one's turn."""

_MESSAGES: Final = 128
"""How many messages there may be before a login: one takes four, each try of it up to three."""


class ServerPackets(Packets):
    """See the module. Times are kept by `server`, and not by a thread for each handshake."""

    largest_bytes = _BEFORE_LOGIN_BYTES
    receive_bytes = 64 << 10  # more is hardly faster, and is kept several times over

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._socket = sock
        self._read = 0
        self.is_known = False
        self._passes_over = False
        self.reader: int | None = None
        self._rounds: Rounds | None = None
        self._unsent = bytearray()
        self._moved_bytes = 0
        self._watched = select.EPOLLIN

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

    def passes_over(self) -> bool:
        """Tell of the message that was read last whether it is to be passed over; called once for each."""
        passes_over, self._passes_over = self._passes_over, False
        return passes_over

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
        self.reader = threading.get_ident()
        if not self.is_known:
            self._read += 1
            if self._read > _MESSAGES:
                raise paramiko.SSHException("too many messages before a login")
        message: Any = super().read_message()
        return message[0], message[1]

    def write_all(self, out: Any) -> None:
        """See paramiko; the thread that reads goes on reading while there is no room, lest both sides wait for that."""
        if self._rounds is not None:
            self._write_now(out)
            return
        if threading.get_ident() != self.reader:
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

    # In rounds

    @property
    def can_be_shared(self) -> bool:
        """Whether packets can be told apart before all of them is there."""
        return (
            self._Packetizer__aead_in
            and self._Packetizer__aead_out
            and self._Packetizer__compress_engine_in is None
            and self._Packetizer__compress_engine_out is None
        )

    def begin_rounds(self, rounds: "Rounds") -> None:
        """Never wait from now on; by the thread that goes ``rounds``, which reads from now on."""
        self.reader = threading.get_ident()
        with self._Packetizer__write_lock:
            self._rounds = rounds

    @property
    def in_rounds(self) -> bool:
        """Whether nothing here waits."""
        return self._rounds is not None

    def moved_bytes(self) -> int:
        """Return how much has come and gone in rounds since this was asked before."""
        moved, self._moved_bytes = self._moved_bytes, 0
        return moved

    @property
    def is_full(self) -> bool:
        """Whether too much waits for room."""
        return len(self._unsent) >= _MOST_UNSENT_BYTES

    def arrive(self) -> None:
        """Take what has come, up to a bound; raises EOFError at the end."""
        if self.ahead_bytes >= _AHEAD_BYTES:
            return
        try:
            piece = os.read(self._socket.fileno(), _ROUND_BYTES)
        except BlockingIOError:
            return
        if not piece:
            raise EOFError
        if self._at:
            del self._buffer[: self._at]
            self._at = 0
        self._buffer += piece
        self._moved_bytes += len(piece)

    def has_message(self) -> bool:
        """Tell whether `read_message` need not wait."""
        ahead_bytes = len(self._buffer) - self._at
        if ahead_bytes < _LENGTH_BYTES:
            return False
        (length,) = _LENGTH.unpack_from(self._buffer, self._at)
        is_whole: bool = ahead_bytes >= _LENGTH_BYTES + length + TAG_BYTES
        return is_whole or length > self.largest_bytes  # which is told when it is read

    def send_more(self) -> None:
        """Send what has waited for room."""
        with self._Packetizer__write_lock:
            waiting, self._unsent = self._unsent, bytearray()
            if waiting:
                self._write_now(waiting)

    def _write_now(self, out: Any) -> None:
        """Send ``out``, and keep what there is no room for; with the lock."""
        left = memoryview(out)
        self._moved_bytes += len(left)
        if not self._unsent:
            try:
                left = left[os.write(self._socket.fileno(), left) :]
            except BlockingIOError:
                pass
            except OSError:
                raise EOFError from None
        if left:
            self._unsent += left
            self._watch()

    def look_out(self) -> None:
        """Have the rounds come by for what there is to wait for: room, and what the client says."""
        with self._Packetizer__write_lock:
            self._watch()

    def _watch(self) -> None:
        wanted = select.EPOLLIN if self.ahead_bytes < _AHEAD_BYTES else 0
        if self._unsent:
            wanted |= select.EPOLLOUT
        if wanted != self._watched and self._rounds is not None:
            self._watched = wanted
            self._rounds.watch(self._socket.fileno(), wanted)

    def end_rounds(self) -> None:
        """Close the socket, that nobody writes to it any more."""
        with self._Packetizer__write_lock:
            if self._rounds is not None:
                self._rounds.let_go(self._socket.fileno())
            self.close()

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
