"""Real SFTP servers that misbehave in one way each: paramiko's server over a folder."""
# ruff: noqa: ARG002  the signatures are paramiko's

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_PARTIALLY_SUCCESSFUL,
    AUTH_SUCCESSFUL,
    OPEN_SUCCEEDED,
)
from paramiko.server import InteractiveQuery
from paramiko.sftp import SFTP_FAILURE, SFTP_OK, SFTP_OP_UNSUPPORTED, SFTP_PERMISSION_DENIED

from mftgit.model.locations.location import SftpLocation
from mftgit.model.locations.login import Auth, PasswordAuth
from mftgit.model.names import LocationName

if TYPE_CHECKING:
    from typing_extensions import Buffer

USER, PASSWORD = "partner", "open-sesame-7351"


@dataclass(kw_only=True)
class Served:
    """A running server, and what its clients tried."""

    port: int
    host_key: paramiko.PKey
    second_key: paramiko.PKey
    logins: list[str] = field(default_factory=list)
    stopped: Event = field(default_factory=Event)
    waited_for: Event = field(default_factory=Event)

    def location(
        self,
        *,
        host_keys: tuple[str, ...] | None = None,
        host_ca: tuple[str, ...] = (),
        auth: tuple[Auth, ...] = (PasswordAuth(file="password"),),
        timeout_s: float = 60.0,
    ) -> SftpLocation:
        """Return a location on this server that works, but for what is asked otherwise."""
        return SftpLocation(
            name=LocationName("partner"),
            host="127.0.0.1",
            port=self.port,
            username=USER,
            host_keys=(self.host_key.fingerprint,) if host_keys is None else host_keys,
            host_ca=host_ca,
            auth=auth,
            timeout_s=timeout_s,
        )


class Door(paramiko.ServerInterface):
    """Who may come in: one user, by password."""

    def __init__(self, served: Served) -> None:
        self.served = served

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_auth_password(self, username: str, password: str) -> int:
        self.served.logins.append("password")
        right = (username, password) == (USER, PASSWORD)
        return AUTH_SUCCESSFUL if right else AUTH_FAILED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self.served.logins.append("publickey")
        return AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED


class KeyThenPassword(Door):
    """Wants a key, any one, and then the password as well."""

    def get_allowed_auths(self, username: str) -> str:
        return "password" if "publickey" in self.served.logins else "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        self.served.logins.append("publickey")
        return AUTH_PARTIALLY_SUCCESSFUL


class SilentDoor(Door):
    """Never says whether the password is right."""

    def check_auth_password(self, username: str, password: str) -> int:
        self.served.stopped.wait()
        return AUTH_FAILED


class AsksQuestions(Door):
    """Takes nothing but answers to questions (keyboard-interactive), as PAM setups do."""

    def get_allowed_auths(self, username: str) -> str:
        return "keyboard-interactive"

    def check_auth_password(self, username: str, password: str) -> int:
        return AUTH_FAILED


class AsksForThePassword(AsksQuestions):
    """Asks for the password."""

    def check_auth_interactive(self, username: str, submethods: str) -> int | InteractiveQuery:
        return InteractiveQuery("", "", ("Password:", False))

    def check_auth_interactive_response(self, responses: list[str]) -> int:
        right = responses == [PASSWORD]
        return AUTH_SUCCESSFUL if right else AUTH_FAILED


class NoSftp(Door):
    """Lets users in, but starts nothing for them."""

    def check_channel_subsystem_request(self, channel: paramiko.Channel, name: str) -> bool:
        return False


class NeverStartsSftp(Door):
    """Lets users in, and then does not answer."""

    def check_channel_subsystem_request(self, channel: paramiko.Channel, name: str) -> bool:
        self.served.stopped.wait()
        return False


class File(paramiko.SFTPHandle):
    """An open file of a `Folder`, which decides what becomes of each call."""

    def __init__(self, folder: "Folder", descriptor: int) -> None:
        super().__init__()
        self.folder = folder
        self.descriptor = descriptor

    def close(self) -> None:
        with suppress(OSError):
            os.close(self.descriptor)

    def read(self, offset: int, length: int) -> bytes | int:
        return self.folder.give(self.descriptor, offset, length)

    def write(self, offset: int, data: "Buffer") -> int:
        return self.folder.take(self.descriptor, offset, bytes(data))

    def stat(self) -> paramiko.SFTPAttributes:
        return self.folder.told(paramiko.SFTPAttributes.from_stat(os.fstat(self.descriptor)))


