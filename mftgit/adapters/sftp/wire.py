"""How SFTP version 3 writes its fields, and how file attributes, names and statuses are read.

Sections are those of draft-ietf-secsh-filexfer-02; the numbers of packets (3) and statuses (7) are paramiko's.
"""

import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import paramiko
from paramiko import sftp as wire

from mftgit.adapters.endpoint.contract import (
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
    FileExistsAtEndpointError,
    FileMissingError,
)
from mftgit.errors import MftgitError

_SIZE, _OWNER_AND_GROUP, HAS_MODE, HAS_TIMES, _EXTENDED = (
    0x1,
    0x2,
    0x4,
    0x8,
    0x80000000,
)  # section 5
_SHORTEST_NAME_BYTES = 12  # two empty strings and no attributes: a count beyond this is made up

# 10, 11 and 14 belong to later versions (draft-ietf-secsh-filexfer-13); some servers say them in version 3 too.
_MEANING: dict[int, type[MftgitError]] = {
    wire.SFTP_NO_SUCH_FILE: FileMissingError,
    wire.SFTP_NO_CONNECTION: EndpointLostError,
    wire.SFTP_CONNECTION_LOST: EndpointLostError,
    10: FileMissingError,
    11: FileExistsAtEndpointError,
    14: EndpointFullError,
}


class StatusError(Exception):
    """The server's answer to one request: a status that is not OK (7)."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(f"the server said {said!r} (status {code})")
        self.code = code

    @property
    def meaning(self) -> type[MftgitError]:
        """The error of endpoints that says the same."""
        return _MEANING.get(self.code, EndpointRefusedError)


@dataclass(frozen=True, slots=True)
class Attributes:
    """What the server tells of a file; None is what it does not tell. ``mtime_s`` is seconds since 1970."""

    size_bytes: int | None
    mode: int | None
    mtime_s: int | None

    @property
    def is_file(self) -> bool:
        """Whether the server says that it is a regular file."""
        return self.mode is not None and stat.S_ISREG(self.mode)

    @property
    def is_folder(self) -> bool:
        """Whether the server says that it is a folder."""
        return self.mode is not None and stat.S_ISDIR(self.mode)


_U32, _U64 = struct.Struct(">I"), struct.Struct(">Q")


class Answer:
    """What follows the number in an answer, read field by field.

    Every method raises `struct.error` where the answer is too short for the field.
    """

    __slots__ = ("_at", "_content", "_packet")

    def __init__(self, packet: bytes, at: int, content: bytes | None = None) -> None:
        """Read ``packet`` from its byte ``at`` on; ``content`` is a last string that is not in it."""
        self._packet = packet
        self._at = at
        self._content = content

    @property
    def left_bytes(self) -> int:
        """How many bytes have not been read."""
        return len(self._packet) - self._at

    def u32(self) -> int:
        """Read a uint32."""
        (value,) = _U32.unpack_from(self._packet, self._at)
        self._at += 4
        return int(value)

    def u64(self) -> int:
        """Read a uint64."""
        (value,) = _U64.unpack_from(self._packet, self._at)
        self._at += 8
        return int(value)

    def text(self) -> bytes:
        """Read a string: its length goes before it."""
        if self._content is not None and not self.left_bytes:
            content, self._content = self._content, None
            return content
        start, end = self._span()
        return self._packet[start:end]

    def rest(self) -> bytes:
        """Read everything that has not been read."""
        start, self._at = self._at, len(self._packet)
        return self._packet[start:]

    def _span(self) -> tuple[int, int]:
        length = self.u32()
        if length > self.left_bytes:
            raise struct.error(f"a string of {length} bytes where {self.left_bytes} are left")
        start, self._at = self._at, self._at + length
        return start, self._at


def require_ok(message: Answer) -> None:
    """Read a STATUS answer (7).

    Raises:
        StatusError: it is not OK.
    """
    code = message.u32()
    if code == wire.SFTP_OK:
        return
    said = message.text() if message.left_bytes else b""
    raise StatusError(code, said.decode("utf-8", "replace")[:200])


def attributes(message: Answer) -> Attributes:
    """Read an ATTRS structure (5)."""
    flags = message.u32()
    size = message.u64() if flags & _SIZE else None
    if flags & _OWNER_AND_GROUP:
        message.u64()
    mode = message.u32() if flags & HAS_MODE else None
    mtime = None
    if flags & HAS_TIMES:
        message.u32()
        mtime = message.u32()
    if flags & _EXTENDED:
        for _ in range(message.u32()):
            if not message.left_bytes:
                break  # the count was made up
            message.text()
            message.text()
    return Attributes(size, mode, mtime)


def names(message: Answer) -> Iterator[tuple[str, Attributes]]:
    """Read a NAME answer (7), without names that are none: a server must not lead us out of a folder."""
    count = message.u32()
    if count * _SHORTEST_NAME_BYTES > message.left_bytes:
        raise paramiko.SFTPError(f"{count} names in too short an answer")
    for _ in range(count):
        name = message.text().decode("utf-8", "surrogateescape")
        message.text()  # the line as ls would print it
        found = attributes(message)
        if name not in {"", ".", ".."} and "/" not in name and "\0" not in name:
            yield name, found
