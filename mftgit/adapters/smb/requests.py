"""The requests that files need, and what is read out of their answers (MS-SMB2 2.2; MS-FSCC 2.4)."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from smbprotocol.file_info import (
    FileBasicInformation,
    FileDispositionInformation,
    FileInformationClass,
    FileRenameInformation,
    InfoType,
)
from smbprotocol.open import (
    CloseFlags,
    CreateDisposition,
    CreateOptions,
    ImpersonationLevel,
    ShareAccess,
    SMB2CloseRequest,
    SMB2CreateRequest,
    SMB2FlushRequest,
    SMB2QueryDirectoryRequest,
    SMB2ReadRequest,
    SMB2SetInfoRequest,
    SMB2WriteRequest,
)

from mftgit.adapters.smb.status import BrokenAnswerError

RELATED: Final = b"\xff" * 16
"""The file of the request before, in requests that are sent together (MS-SMB2 3.2.4.1.4)."""

_HEADER_BYTES: Final = 64  # of SMB2, where the offsets of answers begin

LIST: Final = 0x00100081  # LIST_DIRECTORY, READ_ATTRIBUTES, SYNCHRONIZE (MS-SMB2 2.2.13.1)
READ: Final = 0x00100081  # READ_DATA is the same bit
LOOK: Final = 0x00100080
WRITE: Final = 0x00100186  # WRITE_DATA, APPEND_DATA, READ_ATTRIBUTES, WRITE_ATTRIBUTES
SET: Final = 0x00100180
MOVE: Final = 0x00110080  # DELETE

ANY: Final = (
    ShareAccess.FILE_SHARE_READ | ShareAccess.FILE_SHARE_WRITE | ShareAccess.FILE_SHARE_DELETE
)
"""Others may do with it what they like meanwhile."""
NOBODY: Final = 0
NO_WRITERS: Final = ShareAccess.FILE_SHARE_READ | ShareAccess.FILE_SHARE_DELETE

OPEN: Final = CreateDisposition.FILE_OPEN
CREATE: Final = CreateDisposition.FILE_CREATE
OPEN_OR_CREATE: Final = CreateDisposition.FILE_OPEN_IF
FILE: Final = CreateOptions.FILE_NON_DIRECTORY_FILE
FOLDER: Final = CreateOptions.FILE_DIRECTORY_FILE
EITHER: Final = 0
GONE_WHEN_CLOSED: Final = CreateOptions.FILE_DELETE_ON_CLOSE

_FOLDER: Final = 0x10
_REPARSE: Final = 0x400
_NAME_SURROGATE: Final = 0x20000000
_SPECIAL_TAGS: Final = frozenset({0x80000014, *range(0x80000023, 0x80000027)})
"""Links, devices, pipes and sockets of NFS and of Linux on Windows (MS-FSCC 2.1.2.1)."""

_RENAME_BYTES: Final = (
    24  # of its structure with padding, which Windows wants also where the name is one letter
)
_EPOCH: Final = 116_444_736_000_000_000  # 1970, in units of 100 ns since 1601
_UNIT_NS: Final = 100
_MOST_NS: Final = (1 << 63) - 1

_OPENED: Final = struct.Struct("<HBBI QQQQ QQII 16s")
_CLOSED: Final = struct.Struct("<HHI QQQQ QQI")
_READ: Final = struct.Struct("<HBBIII")
_WRITTEN: Final = struct.Struct("<HHIIHH")
_LISTED: Final = struct.Struct("<HHI")
_ENTRY: Final = struct.Struct("<II QQQQ QQIII")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What the server says of a file or folder; ``tag`` is what a reparse point is, where that is told."""

    size_bytes: int
    mtime_ns: int
    attributes: int
    tag: int = 0

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder; a link to one is none."""
        return bool(self.attributes & _FOLDER) and not self._is_special

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file, also where the server keeps its content by other means."""
        return not self.attributes & _FOLDER and not self._is_special

    @property
    def _is_special(self) -> bool:
        reparse = bool(self.attributes & _REPARSE)
        return reparse and (bool(self.tag & _NAME_SURROGATE) or self.tag in _SPECIAL_TAGS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A file or folder that the server has open for us."""

    file_id: bytes
    found: Found


def open_(name: str, *, access: int, disposition: int, options: int, share: int = ANY) -> Any:
    """Ask for ``name``, a path from the share with backslashes; no oplock is asked for."""
    request = SMB2CreateRequest()
    request["impersonation_level"] = ImpersonationLevel.Impersonation
    request["desired_access"] = access
    request["share_access"] = share
    request["create_disposition"] = disposition
    request["create_options"] = options
    request["buffer_path"] = name.encode("utf-16-le") or b"\0\0"
    return request


def close(file_id: bytes, *, told: bool = False) -> Any:
    """Close it; ``told`` asks what it is then."""
    request = SMB2CloseRequest()
    request["file_id"] = file_id
    if told:
        request["flags"] = CloseFlags.SMB2_CLOSE_FLAG_POSTQUERY_ATTRIB
    return request


def read(file_id: bytes, offset: int, length: int) -> Any:
    """Read at most ``length`` bytes."""
    request = SMB2ReadRequest()
    request["length"] = length
    request["offset"] = offset
    request["file_id"] = file_id
    request["padding"] = b"\x50"  # where the data begin in the answer
    return request


def write(file_id: bytes, offset: int, data: bytes) -> Any:
    """Write ``data``."""
    request = SMB2WriteRequest()
    request["length"] = len(data)
    request["offset"] = offset
    request["file_id"] = file_id
    request["buffer"] = data
    return request


def flush(file_id: bytes) -> Any:
    """Bring what was written to the disk."""
    request = SMB2FlushRequest()
    request["file_id"] = file_id
    return request


def rename(file_id: bytes, new: str, *, replace: bool) -> Any:
    """Give it the path ``new``."""
    information = FileRenameInformation()
    information["replace_if_exists"] = replace
    information["file_name"] = new
    return _set(file_id, information, least_bytes=_RENAME_BYTES)


def remove(file_id: bytes) -> Any:
    """Remove it as soon as it is closed."""
    information = FileDispositionInformation()
    information["delete_pending"] = True
    return _set(file_id, information)


def set_time(file_id: bytes, mtime_ns: int) -> Any:
    """Give it this time of change; what is 0 stays as it is."""
    information = FileBasicInformation()
    information["last_write_time"] = max(mtime_ns // _UNIT_NS + _EPOCH, 1)
    return _set(file_id, information)


def _set(file_id: bytes, information: Any, *, least_bytes: int = 0) -> Any:
    request = SMB2SetInfoRequest()
    request["info_type"] = InfoType.SMB2_0_INFO_FILE
    request["file_info_class"] = information.INFO_CLASS
    request["file_id"] = file_id
    request["buffer"] = information.pack().ljust(least_bytes, b"\0")
    return request


def list_(file_id: bytes, most_bytes: int) -> Any:
    """Ask for the names that follow."""
    request = SMB2QueryDirectoryRequest()
    request["file_information_class"] = FileInformationClass.FILE_FULL_DIRECTORY_INFORMATION
    request["file_id"] = file_id
    request["output_buffer_length"] = most_bytes
    request["buffer"] = "*".encode("utf-16-le")
    return request


def read_opened(answer: bytes) -> Opened:
    """Return what CREATE has opened (MS-SMB2 2.2.14)."""
    *_, written, _, _, size, attributes, _, file_id = _unpack(_OPENED, answer)
    found = Found(size_bytes=size, mtime_ns=_time(written), attributes=attributes)
    return Opened(file_id=file_id, found=found)


def read_closed(answer: bytes) -> Found:
    """Return what a file was when it was closed, where that was asked for (MS-SMB2 2.2.16)."""
    _, flags, _, _, _, written, _, _, size, attributes = _unpack(_CLOSED, answer)
    if not flags & CloseFlags.SMB2_CLOSE_FLAG_POSTQUERY_ATTRIB:
        raise BrokenAnswerError("a file is closed, and it is not told how it is")
    return Found(size_bytes=size, mtime_ns=_time(written), attributes=attributes)


def read_data(answer: bytes, length: int) -> bytes:
    """Return what was read, of at most ``length`` bytes asked for (MS-SMB2 2.2.20)."""
    _, offset, _, count, _, _ = _unpack(_READ, answer)
    data = answer[offset - _HEADER_BYTES :][:count] if offset >= _HEADER_BYTES else b""
    if not 0 < len(data) == count <= length:
        raise BrokenAnswerError(f"{count} bytes where {length} were asked for")
    return data


def read_written(answer: bytes) -> int:
    """Return how many bytes were written (MS-SMB2 2.2.22)."""
    return int(_unpack(_WRITTEN, answer)[2])


def read_entries(answer: bytes) -> Iterator[tuple[str, Found]]:
    """Give the names of a folder that came in one answer (MS-SMB2 2.2.34; MS-FSCC 2.4.14)."""
    _, offset, length = _unpack(_LISTED, answer)
    start = offset - _HEADER_BYTES
    block = answer[start : start + length] if start > 0 else b""
    at, following = 0, -1
    while following != 0:
        following, _, _, _, written, _, size, _, attributes, count, tag = _unpack(
            _ENTRY, block[at:]
        )
        name = block[at + _ENTRY.size :][:count]
        if len(name) != count or (following and following < _ENTRY.size):
            raise BrokenAnswerError("a list of names that is cut short")
        found = Found(size_bytes=size, mtime_ns=_time(written), attributes=attributes, tag=tag)
        yield name.decode("utf-16-le", "surrogatepass"), found
        at += following


def _unpack(layout: struct.Struct, answer: bytes) -> tuple[Any, ...]:
    try:
        return layout.unpack_from(answer)
    except struct.error as error:
        raise BrokenAnswerError(f"an answer of {len(answer)} bytes") from error


def _time(value: int) -> int:
    return max(min((value - _EPOCH) * _UNIT_NS, _MOST_NS), -_MOST_NS)
