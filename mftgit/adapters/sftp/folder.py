"""The names below a location's folder on its server: what SFTP version 3 has no single request for.

What is here are exchanges (`mftgit.adapters.sftp.overlap`): `done` carries out one alone. They raise `StatusError`
where the server says no and nothing better is known; sections are those of draft-ietf-secsh-filexfer-02.
"""

from collections import deque
from collections.abc import Generator, Iterable
from contextlib import suppress

from paramiko import sftp as wire

from mftgit.adapters.endpoint.contract import EndpointRefusedError, FileExistsAtEndpointError
from mftgit.adapters.endpoint.paths import parts_inside
from mftgit.adapters.sftp.overlap import Exchange, done
from mftgit.adapters.sftp.session import POSIX_RENAME, Session
from mftgit.adapters.sftp.wire import Answer, Attributes, StatusError, attributes, names
from mftgit.adapters.ssh.fields import text, u32

_LISTS_AT_FIRST, _LISTS_AT_ONCE = 2, 16  # most folders end with the second answer

_NEW_FILE = wire.SFTP_FLAG_WRITE | wire.SFTP_FLAG_CREATE  # 6.3


class SftpFolder:
    """The folder ``base`` of a server; a relative one is below the folder where the login starts (6.2)."""

    def __init__(self, session: Session, *, base: str, server: str) -> None:
        self._session = session
        self._base = base
        self._server = server

    def remote(self, path: str) -> bytes:
        """Return ``path`` as the server knows it."""
        parts = parts_inside(path)
        above = () if self._base in {"", "."} else (self._base.rstrip("/"),)
        whole = "/".join((*above, *parts)) or self._base or "."
        return whole.encode("utf-8", "surrogateescape")

    def below(self, folder: bytes, path: str) -> bytes:
        """Return ``path`` below ``folder``, which is what the server calls the location's folder."""
        parts = parts_inside(path)
        return b"/".join((folder.rstrip(b"/"), "/".join(parts).encode("utf-8", "surrogateescape")))

    def real(self) -> Exchange[bytes]:
        """Ask for the whole path of the location's folder (6.11)."""
        answer = yield from self.ask(
            wire.CMD_REALPATH, text(self.remote(".")), expected=wire.CMD_NAME
        )
        answer.u32()
        return answer.text()

    def ask(
        self, command: int, *fields: bytes, expected: int = wire.CMD_STATUS
    ) -> Exchange[Answer]:
        """Ask one thing, and return the answer."""
        number = self._session.send(command, *fields)
        yield number
        return self._session.answer(number, expected)

    def attributes(self, command: int, what: bytes) -> Exchange[Attributes]:
        """Ask for the attributes of a path or a handle (6.8)."""
        answer = yield from self.ask(command, text(what), expected=wire.CMD_ATTRS)
        return attributes(answer)

    def open(self, name: bytes, flags: int) -> Exchange[bytes]:
        """Open a file (6.3) and return its handle."""
        fields = text(name), u32(flags), u32(0)
        answer = yield from self.ask(wire.CMD_OPEN, *fields, expected=wire.CMD_HANDLE)
        return answer.text()

    def open_folder(self, name: bytes) -> Exchange[bytes]:
        """Open a folder to list it (6.7) and return its handle."""
        answer = yield from self.ask(wire.CMD_OPENDIR, text(name), expected=wire.CMD_HANDLE)
        return answer.text()

    def look(self, path: str) -> Exchange[Attributes | None]:
        """Return what ``path`` itself is, a link too; None when it is not there."""
        try:
            return (yield from self.attributes(wire.CMD_LSTAT, self.remote(path)))
        except StatusError as error:
            if error.code == wire.SFTP_NO_SUCH_FILE:
                return None
            raise

    def all_names(self, name: bytes) -> Generator[list[tuple[str, Attributes]], None, None]:
        """Open a folder and give its names and what they are, some at a time (6.7).

        OpenSSH's server, which gives 100 at most and one answer after the other, is asked ahead.
        """
        handle = done(self.open_folder(name))
        asked: deque[int] = deque()
        at_once = _LISTS_AT_FIRST if self._session.is_openssh else 1
        try:
            while True:
                if not asked:
                    asked += [
                        self._session.send(wire.CMD_READDIR, text(handle)) for _ in range(at_once)
                    ]
                    at_once = min(at_once * at_once, _LISTS_AT_ONCE)
                found = self._names(asked.popleft())
                if found is None:
                    break
                yield found
        except GeneratorExit:
            with suppress(Exception):  # what a lost connection makes of its last words
                self._close(handle, asked)
            raise
        except StatusError:  # after anything else there is nobody to tell
            self._close(handle, asked)
            raise
        self._close(handle, asked)

    def _close(self, handle: bytes, asked: Iterable[int]) -> None:
        for number in asked:
            self._session.forget(number)
        self._session.drop(handle)

    def _names(self, number: int) -> list[tuple[str, Attributes]] | None:
        try:
            answer = self._session.answer(number, wire.CMD_NAME)
        except StatusError as error:
            if error.code == wire.SFTP_EOF:
                return None
            raise
        return list(names(answer))

    def create(self, path: str, above: tuple[str, ...]) -> Exchange[bytes]:
        """Make the new file ``path`` and the folders ``above`` it, and return its handle.

        The look before is for servers that do not know "exclusive".
        """
        if not self._session.is_openssh and (yield from self.look(path)) is not None:
            raise self._taken(path)
        name = self.remote(path)
        kind = wire.SFTP_FLAG_EXCL
        try:
            return (yield from self.open(name, _NEW_FILE | kind))
        except StatusError as error:
            if error.code == wire.SFTP_NO_SUCH_FILE and above:
                yield from self.make_folders(above)
            elif error.code == wire.SFTP_OP_UNSUPPORTED:
                kind = wire.SFTP_FLAG_TRUNC
            elif error.code == wire.SFTP_FAILURE and (yield from self.look(path)) is not None:
                raise self._taken(path) from error
            else:
                raise
        return (yield from self.open(name, _NEW_FILE | kind))

    def make_folders(self, parts: tuple[str, ...]) -> Exchange[None]:
        """Make the folder ``parts`` and those above it; what is there already is fine."""
        if parts and self._session.is_openssh and (yield from self._make_at_once(parts)):
            return
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth])
            try:
                yield from self.ask(wire.CMD_MKDIR, text(self.remote(folder)), u32(0))
            except StatusError as error:
                # Version 3 does not tell "is there already" from other failures (6.6).
                if (yield from self.look(folder)) is None:
                    raise
                found = yield from self.attributes(wire.CMD_STAT, self.remote(folder))
                if not found.is_folder:
                    raise EndpointRefusedError(
                        f"{self._server}: {folder!r} is a file where a folder has to be"
                    ) from error

    def _make_at_once(self, parts: tuple[str, ...]) -> Exchange[bool]:
        """Ask for all of them and for what is there then in one go; return whether it is the folder.

        OpenSSH's server does one after the other. Where that leads to nothing, to ask one by one tells why.
        """
        session, folders = (
            self._session,
            ("/".join(parts[:depth]) for depth in range(1, len(parts) + 1)),
        )
        for folder in folders:
            session.forget(session.send(wire.CMD_MKDIR, text(self.remote(folder)), u32(0)))
        try:
            found = yield from self.attributes(wire.CMD_STAT, self.remote("/".join(parts)))
        except StatusError:
            return False
        return found.is_folder

    def remove_folder(self, path: str) -> Exchange[bool]:
        """Remove the folder ``path``; return False when it stays, most likely because it is not empty (6.6)."""
        try:
            yield from self.ask(wire.CMD_RMDIR, text(self.remote(path)))
        except StatusError as error:
            found = yield from self.look(path)
            if found is None:
                return True
            if not found.is_folder or error.code == wire.SFTP_PERMISSION_DENIED:
                raise EndpointRefusedError(f"{self._server}: {path!r}: {error}") from error
            return False
        return True

    def rename(self, old: str, new: str, *, replace: bool) -> Exchange[None]:
        """Rename in one step where the server can, which OpenSSH does both with and without ``replace``.

        Without its extension ``replace`` has to remove ``new`` first, so that for a moment, or after a crash,
        neither name is there as ``new``; and a server whose plain rename replaces can be raced between the look
        and the rename.
        """
        source, target = text(self.remote(old)), text(self.remote(new))
        if not replace:
            yield from self._rename_to_free_name(new, source, target)
        elif POSIX_RENAME in self._session.extensions:
            yield from self.ask(wire.CMD_EXTENDED, text(POSIX_RENAME), source, target)
        else:
            yield from self._replace_in_steps(old, new, source, target)

    def _rename_to_free_name(self, new: str, source: bytes, target: bytes) -> Exchange[None]:
        # OpenSSH's own rename takes no name that is there (its PROTOCOL, 4.3: why posix-rename exists).
        if not self._session.is_openssh and (yield from self.look(new)) is not None:
            raise self._taken(new)
        try:
            yield from self.ask(wire.CMD_RENAME, source, target)
        except StatusError as error:
            if error.code == wire.SFTP_FAILURE and (yield from self.look(new)) is not None:
                raise self._taken(new) from error
            raise

    def _replace_in_steps(self, old: str, new: str, source: bytes, target: bytes) -> Exchange[None]:
        try:
            yield from self.ask(wire.CMD_RENAME, source, target)
        except StatusError:
            if (yield from self.look(old)) is None or (yield from self.look(new)) is None:
                raise
        else:
            return
        yield from self.ask(wire.CMD_REMOVE, target)
        yield from self.ask(wire.CMD_RENAME, source, target)

    def _taken(self, path: str) -> FileExistsAtEndpointError:
        return FileExistsAtEndpointError(f"{self._server}: {path!r} is there already")
