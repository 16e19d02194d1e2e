"""Requests and answers of SFTP version 3 over one channel: many on the way, answered in any order.

The requests are our own, because paramiko's client mixes answers up when a listing, a download and other
calls interleave, asks for a whole file at once, and drops the status of a write that is answered out of turn.
Sections are those of draft-ietf-secsh-filexfer-02; extensions are in section 4 of OpenSSH's PROTOCOL.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import paramiko
from paramiko import sftp as wire

from mftgit.adapters.sftp.wire import Answer, require_ok
from mftgit.adapters.ssh.fields import text, u32
from mftgit.adapters.ssh.stream import Stream

FAR_S: Final = 0.01
"""From this round trip on one channel of OpenSSH's server carries less than a fast line: 2 MiB in each (ADR 19)."""

FSYNC = b"fsync@openssh.com"  # PROTOCOL, 4.6
POSIX_RENAME = b"posix-rename@openssh.com"  # PROTOCOL, 4.3
_LIMITS = b"limits@openssh.com"  # PROTOCOL, 4.8

_REQUEST_BYTES = 32 << 10  # what every server takes (3)
_LARGEST_REQUEST_BYTES = 255 << 10  # what OpenSSH takes; no gain was measured beyond it
_LARGEST_PACKET_BYTES = 1 << 20
_TOGETHER_BYTES = 32 << 10  # what a channel's packet holds by custom (RFC 4253, 6.1)
_LARGE_PACKET_BYTES = 32 << 10  # from this size on a piece of a file is read without another copy
_DATA_HEAD_BYTES = 9  # the type of the answer, its number, and how much of the file follows (7)
_VERSION = 3


