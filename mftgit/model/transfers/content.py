"""What is done to a file's content on its way, step by step, and what that makes of its name."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from mftgit.model.documents.given import Value, given
from mftgit.model.keys.openpgp import GpgKey, dearmor, read_gpg_key
from mftgit.model.locations.login import SecretRef
from mftgit.model.names import SecretName

MOST_BYTES: Final = 1 << 30
"""What a step that unpacks gives at most where its document says nothing: 1 GiB, a thousand times what is small."""

_LEVEL: Final = 6
"""zlib's own default: https://www.zlib.net/manual.html."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gzip:
    """Pack by gzip (RFC 1952); ``level`` is from 1 (fast) to 9 (small)."""

    level: int = _LEVEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Gunzip:
    """Unpack what gzip has packed, to at most ``most_bytes``."""

    most_bytes: int = MOST_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Zip:
    """Put the file into a zip archive of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unzip:
    """Take the only file out of a zip archive, of at most ``most_bytes``."""

    most_bytes: int = MOST_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class PgpEncrypt:
    """Encrypt by OpenPGP to ``recipients``, armoured public keys; sign as well where there is a ``signing_key``."""

    recipients: tuple[str, ...]
    signing_key: SecretRef | None = None
    passphrase: SecretRef | None = None
    armor: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PgpSign:
    """Sign by OpenPGP, in one message with the content."""

    signing_key: SecretRef
    passphrase: SecretRef | None = None
    armor: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PgpDecrypt:
    """Decrypt what OpenPGP has encrypted; it has to be signed by one of ``signed_by``, where there are any."""

    private_key: SecretRef
    passphrase: SecretRef | None = None
    signed_by: tuple[str, ...] = ()
    most_bytes: int = MOST_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class PgpVerify:
    """Take the content out of a message that is signed by one of ``signed_by``, armoured public keys."""

    signed_by: tuple[str, ...]
    most_bytes: int = MOST_BYTES


PgpStep = PgpEncrypt | PgpSign | PgpDecrypt | PgpVerify
Step = Gzip | Gunzip | Zip | Unzip | PgpStep

KEYS: Final[Mapping[type[Step], str]] = {
    Gzip: "gzip",
    Gunzip: "gunzip",
    Zip: "zip",
    Unzip: "unzip",
    PgpEncrypt: "pgp_encrypt",
    PgpSign: "pgp_sign",
    PgpDecrypt: "pgp_decrypt",
    PgpVerify: "pgp_verify",
}
"""What the documents call each step."""

_ADDED: Final[Mapping[type[Step], str]] = {Gzip: ".gz", Zip: ".zip"}
_OF_PGP: Final = {".pgp": "", ".gpg": "", ".asc": ""}
_TAKEN_AWAY: Final[Mapping[type[Step], Mapping[str, str]]] = {
    Gunzip: {".gz": "", ".tgz": ".tar"},
    Unzip: {".zip": ""},
    PgpDecrypt: _OF_PGP,
    PgpVerify: _OF_PGP,
}


def comes_out_the_same(steps: Iterable[Step]) -> bool:
    """Tell whether ``steps`` make the same of one content each time; what is encrypted or signed has chance in it."""
    return not any(isinstance(step, PgpEncrypt | PgpSign) for step in steps)


def build_content(values: Iterable[Value]) -> tuple[Step, ...]:
    """Return the steps that a document has, each under one key."""
    return tuple(_build(*item) for value in values for item in value.items())


def _build(key: str, value: Value) -> Step:
    made: dict[str, type[Step]] = {name: kind for kind, name in KEYS.items()}
    fields: dict[str, Any] = given(
        value,
        level=int,
        most_bytes=int,
        recipients=tuple,
        signed_by=tuple,
        signing_key=_secret,
        private_key=_secret,
        passphrase=_secret,
        armor=bool,
    )
    return made[key](**fields)


def _secret(value: Value) -> SecretRef:
    return SecretRef(**given(value, file=str, secret=SecretName))


def key_texts(step: PgpStep) -> tuple[str, tuple[str, ...]]:
    """Return the public keys that ``step`` names, and the name of the field that has them."""
    match step:
        case PgpEncrypt():
            return "recipients", step.recipients
        case PgpSign():
            return "recipients", ()
        case _:
            return "signed_by", step.signed_by


def read_public_key(text: str) -> GpgKey:
    """Return the one key in ``text``, which is armoured.

    Raises:
        ValueError: it holds something else, or a key that is too large, too old or too weak.
    """
    return read_gpg_key(dearmor(text, "PUBLIC KEY BLOCK"))


def secrets_of_content(steps: Iterable[Step]) -> Iterator[tuple[str, SecretName]]:
    """Give pointer and name of every document in ``secrets/`` that ``steps`` need."""
    for place, step in enumerate(steps):
        for field in ("signing_key", "private_key", "passphrase"):
            kept = getattr(step, field, None)
            if kept is not None and kept.secret is not None:
                yield f"/content/{place}/{KEYS[type(step)]}/{field}/secret", kept.secret


def _added(step: Step) -> str:
    if isinstance(step, PgpEncrypt | PgpSign):
        return ".asc" if step.armor else ".pgp"
    return _ADDED.get(type(step), "")


def renamed(name: str, steps: Iterable[Step]) -> str:
    """Return how the file ``name`` is called after ``steps``: each adds its ending, or takes it away where it is there.

    A name that would be nothing but its ending stays as it is.
    """
    for step in steps:
        name += _added(step)
        for ending, left in _TAKEN_AWAY.get(type(step), {}).items():
            stem = name[: -len(ending)]
            if stem and name.lower().endswith(ending):
                name = stem + left
                break
    return name
