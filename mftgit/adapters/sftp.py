"""A folder on an SFTP server as a place of files: version 3 of the protocol over paramiko's transport.

The requests are our own, because paramiko's client mixes answers up when a listing, a download and other
calls interleave, asks for a whole file at once, and drops the status of a write that is answered out of turn.
"""

import io
import stat
import struct
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import paramiko
from loguru import logger
from paramiko import sftp as wire

from mftgit.adapters.endpoint import (
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
    FileEntry,
    FileExistsAtEndpointError,
    FileMissingError,
)
from mftgit.adapters.local import RESERVED, folder_and_name, parts_inside
from mftgit.adapters.sftp_connect import TROUBLE, Connection, open_channel, reason, server_name
from mftgit.errors import MftgitError
from mftgit.model.config import SftpLocation

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_DEPTH = 32  # of a recursive listing; a server may make up folders without end
_REQUEST_BYTES = 32 << 10  # what every server takes (draft-ietf-secsh-filexfer-02, 3)
_LARGEST_REQUEST_BYTES = 255 << 10  # what OpenSSH takes; no gain was measured beyond it
_BYTES_IN_FLIGHT = 4 << 20
_REQUESTS_IN_FLIGHT = 64  # OpenSSH's own client stays below this too
_LARGEST_PACKET_BYTES = 1 << 20
_SHORTEST_NAME_BYTES = 12  # two empty strings and no attributes: a count beyond this is made up

_FAILURE = wire.SFTP_FAILURE
_MISSING = wire.SFTP_NO_SUCH_FILE
# 10 to 14 belong to later versions; some servers say them in version 3 too.
_MEANING: dict[int, type[MftgitError]] = {
    wire.SFTP_NO_SUCH_FILE: FileMissingError,
    wire.SFTP_NO_CONNECTION: EndpointLostError,
    wire.SFTP_CONNECTION_LOST: EndpointLostError,
    10: FileMissingError,
    11: FileExistsAtEndpointError,
    14: EndpointFullError,
}


def connect(location: SftpLocation, *, secrets_dir: Path) -> "SftpEndpoint":
    """Connect and log in to ``location`` with its secrets from ``secrets_dir``.

    Raises:
        ConfigError: a secret is missing or open to others; `HostKeyError` and `LoginError` are of this kind.
        EndpointRefusedError: the server has no safe algorithm or no SFTP for us.
        EndpointLostError: it cannot be reached or does not answer within ``location.timeout_s``.
    """
    connection = open_channel(location, secrets_dir=secrets_dir)
    try:
        return SftpEndpoint(location, connection)
    except BaseException:
        connection.close()
        raise


