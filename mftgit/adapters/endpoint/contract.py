"""What a transfer needs of a place that files come from or go to."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import BinaryIO, Protocol, runtime_checkable

from mftgit.errors import ConfigError, MftgitError, TransientError


class EndpointLostError(TransientError):
    """The other side went away, or did not answer in time."""


class EndpointFullError(TransientError):
    """The other side has no room, or took less than it was given."""


class EndpointBusyError(TransientError):
    """Somebody else has the file open or locked, or the other side asks to come again later with this one request."""


class EndpointRefusedError(MftgitError):
    """The other side said no: permission, quota, or a rule of its own."""


class HostKeyError(ConfigError):
    """The server showed a key or a certificate that the location does not name."""


class LoginError(ConfigError):
    """The server took none of the location's ways to log in."""


class FileMissingError(MftgitError):
    """There is no such file or folder; somebody else moved or removed it."""


class FileExistsAtEndpointError(MftgitError):
    """There is a file or a folder of that name already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One regular file of a listing: its path below the listed folder with ``/``, size and time of change.

    ``mtime_ns`` is nanoseconds since 1970 by the endpoint's own clock; SFTP gives whole seconds. ``mode`` has the nine
    bits of who may read, write and execute it; None where the endpoint does not tell. ``tag`` is the server's own mark
    of this very content, by `stat` alone and where it has one; it never tells for sure that a file is another one.
    """

    path: str
    size_bytes: int
    mtime_ns: int
    mode: int | None = None
    tag: str | None = field(default=None, compare=False)


@unique
class Kind(Enum):
    """What a name stands for. OTHER: a link, a device, or what the endpoint has no word for."""

    FILE = "file"
    FOLDER = "folder"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """One name in a folder, and what it stands for; size and time are those of a file. See `FileEntry`.

    The name is as the endpoint tells it: it may be any text.
    """

    name: str
    kind: Kind
    size_bytes: int = 0
    mtime_ns: int = 0
    mode: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a file is to have besides its content; None leaves that as it is. See `FileEntry`."""

    mtime_ns: int | None = None
    mode: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """A SHA-256 in hexadecimal that the other side worked out, and ``by`` what."""

    sha256: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A file that was read; ``before`` and ``after`` are what it was then, so that a change meanwhile shows."""

    before: FileEntry
    after: FileEntry
    data: bytes


