"""The answers of SFTP version 3, as bytes with their length before them (draft-ietf-secsh-filexfer-02, 3, 5 and 7)."""

import stat
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from mftgit.model.sftp.fields import Status

VERSION: Final = 3

_VERSION, _STATUS, _HANDLE, _DATA, _NAME, _ATTRS, _EXTENDED_REPLY = 2, 101, 102, 103, 104, 105, 201
_SIZE_MODE_TIMES: Final = 0x1 | 0x4 | 0x8  # section 5
_MOST_U32: Final = (1 << 32) - 1
_MOST_U64: Final = (1 << 64) - 1
_RECENT_S: Final = 182 * 86_400  # ls(1): from then on, a time of day stands in place of the year

_HEAD: Final = struct.Struct(">IBI")
_DATA_HEAD: Final = struct.Struct(">IBII")
_ATTRIBUTES: Final = struct.Struct(">IQIII")
_SPACE: Final = struct.Struct(">11Q")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is told of a file; ``mode`` has its type (stat(2)), times are seconds since 1970."""

    size_bytes: int
    mode: int
    atime_s: int
    mtime_s: int


def version(extensions: Mapping[str, str]) -> bytes:
    """Return the answer to INIT: our version, and the extensions with theirs (section 4)."""
    told = b"".join(_text(name) + _text(number) for name, number in extensions.items())
    return struct.pack(">IBI", 5 + len(told), _VERSION, VERSION) + told


def status(number: int, code: Status, said: str = "") -> bytes:
    """Return a STATUS; ``said`` is for people."""
    text = said.encode("utf-8", "backslashreplace")
    return _packet(_STATUS, number, struct.pack(">I", code), _string(text), _string(b""))


def handle(number: int, opened: bytes) -> bytes:
    """Return a HANDLE."""
    return _packet(_HANDLE, number, _string(opened))


def data_head(number: int, size_bytes: int) -> bytes:
    """Return what of a DATA goes before its ``size_bytes`` of content."""
    return _DATA_HEAD.pack(9 + size_bytes, _DATA, number, size_bytes)


def attributes(number: int, told: Told) -> bytes:
    """Return an ATTRS."""
    return _packet(_ATTRS, number, _attributes(told))


def entry(name: str, told: Told, *, owner: str, now_s: int) -> bytes:
    """Return one name of a NAME, with the line that ``ls -l`` would print of it."""
    return _text(name) + _text(line(name, told, owner=owner, now_s=now_s)) + _attributes(told)


def names(number: int, entries: Iterable[bytes]) -> bytes:
    """Return a NAME of what `entry` gave."""
    given = list(entries)
    return _packet(_NAME, number, struct.pack(">I", len(given)), *given)


def path(number: int, resolved: str) -> bytes:
    """Return a NAME of one path, without attributes (section 6.11)."""
    return names(number, [_text(resolved) * 2 + struct.pack(">I", 0)])


def space(
    number: int, *, block_bytes: int, blocks: int, free: int, files: int, files_free: int
) -> bytes:
    """Return the answer to statvfs@openssh.com (OpenSSH's PROTOCOL, 4.4)."""
    no_flags, id_of_none, longest_name_bytes = 0, 0, 255
    told = (
        *(block_bytes, block_bytes, blocks, free, free, files, files_free, files_free),
        *(id_of_none, no_flags, longest_name_bytes),
    )
    return _packet(
        _EXTENDED_REPLY, number, _SPACE.pack(*(_within(each, _MOST_U64) for each in told))
    )


def limits(number: int, *, packet_bytes: int, data_bytes: int, handles: int) -> bytes:
    """Return the answer to limits@openssh.com (OpenSSH's PROTOCOL, 4.8)."""
    told = struct.pack(">4Q", packet_bytes, data_bytes, data_bytes, handles)
    return _packet(_EXTENDED_REPLY, number, told)


def owners(number: int, users: Iterable[str], groups: Iterable[str]) -> bytes:
    """Return the answer to users-groups-by-id@openssh.com (OpenSSH's PROTOCOL); "" stands for who is not known."""
    told = (_string(b"".join(map(_text, names))) for names in (users, groups))
    return _packet(_EXTENDED_REPLY, number, *told)


def digests(number: int, algorithm: str, found: Iterable[bytes], *, named: bool) -> bytes:
    """Return the answer to check-file (draft-ietf-secsh-filexfer-extensions-00, 3)."""
    name = _text("check-file") if named else b""
    return _packet(_EXTENDED_REPLY, number, name, _text(algorithm), *found)


def line(name: str, told: Told, *, owner: str, now_s: int) -> str:
    """Return what ``ls -l`` prints of a file, with times in UTC and ``owner`` for the group, too."""
    when = datetime.fromtimestamp(_within(told.mtime_s, _MOST_U32), UTC)
    recent = 0 <= now_s - told.mtime_s < _RECENT_S
    day = f"{when:%b} {when.day:2} " + (f"{when:%H:%M}" if recent else f"{when.year:5}")
    mode = stat.filemode(_within(told.mode, _MOST_U32))
    return f"{mode}    1 {owner:<8} {owner:<8} {told.size_bytes:8} {day} {name}"


def _attributes(told: Told) -> bytes:
    return _ATTRIBUTES.pack(
        _SIZE_MODE_TIMES,
        _within(told.size_bytes, _MOST_U64),
        _within(told.mode, _MOST_U32),
        _within(told.atime_s, _MOST_U32),
        _within(told.mtime_s, _MOST_U32),
    )


def _within(value: int, most: int) -> int:
    return min(max(value, 0), most)


def _packet(sort: int, number: int, *fields: bytes) -> bytes:
    length = 5 + sum(map(len, fields))
    return b"".join((_HEAD.pack(length, sort, number), *fields))


def _string(value: bytes) -> bytes:
    return struct.pack(">I", len(value)) + value


def _text(value: str) -> bytes:
    return _string(value.encode("utf-8", "surrogateescape"))
