"""Find out which SSH key made a signature (PROTOCOL.sshsig of OpenSSH); who may sign is not asked here."""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Final

from mftgit.adapters.ssh.verify import Signature, form_flaw, is_over, read_signature
from mftgit.model.keys.ssh_key import PublicKey, read_key, read_strings
from mftgit.model.trust.signers import NAMESPACE
from mftgit.model.trust.trust import FlawError, Outcome

BEGIN, _END = "-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----"
_MAGIC: Final = b"SSHSIG"
_VERSION: Final = (1).to_bytes(4)
_DIGESTS: Final = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signed:
    """What an SSHSIG holds: who signed, and ``signed``, the bytes that the signature is over."""

    key: PublicKey
    signed: bytes
    signature: Signature


def ssh_signer(armor: str, payload: bytes) -> PublicKey:
    """Return the key by which ``payload`` is signed.

    Raises:
        FlawError: the signature proves nothing.
    """
    found = _parse(_dearmor(armor), payload)
    if wrong := form_flaw(found.key, found.signature):
        raise FlawError(Outcome.MALFORMED, wrong)
    if not is_over(found.signed, found.key, found.signature):
        raise FlawError(Outcome.TAMPERED)
    return found.key


def _dearmor(armor: str) -> bytes:
    lines = armor.strip().split("\n")
    if (lines[0], lines[-1]) != (BEGIN, _END):
        raise FlawError(Outcome.MALFORMED, "it has no end")
    try:
        return base64.b64decode("".join(lines[1:-1]), validate=True)
    except (binascii.Error, ValueError):
        raise FlawError(Outcome.MALFORMED, "it is not base64") from None


def _parse(blob: bytes, payload: bytes) -> _Signed:
    prefix = _MAGIC + _VERSION
    if not blob.startswith(prefix):
        raise FlawError(Outcome.MALFORMED, "it is no SSHSIG of version 1")
    try:
        public, namespace, reserved, digest, value = read_strings(blob.removeprefix(prefix))
        key = read_key(public)
        signature = read_signature(value)
    except ValueError as error:
        raise FlawError(Outcome.MALFORMED, str(error)) from None
    if namespace != NAMESPACE.encode():
        found = namespace.decode("utf-8", "backslashreplace")[:60]
        raise FlawError(Outcome.WRONG_NAMESPACE, f"found {found!r}")
    if digest not in _DIGESTS:
        raise FlawError(Outcome.MALFORMED, "its digest is neither sha256 nor sha512")
    hashed = _DIGESTS[digest](payload).digest()
    signed = _MAGIC + b"".join(map(_string, (namespace, reserved, digest, hashed)))
    return _Signed(key=key, signed=signed, signature=signature)


def _string(value: bytes) -> bytes:
    return len(value).to_bytes(4) + value
