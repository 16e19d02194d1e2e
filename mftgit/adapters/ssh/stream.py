"""The two streams of bytes that an SFTP session goes over: on a channel of a paramiko transport, or a socket."""

import select
import socket
from typing import Any, Protocol

import paramiko

from mftgit.adapters.ssh.packets import Chunks, Data

_RECEIVE_BYTES = 512 << 10
FRAME_BYTES = 64  # what paramiko leaves of a packet for its frame


class Stream(Protocol):
    """Bytes to a server and from it."""

    def send(self, content: bytes | memoryview) -> None:
        """Send all of ``content``; raises OSError or EOFError."""

    def receive(self) -> bytes:
        """Wait for bytes, and return some; none at the end. Raises OSError."""

    def is_ready(self) -> bool:
        """Tell whether `receive` need not wait."""

    def wait_at_most(self, seconds: float | None) -> float | None:
        """Wait no longer than this from now on, None: without end; return how long it was before."""


class ChannelStream:
    """A channel; nothing may have been received on it yet, but by one that has `Chunks` from its beginning."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        # Neither is told by paramiko's types, and both are its own way to the same end.
        self._send: Any = getattr(channel.get_transport(), "_send_user_message")  # noqa: B009
        self._take_window: Any = getattr(channel, "_wait_for_send_window")  # noqa: B009
        if isinstance(channel.in_buffer, Chunks):
            return
        chunks = channel.in_buffer = Chunks()
        # What came before this line came to the former buffer; the flags are set before either is closed.
        if channel.closed or getattr(channel, "eof_received"):  # noqa: B009  its types do not tell of it
            chunks.close()

    def send(self, content: bytes | memoryview) -> None:
        """See `Stream.send`."""
        left = memoryview(content)
        while left:
            size = self._room(len(left))
            data = Data(
                self._channel.remote_chanid,
                left[:size],
                most=self._channel.out_max_packet_size - FRAME_BYTES,
            )
            # `Channel.send` sends one packet, and copies it. No lock is held here: see there.
            self._send(data)
            left = left[size:]

    def _room(self, wanted: int) -> int:
        """Take up to ``wanted`` bytes of what the server's window has (RFC 4254, 5.2); wait while it has none."""
        channel, size = self._channel, 0
        with channel.lock:
            if channel.closed:
                raise EOFError
            while size < wanted and (size == 0 or channel.out_window_size > 0):
                more = self._take_window(wanted - size)
                if not more:
                    raise EOFError
                size += more
        return size

    def receive(self) -> bytes:
        """See `Stream.receive`."""
        return self._channel.recv(1)

    def is_ready(self) -> bool:
        """See `Stream.is_ready`."""
        return self._channel.recv_ready()

    def wait_at_most(self, seconds: float | None) -> float | None:
        """See `Stream.wait_at_most`."""
        before = self._channel.gettimeout()
        self._channel.settimeout(seconds)
        return before


class SocketStream:
    """A socket, whose time limits are its own."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def send(self, content: bytes | memoryview) -> None:
        """See `Stream.send`."""
        self._socket.sendall(content)

    def receive(self) -> bytes:
        """See `Stream.receive`."""
        return self._socket.recv(_RECEIVE_BYTES)

    def is_ready(self) -> bool:
        """See `Stream.is_ready`."""
        return bool(self._poll.poll(0))

    def wait_at_most(self, seconds: float | None) -> float | None:
        """See `Stream.wait_at_most`."""
        before = self._socket.gettimeout()
        self._socket.settimeout(seconds)
        return before
