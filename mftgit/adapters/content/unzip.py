"""Take the only file out of a zip archive (PKWARE's APPNOTE 6.3), from its front to its end, a piece at a time.

An archive is meant to be read from its end. Here nothing is kept that could be gone back to, so its end has to say what
was found before it: what two programs could read in two ways is refused.
"""

import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mftgit.adapters.content.gzip import inflate
from mftgit.adapters.content.steps import Bound, Reader, UnfitError

_LOCAL: Final = struct.Struct("<4s5H3I2H")  # 4.3.7
_CENTRAL: Final = struct.Struct("<4s6H3I5H2I")  # 4.3.12
_END: Final = struct.Struct("<4s4H2IH")  # 4.3.16
_END64: Final = struct.Struct("<4sQ2H2I4Q")  # 4.3.14
_LOCATOR_BYTES: Final = 20  # 4.3.15
_LOCAL_SIGN, _CENTRAL_SIGN, _DESCRIPTOR_SIGN = b"PK\3\4", b"PK\1\2", b"PK\7\x08"
_END_SIGN, _END64_SIGN, _LOCATOR_SIGN = b"PK\5\6", b"PK\6\6", b"PK\6\7"
_SIGN_BYTES: Final = 4
_STORED, _DEFLATED = 0, 8
_ENCRYPTED: Final = 0x2041  # also strongly, and with a hidden head (4.4.4)
_LATER: Final = 0x0008
"""Sizes and checksum stand behind the content."""

_UNKNOWN: Final = 0xFFFFFFFF
_UNKNOWN_COUNT: Final = 0xFFFF
_ZIP64: Final = 1
_RAW: Final = -15
_UNIX: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    """What an archive says of its file in front of it; ``told`` are checksum, packed size and size."""

    name: bytes
    flags: int
    method: int
    told: tuple[int, int, int]
    is_zip64: bool


def unzip_one(chunks: Iterator[bytes], *, most_bytes: int) -> Iterator[bytes]:
    """Give the content of the only file in the archive that ``chunks`` are.

    Raises:
        UnfitError: they are no archive, are cut off or damaged, have something around the archive, hold no file or more
            than one, one that is encrypted, has an unsafe name or is a link, or unpack to too much.
    """
    reader, bound = Reader(chunks), Bound(most_bytes)
    member = _front(reader)
    begins, crc = reader.offset, 0
    for piece in _content(reader, member, bound):
        crc = zlib.crc32(piece, crc)
        yield piece
    packed = reader.offset - begins
    found = crc, packed, bound.size_bytes
    is_long = member.is_zip64 or max(packed, bound.size_bytes) > _UNKNOWN
    later = member.flags & _LATER
    told = _descriptor(reader, is_long=is_long) if later else member.told
    if told != found:
        raise UnfitError("its file is damaged: size or checksum are others than it says")
    _check_end(reader, member, told=found)


def _front(reader: Reader) -> _Member:
    sign = reader.exactly(_SIGN_BYTES)
    if sign in {_END_SIGN, _END64_SIGN}:
        raise UnfitError("the archive holds no file")
    if sign != _LOCAL_SIGN:
        raise UnfitError("it is no zip archive")
    fields = _LOCAL.unpack(sign + reader.exactly(_LOCAL.size - _SIGN_BYTES))
    flags, method, crc, packed, size, name_bytes, extra_bytes = (*fields[2:4], *fields[6:])
    name, extra = reader.exactly(name_bytes), reader.exactly(extra_bytes)
    (size_64, packed_64), is_zip64 = _sizes(extra, size, packed)
    member = _Member(
        name=name, flags=flags, method=method, told=(crc, packed_64, size_64), is_zip64=is_zip64
    )  # fmt: skip
    _check_member(member)
    return member


def _check_member(member: _Member) -> None:
    if member.flags & _ENCRYPTED:
        raise UnfitError("its file is encrypted")
    if member.method not in {_STORED, _DEFLATED}:
        raise UnfitError(
            f"its file is packed by method {member.method}; expected deflate (8), or none (0)"
        )
    if member.method == _STORED and member.flags & _LATER:
        raise UnfitError(
            "its file is stored without its size in front of it, so that its end cannot be told"
        )
    parts = member.name.replace(b"\\", b"/").split(b"/")
    if b".." in parts or b"" in parts[:-1] or b"\0" in member.name or member.name[1:2] == b":":
        raise UnfitError("the name of its file leads out of the archive")
    if not parts[-1]:
        raise UnfitError("it holds a folder; expected exactly one file")