class Folder(paramiko.SFTPServerInterface):
    """A server that behaves, without OpenSSH's extensions; the others change one thing each."""

    receive_bytes = 1 << 20  # of its socket's buffer

    def __init__(self, server: Door, root: Path) -> None:
        super().__init__(server)
        self.door = server
        self.root = root

    def take(self, descriptor: int, offset: int, data: bytes) -> int:
        os.pwrite(descriptor, data, offset)
        return SFTP_OK

    def give(self, descriptor: int, offset: int, length: int) -> bytes | int:
        return os.pread(descriptor, length, offset)

    def told(self, attributes: paramiko.SFTPAttributes) -> paramiko.SFTPAttributes:
        return attributes

    def open(
        self, path: str, flags: int, attr: paramiko.SFTPAttributes
    ) -> paramiko.SFTPHandle | int:
        try:
            return File(self, os.open(self.at(path), flags, 0o644))
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)

    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes] | int:
        return [
            paramiko.SFTPAttributes.from_stat(entry.lstat(), entry.name)
            for entry in self.at(path).iterdir()
        ]

    def stat(self, path: str) -> paramiko.SFTPAttributes | int:
        return self.lstat(path)

    def lstat(self, path: str) -> paramiko.SFTPAttributes | int:
        try:
            return self.told(paramiko.SFTPAttributes.from_stat(self.at(path).lstat()))
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)

    def rename(self, oldpath: str, newpath: str) -> int:
        if self.at(newpath).exists():
            return SFTP_FAILURE
        self.at(oldpath).rename(self.at(newpath))
        return SFTP_OK

    def remove(self, path: str) -> int:
        self.at(path).unlink()
        return SFTP_OK

    def at(self, path: str) -> Path:
        return self.root / path.lstrip("/")


class FullDisk(Folder):
    """Has room for 100,000 bytes of a file and says FAILURE after them, as OpenSSH does."""

    def take(self, descriptor: int, offset: int, data: bytes) -> int:
        if offset + len(data) > 100_000:
            return SFTP_FAILURE
        return super().take(descriptor, offset, data)


class ForgetfulDisk(Folder):
    """Keeps 100,000 bytes of a file and says OK to all."""

    def take(self, descriptor: int, offset: int, data: bytes) -> int:
        if offset + len(data) > 100_000:
            return SFTP_OK
        return super().take(descriptor, offset, data)


class LosesOnePiece(Folder):
    """Fails to keep one piece in the middle, so that the size is right in the end."""

    def take(self, descriptor: int, offset: int, data: bytes) -> int:
        if offset <= 100_000 < offset + len(data):
            return SFTP_FAILURE
        return super().take(descriptor, offset, data)


class StopsReading(Folder):
    """Takes nothing from its socket any more after the first bytes, and the socket holds little."""

    receive_bytes = 4 << 10

    def take(self, descriptor: int, offset: int, data: bytes) -> int:
        self.door.served.waited_for.set()

        def wait(n: int, check_rekey: bool = False) -> bytes:  # noqa: ARG001, FBT001, FBT002
            self.door.served.stopped.wait()
            raise EOFError

        for transport in _TRANSPORTS[self.door]:
            transport.packetizer.read_all = wait  # type: ignore[method-assign]
        return super().take(descriptor, offset, data)


class HangsUp(Folder):
    """Hangs up after 100,000 bytes, in both directions."""

    def hang_up(self) -> None:
        for transport in _TRANSPORTS[self.door]:
            transport.close()

    def take(self, descriptor: int, offset: int, data: bytes) -> int:
        if offset > 100_000:
            self.hang_up()
        return super().take(descriptor, offset, data)

    def give(self, descriptor: int, offset: int, length: int) -> bytes | int:
        if offset > 100_000:
            self.hang_up()
        return super().give(descriptor, offset, length)


class NeverAnswers(Folder):
    """Does not answer to a read, a write or a listing."""

    def keep_waiting(self) -> int:
        self.door.served.waited_for.set()
        self.door.served.stopped.wait()
        return SFTP_FAILURE

    def take(self, descriptor: int, offset: int, data: bytes) -> int:
        return self.keep_waiting()

    def give(self, descriptor: int, offset: int, length: int) -> bytes | int:
        return self.keep_waiting()

    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes] | int:
        return self.keep_waiting()