class StatusError(Exception):
    """The server's answer to one request: a status that is not OK."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(f"the server said {said!r} (status {code})")
        self.code = code


@dataclass(frozen=True, slots=True)
class _Attributes:
    """What the server tells of a file; None is what it does not tell. ``mtime_s`` is seconds since 1970."""

    size_bytes: int | None
    mode: int | None
    mtime_s: int | None

    def is_(self, kind: Callable[[int], bool]) -> bool:
        return self.mode is not None and kind(self.mode)


class _Session:
    """Requests and answers over one channel; many may be on the way, and answers come in any order."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel = channel
        self._number = 0
        self._awaited: set[int] = set()
        self._answers: dict[int, tuple[int, paramiko.Message]] = {}
        self.extensions = self._greet()
        self.read_bytes, self.write_bytes = self._limits()

    def send(self, command: int, *fields: bytes) -> int:
        """Send a request and return the number that its answer will have."""
        self._number = (self._number + 1) & 0xFFFFFFFF
        self._awaited.add(self._number)
        self._put(command, _u32(self._number), *fields)
        return self._number

    def forget(self, number: int) -> None:
        """Give up on an answer: it is thrown away when it comes."""
        self._awaited.discard(number)
        self._answers.pop(number, None)

    def answer(self, number: int, expected: int = wire.CMD_STATUS) -> paramiko.Message:
        """Wait for the answer to a request.

        Raises:
            StatusError: it is a status, and not OK.
        """
        while number not in self._answers:
            self._take()
        kind, message = self._answers.pop(number)
        if kind == wire.CMD_STATUS:
            code, said = message.get_int(), message.get_string()
            if code != wire.SFTP_OK:
                raise StatusError(code, said.decode("utf-8", "replace")[:200])
        if kind != expected:
            raise paramiko.SFTPError(f"answer of type {kind} where {expected} was expected")
        return message

    def ask(
        self, command: int, *fields: bytes, expected: int = wire.CMD_STATUS
    ) -> paramiko.Message:
        """Send a request and wait for its answer."""
        return self.answer(self.send(command, *fields), expected)

    def attributes(self, command: int, what: bytes) -> _Attributes:
        """Ask for the attributes of a path or a handle."""
        return _attributes(self.ask(command, _text(what), expected=wire.CMD_ATTRS))

    def handle(self, command: int, *fields: bytes) -> bytes:
        """Open a file or a folder; give the handle back by `drop` or CMD_CLOSE."""
        return self.ask(command, *fields, expected=wire.CMD_HANDLE).get_string()

    def drop(self, handle: bytes) -> None:
        """Close ``handle`` without waiting for the answer."""
        self.forget(self.send(wire.CMD_CLOSE, _text(handle)))

    def _greet(self) -> frozenset[bytes]:
        self._put(wire.CMD_INIT, _u32(3))
        kind, message = self._packet()
        if kind != wire.CMD_VERSION:
            raise paramiko.SFTPError(f"greeting of type {kind}: this is no SFTP server")
        message.get_int()
        names = set()
        while message.get_remainder():
            names.add(message.get_string())
            message.get_string()
        return frozenset(names)

    def _limits(self) -> tuple[int, int]:
        """Return the largest read and write that the server takes."""
        if b"limits@openssh.com" not in self.extensions:
            return _REQUEST_BYTES, _REQUEST_BYTES
        answer = self.ask(
            wire.CMD_EXTENDED, _text(b"limits@openssh.com"), expected=wire.CMD_EXTENDED_REPLY
        )
        answer.get_int64()
        read, write = answer.get_int64(), answer.get_int64()
        # 0 is "no limit of mine" (OpenSSH's PROTOCOL, 4.8).
        return (
            min(read or _REQUEST_BYTES, _LARGEST_REQUEST_BYTES),
            min(write or _REQUEST_BYTES, _LARGEST_REQUEST_BYTES),
        )

    def _put(self, command: int, *fields: bytes) -> None:
        body = b"".join((bytes((command,)), *fields))
        self._channel.sendall(_u32(len(body)) + body)

    def _take(self) -> None:
        kind, message = self._packet()
        number = message.get_int()
        if number in self._awaited:
            self._awaited.remove(number)
            self._answers[number] = kind, message

    def _packet(self) -> tuple[int, paramiko.Message]:
        length = int.from_bytes(self._exactly(4), "big")
        if not 1 <= length <= _LARGEST_PACKET_BYTES:
            raise paramiko.SFTPError(f"packet of {length} bytes: this is no SFTP")
        packet = self._exactly(length)
        return packet[0], paramiko.Message(packet[1:])

    def _exactly(self, length: int) -> bytes:
        pieces = []
        while length > 0:
            piece = self._channel.recv(length)
            if not piece:
                raise EOFError
            pieces.append(piece)
            length -= len(piece)
        return b"".join(pieces)