def _sizes(extra: bytes, *sizes: int) -> tuple[list[int], bool]:
    """Return the sizes, those that did not fit from ``extra`` (4.5.3), and whether there is such a field in it."""
    found, at = list(sizes), 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == _ZIP64:
            field = extra[at + 4 : at + 4 + length]
            for place, size in enumerate(found):
                if size == _UNKNOWN:
                    if len(field) < 8:  # noqa: PLR2004  bytes of a long size
                        raise UnfitError("it is damaged: a size is missing")
                    found[place], field = int.from_bytes(field[:8], "little"), field[8:]
            return found, True
        at += 4 + length
    return found, False


def _content(reader: Reader, member: _Member, bound: Bound) -> Iterator[bytes]:
    if member.method == _DEFLATED:
        yield from inflate(reader, bound, zlib.decompressobj(_RAW))
        return
    _, left, _ = member.told
    while left:
        piece = reader.some(min(left, 1 << 20))
        if not piece:
            raise UnfitError("it is cut off")
        left -= len(piece)
        yield bound.take(piece)


def _descriptor(reader: Reader, *, is_long: bool) -> tuple[int, int, int]:
    """Return checksum and sizes from behind the content (4.3.9), with or without a sign in front of them."""
    first = reader.exactly(_SIGN_BYTES)
    if first == _DESCRIPTOR_SIGN:
        first = reader.exactly(4)
    length = 8 if is_long else 4
    packed, size = (int.from_bytes(reader.exactly(length), "little") for _ in range(2))
    return int.from_bytes(first, "little"), packed, size


def _check_end(reader: Reader, member: _Member, *, told: tuple[int, int, int]) -> None:
    """See that the rest of the archive says the same, of this file alone, and that nothing is behind it."""
    begins, sign = reader.offset, reader.exactly(_SIGN_BYTES)
    if sign == _LOCAL_SIGN:
        raise UnfitError("it holds more than one file; expected exactly one")
    if sign != _CENTRAL_SIGN:
        raise UnfitError("it is damaged: its list of files is not behind the file")
    fields = _CENTRAL.unpack(sign + reader.exactly(_CENTRAL.size - _SIGN_BYTES))
    made, flags, method, crc, packed, size = (fields[1], *fields[3:5], *fields[7:10])
    name_bytes, extra_bytes, comment_bytes, _, _, mode, offset = fields[10:]
    name, extra = reader.exactly(name_bytes), reader.exactly(extra_bytes)
    reader.exactly(comment_bytes)
    (size_64, packed_64, offset_64), _ = _sizes(extra, size, packed, offset)
    listed = (name, method, flags & _ENCRYPTED, crc, packed_64, size_64, offset_64)
    if listed != (member.name, member.method, 0, *told, 0):
        raise UnfitError("its list of files says something else than its file")
    if made >> 8 == _UNIX and stat.S_IFMT(mode >> 16) not in {0, stat.S_IFREG}:
        raise UnfitError("it holds a link or a device; expected exactly one file")
    _check_last(reader, begins, reader.offset - begins)


def _check_last(reader: Reader, begins: int, length: int) -> None:
    ends, sign = reader.offset, reader.exactly(_SIGN_BYTES)
    if sign == _CENTRAL_SIGN:
        raise UnfitError("it lists more than one file; expected exactly one")
    if sign == _END64_SIGN:
        _check_end64(reader, begins, length, ends)
        sign = reader.exactly(_SIGN_BYTES)
    if sign != _END_SIGN:
        raise UnfitError("it is damaged: its end is not behind the list of files")
    fields = _END.unpack(sign + reader.exactly(_END.size - _SIGN_BYTES))
    *counts, told_length, told_begins, comment_bytes = fields[3:]
    if any(count not in {1, _UNKNOWN_COUNT} for count in counts):
        raise UnfitError(f"its end tells of {counts[1]} files; expected exactly one")
    if told_length not in {length, _UNKNOWN} or told_begins not in {begins, _UNKNOWN}:
        raise UnfitError("its end says that its list of files lies elsewhere")
    reader.exactly(comment_bytes)
    if reader.some():
        raise UnfitError("there is something behind the archive")


def _check_end64(reader: Reader, begins: int, length: int, ends: int) -> None:
    """See that the long end, and what says where that is, tell the same."""
    fields = _END64.unpack(_END64_SIGN + reader.exactly(_END64.size - _SIGN_BYTES))
    if fields[1] != _END64.size - 12 or fields[6:] != (1, 1, length, begins):
        raise UnfitError(
            "its end says that its list of files lies elsewhere, or is of several files"
        )
    locator = reader.exactly(_LOCATOR_BYTES)
    if locator[:4] != _LOCATOR_SIGN or int.from_bytes(locator[8:16], "little") != ends:
        raise UnfitError("it is damaged: its end is not where it says")
