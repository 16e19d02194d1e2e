"""The passwords and private keys that open servers: read from files that nobody else may use, never shown."""

import io
import os
import stat
import struct
from pathlib import Path

import paramiko

from mftgit.errors import ConfigError


def read_password(secrets_dir: Path, file: str) -> str:
    """Return the password in ``file``, without the newline at its end.

    Raises:
        ConfigError: it is missing, empty, unreadable, or open to other users of this machine.
    """
    password = _read_secret(secrets_dir, file).removesuffix("\n").removesuffix("\r")
    if not password:
        raise ConfigError(f"secret {file!r} is empty: a password was expected")
    return password


def read_key(secrets_dir: Path, file: str) -> paramiko.PKey:
    """Return the private key in ``file``.

    Raises:
        ConfigError: it is missing, unreadable, open to other users, locked by a passphrase, or of no known type.
    """
    secret = _read_secret(secrets_dir, file)
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(secret))
        except paramiko.PasswordRequiredException:
            raise ConfigError(
                f"key in {file!r} needs a passphrase: take it off with 'ssh-keygen -p', or use another key"
            ) from None
        except (paramiko.SSHException, ValueError, IndexError, struct.error):
            continue
    raise ConfigError(
        f"{file!r} is not a private key of type ed25519, ecdsa or rsa: make one with 'ssh-keygen -t ed25519'"
    )


def _read_secret(secrets_dir: Path, file: str) -> str:
    """Read a secret that nobody but its owner can read; its content is in no message."""
    if "\0" in file or Path(file).name != file:
        raise ConfigError(f"secret {file!r} is not a plain file name: name a file in {secrets_dir}")
    path = secrets_dir / file
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(
            f"secret {path} cannot be read: {error.strerror}: put it there with mode 600"
        ) from error
    try:
        _require_private(path, os.fstat(descriptor).st_mode)
        with os.fdopen(descriptor, "rb", closefd=False) as stream:
            content = stream.read()
    finally:
        os.close(descriptor)
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ConfigError(f"secret {path} is not text in UTF-8") from None  # the error holds it


def _require_private(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise ConfigError(f"secret {path} is not a regular file")
    if mode & 0o077:
        raise ConfigError(
            f"secret {path} has mode {stat.S_IMODE(mode):o}, so that others may use it: chmod 600 {path}"
        )
