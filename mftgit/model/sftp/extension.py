"""Extended requests of SFTP: those of OpenSSH (its PROTOCOL file, section 4), and those of drafts that others use."""

from collections.abc import Callable, Mapping
from typing import Final

from mftgit.model.sftp.asked import (
    Check,
    Copy,
    Expand,
    Flush,
    HomeFolder,
    Limits,
    Malformed,
    Owners,
    Rename,
    Request,
    Set,
    Space,
    SpaceOpen,
    Unsupported,
)
from mftgit.model.sftp.fields import Fields

LEAST_BLOCK_BYTES: Final = 256
"""draft-ietf-secsh-filexfer-extensions-00, 3."""

_MOST_ALGORITHMS: Final = 20

ADVERTISED: Final[Mapping[str, str]] = {
    "posix-rename@openssh.com": "1",
    "statvfs@openssh.com": "2",
    "fstatvfs@openssh.com": "2",
    "fsync@openssh.com": "1",
    "lsetstat@openssh.com": "1",
    "limits@openssh.com": "1",
    "expand-path@openssh.com": "1",
    "copy-data": "1",
    "home-directory": "1",
    "users-groups-by-id@openssh.com": "1",
    "check-file-name": "1",
    "check-file-handle": "1",
}
"""What the server tells of itself, with the versions that it speaks."""


def _replace(fields: Fields, number: int) -> Request:
    old, new = fields.path(), fields.path()
    return Rename(number=number, old=old, new=new, replace=True)


def _set(fields: Fields, number: int) -> Request:
    path = fields.path()
    return Set(number=number, path=path, wanted=fields.wanted())


def _copy(fields: Fields, number: int) -> Request:
    source, source_offset, length = fields.handle(), fields.offset(), fields.offset()
    target, target_offset = fields.handle(), fields.offset()
    return Copy(
        number=number,
        source=source,
        source_offset=source_offset,
        length=length,
        target=target,
        target_offset=target_offset,
    )


def _check_path(fields: Fields, number: int) -> Request:
    return _check(fields, number, path=fields.path())


def _check_open(fields: Fields, number: int) -> Request:
    return _check(fields, number, handle=fields.handle())


def _check_named(fields: Fields, number: int) -> Request:
    return _check(fields, number, handle=fields.handle(), named=True)


def _check(
    fields: Fields,
    number: int,
    *,
    path: str | None = None,
    handle: bytes = b"",
    named: bool = False,
) -> Request:
    algorithms = tuple(fields.text().split(",", _MOST_ALGORITHMS)[:_MOST_ALGORITHMS])
    offset, length, block_bytes = fields.offset(), fields.offset(), fields.u32()
    if 0 < block_bytes < LEAST_BLOCK_BYTES:
        why = f"blocks of {block_bytes} bytes; from {LEAST_BLOCK_BYTES} on they are taken"
        return Malformed(number=number, why=why)
    return Check(
        number=number,
        path=path,
        handle=handle,
        algorithms=algorithms,
        offset=offset,
        length=length,
        block_bytes=block_bytes,
        named=named,
    )


_READERS: Final[Mapping[bytes, Callable[[Fields, int], Request]]] = {
    b"posix-rename@openssh.com": _replace,
    b"statvfs@openssh.com": lambda fields, number: Space(number=number, path=fields.path()),
    b"fstatvfs@openssh.com": lambda fields, number: SpaceOpen(
        number=number, handle=fields.handle()
    ),
    b"fsync@openssh.com": lambda fields, number: Flush(number=number, handle=fields.handle()),
    b"lsetstat@openssh.com": _set,
    b"limits@openssh.com": lambda _fields, number: Limits(number=number),
    b"expand-path@openssh.com": lambda fields, number: Expand(number=number, path=fields.path()),
    b"copy-data": _copy,
    b"home-directory": lambda fields, number: HomeFolder(number=number, user=fields.text()),
    b"users-groups-by-id@openssh.com": lambda fields, number: Owners(
        number=number, users=fields.ids(), groups=fields.ids()
    ),
    b"check-file-name": _check_path,
    b"check-file-handle": _check_open,
    b"check-file": _check_named,  # what paramiko's client says
}


def extended(fields: Fields, number: int) -> Request:
    """Return what is asked for by an EXTENDED request (draft-ietf-secsh-filexfer-02, 8).

    Raises:
        ValueError: it is too short for what it is to be.
    """
    name = bytes(fields.data())
    read = _READERS.get(name)
    if read is None:
        said = name[:100].decode("ascii", "backslashreplace")
        return Unsupported(number=number, why=f"there is no extension {said!r} here")
    return read(fields, number)
