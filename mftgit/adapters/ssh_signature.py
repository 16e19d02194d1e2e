"""Find out which SSH key made a signature (PROTOCOL.sshsig of OpenSSH); who may sign is not asked here."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from mftgit.model.signers import NAMESPACE
from mftgit.model.ssh_key import (
    ECDSA,
    ED25519,
    RSA,
    SK_ECDSA,
    SK_ED25519,
    PublicKey,
    read_key,
    read_string,
    read_strings,
)
from mftgit.model.trust import FlawError, Outcome

BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_MAGIC: Final = b"SSHSIG"
_VERSION: Final = (1).to_bytes(4)
_DIGESTS: Final = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}
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
class _Signature:
    """What an SSHSIG holds: who signed, and ``signed``, the bytes that ``kind`` of a signature ``value`` is over."""

    key: PublicKey
    signed: bytes
    kind: bytes
    value: bytes
    rest: bytes


def ssh_signer(armor: str, payload: bytes) -> PublicKey:
    """Return the key by which ``payload`` is signed.

    Raises:
        FlawError: the signature proves nothing.
    """
    signature = _parse(_dearmor(armor), payload)
    _check(signature)
    return signature.key


def _dearmor(armor: str) -> bytes:
    lines = armor.strip().split("\n")
    if (lines[0], lines[-1]) != (BEGIN, _END):
        raise FlawError(Outcome.MALFORMED, "it has no end")
    try:
        return base64.b64decode("".join(lines[1:-1]), validate=True)
    except (binascii.Error, ValueError):
        raise FlawError(Outcome.MALFORMED, "it is not base64") from None


def _parse(blob: bytes, payload: bytes) -> _Signature:
    prefix = _MAGIC + _VERSION
    if not blob.startswith(prefix):
        raise FlawError(Outcome.MALFORMED, "it is no SSHSIG of version 1")
    try:
        public, namespace, reserved, digest, value = read_strings(blob.removeprefix(prefix))
        key = read_key(public)
        kind, at = read_string(value, 0)
        signature, at = read_string(value, at)
    except ValueError as error:
        raise FlawError(Outcome.MALFORMED, str(error)) from None
    if namespace != NAMESPACE.encode():
        found = namespace.decode("utf-8", "backslashreplace")[:60]
        raise FlawError(Outcome.WRONG_NAMESPACE, f"found {found!r}")
    if digest not in _DIGESTS:
        raise FlawError(Outcome.MALFORMED, "its digest is neither sha256 nor sha512")
    hashed = _DIGESTS[digest](payload).digest()
    signed = _MAGIC + b"".join(map(_string, (namespace, reserved, digest, hashed)))
    return _Signature(key=key, signed=signed, kind=kind, value=signature, rest=value[at:])


def _check(signature: _Signature) -> None:
    kinds = _RSA if signature.key.kind == RSA else (signature.key.kind.encode(),)
    if signature.kind not in kinds:
        found = signature.kind.decode("ascii", "backslashreplace")[:60]
        raise FlawError(
            Outcome.MALFORMED, f"a signature of the kind {found!r} by a {signature.key.kind} key"
        )
    hardware = signature.key.kind in {SK_ED25519, SK_ECDSA}
    if len(signature.rest) != (_FLAGS_BYTES if hardware else 0):
        raise FlawError(Outcome.MALFORMED, "it is longer or shorter than its kind has it")
    if hardware and not signature.rest[0] & _TOUCHED:
        raise FlawError(Outcome.MALFORMED, "nobody touched the security key that made it")
    try:
        _VERIFY[signature.key.kind](signature)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        raise FlawError(Outcome.TAMPERED) from None


def _verify_ed25519(signature: _Signature) -> None:
    key = Ed25519PublicKey.from_public_bytes(signature.key.fields[0])
    key.verify(signature.value, signature.signed)


def _verify_ecdsa(signature: _Signature) -> None:
    curve, point = signature.key.fields[:2]
    r, s = read_strings(signature.value)
    value = encode_dss_signature(int.from_bytes(r), int.from_bytes(s))
    key = ec.EllipticCurvePublicKey.from_encoded_point(_CURVES[curve], point)
    key.verify(value, signature.signed, ec.ECDSA(_HASHES[curve]))


def _verify_rsa(signature: _Signature) -> None:
    exponent, modulus = map(int.from_bytes, signature.key.fields)
    key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    value = signature.value.rjust((key.key_size + 7) // 8, b"\0")
    key.verify(value, signature.signed, padding.PKCS1v15(), _RSA[signature.kind])


def _on_security_key(verify: Callable[[_Signature], None]) -> Callable[[_Signature], None]:
    """Return what verifies a signature that a security key made (PROTOCOL.u2f of OpenSSH)."""

    def check(signature: _Signature) -> None:
        application = hashlib.sha256(signature.key.fields[-1]).digest()
        message = hashlib.sha256(signature.signed).digest()
        verify(replace(signature, signed=application + signature.rest + message))

    return check


def _string(value: bytes) -> bytes:
    return len(value).to_bytes(4) + value


_VERIFY: Final[Mapping[str, Callable[[_Signature], None]]] = {
    ED25519: _verify_ed25519,
    RSA: _verify_rsa,
    SK_ED25519: _on_security_key(_verify_ed25519),
    SK_ECDSA: _on_security_key(_verify_ecdsa),
    **{ECDSA + curve.decode(): _verify_ecdsa for curve in _CURVES},
}
