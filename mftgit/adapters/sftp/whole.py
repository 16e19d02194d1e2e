"""The content of one small file over an SFTP session: read as a whole, or written as a whole to an open handle.

Sections are those of draft-ietf-secsh-filexfer-02.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import paramiko
from paramiko import sftp as wire

from mftgit.adapters.endpoint.contract import Content, EndpointRefusedError, FileEntry
from mftgit.adapters.sftp.folder import SftpFolder
from mftgit.adapters.sftp.overlap import Exchange
from mftgit.adapters.sftp.session import FSYNC, Session
from mftgit.adapters.sftp.wire import Attributes, StatusError, attributes
from mftgit.adapters.ssh.fields import text, u32, u64

_FIRST_BYTES: Final = 64 << 10
"""So much of a file is asked for before its size is known; for nothing, where it is a large one."""


def entry_of(path: str, found: Attributes) -> FileEntry:
    """Return the entry of the file ``path``, of which the server told ``found``."""
    return FileEntry(
        path=path,
        size_bytes=found.size_bytes or 0,
        mtime_ns=(found.mtime_s or 0) * 1_000_000_000,
        mode=None if found.mode is None else found.mode & 0o777,
    )


def require_file(server: str, path: str, found: Attributes) -> None:
    """Raise `EndpointRefusedError` unless ``server`` says that ``path`` is a regular file."""
    if not found.is_file:
        raise EndpointRefusedError(f"{server}: {path!r} is not a regular file")


class WholeFiles:
    """Contents of files of one server; ``server`` is its name in messages."""

    def __init__(self, session: Session, folder: SftpFolder, *, server: str) -> None:
        self._session = session
        self._folder = folder
        self._server = server

    def read(self, path: str, remote: bytes, *, most_bytes: int) -> Exchange[Content]:
        """See `Endpoint.read_all`; what the server tells of the file after the last byte counts."""
        handle = yield from self._folder.open(remote, wire.SFTP_FLAG_READ)
        try:
            if self._session.is_openssh:
                content = yield from self._read_at_once(path, handle, most_bytes)
                if content is not None:
                    return content
            before = yield from self._folder.attributes(wire.CMD_FSTAT, handle)
            if before.mode is not None:
                require_file(self._server, path, before)
            size_bytes = before.size_bytes or 0
            # One byte more than it should have, so that one of which the size is not told is not taken for empty.
            length = size_bytes + 1 if size_bytes <= most_bytes else 0
            data = yield from self._pieces(handle, length)
            after = yield from self._folder.attributes(wire.CMD_FSTAT, handle)
        finally:
            self._session.forget(self._session.send(wire.CMD_CLOSE, text(handle)))
        return Content(before=entry_of(path, before), after=entry_of(path, after), data=data)

    def _read_at_once(self, path: str, handle: bytes, most_bytes: int) -> Exchange[Content | None]:
        """Ask what the file is, for its beginning, and what it is then, in one go; None where that is not all of it.

        OpenSSH's server does one after the other (6.1 asks that of all, and some do otherwise).
        """
        session, name = self._session, text(handle)
        length = min(_FIRST_BYTES, session.read_bytes)
        asked = [
            session.send(wire.CMD_FSTAT, name),
            session.send(wire.CMD_READ, name, u64(0), u32(length)),
            session.send(wire.CMD_FSTAT, name),
        ]
        with self._forgetting(asked):
            yield asked[0]
            before = attributes(session.answer(asked[0], wire.CMD_ATTRS))
            if before.mode is not None:
                require_file(self._server, path, before)
            yield asked[1]
            data = self._piece(asked[1], length)
            yield asked[2]
            after = attributes(session.answer(asked[2], wire.CMD_ATTRS))
        if (before.size_bytes or 0) > most_bytes:
            data = b""
        elif not len(data) == before.size_bytes == after.size_bytes:
            return None
        return Content(before=entry_of(path, before), after=entry_of(path, after), data=data)

    def _piece(self, number: int, length: int) -> bytes:
        """Return what was read by a request for ``length`` bytes; nothing at the end of the file."""
        try:
            piece = self._session.answer(number, wire.CMD_DATA).text()
        except StatusError as error:
            if error.code != wire.SFTP_EOF:
                raise
            return b""
        if not 0 < len(piece) <= length:
            raise paramiko.SFTPError(f"{len(piece)} bytes where {length} were asked for")
        return piece

    def _pieces(self, handle: bytes, length: int) -> Exchange[bytes]:
        """Read ``length`` bytes from the beginning (6.4); fewer where the file ends before."""
        pieces: list[bytes] = []
        at = 0
        while at < length:
            wanted = min(length - at, self._session.read_bytes)
            number = self._session.send(wire.CMD_READ, text(handle), u64(at), u32(wanted))
            yield number
            piece = self._piece(number, wanted)
            if not piece:
                break
            pieces.append(piece)
            at += len(piece)
        return b"".join(pieces)

    def _write(self, handle: bytes, content: bytes) -> list[int]:
        """Send ``content`` (6.4), and return the numbers of the writes."""
        session, name = self._session, text(handle)
        step, whole = session.write_bytes, memoryview(content)
        return [
            session.send_data(wire.CMD_WRITE, name, u64(at), data=whole[at : at + step])
            for at in range(0, len(content), step)
        ]

    def fill(self, remote: bytes, handle: bytes, content: bytes) -> Exchange[int | None]:
        """Write ``content``, make it last where the server can, and close the file; every status is looked at.

        Return what size the server says that it has then.
        """
        if self._session.is_openssh:
            return self._fill_at_once(handle, content)
        return self._fill_in_turn(remote, handle, content)

    def _fill_at_once(self, handle: bytes, content: bytes) -> Exchange[int | None]:
        """Do as `fill` in one go, and look at every status afterwards; see `_read_at_once`."""
        session, name = self._session, text(handle)
        writes = self._write(handle, content)
        flush = []
        if FSYNC in session.extensions:
            flush = [session.send(wire.CMD_EXTENDED, text(FSYNC), name)]
        look, close = session.send(wire.CMD_FSTAT, name), session.send(wire.CMD_CLOSE, name)
        with self._forgetting([*writes, *flush, look, close]):
            for number in writes:
                yield number
                session.answer(number)
            for number in flush:
                yield number
                self._flushed(number)
            yield look
            found = attributes(session.answer(look, wire.CMD_ATTRS))
            yield close
            session.answer(close)
        return found.size_bytes

    def _fill_in_turn(self, remote: bytes, handle: bytes, content: bytes) -> Exchange[int | None]:
        """Do as `fill`, each when what was before it is known to have gone well."""
        session, name = self._session, text(handle)
        try:
            writes = self._write(handle, content)
            with self._forgetting(writes):
                for number in writes:
                    yield number
                    session.answer(number)
            if FSYNC in session.extensions:
                number = session.send(wire.CMD_EXTENDED, text(FSYNC), name)
                yield number
                self._flushed(number)
        except StatusError:
            session.forget(session.send(wire.CMD_CLOSE, name))
            raise
        yield from self._folder.ask(wire.CMD_CLOSE, name)
        found = yield from self._folder.attributes(wire.CMD_STAT, remote)
        return found.size_bytes

    def _flushed(self, number: int) -> None:
        try:
            self._session.answer(number)
        except StatusError as error:
            if error.code != wire.SFTP_OP_UNSUPPORTED:
                raise

    @contextmanager
    def _forgetting(self, numbers: Sequence[int]) -> Iterator[None]:
        """Give up on the answers to ``numbers`` where the body fails."""
        try:
            yield
        except BaseException:
            for number in numbers:
                self._session.forget(number)
            raise
