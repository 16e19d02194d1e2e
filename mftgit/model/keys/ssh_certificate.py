"""OpenSSH certificates (PROTOCOL.certkeys): what an authority says of a key; no signature is checked here."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum, unique
from typing import Final

from mftgit.model.keys.ssh_key import (
    CURVES,
    ECDSA,
    ED25519,
    RSA,
    PublicKey,
    read_key,
    read_key_blob,
    read_string,
    read_strings,
)

SUFFIX: Final = "-cert-v01@openssh.com"

_FIELDS: Final = {ED25519: 1, RSA: 2, **{ECDSA + curve: 2 for curve in CURVES}}
_FOREVER_S: Final = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())


@unique
class CertifiedAs(IntEnum):
    """Whose key it is."""

    USER = 1
    HOST = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A key with what ``authority`` says of it by ``signature`` over the bytes ``signed``.

    It holds from ``after_s`` on and before ``before_s``, seconds since 1970. ``options`` are those that whoever does
    not know them has to refuse it for, ``option_values`` what they say, in the same order.
    """

    kind: str
    key: PublicKey
    certified_as: int
    key_id: str
    principals: tuple[str, ...]
    after_s: int
    before_s: int
    options: tuple[str, ...]
    option_values: tuple[bytes, ...] = ()
    authority: PublicKey
    signed: bytes
    signature: bytes

    def holds_at(self, moment: datetime) -> bool:
        """Tell whether ``moment`` is in its window."""
        return self.after_s <= moment.timestamp() < self.before_s

    @property
    def window(self) -> str:
        """Its window for people."""
        return f"valid from {_day(self.after_s)} until {_day(self.before_s)}"


def read_certificate_line(line: str) -> tuple[Certificate, bytes]:
    """Return the certificate in ``line``, as a file ``…-cert.pub`` has it, and its binary form.

    Raises:
        ValueError: there is none.
    """
    kind, _, rest = line.strip().partition(" ")
    blob = read_key_blob(rest.partition(" ")[0])
    certificate = read_certificate(blob)
    if certificate.kind != kind:
        raise ValueError(f"the line says {kind[:60]!r}, and the content {certificate.kind!r}")
    return certificate, blob


def read_certificate(blob: bytes) -> Certificate:
    """Return the certificate of which ``blob`` is the binary form.

    Raises:
        ValueError: it is none, or of a kind that is not taken.
    """
    name, at = read_string(blob, 0)
    kind = name.decode("ascii", "backslashreplace")
    plain = kind.removesuffix(SUFFIX)
    if plain == kind or plain not in _FIELDS:
        raise ValueError(f"a certificate of the kind {kind[:60]!r} is not taken")
    _, at = read_string(blob, at)  # the nonce
    start = at
    for _ in range(_FIELDS[plain]):
        _, at = read_string(blob, at)
    key = read_key(_string(plain.encode()) + blob[start:at])
    at += 8  # the serial number
    certified_as, at = _number(blob, at, 4)
    key_id, at = read_string(blob, at)
    principals, at = read_string(blob, at)
    after_s, at = _number(blob, at, 8)
    before_s, at = _number(blob, at, 8)
    options, at = read_string(blob, at)
    named = read_strings(options)
    if len(named) % 2:
        raise ValueError("an option without a value")
    _, at = read_string(blob, at)  # extensions, which are for the server
    _, at = read_string(blob, at)  # reserved
    authority, at = read_string(blob, at)
    signed = blob[:at]
    signature, at = read_string(blob, at)
    if at != len(blob):
        raise ValueError("it is longer than a certificate")
    return Certificate(
        kind=kind,
        key=key,
        certified_as=certified_as,
        key_id=_text(key_id),
        principals=tuple(map(_text, read_strings(principals))),
        after_s=after_s,
        before_s=before_s,
        options=tuple(map(_text, named[::2])),
        option_values=named[1::2],
        authority=read_key(authority),
        signed=signed,
        signature=signature,
    )


def _number(blob: bytes, at: int, size: int) -> tuple[int, int]:
    if len(blob) < at + size:
        raise ValueError("it ends too early")
    return int.from_bytes(blob[at : at + size]), at + size


def _string(value: bytes) -> bytes:
    return len(value).to_bytes(4) + value


def _day(seconds: int) -> str:
    if seconds > _FOREVER_S:
        return "any time"
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat().replace("+00:00", "Z")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")
