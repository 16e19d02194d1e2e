"""The passwords and private keys that open servers: out of the repository, or of files that nobody else may use."""

import io
import struct
from collections.abc import Mapping
from pathlib import Path

import paramiko

from mftgit.adapters.private_file import read_private_text
from mftgit.errors import ConfigError
from mftgit.model.config import Auth
from mftgit.model.names import SecretName
from mftgit.model.secret_value import SecretValue

Values = Mapping[SecretName, SecretValue]
"""The secrets of the repository that this member has decrypted."""


def name_of(auth: Auth) -> str:
    """Return how messages call the secret of ``auth``."""
    return repr(auth.file) if auth.secret is None else f"secrets/{auth.secret}.yaml"


def read_password(auth: Auth, *, secrets_dir: Path, values: Values) -> str:
    """Return the password that ``auth`` names, without the newline at its end.

    Raises:
        ConfigError: it is missing, empty, unreadable, or open to other users of this machine.
    """
    password = _read(auth, secrets_dir, values).removesuffix("\n").removesuffix("\r")
    if not password:
        raise ConfigError(f"secret {name_of(auth)} is empty: a password was expected")
    return password


def read_key(auth: Auth, *, secrets_dir: Path, values: Values) -> paramiko.PKey:
    """Return the private key that ``auth`` names.

    Raises:
        ConfigError: it is missing, unreadable, open to other users, locked by a passphrase, or of no known type.
    """
    secret = _read(auth, secrets_dir, values)
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            return kind.from_private_key(io.StringIO(secret))
        except paramiko.PasswordRequiredException:
            raise ConfigError(
                f"key in {name_of(auth)} needs a passphrase: take it off with 'ssh-keygen -p', or use another key"
            ) from None
        except (paramiko.SSHException, ValueError, IndexError, struct.error):
            continue
    raise ConfigError(
        f"{name_of(auth)} is not a private key of type ed25519, ecdsa or rsa: make one with 'ssh-keygen -t ed25519'"
    )


def _read(auth: Auth, secrets_dir: Path, values: Values) -> str:
    if auth.secret is not None:
        if auth.secret not in values:
            raise ConfigError(
                f"{name_of(auth)} is not among the secrets of the revision that runs: bring it back, "
                "and the location that names it"
            )
        return values[auth.secret].reveal()
    file = auth.file or ""
    if "\0" in file or Path(file).name != file:
        raise ConfigError(f"secret {file!r} is not a plain file name: name a file in {secrets_dir}")
    return read_private_text(secrets_dir / file)
