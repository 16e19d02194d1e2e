"""How SFTP version 3 writes its fields, and how file attributes, names and statuses are read.

Sections are those of draft-ietf-secsh-filexfer-02; the numbers of packets (3) and statuses (7) are paramiko's.
"""

import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import paramiko
from paramiko import sftp as wire

from mftgit.adapters.endpoint import (
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
    FileExistsAtEndpointError,
    FileMissingError,
)
from mftgit.errors import MftgitError

_SIZE, _OWNER_AND_GROUP, _MODE, _TIMES, _EXTENDED = 0x1, 0x2, 0x4, 0x8, 0x80000000  # section 5
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


def u32(value: int) -> bytes:
    """Return ``value`` as a uint32."""
    return struct.pack(">I", value)


def u64(value: int) -> bytes:
    """Return ``value`` as a uint64."""
    return struct.pack(">Q", value)


def text(value: bytes) -> bytes:
    """Return ``value`` as a string: its length goes before it."""
    return u32(len(value)) + value


def require_ok(message: paramiko.Message) -> None:
    """Read a STATUS answer (7).

    Raises:
        StatusError: it is not OK.
    """
    code, said = message.get_int(), message.get_string()
    if code != wire.SFTP_OK:
        raise StatusError(code, said.decode("utf-8", "replace")[:200])


def attributes(message: paramiko.Message) -> Attributes:
    """Read an ATTRS structure (5)."""
    flags = message.get_int()
    size = message.get_int64() if flags & _SIZE else None
    if flags & _OWNER_AND_GROUP:
        message.get_bytes(8)
    mode = message.get_int() if flags & _MODE else None
    mtime = None
    if flags & _TIMES:
        message.get_int()
        mtime = message.get_int()
    if flags & _EXTENDED:
        for _ in range(message.get_int()):
            if not message.get_remainder():
                break  # the count was made up
            message.get_string()
            message.get_string()
    return Attributes(size, mode, mtime)


def names(message: paramiko.Message) -> Iterator[tuple[str, Attributes]]:
    """Read a NAME answer (7), without names that are none: a server must not lead us out of a folder."""
    count = message.get_int()
    if count * _SHORTEST_NAME_BYTES > len(message.get_remainder()):
        raise paramiko.SFTPError(f"{count} names in too short an answer")
    for _ in range(count):
        name = message.get_string().decode("utf-8", "surrogateescape")
        message.get_string()  # the line as ls would print it
        found = attributes(message)
        if name not in {"", ".", ".."} and "/" not in name and "\0" not in name:
            yield name, found
