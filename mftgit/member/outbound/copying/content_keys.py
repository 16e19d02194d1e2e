"""The keys of steps that encrypt, sign, decrypt and verify: opened for some files, and tried before the first."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mftgit.adapters.content.pgp import pgp_decrypt, pgp_make, pgp_verify
from mftgit.adapters.content.pgp_home import PgpHome
from mftgit.adapters.content.steps import UnfitError
from mftgit.adapters.location_secrets import SecretsHere
from mftgit.errors import ConfigError
from mftgit.model.locations.login import SecretRef
from mftgit.model.transfers.content import (
    MOST_BYTES,
    PgpDecrypt,
    PgpEncrypt,
    PgpSign,
    PgpStep,
    PgpVerify,
    key_texts,
    read_public_key,
)


class ContentKeysError(ConfigError):
    """A key of a step cannot be used on this member; no file is to blame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenKeys:
    """The keys of one step; ``signer`` is the fingerprint of the key that it signs by."""

    home: PgpHome
    passphrase: str | None
    signer: str | None

    def change(self, step: PgpStep, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """Give what ``step`` makes of ``chunks``, or raise `UnfitError`, at the end at the latest."""
        match step:
            case PgpEncrypt() | PgpSign():
                return pgp_make(
                    chunks,
                    self.home,
                    recipients=self.home.public,
                    signer=self.signer,
                    passphrase=self.passphrase,
                    armor=step.armor,
                )
            case PgpDecrypt():
                return pgp_decrypt(
                    chunks, self.home, passphrase=self.passphrase, most_bytes=step.most_bytes
                )
            case PgpVerify():
                return pgp_verify(chunks, self.home, most_bytes=step.most_bytes)


@contextmanager
def open_keys(step: PgpStep, secrets: SecretsHere) -> Iterator[OpenKeys]:
    """Give the keys of ``step``, and remove them from this machine's memory at the end.

    Raises:
        ConfigError: a secret is missing or open to others, gpg is not there or takes a key not, or a key does not open
            or can no longer be used; `ContentKeysError` is of this kind.
        PgpError: gpg fails.
    """
    private = _private_of(step)
    text = None if private is None else secrets.text(private)
    kept = getattr(step, "passphrase", None)
    passphrase = None if kept is None else secrets.password(kept)
    _, public = key_texts(step)
    with PgpHome(map(read_public_key, public), private=text) as home:
        signs = isinstance(step, PgpEncrypt | PgpSign) and text is not None
        if signs and len(home.private) != 1:
            raise ContentKeysError(
                f"expected one secret key to sign by, found {len(home.private)}: "
                "export the one key by its fingerprint"
            )
        keys = OpenKeys(
            home=home, passphrase=passphrase, signer=min(home.private) if signs else None
        )
        _prove(keys, step)
        yield keys


def _private_of(step: PgpStep) -> SecretRef | None:
    match step:
        case PgpEncrypt() | PgpSign():
            return step.signing_key
        case PgpDecrypt():
            return step.private_key
        case PgpVerify():
            return None


def _prove(keys: OpenKeys, step: PgpStep) -> None:
    """Do with nothing what is to be done with files."""
    try:
        if isinstance(step, PgpEncrypt | PgpSign):
            list(keys.change(step, iter(())))
        elif isinstance(step, PgpDecrypt):
            for key in keys.home.private:
                _prove_private(keys, key)
    except UnfitError as error:
        raise ContentKeysError(f"its keys cannot be used: {error}") from error


def _prove_private(keys: OpenKeys, key: str) -> None:
    try:
        sealed = list(
            pgp_make(
                iter(()), keys.home, recipients=[key], signer=None, passphrase=None, armor=False
            )
        )
    except UnfitError:
        return  # an old key may still decrypt what was encrypted while it was valid
    plain = pgp_decrypt(
        iter(sealed), keys.home, passphrase=keys.passphrase, most_bytes=MOST_BYTES, signed=False
    )
    list(plain)
