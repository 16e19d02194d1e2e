"""Requests and answers of SFTP version 3 over one channel: many on the way, answered in any order.

The requests are our own, because paramiko's client mixes answers up when a listing, a download and other
calls interleave, asks for a whole file at once, and drops the status of a write that is answered out of turn.
Sections are those of draft-ietf-secsh-filexfer-02; extensions are in section 4 of OpenSSH's PROTOCOL.
"""

import paramiko
from paramiko import sftp as wire

from mftgit.adapters.sftp_wire import Attributes, attributes, require_ok, text, u32

FSYNC = b"fsync@openssh.com"  # PROTOCOL, 4.6
POSIX_RENAME = b"posix-rename@openssh.com"  # PROTOCOL, 4.3
_LIMITS = b"limits@openssh.com"  # PROTOCOL, 4.8

_REQUEST_BYTES = 32 << 10  # what every server takes (3)
_LARGEST_REQUEST_BYTES = 255 << 10  # what OpenSSH takes; no gain was measured beyond it
_LARGEST_PACKET_BYTES = 1 << 20
_VERSION = 3


class Session:
    """One SFTP session; ``read_bytes`` and ``write_bytes`` are the largest requests that the server takes."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._number = 0
        self._awaited: set[int] = set()
        self._answers: dict[int, tuple[int, paramiko.Message]] = {}
        self.extensions = self._greet()
        self.read_bytes, self.write_bytes = self._limits()

    def send(self, command: int, *fields: bytes) -> int:
        """Send a request and return the number that its answer will have (6)."""
        self._number = (self._number + 1) & 0xFFFFFFFF
        self._awaited.add(self._number)
        self._put(command, u32(self._number), *fields)
        return self._number

    def forget(self, number: int) -> None:
        """Give up on an answer: it is thrown away when it comes."""
        self._awaited.discard(number)
        self._answers.pop(number, None)

    def answer(self, number: int, expected: int = wire.CMD_STATUS) -> paramiko.Message:
        """Wait for the answer to a request.

        Raises:
            StatusError: it is a status, and not OK.
        """
        while number not in self._answers:
            self._take()
        kind, message = self._answers.pop(number)
        if kind == wire.CMD_STATUS:
            require_ok(message)
        if kind != expected:
            raise paramiko.SFTPError(f"answer of type {kind} where {expected} was expected")
        return message

    def ask(
        self, command: int, *fields: bytes, expected: int = wire.CMD_STATUS
    ) -> paramiko.Message:
        """Send a request and wait for its answer."""
        return self.answer(self.send(command, *fields), expected)

    def extended(
        self, name: bytes, *fields: bytes, expected: int = wire.CMD_STATUS
    ) -> paramiko.Message:
        """Send a request of the extension ``name`` (8) and wait for its answer."""
        return self.ask(wire.CMD_EXTENDED, text(name), *fields, expected=expected)

    def attributes(self, command: int, what: bytes) -> Attributes:
        """Ask for the attributes of a path or a handle (6.8)."""
        return attributes(self.ask(command, text(what), expected=wire.CMD_ATTRS))

    def open(self, path: bytes, flags: int) -> bytes:
        """Open a file (6.3); give the handle back by `drop` or CMD_CLOSE."""
        fields = text(path), u32(flags), u32(0)
        return self.ask(wire.CMD_OPEN, *fields, expected=wire.CMD_HANDLE).get_string()

    def open_folder(self, path: bytes) -> bytes:
        """Open a folder to list it (6.7); give the handle back by `drop`."""
        return self.ask(wire.CMD_OPENDIR, text(path), expected=wire.CMD_HANDLE).get_string()

    def drop(self, handle: bytes) -> None:
        """Close ``handle`` without waiting for the answer."""
        self.forget(self.send(wire.CMD_CLOSE, text(handle)))

    def _greet(self) -> frozenset[bytes]:
        """Tell our version and return the names of the server's extensions (4)."""
        self._put(wire.CMD_INIT, u32(_VERSION))
        kind, message = self._packet()
        if kind != wire.CMD_VERSION:
            raise paramiko.SFTPError(f"greeting of type {kind}: this is no SFTP server")
        message.get_int()
        found = set()
        while message.get_remainder():
            found.add(message.get_string())
            message.get_string()
        return frozenset(found)

    def _limits(self) -> tuple[int, int]:
        """Return the largest read and write that the server takes."""
        if _LIMITS not in self.extensions:
            return _REQUEST_BYTES, _REQUEST_BYTES
        answer = self.extended(_LIMITS, expected=wire.CMD_EXTENDED_REPLY)
        answer.get_int64()
        read, write = answer.get_int64(), answer.get_int64()
        # 0 is "no limit of mine" (PROTOCOL, 4.8).
        return (
            min(read or _REQUEST_BYTES, _LARGEST_REQUEST_BYTES),
            min(write or _REQUEST_BYTES, _LARGEST_REQUEST_BYTES),
        )

    def _put(self, command: int, *fields: bytes) -> None:
        body = b"".join((bytes((command,)), *fields))
        self._channel.sendall(u32(len(body)) + body)

    def _take(self) -> None:
        kind, message = self._packet()
        number = message.get_int()
        if number in self._awaited:
            self._awaited.remove(number)
            self._answers[number] = kind, message

    def _packet(self) -> tuple[int, paramiko.Message]:
        """Return the type and the content of the packet that comes next (3)."""
        length = int.from_bytes(self._exactly(4), "big")
        if not 1 <= length <= _LARGEST_PACKET_BYTES:
            raise paramiko.SFTPError(f"packet of {length} bytes: this is no SFTP")
        packet = self._exactly(length)
        return packet[0], paramiko.Message(packet[1:])

    def _exactly(self, length: int) -> bytes:
        pieces = []
        while length > 0:
            piece = self._channel.recv(length)
            if not piece:
                raise EOFError
            pieces.append(piece)
            length -= len(piece)
        return b"".join(pieces)
