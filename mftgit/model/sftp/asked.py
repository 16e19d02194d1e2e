"""The requests of SFTP version 3 as values, one class for each; sections are those of draft-ietf-secsh-filexfer-02."""

from dataclasses import dataclass

from mftgit.model.sftp.fields import Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Init:
    """The client's first word, with the highest version that it speaks (section 4)."""

    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Something asked for; ``number`` is the client's own, and goes back with the answer."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Malformed(Request):
    """What cannot be read."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsupported(Request):
    """What is not known, or never done."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Open(Request):
    """Open a file (6.3)."""

    path: str
    read: bool = False
    write: bool = False
    append: bool = False
    create: bool = False
    truncate: bool = False
    exclusive: bool = False
    wanted: Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Request):
    """Read up to ``length`` bytes (6.4)."""

    handle: bytes
    offset: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Write(Request):
    """Write ``data``, which is a part of the packet (6.4)."""

    handle: bytes
    offset: int
    data: memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class OfHandle(Request):
    """Something about what is open."""

    handle: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class OfPath(Request):
    """Something about a path."""

    path: str


class Close(OfHandle):
    """Close a file or folder (6.3)."""

    __slots__ = ()


class StatOpen(OfHandle):
    """Tell how a file is that is open: FSTAT (6.8)."""

    __slots__ = ()


class ReadFolder(OfHandle):
    """Tell more of what is in a folder (6.7)."""

    __slots__ = ()


class SpaceOpen(OfHandle):
    """Tell how much room there is: fstatvfs@openssh.com."""

    __slots__ = ()


class Flush(OfHandle):
    """Bring a file to the disk: fsync@openssh.com."""

    __slots__ = ()


class Stat(OfPath):
    """Tell how a file is: STAT and LSTAT (6.8)."""

    __slots__ = ()


class OpenFolder(OfPath):
    """Open a folder, to be told what is in it (6.7)."""

    __slots__ = ()


class Remove(OfPath):
    """Remove a file (6.5)."""

    __slots__ = ()


class RemoveFolder(OfPath):
    """Remove a folder (6.6)."""

    __slots__ = ()


class Resolve(OfPath):
    """Tell the absolute path: REALPATH (6.11)."""

    __slots__ = ()


class Expand(OfPath):
    """Tell the absolute path, ``~`` being a home folder: expand-path@openssh.com."""

    __slots__ = ()


class Space(OfPath):
    """Tell how much room there is: statvfs@openssh.com."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Set(Request):
    """Change attributes: SETSTAT (6.9) and lsetstat@openssh.com."""

    path: str
    wanted: Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class SetOpen(Request):
    """Change attributes of what is open: FSETSTAT (6.9)."""

    handle: bytes
    wanted: Wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeFolder(Request):
    """Make a folder (6.6)."""

    path: str
    wanted: Wanted | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rename(Request):
    """Rename (6.5); with ``replace`` what is there goes: posix-rename@openssh.com."""

    old: str
    new: str
    replace: bool


class Limits(Request):
    """Tell how long requests may be: limits@openssh.com."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Owners(Request):
    """Tell what users and groups are called: users-groups-by-id@openssh.com."""

    users: tuple[int, ...]
    groups: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeFolder(Request):
    """Tell a user's home: home-directory (draft-ietf-secsh-filexfer-extensions-00, 5)."""

    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy(Request):
    """Copy between open files: copy-data (draft-ietf-secsh-filexfer-extensions-00, 7). ``length`` 0: to the end."""

    source: bytes
    source_offset: int
    length: int
    target: bytes
    target_offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Check(Request):
    """Tell digests: check-file (draft-ietf-secsh-filexfer-extensions-00, 3), of a path or of what is open.

    ``algorithms`` are in the order in which the client likes them. ``length`` 0 is to the end, ``block_bytes`` 0 one
    digest of all. ``named`` says whether the answer begins with the extension's name, as in an earlier draft.
    """

    path: str | None = None
    handle: bytes = b""
    algorithms: tuple[str, ...]
    offset: int
    length: int
    block_bytes: int
    named: bool = False