class SftpEndpoint:
    """The files below ``location.path``; see `mftgit.adapters.endpoint.Endpoint`.

    After an `EndpointLostError` it is closed, and every further call raises that error again: connect anew.
    Links on the server are the partner's affair: they are not listed, but a path may lead through them.
    """

    def __init__(self, location: SftpLocation, connection: Connection) -> None:
        self._location = location
        self._connection = connection
        self._closed = False
        with self._speaking("."):
            self._session = _Session(connection.channel)

    def list_files(self, folder: str, *, recursive: bool) -> Iterator[FileEntry]:
        """See `Endpoint.list_files`; breadth first, at most 32 folders deep."""
        top = parts_inside(folder)
        waiting: deque[tuple[str, ...]] = deque([()])
        while waiting:
            below = waiting.popleft()
            try:
                for name, found in self._scan("/".join((*top, *below))):
                    path = "/".join((*below, name))
                    if name.startswith(RESERVED):
                        continue
                    if found.is_(stat.S_ISREG):
                        yield _entry(path, found)
                    elif recursive and found.is_(stat.S_ISDIR):
                        if len(below) < _DEPTH:
                            waiting.append((*below, name))
                        else:
                            logger.warning(
                                "{server}: {path!r} is more than {depth} folders deep: not listed",
                                server=self._server,
                                path=path,
                                depth=_DEPTH,
                            )
            except FileMissingError:
                if not below:
                    raise

    def list_names(self, folder: str) -> list[str]:
        """See `Endpoint.list_names`."""
        return [name for name, _ in self._scan(folder)]

    def stat(self, path: str) -> FileEntry:
        """See `Endpoint.stat`."""
        folder_and_name(path)
        with self._speaking(path):
            found = self._session.attributes(wire.CMD_LSTAT, self._remote(path))
        self._require_file(path, found)
        return _entry(path, found)

    @contextmanager
    def open_read(self, path: str) -> Iterator[BinaryIO]:
        """See `Endpoint.open_read`; a file that ends before the size it had raises `EndpointLostError`."""
        folder_and_name(path)
        with self._speaking(path):
            handle = self._session.handle(
                wire.CMD_OPEN, _text(self._remote(path)), _u32(wire.SFTP_FLAG_READ), _u32(0)
            )
            found = self._session.attributes(wire.CMD_FSTAT, handle)
        download = _Download(
            self._session, handle, found.size_bytes or 0, lambda: self._speaking(path)
        )
        try:
            if found.mode is not None:
                self._require_file(path, found)
            with io.BufferedReader(download, self._session.read_bytes) as stream:
                yield stream
        finally:
            if not self._closed:
                with suppress(EndpointLostError), self._speaking(path):
                    download.forget()
                    self._session.drop(handle)

    def write(self, path: str, chunks: Iterator[bytes], *, on_chunk: Callable[[int], None]) -> int:
        """See `Endpoint.write`; "written" means sent, and every status is good before this returns.

        What ``chunks`` and ``on_chunk`` raise passes through as it is.
        """
        above, _ = folder_and_name(path)
        with self._speaking(path):
            handle = self._create(path, above)
        upload = _Upload(self._session, handle)
        try:
            for chunk in chunks:
                on_chunk(upload.sent_bytes)
                with self._speaking(path, full=True):
                    upload.send(chunk)
            with self._speaking(path, full=True):
                upload.finish()
        except BaseException:
            if not self._closed:
                with suppress(EndpointLostError), self._speaking(path):
                    upload.forget()
                    self._session.drop(handle)
            raise
        with self._speaking(path):
            size = self._session.attributes(wire.CMD_STAT, self._remote(path)).size_bytes
        if size != upload.sent_bytes:
            raise EndpointFullError(
                f"{self._server}: {path!r} has {size} bytes after {upload.sent_bytes} were sent: is it full?"
            )
        return size

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        """See `Endpoint.rename`.

        OpenSSH does both forms in one step. Without its extension ``replace`` has to remove ``new`` first, so
        that for a moment, or after a crash, neither name is there as ``new``; and a server whose plain rename
        replaces can be raced between the look and the rename.
        """
        folder_and_name(old)
        folder_and_name(new)
        source, target = _text(self._remote(old)), _text(self._remote(new))
        with self._speaking(old, new):
            if not replace:
                self._rename_to_free_name(new, source, target)
            elif b"posix-rename@openssh.com" in self._session.extensions:
                extension = _text(b"posix-rename@openssh.com")
                self._session.ask(wire.CMD_EXTENDED, extension, source, target)
            else:
                self._replace_in_steps(old, new, source, target)

    def remove(self, path: str) -> None:
        """See `Endpoint.remove`."""
        folder_and_name(path)
        with self._speaking(path):
            self._session.ask(wire.CMD_REMOVE, _text(self._remote(path)))

    def make_folder(self, path: str) -> None:
        """See `Endpoint.make_folder`; the location's own folder is the partner's to make."""
        parts = parts_inside(path)
        with self._speaking(path):
            self._make_folders(parts)

    def remove_folder(self, path: str) -> bool:
        """See `Endpoint.remove_folder`."""
        folder_and_name(path)
        with self._speaking(path):
            try:
                self._session.ask(wire.CMD_RMDIR, _text(self._remote(path)))
            except StatusError as error:
                found = self._look(path)
                if found is None:
                    return True
                if not found.is_(stat.S_ISDIR) or error.code == wire.SFTP_PERMISSION_DENIED:
                    raise EndpointRefusedError(f"{self._server}: {path!r}: {error}") from error
            else:
                return True
        if next(self._scan(path), None) is None:
            raise EndpointRefusedError(f"{self._server}: the empty folder {path!r} stays there")
        return False

    def close(self) -> None:
        """See `Endpoint.close`; waits for the connection's thread."""
        self._closed = True
        self._connection.close()

    @property
    def _server(self) -> str:
        return server_name(self._location)

    def _remote(self, path: str) -> bytes:
        """Return ``path`` as the server knows it."""
        base = self._location.path
        parts = parts_inside(path)
        above = () if base in {"", "."} else (base.rstrip("/"),)
        whole = "/".join((*above, *parts)) or base or "."
        return whole.encode("utf-8", "surrogateescape")

    @contextmanager
    def _speaking(self, *paths: str, full: bool = False) -> Iterator[None]:
        """Turn what goes wrong in the body into the errors of endpoints; with ``full``, FAILURE means that.

        Version 3 has no word for a full disk: OpenSSH says FAILURE.
        """
        if self._closed:
            raise EndpointLostError(f"{self._server}: the connection is closed: connect again")
        named = " to ".join(repr(path) for path in paths)
        try:
            yield
        except StatusError as error:
            kind = _MEANING.get(error.code, EndpointRefusedError)
            hint = ""
            if full and error.code == _FAILURE:
                kind, hint = EndpointFullError, ", most likely that it is full"
            if kind is EndpointLostError:
                self.close()
            raise kind(f"{self._server}: {named}: {error}{hint}") from error
        except TROUBLE as error:
            self.close()
            raise EndpointLostError(f"{self._server}: {named}: {reason(error)}") from error

    def _scan(self, folder: str) -> Iterator[tuple[str, _Attributes]]:
        """Give the names in ``folder`` and what they are; the server may be asked other things meanwhile."""
        with self._speaking(folder):
            handle = self._session.handle(wire.CMD_OPENDIR, _text(self._remote(folder)))
        try:
            while True:
                with self._speaking(folder):
                    try:
                        answer = self._session.ask(
                            wire.CMD_READDIR, _text(handle), expected=wire.CMD_NAME
                        )
                    except StatusError as error:
                        if error.code == wire.SFTP_EOF:
                            return
                        raise
                    batch = list(_names(answer))
                yield from batch
        finally:
            if not self._closed:
                with suppress(EndpointLostError), self._speaking(folder):
                    self._session.drop(handle)

    def _create(self, path: str, above: tuple[str, ...]) -> bytes:
        """Make the new file ``path``; the look before is for servers that do not know "exclusive"."""
        if self._look(path) is not None:
            raise FileExistsAtEndpointError(f"{self._server}: {path!r} is there already")
        name = _text(self._remote(path))
        flags = wire.SFTP_FLAG_WRITE | wire.SFTP_FLAG_CREATE | wire.SFTP_FLAG_EXCL
        try:
            return self._session.handle(wire.CMD_OPEN, name, _u32(flags), _u32(0))
        except StatusError as error:
            if error.code == _MISSING and above:
                self._make_folders(above)
            elif error.code == wire.SFTP_OP_UNSUPPORTED:
                flags = wire.SFTP_FLAG_WRITE | wire.SFTP_FLAG_CREATE | wire.SFTP_FLAG_TRUNC
            elif error.code == _FAILURE and self._look(path) is not None:
                raise FileExistsAtEndpointError(
                    f"{self._server}: {path!r} is there already"
                ) from error
            else:
                raise
        return self._session.handle(wire.CMD_OPEN, name, _u32(flags), _u32(0))

    def _make_folders(self, parts: tuple[str, ...]) -> None:
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth])
            try:
                self._session.ask(wire.CMD_MKDIR, _text(self._remote(folder)), _u32(0))
            except StatusError as error:
                # Version 3 does not tell "is there already" from other failures.
                if self._look(folder) is None:
                    raise
                found = self._session.attributes(wire.CMD_STAT, self._remote(folder))
                if not found.is_(stat.S_ISDIR):
                    raise EndpointRefusedError(
                        f"{self._server}: {folder!r} is a file where a folder has to be"
                    ) from error

    def _rename_to_free_name(self, new: str, source: bytes, target: bytes) -> None:
        taken = FileExistsAtEndpointError(f"{self._server}: {new!r} is there already")
        if self._look(new) is not None:
            raise taken
        try:
            self._session.ask(wire.CMD_RENAME, source, target)
        except StatusError as error:
            if error.code == _FAILURE and self._look(new) is not None:
                raise taken from error
            raise

    def _replace_in_steps(self, old: str, new: str, source: bytes, target: bytes) -> None:
        try:
            self._session.ask(wire.CMD_RENAME, source, target)
        except StatusError:
            if self._look(old) is None or self._look(new) is None:
                raise
        else:
            return
        self._session.ask(wire.CMD_REMOVE, target)
        self._session.ask(wire.CMD_RENAME, source, target)

    def _look(self, path: str) -> _Attributes | None:
        """Return what ``path`` itself is, a link too; None when it is not there."""
        try:
            return self._session.attributes(wire.CMD_LSTAT, self._remote(path))
        except StatusError as error:
            if error.code == _MISSING:
                return None
            raise

    def _require_file(self, path: str, found: _Attributes) -> None:
        if not found.is_(stat.S_ISREG):
            raise EndpointRefusedError(f"{self._server}: {path!r} is not a regular file")


