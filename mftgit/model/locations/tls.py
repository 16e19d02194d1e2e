"""What TLS with a partner's server goes by, as a location says it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mftgit.model.documents.fault import Fault
from mftgit.model.documents.given import Value, given
from mftgit.model.locations.login import SecretRef
from mftgit.model.names import SecretName


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsAuth:
    """What is shown to log in by TLS: a password or a token, a certificate, or two of them.

    ``private_key`` is that of ``certificate``, which is PEM text or where that lies; ``passphrase`` opens the key.
    """

    password: SecretRef | None = None
    token: SecretRef | None = None
    private_key: SecretRef | None = None
    passphrase: SecretRef | None = None
    certificate: str | SecretRef | None = None

    def secrets(self) -> Iterator[tuple[str, SecretName]]:
        """Give pointer, below this, and name of every document in ``secrets/`` that it needs."""
        for key in ("password", "token", "private_key", "passphrase", "certificate"):
            kept = getattr(self, key)
            if isinstance(kept, SecretRef) and kept.secret is not None:
                yield f"/{key}/secret", kept.secret


def build_tls_auth(value: Value) -> TlsAuth:
    """Return what ``auth`` of a document says."""
    return TlsAuth(
        **given(
            value,
            password=_kept,
            token=_kept,
            private_key=_kept,
            passphrase=_kept,
            certificate=lambda found: found if isinstance(found, str) else _kept(found),
        )
    )


def format_tls_auth(auth: TlsAuth) -> dict[str, Any]:
    """Return ``auth`` in the words of its document, for `build_tls_auth`."""
    found = {
        "password": auth.password,
        "token": auth.token,
        "private_key": auth.private_key,
        "passphrase": auth.passphrase,
        "certificate": auth.certificate,
    }
    return {key: _format_kept(kept) for key, kept in found.items() if kept is not None}


def check_tls(auth: TlsAuth, *, ca: str | None, fingerprints: tuple[str, ...]) -> Iterator[Fault]:
    """Give what does not go together."""
    if (auth.private_key is None) != (auth.certificate is None):
        yield Fault(
            pointer="/auth",
            rule="login",
            message="a private_key and its certificate belong together",
            hint="have both of them, or neither",
        )
    if auth.passphrase is not None and auth.private_key is None:
        yield Fault(
            pointer="/auth/passphrase",
            rule="login",
            message="there is no private_key to open",
            hint="remove it",
        )
    if ca is not None and fingerprints:
        yield Fault(
            pointer="/fingerprints",
            rule="login",
            message="the server's certificate is checked either by ca or by fingerprints",
            hint="remove one of them",
        )


def _kept(value: Value) -> SecretRef:
    return SecretRef(**given(value, file=str, secret=SecretName))


def _format_kept(kept: str | SecretRef) -> Any:
    if isinstance(kept, str):
        return kept
    return {"file": kept.file} if kept.secret is None else {"secret": kept.secret}
