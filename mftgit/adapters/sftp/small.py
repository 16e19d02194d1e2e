"""Small files over an SFTP session, each whole in memory, as exchanges that go on side by side.

Sections are those of draft-ietf-secsh-filexfer-02.
"""

from collections.abc import Callable
from typing import TypeVar

from paramiko import sftp as wire

from mftgit.adapters.endpoint.contract import Content, EndpointFullError, FileEntry, Traits
from mftgit.adapters.endpoint.paths import folder_and_name
from mftgit.adapters.sftp.folder import SftpFolder
from mftgit.adapters.sftp.overlap import Exchange
from mftgit.adapters.sftp.session import Session
from mftgit.adapters.sftp.whole import WholeFiles, entry_of, require_file
from mftgit.adapters.sftp.wire import HAS_MODE, HAS_TIMES, Attributes, StatusError
from mftgit.adapters.ssh.fields import text, u32
from mftgit.errors import MftgitError

T = TypeVar("T")

Meaning = Callable[[StatusError, str, bool], MftgitError]
"""(error, path, full): the error of endpoints; with full, FAILURE means that there is no room."""


class SmallFiles:
    """What is done to one file of many. ``server`` is its name in messages."""

    def __init__(
        self, session: Session, folder: SftpFolder, *, server: str, meaning: Meaning
    ) -> None:
        self.session = session
        self._folder = folder
        self._server = server
        self._meaning = meaning
        self._whole = WholeFiles(session, folder, server=server)

    def stat(self, path: str) -> Exchange[FileEntry]:
        """See `Endpoint.stat`."""
        folder_and_name(path)
        found = yield from self._told(
            repr(path), self._folder.attributes(wire.CMD_LSTAT, self._folder.remote(path))
        )
        self.require_file(path, found)
        return entry_of(path, found)

    def look(self, path: str) -> Exchange[Attributes | None]:
        """Return what ``path`` itself is, a link being a link; None where nothing is."""
        return (yield from self._told(repr(path), self._folder.look(path)))

    def read(self, path: str, *, most_bytes: int) -> Exchange[Content]:
        """See `Endpoint.read_all`; what the server tells of the file after the last byte counts."""
        folder_and_name(path)
        reading = self._whole.read(path, self._folder.remote(path), most_bytes=most_bytes)
        return (yield from self._told(repr(path), reading))

    def write(self, path: str, content: bytes) -> Exchange[int]:
        """See `Endpoint.write`."""
        above, _ = folder_and_name(path)
        handle = yield from self._told(repr(path), self._folder.create(path, above))
        filled = self._whole.fill(self._folder.remote(path), handle, content)
        size_bytes = yield from self._told(repr(path), filled, full=True)
        if size_bytes != len(content):
            raise EndpointFullError(
                f"{self._server}: {path!r} has {size_bytes} bytes after {len(content)} were sent: is it full?"
            )
        return len(content)

    def rename(self, old: str, new: str, *, replace: bool) -> Exchange[None]:
        """See `Endpoint.rename`."""
        folder_and_name(old)
        folder_and_name(new)
        yield from self._told(f"{old!r} to {new!r}", self._folder.rename(old, new, replace=replace))

    def set(self, path: str, traits: Traits) -> Exchange[None]:
        """See `Endpoint.set_all`; times are whole seconds until 2106 (5)."""
        folder_and_name(path)
        flags, fields = 0, b""
        if traits.mode is not None:
            flags, fields = flags | HAS_MODE, fields + u32(traits.mode)
        if traits.mtime_ns is not None:
            mtime = u32(min(max(traits.mtime_ns // 1_000_000_000, 0), 0xFFFFFFFF))
            flags, fields = flags | HAS_TIMES, fields + mtime + mtime
        remote = text(self._folder.remote(path))
        yield from self._told(
            repr(path), self._folder.ask(wire.CMD_SETSTAT, remote, u32(flags), fields)
        )

    def remove(self, path: str) -> Exchange[None]:
        """See `Endpoint.remove`."""
        folder_and_name(path)
        yield from self._told(
            repr(path), self._folder.ask(wire.CMD_REMOVE, text(self._folder.remote(path)))
        )

    def _told(self, what: str, exchange: Exchange[T], *, full: bool = False) -> Exchange[T]:
        try:
            return (yield from exchange)
        except StatusError as error:
            raise self._meaning(error, what, full) from error

    def require_file(self, path: str, found: Attributes) -> None:
        """Raise `EndpointRefusedError` unless the server says that ``path`` is a regular file."""
        require_file(self._server, path, found)
