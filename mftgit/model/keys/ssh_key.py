"""OpenSSH public keys as values: which kinds are taken, what has to be in them, how they are told to a person."""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final

MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 16_384
CURVES: Final = {"nistp256": 32, "nistp384": 48, "nistp521": 66}
"""The elliptic curves by OpenSSH's names, with the bytes of one coordinate."""

ED25519: Final = "ssh-ed25519"
RSA: Final = "ssh-rsa"
ECDSA: Final = "ecdsa-sha2-"
SK_ED25519: Final = "sk-ssh-ed25519@openssh.com"
SK_ECDSA: Final = "sk-ecdsa-sha2-nistp256@openssh.com"
KINDS: Final = (ED25519, *(ECDSA + curve for curve in CURVES), RSA, SK_ED25519, SK_ECDSA)

_ED25519_BYTES: Final = 32
_UNCOMPRESSED: Final = 4
_LENGTH_BYTES: Final = 4
_COUNTS: Final = {ED25519: 1, RSA: 2, SK_ED25519: 2, SK_ECDSA: 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A key of one of `KINDS`; ``blob`` is its binary form, and ``fields`` what stands in there after the kind."""

    kind: str
    blob: bytes
    fields: tuple[bytes, ...]

    @property
    def fingerprint(self) -> str:
        """The key in short, as ``ssh-keygen -l`` prints it."""
        digest = hashlib.sha256(self.blob).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def read_string(data: bytes, at: int) -> tuple[bytes, int]:
    """Return the string that stands at ``at``, with its length before it (RFC 4251, 5), and where the next begins.

    Raises:
        ValueError: ``data`` ends before it does.
    """
    start = at + _LENGTH_BYTES
    end = start + int.from_bytes(data[at:start])
    if len(data) < max(start, end):
        raise ValueError("it ends too early")
    return data[start:end], end


def read_strings(data: bytes) -> tuple[bytes, ...]:
    """Return the strings that ``data`` consists of.

    Raises:
        ValueError: it does not.
    """
    strings, at = [], 0
    while at < len(data):
        found, at = read_string(data, at)
        strings.append(found)
    return tuple(strings)


def read_key(blob: bytes) -> PublicKey:
    """Return the public key of which ``blob`` is the binary form; whether its numbers are good ones is not asked.

    Raises:
        ValueError: it is none, or of a kind that is not taken.
    """
    kind, *fields = read_strings(blob) or (b"",)
    name = kind.decode("ascii", "backslashreplace")
    if name not in KINDS:
        raise ValueError(
            f"a key of the kind {name[:60]!r} is not taken; known are {', '.join(KINDS)}"
        )
    key = PublicKey(kind=name, blob=blob, fields=tuple(fields))
    if len(fields) != _COUNTS.get(name, 2):
        raise ValueError(f"{len(fields)} fields in a key of the kind {name}")
    if wrong := _wrong(key):
        raise ValueError(wrong)
    return key


def read_key_text(kind: str, text: str) -> PublicKey:
    """Return the key that OpenSSH writes as ``kind`` and ``text``, which is base64.

    Raises:
        ValueError: it is none, or of a kind that is not taken.
    """
    key = read_key(read_key_blob(text))
    if key.kind != kind:
        raise ValueError(f"the line says {kind!r}, and the key is of the kind {key.kind}")
    return key


def read_key_blob(text: str) -> bytes:
    """Return the binary form that ``text`` holds in base64, of a key or a certificate.

    Raises:
        ValueError: it is not base64.
    """
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("what stands in the place of the key is not base64") from None


def _wrong(key: PublicKey) -> str | None:
    if key.kind in {ED25519, SK_ED25519}:
        return None if len(key.fields[0]) == _ED25519_BYTES else "an Ed25519 key has 32 bytes"
    if key.kind == RSA:
        bits = int.from_bytes(key.fields[1]).bit_length()
        if MIN_RSA_BITS <= bits <= MAX_RSA_BITS:
            return None
        return f"an RSA key of {bits} bits; expected {MIN_RSA_BITS} to {MAX_RSA_BITS}"
    curve, point = key.fields[0].decode("ascii", "replace"), key.fields[1]
    if key.kind not in {ECDSA + curve, f"sk-{ECDSA}{curve}@openssh.com"}:
        return f"a key of the kind {key.kind} on the curve {curve!r}"
    whole = len(point) == 1 + 2 * CURVES[curve] and point[0] == _UNCOMPRESSED
    return None if whole else f"the point of the key is not one of {curve}"
