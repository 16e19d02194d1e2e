"""Whether a signature by an SSH key is good: RFC 4253, 6.6, RFC 5656, RFC 8332, RFC 8709, PROTOCOL.u2f of OpenSSH."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from mftgit.model.keys.ssh_certificate import Certificate
from mftgit.model.keys.ssh_key import (
    ECDSA,
    ED25519,
    RSA,
    SK_ECDSA,
    SK_ED25519,
    PublicKey,
    read_string,
    read_strings,
)

_TOUCHED: Final = 0x01
_FLAGS_BYTES: Final = 5
_HASHES: Final[Mapping[bytes, hashes.HashAlgorithm]] = {
    b"nistp256": hashes.SHA256(),
    b"nistp384": hashes.SHA384(),
    b"nistp521": hashes.SHA512(),
}
_CURVES: Final[Mapping[bytes, ec.EllipticCurve]] = {
    b"nistp256": ec.SECP256R1(),
    b"nistp384": ec.SECP384R1(),
    b"nistp521": ec.SECP521R1(),
}
_RSA: Final[Mapping[bytes, hashes.HashAlgorithm]] = {
    b"rsa-sha2-256": hashes.SHA256(),
    b"rsa-sha2-512": hashes.SHA512(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A signature ``value`` of ``kind``; ``rest`` is what security keys add to it."""

    kind: bytes
    value: bytes
    rest: bytes


def read_signature(blob: bytes) -> Signature:
    """Return the signature of which ``blob`` is the binary form.

    Raises:
        ValueError: it ends too early.
    """
    kind, at = read_string(blob, 0)
    value, at = read_string(blob, at)
    return Signature(kind=kind, value=value, rest=blob[at:])


def form_flaw(key: PublicKey, signature: Signature) -> str | None:
    """Return why ``signature`` cannot be one by ``key``, whatever it is over; None where it can. SHA-1 cannot."""
    kinds = _RSA if key.kind == RSA else (key.kind.encode(),)
    if signature.kind not in kinds:
        found = signature.kind.decode("ascii", "backslashreplace")[:60]
        return f"a signature of the kind {found!r} by a {key.kind} key"
    hardware = key.kind in {SK_ED25519, SK_ECDSA}
    if len(signature.rest) != (_FLAGS_BYTES if hardware else 0):
        return "it is longer or shorter than its kind has it"
    if hardware and not signature.rest[0] & _TOUCHED:
        return "nobody touched the security key that made it"
    return None


def is_over(signed: bytes, key: PublicKey, signature: Signature) -> bool:
    """Tell whether ``key`` made ``signature`` over ``signed``; its form is not asked for, see `form_flaw`."""
    try:
        _VERIFY[key.kind](_Claim(key=key, signature=signature, signed=signed))
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True


def is_certified(certificate: Certificate) -> bool:
    """Tell whether the authority that ``certificate`` names has signed it."""
    try:
        signature = read_signature(certificate.signature)
    except ValueError:
        return False
    authority = certificate.authority
    return form_flaw(authority, signature) is None and is_over(
        certificate.signed, authority, signature
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claim:
    """That ``key`` made ``signature`` over ``signed``."""

    key: PublicKey
    signature: Signature
    signed: bytes


def _verify_ed25519(claim: _Claim) -> None:
    key = Ed25519PublicKey.from_public_bytes(claim.key.fields[0])
    key.verify(claim.signature.value, claim.signed)


def _verify_ecdsa(claim: _Claim) -> None:
    curve, point = claim.key.fields[:2]
    r, s = read_strings(claim.signature.value)
    value = encode_dss_signature(int.from_bytes(r), int.from_bytes(s))
    key = ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[curve], point)
    key.verify(value, claim.signed, ec.ECDSA(_HASHES[curve]))


def _verify_rsa(claim: _Claim) -> None:
    exponent, modulus = map(int.from_bytes, claim.key.fields)
    key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    value = claim.signature.value.rjust((key.key_size + 7) // 8, b"\0")
    key.verify(value, claim.signed, padding.PKCS1v15(), _RSA[claim.signature.kind])


def _on_security_key(verify: Callable[[_Claim], None]) -> Callable[[_Claim], None]:
    """Return what verifies a signature that a security key made (PROTOCOL.u2f of OpenSSH)."""

    def check(claim: _Claim) -> None:
        application = hashlib.sha256(claim.key.fields[-1]).digest()
        message = hashlib.sha256(claim.signed).digest()
        verify(replace(claim, signed=application + claim.signature.rest + message))

    return check


_VERIFY: Final[Mapping[str, Callable[[_Claim], None]]] = {
    ED25519: _verify_ed25519,
    RSA: _verify_rsa,
    SK_ED25519: _on_security_key(_verify_ed25519),
    SK_ECDSA: _on_security_key(_verify_ecdsa),
    **{ECDSA + curve.decode(): _verify_ecdsa for curve in _CURVES},
}