class TellsNothingOfOpenFiles(Folder):
    """Refuses to tell size and mode of a file that is open."""

    def open(
        self, path: str, flags: int, attr: paramiko.SFTPAttributes
    ) -> paramiko.SFTPHandle | int:
        opened = super().open(path, flags, attr)
        if isinstance(opened, File):
            opened.stat = lambda: SFTP_PERMISSION_DENIED  # type: ignore[method-assign,assignment,return-value]
        return opened


class RefusesRename(Folder):
    """Forbids every rename."""

    def rename(self, oldpath: str, newpath: str) -> int:
        return SFTP_PERMISSION_DENIED


class OnlyReadsAndDeletes(Folder):
    """Lets files be read and deleted, and nothing else: no folder, no name and no file is made."""

    def open(
        self, path: str, flags: int, attr: paramiko.SFTPAttributes
    ) -> paramiko.SFTPHandle | int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return SFTP_PERMISSION_DENIED
        return super().open(path, flags, attr)

    def mkdir(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        return SFTP_PERMISSION_DENIED

    def rename(self, oldpath: str, newpath: str) -> int:
        return SFTP_PERMISSION_DENIED

    def remove(self, path: str) -> int:
        if (self.root / ".nothing-is-deleted").exists():
            return SFTP_PERMISSION_DENIED
        return super().remove(path)


class RenameReplaces(Folder):
    """Replaces what is there by a plain rename."""

    def rename(self, oldpath: str, newpath: str) -> int:
        self.at(oldpath).replace(self.at(newpath))
        return SFTP_OK


class LiesAboutSize(Folder):
    """Tells 1,000 bytes more than there are."""

    def told(self, attributes: paramiko.SFTPAttributes) -> paramiko.SFTPAttributes:
        attributes.st_size = (attributes.st_size or 0) + 1000
        return attributes


class ShortReads(Folder):
    """Gives at most 1,000 bytes at a time."""

    def give(self, descriptor: int, offset: int, length: int) -> bytes | int:
        return super().give(descriptor, offset, min(length, 1000))


class NotExclusive(Folder):
    """Opens a file that is there although it was asked for a new one."""

    def open(
        self, path: str, flags: int, attr: paramiko.SFTPAttributes
    ) -> paramiko.SFTPHandle | int:
        return super().open(path, flags & ~os.O_EXCL, attr)


class RefusesExclusive(Folder):
    """Does not know how to open a file only when it is new, and says so."""

    def open(
        self, path: str, flags: int, attr: paramiko.SFTPAttributes
    ) -> paramiko.SFTPHandle | int:
        if flags & os.O_EXCL:
            return SFTP_OP_UNSUPPORTED
        return super().open(path, flags, attr)


class HostileNames(Folder):
    """Lists names that lead out of the folder."""

    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes] | int:
        status = Path(__file__).lstat()
        names = ("../up", "/etc/passwd", "..", "a\0b", "", "good")
        return [paramiko.SFTPAttributes.from_stat(status, name) for name in names]


class EndlessFolders(Folder):
    """Has a folder in every folder."""

    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes] | int:
        return [
            paramiko.SFTPAttributes.from_stat(self.root.lstat(), "deeper"),
            paramiko.SFTPAttributes.from_stat(Path(__file__).lstat(), "file"),
        ]


_TRANSPORTS: dict[Door, list[paramiko.Transport]] = {}


@contextmanager
def sftp_server(
    root: Path,
    behaviour: type[Folder] = Folder,
    *,
    door: type[Door] = Door,
    keys: tuple[paramiko.PKey, ...] = (),
    handler: type[paramiko.SFTPServer] = paramiko.SFTPServer,
) -> Iterator[Served]:
    """Serve ``root`` on loopback; it shows `Served.host_key`, and the other ones to who asks for their type.

    These are `Served.second_key` and ``keys``. ``handler`` is what speaks SFTP.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, behaviour.receive_bytes)
        served = Served(
            port=listener.getsockname()[1],
            host_key=paramiko.ECDSAKey.generate(bits=256),
            second_key=paramiko.ECDSAKey.generate(bits=384),
        )
        entrance = door(served)
        transports = _TRANSPORTS[entrance] = []

        def accept() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                transport = paramiko.Transport(sock)
                transports.append(transport)
                for key in (served.host_key, served.second_key, *keys):
                    transport.add_server_key(key)
                transport.set_subsystem_handler("sftp", handler, behaviour, root)
                transport.start_server(event=Event(), server=entrance)

        thread = Thread(target=accept)
        thread.start()
        try:
            yield served
        finally:
            served.stopped.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for transport in transports:
                transport.close()
                transport.join()
            del _TRANSPORTS[entrance]
