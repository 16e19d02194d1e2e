"""The TCP connection below SMB (MS-SMB2 2.1), in the place of smbprotocol's own.

That one sends without a limit of time, cannot be closed while it sends, takes messages of 4 GiB, and asks `select`,
which knows no descriptor above 1,023.
"""

import socket
import struct
from contextlib import suppress
from threading import Lock
from typing import Any, Final

from mftgit.adapters.smb.status import BrokenAnswerError

MOST_BYTES: Final = 2 << 20
"""Of one message; nothing that is asked for has an answer half as large."""

_HEAD_BYTES: Final = 4
_KEEPALIVE_S: Final = 15  # of silence, so that firewalls keep the connection


class Transport:
    """Messages to and from ``host``; the names are those that smbprotocol calls.

    ``connect_s`` is how long connecting may take, and ``send_s`` how long the server may take nothing of what is sent.
    One thread receives, any may send or close.
    """

    def __init__(self, host: str, port: int, *, connect_s: float, send_s: float) -> None:
        self._address = host, port
        self._connect_s = connect_s
        self._send_s = send_s
        self._sending = Lock()
        self._socket: socket.socket | None = None
        self.connected = False

    def connect(self) -> None:
        """Connect; raises `OSError`."""
        made = socket.create_connection(self._address, timeout=self._connect_s)
        made.settimeout(None)
        whole, part = divmod(self._send_s, 1)
        limit = struct.pack("ll", int(whole), int(part * 1_000_000))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE_S)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE_S)
        self._socket = made
        self.connected = True

    def send(self, header: Any) -> None:
        """Send one message, bytes or a Structure of smbprotocol, and nothing once it is closed; raises `OSError`."""
        message = header if isinstance(header, bytes) else header.pack()
        with self._sending:
            if self._socket is None or not self.connected:
                raise ConnectionAbortedError("the connection is closed")
            try:
                self._socket.sendall(len(message).to_bytes(_HEAD_BYTES, "big") + message)
            except BlockingIOError as error:
                raise TimeoutError(f"the server took nothing for {self._send_s:g} s") from error

    def recv(self, _timeout: float) -> bytes:
        """Return the next message, or nothing at the end; waits for as long as the connection is there.

        How long an answer may take is for who waits for it.

        Raises:
            BrokenAnswerError: it would be larger than `MOST_BYTES`.
        """
        length = int.from_bytes(self._receive(_HEAD_BYTES), "big")
        if length > MOST_BYTES:
            raise BrokenAnswerError(
                f"a message of {length} bytes, and at most {MOST_BYTES} are taken"
            )
        return self._receive(length)

    def _receive(self, length: int) -> bytes:
        buffer = bytearray(length)
        room = memoryview(buffer)
        while room and self._socket is not None:
            try:
                count = self._socket.recv_into(room)
            except OSError:
                count = 0
            if not count:
                self.close()
                return b""
            room = room[count:]
        return bytes(buffer)

    def close(self) -> None:
        """End the connection: who sends or receives wakes; a second call does nothing."""
        self.connected = False
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Give the descriptor back, once it is closed and nobody receives."""
        with self._sending:
            if self._socket is not None:
                self._socket.close()