class Session:
    """One SFTP session; ``read_bytes`` and ``write_bytes`` are the largest requests that the server takes.

    ``round_trip_s`` is how long one answer took that takes a server no time; 0 where none was asked for.
    """

    def __init__(self, stream: Stream, *, is_openssh: bool = False) -> None:
        """Begin; ``is_openssh``: the server says that it is OpenSSH, some of whose promises we know."""
        self._stream = stream
        self.is_openssh = is_openssh
        self._number = 0
        self._awaited: set[int] = set()
        self._answers: dict[int, tuple[int, Answer]] = {}
        self._outgoing = bytearray()
        self._incoming = b""
        self._read_to = 0
        self.extensions = self._greet()
        self.round_trip_s = 0.0
        self.read_bytes, self.write_bytes = self._limits()

    @property
    def is_far(self) -> bool:
        """Whether it is an OpenSSH server, and further than `FAR_S` away."""
        return self.is_openssh and self.round_trip_s >= FAR_S

    @contextmanager
    def patient(self, seconds: float) -> Iterator[None]:
        """Let the server be silent for so long in the body."""
        before = self._stream.wait_at_most(seconds)
        try:
            yield
        finally:
            self._stream.wait_at_most(before)

    def leave_out(self, extension: bytes) -> None:
        """Do as if the server did not have ``extension``."""
        self.extensions -= {extension}

    def send(self, command: int, *fields: bytes) -> int:
        """Send a request and return the number that its answer will have (6).

        Small ones go out together: at the latest when an answer is waited for, or by `flush`.
        """
        self._number = (self._number + 1) & 0xFFFFFFFF
        self._awaited.add(self._number)
        self._put(command, u32(self._number), *fields)
        return self._number

    def forget(self, number: int) -> None:
        """Give up on an answer: it is thrown away when it comes."""
        self._awaited.discard(number)
        self._answers.pop(number, None)

    def answer(self, number: int, expected: int = wire.CMD_STATUS) -> Answer:
        """Wait for the answer to a request.

        Raises:
            StatusError: it is a status, and not OK.
        """
        while number not in self._answers:
            self.take()
        kind, message = self._answers.pop(number)
        if kind == wire.CMD_STATUS:
            require_ok(message)
        if kind != expected:
            raise paramiko.SFTPError(f"answer of type {kind} where {expected} was expected")
        return message

    def send_data(self, command: int, *fields: bytes, data: memoryview) -> int:
        """Send a request whose last string is ``data``, without copying that."""
        self._number = (self._number + 1) & 0xFFFFFFFF
        self._awaited.add(self._number)
        head = b"".join((bytes((command,)), u32(self._number), *fields, u32(len(data))))
        self._outgoing += u32(len(head) + len(data)) + head
        if len(data) < _TOGETHER_BYTES:
            self._outgoing += data
            if len(self._outgoing) >= _TOGETHER_BYTES:
                self.flush()
        else:
            self.flush()
            self._stream.send(data)
        return self._number

    def has_answer(self, number: int) -> bool:
        """Tell whether `answer` need not wait for this one."""
        return number in self._answers

    def is_ready(self) -> bool:
        """Tell whether something has come that `take` may be about."""
        return self._read_to < len(self._incoming) or self._stream.is_ready()

    def flush(self) -> None:
        """Send what was kept back to go out with more."""
        if self._outgoing:
            outgoing, self._outgoing = self._outgoing, bytearray()
            self._stream.send(bytes(outgoing))

    def take(self) -> int | None:
        """Wait for the next answer and return its number; None for one that nobody waits for."""
        kind, message = self._packet()
        number = message.u32()
        if number not in self._awaited:
            if number > self._number:
                raise paramiko.SFTPError(f"an answer to the request {number}, which was never made")
            return None
        self._awaited.remove(number)
        self._answers[number] = kind, message
        return number

    def ask(self, command: int, *fields: bytes, expected: int = wire.CMD_STATUS) -> Answer:
        """Send a request and wait for its answer."""
        return self.answer(self.send(command, *fields), expected)

    def extended(self, name: bytes, *fields: bytes, expected: int = wire.CMD_STATUS) -> Answer:
        """Send a request of the extension ``name`` (8) and wait for its answer."""
        return self.ask(wire.CMD_EXTENDED, text(name), *fields, expected=expected)

    def drop(self, handle: bytes) -> None:
        """Close ``handle`` without waiting for the answer."""
        self.forget(self.send(wire.CMD_CLOSE, text(handle)))
        self.flush()

    def _greet(self) -> frozenset[bytes]:
        """Tell our version and return the names of the server's extensions (4)."""
        self._put(wire.CMD_INIT, u32(_VERSION))
        kind, message = self._packet()
        if kind != wire.CMD_VERSION:
            raise paramiko.SFTPError(f"greeting of type {kind}: this is no SFTP server")
        message.u32()
        found = set()
        while message.left_bytes:
            found.add(message.text())
            message.text()
        return frozenset(found)

    def _limits(self) -> tuple[int, int]:
        """Return the largest read and write that the server takes."""
        if _LIMITS not in self.extensions:
            return _REQUEST_BYTES, _REQUEST_BYTES
        asked = time.monotonic()
        answer = self.extended(_LIMITS, expected=wire.CMD_EXTENDED_REPLY)
        self.round_trip_s = time.monotonic() - asked
        answer.u64()
        read, write = answer.u64(), answer.u64()
        # 0 is "no limit of mine" (PROTOCOL, 4.8).
        return (
            min(read or _REQUEST_BYTES, _LARGEST_REQUEST_BYTES),
            min(write or _REQUEST_BYTES, _LARGEST_REQUEST_BYTES),
        )

    def _put(self, command: int, *fields: bytes) -> None:
        length = 1 + sum(map(len, fields))
        self._outgoing += b"".join((u32(length), bytes((command,)), *fields))
        if len(self._outgoing) >= _TOGETHER_BYTES:
            self.flush()

    def _packet(self) -> tuple[int, Answer]:
        """Return the type and the content of the packet that comes next (3)."""
        length = int.from_bytes(self._exactly(4), "big")
        if not 1 <= length <= _LARGEST_PACKET_BYTES:
            raise paramiko.SFTPError(f"packet of {length} bytes: this is no SFTP")
        if length < _LARGE_PACKET_BYTES:
            packet = self._exactly(length)
            return packet[0], Answer(packet, 1)
        head = self._exactly(_DATA_HEAD_BYTES)
        rest = self._exactly(length - _DATA_HEAD_BYTES)
        if head[0] == wire.CMD_DATA and int.from_bytes(head[5:], "big") == len(rest):
            return head[0], Answer(head[:5], 1, rest)
        return head[0], Answer(head + rest, 1)

    def _exactly(self, length: int) -> bytes:
        start, end = self._read_to, self._read_to + length
        if end > len(self._incoming):
            pieces: list[bytes | memoryview] = [memoryview(self._incoming)[start:]]
            missing = end - len(self._incoming)
            while missing > 0:
                self._incoming = self._receive()
                pieces.append(self._incoming)
                missing -= len(self._incoming)
            self._read_to = len(self._incoming) + missing  # what is left over is not copied
            pieces[-1] = memoryview(self._incoming)[: self._read_to]
            return b"".join(pieces)
        self._read_to = end
        return self._incoming[start:end]

    def _receive(self) -> bytes:
        if not self._stream.is_ready():  # else more may go out together
            self.flush()
        piece = self._stream.receive()
        if not piece:
            raise EOFError
        return piece
