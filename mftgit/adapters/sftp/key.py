"""The private keys that open servers, unlocked, and with the certificates that go with them."""

import io
import struct
from dataclasses import dataclass
from pathlib import Path

import paramiko
from paramiko.pkey import PublicBlob

from mftgit.adapters.location_secrets import Values, name_of, read_password, read_text
from mftgit.errors import ConfigError
from mftgit.model.keys.ssh_certificate import CertifiedAs, read_certificate_line
from mftgit.model.locations.login import Kept, KeyAuth

_KINDS = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadKey:
    """A private key that can sign, with its certificate if there is one; ``name`` is for messages."""

    key: paramiko.PKey
    name: str


def read_key(auth: KeyAuth, *, secrets_dir: Path, values: Values) -> ReadKey:
    """Return the private key that ``auth`` names.

    Raises:
        ConfigError: it, its passphrase or its certificate is missing, unreadable or open to other users; it is
            locked and the passphrase does not open it; it is of no known type; the certificate is not for it.
    """
    text = read_text(auth, secrets_dir, values)
    passphrase = None
    if auth.passphrase is not None:
        passphrase = read_password(auth.passphrase, secrets_dir=secrets_dir, values=values)
    key = _open(auth, text, passphrase)
    name = f"{key.get_name()} {key.fingerprint}"
    if auth.certificate is None:
        return ReadKey(key=key, name=name)
    certified = _certify(key, auth.certificate, secrets_dir, values)
    return ReadKey(key=key, name=f"{name}, {certified}")


def _open(auth: KeyAuth, text: str, passphrase: str | None) -> paramiko.PKey:
    if _is_locked(text):
        if auth.passphrase is None:
            raise ConfigError(
                f"key in {name_of(auth)} is locked by a passphrase: name that as passphrase beside private_key, "
                "or take it off with 'ssh-keygen -p'"
            )
        wrong = f"passphrase in {name_of(auth.passphrase)} does not open the key in {name_of(auth)}"
    else:
        passphrase = None
        wrong = (
            f"{name_of(auth)} is not a private key of type ed25519, ecdsa or rsa: "
            "make one with 'ssh-keygen -t ed25519'"
        )
    for kind in _KINDS:
        try:
            return kind.from_private_key(io.StringIO(text), password=passphrase)
        except _NO_KEY:
            continue
    raise ConfigError(wrong)


def _is_locked(text: str) -> bool:
    for kind in _KINDS:
        try:
            kind.from_private_key(io.StringIO(text))
        except paramiko.PasswordRequiredException:
            return True
        except _NO_KEY:
            continue
    return False


_NO_KEY = (paramiko.SSHException, ValueError, IndexError, AssertionError, struct.error)
"""What paramiko raises for a text that is no key of a kind, or that the passphrase turned into nonsense."""


def _certify(key: paramiko.PKey, certificate: str | Kept, secrets_dir: Path, values: Values) -> str:
    """Put ``certificate`` with ``key`` and return what messages call it."""
    if isinstance(certificate, str):
        where, line = "the certificate of the location", certificate
    else:
        where = f"the certificate in {name_of(certificate)}"
        line = read_text(certificate, secrets_dir, values)
    try:
        found, blob = read_certificate_line(line)
    except ValueError as error:
        raise ConfigError(
            f"{where} is none: {error}: take the line of the file -cert.pub that 'ssh-keygen -s' made"
        ) from None
    if found.certified_as != CertifiedAs.USER:
        raise ConfigError(f"{where} is not for a user: sign the key anew, without 'ssh-keygen -h'")
    if found.key.blob != key.asbytes():
        raise ConfigError(
            f"{where} is for the key {found.key.fingerprint}, and the private key is {key.fingerprint}: "
            "they have to belong together"
        )
    key.public_blob = PublicBlob(found.kind, blob)
    return f"certificate {found.key_id[:60]!r} {found.window}"
