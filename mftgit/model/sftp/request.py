"""What clients ask for by SFTP version 3 (draft-ietf-secsh-filexfer-02, sections 4 and 6), read from their packets.

Bytes behind the fields of a request are passed over, as OpenSSH passes over them: some clients send some.
"""

from collections.abc import Callable, Mapping
from enum import IntFlag
from typing import Final

from mftgit.model.sftp.asked import (
    Close,
    Init,
    MakeFolder,
    Malformed,
    Open,
    OpenFolder,
    Read,
    ReadFolder,
    Remove,
    RemoveFolder,
    Rename,
    Request,
    Resolve,
    Set,
    SetOpen,
    Stat,
    StatOpen,
    Unsupported,
    Write,
)
from mftgit.model.sftp.extension import extended
from mftgit.model.sftp.fields import Fields

_INIT: Final = 1
_LINKS: Final = "links are neither made nor followed here"


class _Flag(IntFlag):
    """Section 6.3."""

    READ = 0x01
    WRITE = 0x02
    APPEND = 0x04
    CREATE = 0x08
    TRUNCATE = 0x10
    EXCLUSIVE = 0x20


def _open(fields: Fields, number: int) -> Request:
    path, flags = fields.path(), _Flag(fields.u32())
    return Open(
        number=number,
        path=path,
        read=_Flag.READ in flags,
        write=_Flag.WRITE in flags,
        append=_Flag.APPEND in flags,
        create=_Flag.CREATE in flags,
        truncate=_Flag.TRUNCATE in flags,
        exclusive=_Flag.EXCLUSIVE in flags,
        wanted=fields.wanted(),
    )


def _read(fields: Fields, number: int) -> Request:
    handle, offset, length = fields.handle(), fields.offset(), fields.u32()
    return Read(number=number, handle=handle, offset=offset, length=length)


def _write(fields: Fields, number: int) -> Request:
    handle, offset = fields.handle(), fields.offset()
    return Write(number=number, handle=handle, offset=offset, data=fields.data())


def _set(fields: Fields, number: int) -> Request:
    path = fields.path()
    return Set(number=number, path=path, wanted=fields.wanted())


def _set_open(fields: Fields, number: int) -> Request:
    handle = fields.handle()
    return SetOpen(number=number, handle=handle, wanted=fields.wanted())


def _make_folder(fields: Fields, number: int) -> Request:
    path = fields.path()
    # Without attributes, which section 6.6 asks for, it is plain what is meant.
    wanted = fields.wanted() if fields.left_bytes else None
    return MakeFolder(number=number, path=path, wanted=wanted)


def _rename(fields: Fields, number: int) -> Request:
    old, new = fields.path(), fields.path()
    return Rename(number=number, old=old, new=new, replace=False)


def _links(fields: Fields, number: int) -> Request:
    del fields
    return Unsupported(number=number, why=_LINKS)


_READERS: Final[Mapping[int, Callable[[Fields, int], Request]]] = {
    3: _open,
    4: lambda fields, number: Close(number=number, handle=fields.handle()),
    5: _read,
    6: _write,
    7: lambda fields, number: Stat(number=number, path=fields.path()),  # LSTAT: no link is followed
    8: lambda fields, number: StatOpen(number=number, handle=fields.handle()),
    9: _set,
    10: _set_open,
    11: lambda fields, number: OpenFolder(number=number, path=fields.path()),
    12: lambda fields, number: ReadFolder(number=number, handle=fields.handle()),
    13: lambda fields, number: Remove(number=number, path=fields.path()),
    14: _make_folder,
    15: lambda fields, number: RemoveFolder(number=number, path=fields.path()),
    16: lambda fields, number: Resolve(number=number, path=fields.path()),
    17: lambda fields, number: Stat(number=number, path=fields.path()),
    18: _rename,
    19: _links,  # READLINK
    20: _links,  # SYMLINK
    200: extended,
}


def decode(packet: memoryview) -> Request | Init:
    """Return what is asked for in ``packet``, which is without its length.

    What is wrong with it is `Malformed` or `Unsupported`, which have the number that the client waits for.

    Raises:
        ValueError: not even that number can be read.
    """
    fields = Fields(packet)
    sort, number = fields.byte(), fields.u32()
    if sort == _INIT:
        return Init(version=number)
    read = _READERS.get(sort)
    if read is None:
        return Unsupported(number=number, why=f"there is no request {sort} in version 3")
    try:
        return read(fields, number)
    except ValueError as error:
        return Malformed(number=number, why=str(error))
