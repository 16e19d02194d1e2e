"""Encrypt and decrypt with age (age-encryption.org/v1), by keys of its own kind, X25519."""

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import pyrage

from mftgit.adapters.durable import write_file
from mftgit.adapters.private_file import read_private_text
from mftgit.errors import ConfigError, MftgitError

_MARK = "AGE-SECRET-KEY-1"


class NotForUsError(MftgitError):
    """A text is not encrypted to any of the keys at hand, or was changed since."""


class Identity:
    """The private keys in one file, which never leave it; as ``age-keygen`` writes it, with any number of keys."""

    def __init__(self, path: Path) -> None:
        """Read the file at ``path``.

        Raises:
            ConfigError: it is missing, unreadable, open to others, or holds no key of age.
        """
        lines = [line.strip() for line in read_private_text(path).splitlines()]
        self._keys = [_read_key(path, line) for line in lines if line and not line.startswith("#")]
        if not self._keys:
            raise ConfigError(f"{path} holds no key of age: expected a line {_MARK}…")

    @property
    def recipients(self) -> tuple[str, ...]:
        """The public halves, in the order of the file; what is encrypted anew goes to the first."""
        return tuple(str(key.to_public()) for key in self._keys)

    def decrypt(self, armored: str) -> bytes:
        """Return what was encrypted.

        Raises:
            NotForUsError: no key of the file opens it, or it was changed.
        """
        content = BytesIO()
        try:
            # pyrage.decrypt does the same, but holds up all threads for seconds where there are many recipients.
            pyrage.decrypt_io(BytesIO(armored.encode()), content, self._keys)
        except (pyrage.DecryptError, OSError) as error:
            raise NotForUsError(str(error).lower()) from None
        return content.getvalue()


def encrypt(content: bytes, recipients: Iterable[str]) -> str:
    """Return ``content`` encrypted to each of ``recipients``, armored.

    Raises:
        ConfigError: one of them is no public key of age.
    """
    keys = [_read_recipient(each) for each in recipients]
    return bytes(pyrage.encrypt(content, keys, armored=True)).decode()


def make_identity(path: Path) -> str:
    """Make a private key and put it in front of those in ``path``, if there are any; return its public half."""
    key = pyrage.x25519.Identity.generate()
    public = str(key.to_public())
    before = read_private_text(path) if path.exists() else ""
    write_file(path, f"# public key: {public}\n{key}\n{before}".encode(), mode=0o600)
    return public


def new_identity() -> tuple[str, str]:
    """Return a fresh private key, which is kept nowhere, and its public half."""
    key = pyrage.x25519.Identity.generate()
    return str(key), str(key.to_public())


def ensure_identity(path: Path) -> str:
    """Return the public half of the first key in ``path``, which is made where there is none; raises ConfigError."""
    return Identity(path).recipients[0] if path.exists() else make_identity(path)


def _read_key(path: Path, line: str) -> pyrage.x25519.Identity:
    try:
        return pyrage.x25519.Identity.from_str(line)
    except pyrage.IdentityError:
        raise ConfigError(
            f"{path} holds a line that is no key of age: expected {_MARK}…, as `mftgit secret keygen` writes it"
        ) from None


def _read_recipient(text: str) -> pyrage.x25519.Recipient:
    try:
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError:
        raise ConfigError(
            f"{text!r} is no public key of age: it was mistyped; copy what `mftgit member recipient` prints"
        ) from None
