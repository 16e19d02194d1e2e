"""The ways to log in to an SFTP server, and where their secrets lie."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mftgit.model.names import SecretName


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRef:
    """Where a secret lies: in ``file`` of the member's ``secrets`` folder, or in ``secrets/SECRET.yaml``.

    Exactly one of the two is set.
    """

    file: str | None = None
    secret: SecretName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordAuth:
    """Log in with a password, which lies where a `SecretRef` says."""

    file: str | None = None
    secret: SecretName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyAuth:
    """Log in with an OpenSSH private key, which lies where a `SecretRef` says.

    ``passphrase`` opens the key, where it is locked. ``certificate`` is what an authority signed for it: the text of
    a file ``…-cert.pub``, or where that lies.
    """

    file: str | None = None
    secret: SecretName | None = None
    passphrase: SecretRef | None = None
    certificate: str | SecretRef | None = None


Auth = PasswordAuth | KeyAuth

Kept = SecretRef | PasswordAuth | KeyAuth
"""What says by ``file`` or ``secret`` where a secret lies."""


def secrets_of_way(way: Auth) -> Iterator[tuple[str, SecretName]]:
    """Give pointer, below the way's own, and name of every document in ``secrets/`` that ``way`` needs."""
    places: dict[str, object] = {"password": way}
    if isinstance(way, KeyAuth):
        places = {
            "private_key": way,
            "passphrase": way.passphrase,
            "certificate": way.certificate,
        }
    for key, kept in places.items():
        if isinstance(kept, Kept) and kept.secret is not None:
            yield f"/{key}/secret", kept.secret


def secrets_of_ways(ways: Sequence[Auth], pointer: str) -> Iterator[tuple[str, SecretName]]:
    """Give those of all ``ways``, which stand at ``pointer``."""
    for index, way in enumerate(ways):
        for below, secret in secrets_of_way(way):
            yield f"{pointer}/{index}{below}", secret
