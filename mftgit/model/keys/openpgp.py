"""OpenPGP (RFC 4880) as far as it is looked into here: whose key a block holds, and how a signature was made.

The mathematics is left to gpg. What it is given is one key, or one signature, and nothing around it.
"""

import base64
import binascii
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from mftgit.model.keys.ssh_key import MIN_RSA_BITS

KIND: Final = "openpgp"
MAX_KEY_BYTES: Final = 64 * 1024
MAX_SIGNATURE_BYTES: Final = 8 * 1024
DIGESTS: Final = {8: "SHA256", 9: "SHA384", 10: "SHA512"}
"""The digests that are strong enough to sign by, by OpenPGP's numbers."""

_SIGNATURE, _SECRET_KEY, _PUBLIC_KEY, _SECRET_SUBKEY, _PUBLIC_SUBKEY = 2, 5, 6, 7, 14
_RSA: Final = (1, 2, 3)
_DSA: Final = 17
_VERSION: Final = 4
_OF_BYTES: Final = 0x00
_KEY_HEAD_BYTES: Final = 8  # version, time, algorithm, and the bits of the first number
_SIGNATURE_HEAD_BYTES: Final = 4  # version, type, algorithm of the key, digest
_PACKET, _NEW_FORMAT, _PARTIAL, _FOUR_BYTES = 0x80, 0x40, 224, 255
_TWO_BYTES: Final = 192


@dataclass(frozen=True, slots=True, kw_only=True)
class GpgKey:
    """A key with its sub-keys, told by the fingerprint of its primary key; ``packets`` are what gpg is given of it."""

    fingerprint: str
    packets: bytes = field(default=b"", compare=False, repr=False)

    @property
    def kind(self) -> str:
        """The word that stands before the key in a line."""
        return KIND


def read_gpg_key(packets: bytes) -> GpgKey:
    """Return the one public key that ``packets`` hold, as ``gpg --export`` writes it.

    Raises:
        ValueError: they hold something else, or a key that is too large, too old or too weak.
    """
    if len(packets) > MAX_KEY_BYTES:
        raise ValueError(
            f"it has {len(packets):,} bytes; expected at most {MAX_KEY_BYTES:,}, as "
            "gpg --export --export-options export-minimal writes it"
        )
    found = list(_packets(packets))
    if any(tag in {_SECRET_KEY, _SECRET_SUBKEY} for tag, _ in found):
        raise ValueError("it is a secret key: give the public one (gpg --export)")
    if [tag for tag, _ in found[:1]] != [_PUBLIC_KEY] or _PUBLIC_KEY in {
        tag for tag, _ in found[1:]
    }:
        raise ValueError("expected one OpenPGP public key, as gpg --export writes it")
    for tag, body in found:
        if tag in {_PUBLIC_KEY, _PUBLIC_SUBKEY}:
            _check_key(body)
    primary = found[0][1]
    digest = hashlib.sha1(b"\x99" + len(primary).to_bytes(2) + primary, usedforsecurity=False)
    return GpgKey(fingerprint=digest.hexdigest().upper(), packets=packets)


def read_gpg_key_text(kind: str, text: str) -> GpgKey:
    """Return the key that stands in a line as ``kind`` and ``text``, which is base64.

    Raises:
        ValueError: it is none that is taken.
    """
    if kind != KIND:
        raise ValueError(f"found {kind!r}, expected the word {KIND!r} and the key in base64")
    try:
        packets = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("what stands in the place of the key is not base64") from None
    return read_gpg_key(packets)


def read_gpg_signature(armor: str) -> bytes:
    """Return the one packet in an armoured signature, which has to be of bytes and by a strong digest.

    Raises:
        ValueError: it is something else, or more than one.
    """
    packet = dearmor(armor, "SIGNATURE")
    if len(packet) > MAX_SIGNATURE_BYTES:
        raise ValueError(f"it has {len(packet):,} bytes; expected at most {MAX_SIGNATURE_BYTES:,}")
    found = list(_packets(packet))
    if [tag for tag, _ in found] != [_SIGNATURE]:
        raise ValueError("expected one OpenPGP signature and nothing else")
    body = found[0][1]
    if len(body) < _SIGNATURE_HEAD_BYTES or body[0] != _VERSION or body[1] != _OF_BYTES:
        raise ValueError(f"it is no signature of version {_VERSION} over bytes")
    if body[3] not in DIGESTS:
        raise ValueError(f"its digest is none of {', '.join(DIGESTS.values())}")
    return packet


def dearmor(text: str, what: str) -> bytes:
    """Return what is in the one armoured block of ``what`` that ``text`` is.

    Raises:
        ValueError: ``text`` is something else.
    """
    begin, *lines = [line.rstrip() for line in text.strip().split("\n")]
    end = lines.pop() if lines else ""
    if (begin, end) != (f"-----BEGIN PGP {what}-----", f"-----END PGP {what}-----"):
        raise ValueError(f"it is not one block from BEGIN PGP {what} to its end")
    if "" not in lines:
        raise ValueError("the empty line after its head is missing")
    body = lines[lines.index("") + 1 :]
    if body and body[-1].startswith("="):  # a checksum against accidents
        body.pop()
    try:
        return base64.b64decode("".join(body), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("it is not base64") from None


def _packets(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(data):
        tag, start, length = _head(data, at)
        at = start + length
        if at > len(data):
            raise ValueError("it is cut off")
        yield tag, data[start:at]


def _head(data: bytes, at: int) -> tuple[int, int, int]:
    """Return the tag of the packet at ``at``, where its body begins, and how long that is."""
    first = data[at]
    if not first & _PACKET:
        raise ValueError("it is not made of OpenPGP packets")
    if first & _NEW_FORMAT:
        tag, (start, length) = first & 0x3F, _new_length(data, at + 1)
    else:
        size = 1 << (first & 3)
        tag, start = (first >> 2) & 0xF, at + 1 + size
        length = int.from_bytes(data[at + 1 : start]) if size <= 4 else -1  # noqa: PLR2004  bytes of a length
    if length < 0:
        raise ValueError("it has a packet of which the length is not told")
    return tag, start, length


def _new_length(data: bytes, at: int) -> tuple[int, int]:
    first = int.from_bytes(data[at : at + 1])
    if first < _TWO_BYTES:
        return at + 1, first
    if first < _PARTIAL:
        return at + 2, ((first - _TWO_BYTES) << 8) + int.from_bytes(data[at + 1 : at + 2]) + 192
    if first == _FOUR_BYTES:
        return at + 5, int.from_bytes(data[at + 1 : at + 5])
    return at + 1, -1


def _check_key(body: bytes) -> None:
    if len(body) < _KEY_HEAD_BYTES or body[0] != _VERSION:
        raise ValueError(f"it is no key of version {_VERSION}")
    algorithm, bits = body[5], int.from_bytes(body[6:8])
    if algorithm == _DSA:
        raise ValueError(
            "it is a DSA key, or has one as a sub-key; expected RSA or an elliptic curve"
        )
    if algorithm in _RSA and bits < MIN_RSA_BITS:
        raise ValueError(f"an RSA key of {bits} bits; expected at least {MIN_RSA_BITS}")
