"""Fields of SFTP version 3, read from what a client sent: none of its numbers is believed before it is checked.

Sections are those of draft-ietf-secsh-filexfer-02.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum, unique
from typing import Final

MOST_PATH_BYTES: Final = 4096
"""PATH_MAX of Linux: no longer path means anything to it."""

MOST_HANDLE_BYTES: Final = 256
"""Section 6.2."""

MOST_OFFSET: Final = (1 << 63) - (1 << 24)
"""No file reaches so far; what is read or written from here on still fits into off_t."""

MOST_IDS: Final = 1024
"""So many numbers of users, and of groups, one request may have; a listing of ours has one."""

_U32: Final = struct.Struct(">I")
_U64: Final = struct.Struct(">Q")
_SIZE, _OWNERS, _MODE, _TIMES, _EXTENDED = 0x1, 0x2, 0x4, 0x8, 0x80000000  # section 5
_LEAST_EXTENDED_BYTES: Final = 8  # two empty strings: a count beyond that is made up


@unique
class Status(IntEnum):
    """What a STATUS answer says (section 7), of what version 3 has words for."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3
    FAILURE = 4
    BAD_MESSAGE = 5
    OP_UNSUPPORTED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Attributes that a client wants to be set (section 5); None are those that it does not tell.

    ``owners`` says whether it told an owner and a group, whose numbers mean nothing here.
    """

    size_bytes: int | None = None
    owners: bool = False
    mode: int | None = None
    atime_s: int | None = None
    mtime_s: int | None = None


class Fields:
    """A packet, read field by field. Each method raises ValueError where the field is not what it is to be."""

    __slots__ = ("_at", "_end", "_packet")

    def __init__(self, packet: memoryview) -> None:
        self._packet = packet
        self._at = 0
        self._end = len(packet)

    @property
    def left_bytes(self) -> int:
        """How many bytes have not been read."""
        return self._end - self._at

    def byte(self) -> int:
        """Read a byte."""
        return self._packet[self._pass(1)]

    def u32(self) -> int:
        """Read a uint32."""
        number: int = _U32.unpack_from(self._packet, self._pass(4))[0]
        return number

    def u64(self) -> int:
        """Read a uint64."""
        number: int = _U64.unpack_from(self._packet, self._pass(8))[0]
        return number

    def data(self) -> memoryview:
        """Read a string, which is not copied."""
        return self._take(self.u32())

    def text(self, *, most_bytes: int = MOST_HANDLE_BYTES) -> str:
        """Read a string as text; what is no UTF-8 is kept with ``surrogateescape``."""
        return str(self._short(most_bytes), "utf-8", "surrogateescape")

    def path(self) -> str:
        """Read a path (section 6.2)."""
        path = self.text(most_bytes=MOST_PATH_BYTES)
        if "\0" in path:
            raise ValueError("a path has a zero byte in it, and can be that of nothing")
        return path

    def handle(self) -> bytes:
        """Read a handle (section 6.2)."""
        return bytes(self._short(MOST_HANDLE_BYTES))

    def ids(self) -> tuple[int, ...]:
        """Read a string that numbers are packed into (OpenSSH's PROTOCOL, users-groups-by-id@openssh.com)."""
        packed = self._short(MOST_IDS * _U32.size)
        if len(packed) % _U32.size:
            raise ValueError(f"numbers of four bytes each in {len(packed)} bytes")
        return tuple(number for (number,) in _U32.iter_unpack(packed))

    def offset(self) -> int:
        """Read a place in a file, or a size of one."""
        offset = self.u64()
        if offset > MOST_OFFSET:
            raise ValueError(f"{offset} is beyond the end that a file can have")
        return offset

    def wanted(self) -> Wanted:
        """Read ATTRS (section 5)."""
        flags = self.u32()
        size_bytes = self.offset() if flags & _SIZE else None
        if flags & _OWNERS:
            self._take(8)
        mode = self.u32() if flags & _MODE else None
        atime_s, mtime_s = (self.u32(), self.u32()) if flags & _TIMES else (None, None)
        if flags & _EXTENDED:
            self._skip_extended()
        return Wanted(
            size_bytes=size_bytes,
            owners=bool(flags & _OWNERS),
            mode=mode,
            atime_s=atime_s,
            mtime_s=mtime_s,
        )

    def _skip_extended(self) -> None:
        count = self.u32()
        if count * _LEAST_EXTENDED_BYTES > self.left_bytes:
            raise ValueError(f"{count} extended attributes in {self.left_bytes} bytes")
        for _ in range(count):
            self.data()
            self.data()

    def _short(self, most_bytes: int) -> memoryview:
        taken = self.data()
        if len(taken) > most_bytes:
            raise ValueError(f"{len(taken)} bytes where at most {most_bytes} are taken")
        return taken

    def _take(self, size_bytes: int) -> memoryview:
        start = self._pass(size_bytes)
        return self._packet[start : self._at]

    def _pass(self, size_bytes: int) -> int:
        """Go beyond a field, and return where it begins."""
        start, after = self._at, self._at + size_bytes
        if after > self._end:
            raise ValueError(f"a field of {size_bytes} bytes where {self.left_bytes} are left")
        self._at = after
        return start
