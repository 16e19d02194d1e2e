"""What an account sees of files: the contract between the servers that clients speak with and the folders of a member.

Paths are absolute paths of the account, as text with ``surrogateescape`` for what is not UTF-8; ``.`` and ``..`` are
worked out in the text and never lead above ``/``. Names that begin with ``.mftgit`` do not exist for clients. Links
are shown and removed, and never followed. Every method raises `HomeError`, and nothing else that is not a defect.
"""

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, unique
from typing import Protocol

from mftgit.errors import MftgitError
from mftgit.model.inbound.finished import Finished


@unique
class Refusal(Enum):
    """Why something cannot be done."""

    MISSING = "missing"
    DENIED = "denied"
    EXISTS = "exists"
    NOT_EMPTY = "not empty"
    IS_FOLDER = "is a folder"
    NOT_FOLDER = "is no folder"
    NOT_FILE = "is no regular file"
    BUSY = "busy"
    FULL = "full"
    OVER_QUOTA = "over quota"
    TOO_LARGE = "too large"
    BAD_NAME = "bad name"
    ACROSS = "across folders"
    UNSUPPORTED = "unsupported"
    FAILED = "failed"


class HomeError(MftgitError):
    """Something cannot be done; the message is for the client, and tells nothing of the machine's own paths."""

    def __init__(self, refusal: Refusal, message: str) -> None:
        super().__init__(message)
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is told of a file; ``mode`` has its type (stat(2)), times are seconds since 1970."""

    size_bytes: int
    mode: int
    atime_s: int
    mtime_s: int

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return stat.S_ISDIR(self.mode)


@dataclass(frozen=True, slots=True)
class Traits:
    """What is to be set; None stays as it is. Of ``mode``, only the nine bits of permissions count."""

    size_bytes: int | None = None
    mode: int | None = None
    atime_s: int | None = None
    mtime_s: int | None = None


@dataclass(frozen=True, slots=True)
class Space:
    """How much room there is, of the file system or of the quota, whichever is less."""

    block_bytes: int
    blocks: int
    blocks_free: int
    files: int
    files_free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """How a file is opened for writing: the flags of SFTP (draft-ietf-secsh-filexfer-02, 6.3)."""

    read: bool = False
    append: bool = False
    create: bool = False
    truncate: bool = False
    exclusive: bool = False


class OpenFile(Protocol):
    """A file that a client has open; one thread uses it at a time."""

    def read(self, offset: int, length: int) -> bytes:
        """Return up to ``length`` bytes; none at the end of the file."""

    def read_at_once(self, offset: int, length: int) -> bytes | bytearray | None:
        """Do as `read` does where it need not wait for the disk; None where it may have to."""

    def writes_at_once(self, offset: int) -> bool:
        """Tell whether what is written at ``offset`` follows all that came before, so that nothing is read back."""

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of ``data``; refused for a file that was opened for reading."""

    def attributes(self) -> Attributes:
        """Return how it is."""

    def set(self, traits: Traits) -> None:
        """Change it."""

    def flush(self) -> None:
        """Return once it is on disk."""

    def publish(self) -> Finished | None:
        """Give an upload its visible name, as `close` does, and tell nobody; refused for a file that was read.

        None, and nothing has changed, where more has to be waited for than the names of a folder.
        """

    def close(self) -> Finished | None:
        """Give an upload its visible name and tell of it; None for a file that was read.

        Whoever opened the home was told of it before this returns, by its ``finished``; what that raises is raised
        here. Where it fails, what was sent stays for a later try, under no visible name.
        """

    def abandon(self) -> None:
        """Let go of it; an upload gets no visible name, and what was sent of it stays for a later try."""


class Home(Protocol):
    """Everything that one account sees, in one session."""

    def resolve(self, path: str) -> str:
        """Return the absolute path that ``path`` means, relative to ``/``; it need not be there."""

    def stat(self, path: str) -> Attributes:
        """Return how a file, folder or link is; where there is none, how an unfinished upload of the account is.

        The client goes on from the size that it was told here: `open_write` without ``truncate`` begins there.
        """

    def unfinished(self, path: str) -> int | None:
        """Return how many bytes of an unfinished upload are there, for `Opening.append` to go on; None for no upload.

        Where a file has the name already there is none, for what is sent to it then begins anew.
        """

    def list(self, path: str) -> Iterator[tuple[str, Attributes]]:
        """Give what is in a folder, in any order, without ``.`` and ``..``; the folder is open until all was given.

        Where listing is not allowed, only what the rules and the virtual folders name is given.
        """

    def open_read(self, path: str) -> OpenFile:
        """Open a regular file for reading."""

    def open_write(self, path: str, opening: Opening, traits: Traits) -> OpenFile:
        """Open an upload to ``path``; it is seen there once it is closed.

        With ``truncate`` or ``exclusive`` it begins anew. Otherwise it goes on with the file that is there, as a copy
        of it, or where none is with an unfinished upload, if the client was told of that or asks to ``append``.
        """

    def open_write_at_once(self, path: str, opening: Opening, traits: Traits) -> OpenFile | None:
        """Do as `open_write` does; None, and nothing has changed, where content has to be copied or much removed."""

    def set(self, path: str, traits: Traits) -> None:
        """Change a file or folder; what is being sent is meant before a file that it is about to replace."""

    def make_folder(self, path: str, traits: Traits) -> None:
        """Make a folder in one that is there."""

    def remove_folder(self, path: str) -> None:
        """Remove an empty folder, with what is left of uploads there that nobody sends."""

    def remove(self, path: str) -> None:
        """Remove a file or link, or where there is none an unfinished upload of the account."""

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        """Rename a file, link or folder; with ``replace`` a file that is at ``new`` is replaced in one step."""

    def space(self, path: str) -> Space:
        """Return how much room there is."""

    def while_working(self, work: Callable[[], None]) -> None:
        """Have ``work`` called again and again by what takes long; what it raises ends that."""

    @property
    def is_near(self) -> bool:
        """Whether nothing but a disk of this machine is waited for: no network, and no counting for a quota."""

    @property
    def is_idle(self) -> bool:
        """Whether no file is open; for any thread."""

    def close(self) -> None:
        """Abandon what is open, and let go of all."""