class _Upload:
    """Writes to one handle, many on the way at once, each status looked at."""

    def __init__(self, session: _Session, handle: bytes) -> None:
        self._session = session
        self._handle = handle
        self._on_the_way: deque[int] = deque()
        self._most = min(_REQUESTS_IN_FLIGHT, _BYTES_IN_FLIGHT // session.write_bytes)
        self.sent_bytes = 0

    def send(self, chunk: bytes) -> None:
        """Send ``chunk``; its status is looked at in a later call."""
        step = self._session.write_bytes
        for start in range(0, len(chunk), step):
            piece = chunk[start : start + step]
            while len(self._on_the_way) >= self._most:
                self._session.answer(self._on_the_way.popleft())
            place = _text(self._handle), _u64(self.sent_bytes)
            self._on_the_way.append(self._session.send(wire.CMD_WRITE, *place, _text(piece)))
            self.sent_bytes += len(piece)

    def finish(self) -> None:
        """Wait for every status, make the content last where the server can, and close the file."""
        while self._on_the_way:
            self._session.answer(self._on_the_way.popleft())
        if b"fsync@openssh.com" in self._session.extensions:
            try:
                self._session.ask(
                    wire.CMD_EXTENDED, _text(b"fsync@openssh.com"), _text(self._handle)
                )
            except StatusError as error:
                if error.code != wire.SFTP_OP_UNSUPPORTED:
                    raise
        self._session.ask(wire.CMD_CLOSE, _text(self._handle))

    def forget(self) -> None:
        """Give up on what is on the way."""
        while self._on_the_way:
            self._session.forget(self._on_the_way.popleft())


class _Download(io.RawIOBase):
    """Reads from one handle ahead of its reader, at most 4 MiB and 64 requests."""

    def __init__(
        self,
        session: _Session,
        handle: bytes,
        size_bytes: int,
        speaking: Callable[[], AbstractContextManager[None]],
    ) -> None:
        super().__init__()
        self._session = session
        self._handle = handle
        self._size_bytes = size_bytes
        self._speaking = speaking
        self._on_the_way: deque[tuple[int, int, int]] = deque()  # number, offset, length
        self._most = min(_REQUESTS_IN_FLIGHT, _BYTES_IN_FLIGHT // session.read_bytes)
        self._next = 0
        self._left = memoryview(b"")
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        with self._speaking():
            while not self._left and not self._ended:
                self._left = memoryview(self._following())
        room = memoryview(buffer).cast("B")
        length = min(len(room), len(self._left))
        room[:length] = self._left[:length]
        self._left = self._left[length:]
        return length

    def forget(self) -> None:
        """Give up on what is on the way."""
        while self._on_the_way:
            self._session.forget(self._on_the_way.popleft()[0])

    def _following(self) -> bytes:
        """Return the content that follows; nothing at the end of the file."""
        self._ask_ahead()
        number, offset, length = self._on_the_way.popleft()
        try:
            data = self._session.answer(number, wire.CMD_DATA).get_string()
        except StatusError as error:
            if error.code != wire.SFTP_EOF:
                raise
            if offset < self._size_bytes:
                raise paramiko.SFTPError(
                    f"the file ended after {offset} of {self._size_bytes} bytes"
                ) from error
            self._ended = True
            return b""
        if not 0 < len(data) <= length:
            raise paramiko.SFTPError(f"{len(data)} bytes where {length} were asked for")
        if len(data) < length:
            self._ask(offset + len(data), length - len(data), first=True)
        return data

    def _ask_ahead(self) -> None:
        # One request past the end finds the end without a wait; it may also find that the file has grown.
        while not self._on_the_way or (
            self._next <= self._size_bytes and len(self._on_the_way) < self._most
        ):
            before_end = self._size_bytes - self._next
            most = self._session.read_bytes
            length = min(most, before_end) if before_end > 0 else most
            self._ask(self._next, length)
            self._next += length

    def _ask(self, offset: int, length: int, *, first: bool = False) -> None:
        number = self._session.send(wire.CMD_READ, _text(self._handle), _u64(offset), _u32(length))
        if first:
            self._on_the_way.appendleft((number, offset, length))
        else:
            self._on_the_way.append((number, offset, length))


def _u32(value: int) -> bytes:
    return struct.pack(">I", value)


def _u64(value: int) -> bytes:
    return struct.pack(">Q", value)


def _text(value: bytes) -> bytes:
    return _u32(len(value)) + value


def _attributes(message: paramiko.Message) -> _Attributes:
    """Read an ATTRS structure (draft-ietf-secsh-filexfer-02, 5)."""
    flags = message.get_int()
    size = message.get_int64() if flags & 0x1 else None
    if flags & 0x2:
        message.get_bytes(8)  # owner and group
    mode = message.get_int() if flags & 0x4 else None
    mtime = None
    if flags & 0x8:
        message.get_int()
        mtime = message.get_int()
    if flags & 0x80000000:
        for _ in range(min(message.get_int(), _LARGEST_PACKET_BYTES)):
            if not message.get_remainder():
                break
            message.get_string()
            message.get_string()
    return _Attributes(size, mode, mtime)


def _names(message: paramiko.Message) -> Iterator[tuple[str, _Attributes]]:
    """Read a NAME answer, without names that are none: a server must not lead us out of a folder."""
    count = message.get_int()
    if count * _SHORTEST_NAME_BYTES > len(message.get_remainder()):
        raise paramiko.SFTPError(f"{count} names in too short an answer")
    for _ in range(count):
        name = message.get_string().decode("utf-8", "surrogateescape")
        message.get_string()  # the line as ls would print it
        found = _attributes(message)
        if name not in {"", ".", ".."} and "/" not in name and "\0" not in name:
            yield name, found


def _entry(path: str, found: _Attributes) -> FileEntry:
    return FileEntry(
        path=path,
        size_bytes=found.size_bytes or 0,
        mtime_ns=(found.mtime_s or 0) * 1_000_000_000,
    )