class Endpoint(Protocol):
    """A place that files come from or go to. Paths are relative to the location's path, with ``/``.

    A path that leaves the location (``..``, an absolute path, a link that points out of a local location) raises
    `EndpointRefusedError`. Every method raises `TransientError` where the same call may succeed later,
    `FileMissingError` where the path is not there, and otherwise only errors of this module. One endpoint is used by
    one thread at a time, but for `close`.

    Those that end in ``_all`` do one thing to many files, side by side where the endpoint can, and return in the order
    asked what became of each: what went wrong with one file is in its place, and keeps no other from being done. What
    the iterable raises, and `EndpointLostError`, is raised: then it is not known which of them were done.
    """

    def list_files(
        self, folder: str, *, recursive: bool, depth: int | None = None
    ) -> Iterator[FileEntry]:
        """Give the regular files below ``folder`` in no order, with ``recursive`` those in folders below too.

        ``depth`` is how many folders deep it is looked then, None: as deep as there are any.

        Links, devices and names starting with ``.mftgit`` are passed over.
        """

    def list_names(self, folder: str) -> list[str]:
        """Give every name in ``folder``, ``.mftgit`` ones included."""

    def stat(self, path: str) -> FileEntry:
        """Give size and time of the regular file ``path``."""

    @property
    def resumes(self) -> bool:
        """Whether `write` takes a ``resume_at``; where not, it is never given any."""

    def open_read(self, path: str, offset: int = 0) -> AbstractContextManager[BinaryIO]:
        """Open ``path`` for reading from its byte ``offset`` on.

        A server that cannot begin there is read from the start.

        A read may give less than it is asked for, and nothing at the end.
        """

    def write(
        self,
        path: str,
        chunks: Iterator[bytes],
        *,
        on_chunk: Callable[[int], None],
        resume_at: int | None = None,
    ) -> int:
        """Write ``chunks`` to the new file ``path`` and make it last; return its size as the endpoint sees it.

        Missing folders above ``path`` are made. ``on_chunk`` is called with the bytes of the file that are written so
        far, before each chunk, and stops the writing by raising.

        With ``resume_at`` the file is there already and is written from that byte on. It is neither made nor cut short:
        who did that late, with a handle from before, would spoil what another one wrote meanwhile.

        Raises:
            FileExistsAtEndpointError: ``path`` is there, and ``resume_at`` is None.
            FileMissingError: ``path`` is not there, with ``resume_at``.
            EndpointRefusedError: ``path`` has fewer bytes than ``resume_at``.
        """

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        """Rename in one step. Without ``replace`` an existing ``new`` raises `FileExistsAtEndpointError`."""

    def remove(self, path: str) -> None:
        """Remove the file ``path``."""

    def make_folder(self, path: str) -> None:
        """Make the folder ``path`` and those above it; one that is there already is fine."""

    def remove_folder(self, path: str) -> bool:
        """Remove the empty folder ``path``; return False when it is not empty. One that is not there is fine."""

    def stat_all(self, paths: Iterable[str]) -> list[FileEntry | MftgitError]:
        """Give size and time of each regular file."""

    def read_all(self, paths: Iterable[str], *, most_bytes: int) -> list[Content | MftgitError]:
        """Read each file whole; nothing of one that is larger than ``most_bytes``."""

    def digest_all(self, paths: Iterable[str]) -> list[Digest | MftgitError | None]:
        """Let the other side work out the digest of each file; None where it cannot, and the file has to be read.

        One without a way to that returns None for each.
        """

    def write_all(self, files: Iterable[tuple[str, bytes]]) -> list[int | MftgitError]:
        """Write each (path, content) as `write` does; for small files."""

    def rename_all(
        self, moves: Iterable[tuple[str, str]], *, replace: bool
    ) -> list[MftgitError | None]:
        """Rename each (old, new) as `rename` does."""

    def set_all(self, changes: Iterable[tuple[str, Traits]]) -> list[MftgitError | None]:
        """Give each (path, traits) these, and make that last."""

    def remove_all(self, paths: Iterable[str]) -> list[MftgitError | None]:
        """Remove each file."""

    def close(self) -> None:
        """Let go of connections; a second call does nothing.

        Another thread than the one that uses the endpoint may call this: what that one waits for from a partner ends
        within about a second with `EndpointLostError`, and so does every later call. A local endpoint has no partner,
        and goes on.
        """


@runtime_checkable
class ConditionalEndpoint(Endpoint, Protocol):
    """An endpoint whose other side can be told to remove a file only while it is the one that was looked at."""

    def remove_same(self, file: FileEntry) -> None:
        """Remove ``file`` if it still has that size and time; another one under its name raises `FileMissingError`.

        Nothing that is put there between the look and the removal is removed.
        """


@runtime_checkable
class TakingEndpoint(Endpoint, Protocol):
    """An endpoint with a way of its own to what a `write` that was cut has left."""

    def find_part(self, path: str) -> None:
        """See that something of the file ``path`` has arrived; raises `FileMissingError` where nothing has."""

    def take_part(self, old: str, new: str, *, goes_on: bool = True) -> None:
        """Have what has arrived of the file ``old`` be the file ``new``, which `write` goes on with if it ``goes_on``.

        Who still writes to ``old`` can neither end that, nor remove what is ``new`` now.

        Raises:
            MftgitError: it cannot be gone on with.
        """

    def drop_part(self, path: str) -> None:
        """Remove what has arrived of the file ``path``; raises `FileMissingError` where nothing has."""


class RemoteEndpoint(Endpoint, Protocol):
    """An endpoint by a connection that may be kept for the next run."""

    @property
    def is_open(self) -> bool:
        """Whether it has neither been closed nor lost, as far as is known."""

    def is_alive(self) -> bool:
        """Ask the server for something, and tell whether it answered; waits as long as any call."""

    @property
    def has_folders(self) -> bool:
        """Whether folders are there by themselves; otherwise one is there while something is in it."""

    def look(self, path: str) -> Named | None:
        """Tell what ``path`` stands for, a link being a link; None where nothing is.

        Raises:
            FileMissingError: the folder that it would lie in is not there, or as far as the server tells a link
                leads there.
        """

    def list_folder(self, folder: str) -> Iterator[Named]:
        """Give every name in ``folder`` in no order; other calls may come in between.

        Raises:
            FileMissingError: it is not there, as far as the endpoint `has_folders`.
        """
