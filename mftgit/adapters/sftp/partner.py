"""A small SFTP server on loopback: the partner of ``mftgit demo``. The inbound service will take its place."""

import base64
import hashlib
import os
import socket
import threading
from pathlib import Path
from typing import Any

import paramiko
from loguru import logger
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED
from paramiko.sftp import SFTP_FAILURE, SFTP_NO_SUCH_FILE, SFTP_OK, SFTP_OP_UNSUPPORTED

_BACKLOG = 32
_MAX_CONNECTIONS = 64


class SftpPartner:
    """Serves ``root`` to one user with one key, on a free port of 127.0.0.1."""

    def __init__(self, root: Path, *, username: str) -> None:
        """Make the server's key and the user's; ``start`` serves."""
        self.root = root
        self.username = username
        self._key = paramiko.ECDSAKey.generate()
        self._user_key = paramiko.ECDSAKey.generate()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self.port: int = self._listener.getsockname()[1]
        self._open: list[paramiko.Transport] = []
        self._stopping = False

    @property
    def fingerprint(self) -> str:
        """The host key's fingerprint, as ``ssh-keygen -l`` prints it."""
        digest = hashlib.sha256(self._key.asbytes()).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    def write_user_key(self, path: Path) -> None:
        """Write the private key that the user logs in with to ``path``, readable by this user only."""
        self._user_key.write_private_key_file(str(path))

    def start(self) -> None:
        """Begin to serve."""
        threading.Thread(target=self._serve, name="partner", daemon=True).start()

    def stop(self) -> None:
        """Hang up on everybody."""
        self._stopping = True
        self._listener.close()
        for transport in self._open:
            transport.close()

    def _serve(self) -> None:
        while not self._stopping:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open = [each for each in self._open if each.is_active()]
            if len(self._open) >= _MAX_CONNECTIONS:
                client.close()
                continue
            transport = paramiko.Transport(client)
            transport.add_server_key(self._key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, _Files, root=self.root)
            try:
                transport.start_server(
                    server=_Login(self.username, self._user_key), event=threading.Event()
                )
            except (paramiko.SSHException, EOFError, OSError) as error:
                logger.debug("partner: connection refused", error=str(error))
            self._open.append(transport)


class _Login(paramiko.ServerInterface):
    def __init__(self, username: str, key: paramiko.PKey) -> None:
        self._username = username
        self._key = key

    def get_allowed_auths(self, username: str) -> str:
        del username
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        good = username == self._username and key == self._key
        return AUTH_SUCCESSFUL if good else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        del kind, chanid
        return OPEN_SUCCEEDED


class _Handle(paramiko.SFTPHandle):
    """An open file; paramiko reads and writes through these two attributes."""

    readfile: Any
    writefile: Any

    def stat(self) -> paramiko.SFTPAttributes:
        return paramiko.SFTPAttributes.from_stat(
            os.fstat((self.readfile or self.writefile).fileno())
        )


class _Files(paramiko.SFTPServerInterface):
    """The folder, and nothing outside: a path is taken from the root, with its ``..`` resolved first."""

    def __init__(self, server: paramiko.ServerInterface, *_: Any, root: Path) -> None:
        super().__init__(server)
        self._root = root

    def list_folder(self, path: str) -> Any:
        try:
            return [
                paramiko.SFTPAttributes.from_stat(each.lstat(), each.name)
                for each in self._at(path).iterdir()
            ]
        except OSError as error:
            return _status(error)

    def stat(self, path: str) -> Any:
        try:
            return paramiko.SFTPAttributes.from_stat(self._at(path).stat())
        except OSError as error:
            return _status(error)

    lstat = stat

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> Any:
        del attr
        try:
            descriptor = os.open(self._at(path), flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except OSError as error:
            return _status(error)
        handle = _Handle(flags)
        writes = flags & (os.O_WRONLY | os.O_RDWR)
        stream = os.fdopen(descriptor, "r+b" if flags & os.O_RDWR else "wb" if writes else "rb")
        handle.writefile = stream if writes else None
        handle.readfile = stream if not flags & os.O_WRONLY else None
        return handle

    def remove(self, path: str) -> int:
        return _try(self._at(path).unlink)

    def rename(self, oldpath: str, newpath: str) -> int:
        if self._at(newpath).exists():
            return SFTP_FAILURE
        return self.posix_rename(oldpath, newpath)

    def posix_rename(self, oldpath: str, newpath: str) -> int:
        return _try(lambda: self._at(oldpath).rename(self._at(newpath)))

    def mkdir(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        del attr
        return _try(self._at(path).mkdir)

    def rmdir(self, path: str) -> int:
        return _try(self._at(path).rmdir)

    def chattr(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        del path, attr
        return SFTP_OP_UNSUPPORTED

    def _at(self, path: str) -> Path:
        return self._root / os.path.normpath("/" + path).lstrip("/")


def _try(call: Any) -> int:
    try:
        call()
    except OSError as error:
        return _status(error)
    return SFTP_OK


def _status(error: OSError) -> int:
    if isinstance(error, FileNotFoundError):
        return SFTP_NO_SUCH_FILE
    return int(paramiko.SFTPServer.convert_errno(error.errno or 0))
