"""Small files over an SFTP session, each whole in memory, as exchanges that go on side by side.

Sections are those of draft-ietf-secsh-filexfer-02.
"""

from collections.abc import Callable
from typing import TypeVar

import paramiko
from paramiko import sftp as wire

from mftgit.adapters.endpoint import (
    Content,
    EndpointFullError,
    EndpointRefusedError,
    FileEntry,
    Traits,
)
from mftgit.adapters.endpoint_paths import folder_and_name
from mftgit.adapters.sftp_folder import SftpFolder
from mftgit.adapters.sftp_overlap import Exchange
from mftgit.adapters.sftp_session import FSYNC, Session
from mftgit.adapters.sftp_wire import HAS_MODE, HAS_TIMES, Attributes, StatusError, text, u32, u64
from mftgit.errors import MftgitError

T = TypeVar("T")

Meaning = Callable[[StatusError, str, bool], MftgitError]
"""(error, path, full): the error of endpoints; with full, FAILURE means that there is no room."""


def entry_of(path: str, found: Attributes) -> FileEntry:
    """Return the entry of the file ``path``, of which the server told ``found``."""
    return FileEntry(
        path=path,
        size_bytes=found.size_bytes or 0,
        mtime_ns=(found.mtime_s or 0) * 1_000_000_000,
        mode=None if found.mode is None else found.mode & 0o777,
    )


class SmallFiles:
    """What is done to one file of many. ``server`` is its name in messages."""

    def __init__(
        self, session: Session, folder: SftpFolder, *, server: str, meaning: Meaning
    ) -> None:
        self._session = session
        self._folder = folder
        self._server = server
        self._meaning = meaning

    def stat(self, path: str) -> Exchange[FileEntry]:
        """See `Endpoint.stat`."""
        folder_and_name(path)
        found = yield from self._told(
            repr(path), self._folder.attributes(wire.CMD_LSTAT, self._folder.remote(path))
        )
        self.require_file(path, found)
        return entry_of(path, found)

    def read(self, path: str, *, most_bytes: int) -> Exchange[Content]:
        """See `Endpoint.read_all`; what the server tells of the file after the last byte counts."""
        folder_and_name(path)
        return (yield from self._told(repr(path), self._read(path, most_bytes)))

    def write(self, path: str, content: bytes) -> Exchange[int]:
        """See `Endpoint.write`."""
        above, _ = folder_and_name(path)
        handle = yield from self._told(repr(path), self._folder.create(path, above))
        yield from self._told(repr(path), self._fill(handle, content), full=True)
        found = yield from self._told(
            repr(path), self._folder.attributes(wire.CMD_STAT, self._folder.remote(path))
        )
        if found.size_bytes != len(content):
            raise EndpointFullError(
                f"{self._server}: {path!r} has {found.size_bytes} bytes after {len(content)} were sent: is it full?"
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

    def _read(self, path: str, most_bytes: int) -> Exchange[Content]:
        handle = yield from self._folder.open(self._folder.remote(path), wire.SFTP_FLAG_READ)
        try:
            before = yield from self._folder.attributes(wire.CMD_FSTAT, handle)
            if before.mode is not None:
                self.require_file(path, before)
            size_bytes = before.size_bytes or 0
            # One byte more than it should have, so that one of which the size is not told is not taken for empty.
            length = size_bytes + 1 if size_bytes <= most_bytes else 0
            data = yield from self._pieces(handle, length)
            after = yield from self._folder.attributes(wire.CMD_FSTAT, handle)
        finally:
            self._session.forget(self._session.send(wire.CMD_CLOSE, text(handle)))
        return Content(before=entry_of(path, before), after=entry_of(path, after), data=data)

    def _pieces(self, handle: bytes, length: int) -> Exchange[bytes]:
        """Read ``length`` bytes from the beginning (6.4); fewer where the file ends before."""
        pieces: list[bytes] = []
        at = 0
        while at < length:
            wanted = min(length - at, self._session.read_bytes)
            fields = text(handle), u64(at), u32(wanted)
            try:
                answer = yield from self._folder.ask(wire.CMD_READ, *fields, expected=wire.CMD_DATA)
            except StatusError as error:
                if error.code != wire.SFTP_EOF:
                    raise
                break
            piece = answer.text()
            if not 0 < len(piece) <= wanted:
                raise paramiko.SFTPError(f"{len(piece)} bytes where {wanted} were asked for")
            pieces.append(piece)
            at += len(piece)
        return b"".join(pieces)

    def _fill(self, handle: bytes, content: bytes) -> Exchange[None]:
        """Write ``content`` (6.4), make it last where the server can, and close the file; every status is looked at."""
        session, name = self._session, text(handle)
        step, whole = session.write_bytes, memoryview(content)
        writes = [
            session.send_data(wire.CMD_WRITE, name, u64(at), data=whole[at : at + step])
            for at in range(0, len(content), step)
        ]
        try:
            while writes:
                yield writes[0]
                session.answer(writes.pop(0))
            if FSYNC in session.extensions:
                yield from self._flush(name)
        except StatusError:
            for number in writes:
                session.forget(number)
            session.forget(session.send(wire.CMD_CLOSE, name))
            raise
        yield from self._folder.ask(wire.CMD_CLOSE, name)

    def _flush(self, name: bytes) -> Exchange[None]:
        try:
            yield from self._folder.ask(wire.CMD_EXTENDED, text(FSYNC), name)
        except StatusError as error:
            if error.code != wire.SFTP_OP_UNSUPPORTED:
                raise

    def require_file(self, path: str, found: Attributes) -> None:
        """Raise `EndpointRefusedError` unless the server says that ``path`` is a regular file."""
        if not found.is_file:
            raise EndpointRefusedError(f"{self._server}: {path!r} is not a regular file")
