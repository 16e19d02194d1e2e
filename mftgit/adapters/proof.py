"""Proof of possession of a member's key: a short-lived signed token (JWT, RFC 7519) on every request.

The token is bound to one method and one path, as in DPoP (RFC 9449), so that a captured one opens nothing
else; and it is carried in a header, so that it passes a proxy that ends TLS.
"""

import json
import uuid
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import jwt
from jwt.algorithms import AllowedOKPKeys, OKPAlgorithm
from nacl.bindings import crypto_sign_open
from nacl.exceptions import CryptoError

from mftgit.adapters.tls.pki import load_identity, public_identity
from mftgit.errors import MftgitError
from mftgit.model.names import MemberName, parse_name

LIFETIME = timedelta(seconds=60)
"""How long a proof holds; a member's clock may be wrong by as much."""

POSSESSION = "possession"
"""Stands for the method in the proof that goes with a key on offer, which so opens no door; its path is the key."""

_ALGORITHM = "EdDSA"
_SIGNATURE_BYTES = 64
_REQUIRED = ["iss", "aud", "iat", "exp", "htm", "htu"]


class ProofRefusedError(MftgitError):
    """The request does not prove that it comes from a member of this cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """Who signed a request, and with which key; ``is_next``: it is not the first of the member's keys."""

    member: MemberName
    public_key: str
    is_next: bool


class _Ed25519(OKPAlgorithm):
    """Verifies with libsodium, which takes half of OpenSSL's time for it; a public key is its 32 bytes."""

    def prepare_key(self, key: Any) -> Any:
        return key

    def verify(self, msg: str | bytes, key: AllowedOKPKeys | bytes, sig: str | bytes) -> bool:
        if not (isinstance(msg, bytes) and isinstance(key, bytes) and isinstance(sig, bytes)):
            return False
        try:
            crypto_sign_open(sig + msg, key)
        except CryptoError:
            return False
        return len(sig) == _SIGNATURE_BYTES


jwt.unregister_algorithm(_ALGORITHM)
jwt.register_algorithm(_ALGORITHM, _Ed25519())


class Prover:
    """Signs a member's requests with its key."""

    def __init__(
        self, *, member: MemberName, cluster_id: str, key: bytes, now: Callable[[], datetime]
    ) -> None:
        """Take the PEM ``key``; raises ConfigError when it is no Ed25519 key."""
        self._member = member
        self._cluster_id = cluster_id
        self._key = load_identity(key)
        self.public_key = public_identity(key)
        self._now = now

    def headers(self, method: str, path: str) -> dict[str, str]:
        """Return the headers that prove a request ``method path``."""
        return {"Authorization": f"Bearer {self._sign(method, path)}"}

    def possession(self) -> str:
        """Return the proof that this member of this cluster has the key that it offers."""
        return self._sign(POSSESSION, self.public_key)

    def _sign(self, method: str, path: str) -> str:
        now = self._now()
        claims = {
            "iss": self._member,
            "aud": self._cluster_id,
            "iat": now,
            "exp": now + LIFETIME,
            "jti": uuid.uuid4().hex,
            "htm": method,
            "htu": path,
        }
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM)


def verify_proof(
    token: str,
    *,
    method: str,
    path: str,
    cluster_id: str,
    public_keys: Callable[[MemberName], Sequence[str]],
) -> Proof:
    """Return who signed ``token`` for this very request, with one of the ``public_keys`` of that member.

    Raises:
        ProofRefusedError: it is not a valid proof; the message says why and is safe to send back.
    """
    member = _issuer(token)
    keys = public_keys(member)
    if not keys:
        raise ProofRefusedError("not a member of this cluster")
    for place, key in enumerate(keys):
        claims = _claims(token, key, member=member, cluster_id=cluster_id)
        if claims is None:
            continue
        if (claims["htm"], claims["htu"]) != (method, path):
            raise ProofRefusedError("the proof was made for another request")
        return Proof(member=member, public_key=key, is_next=place > 0)
    raise ProofRefusedError("not a valid proof: it is not signed with the member's key")


def _issuer(token: str) -> MemberName:
    """Return whom ``token`` says to be from; whether that is so is not looked at here."""
    try:
        claims = json.loads(urlsafe_b64decode(token.split(".")[1] + "=="))
        return MemberName(parse_name(str(claims["iss"])))
    except (ValueError, LookupError, TypeError, RecursionError):
        raise ProofRefusedError("not a valid proof: it names no member") from None


def _claims(
    token: str, key: str, *, member: MemberName, cluster_id: str
) -> Mapping[str, Any] | None:
    """Return what ``token`` says, None where it is not signed with ``key``."""
    try:
        claims: Mapping[str, Any] = jwt.decode(
            token,
            bytes.fromhex(key),
            algorithms=[_ALGORITHM],
            issuer=member,
            audience=cluster_id,
            leeway=LIFETIME,
            options={"require": _REQUIRED},
        )
    except jwt.InvalidSignatureError:
        return None
    except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError):
        raise ProofRefusedError(
            "the proof is not of this time: set the member's clock (it may be off by 60 s)"
        ) from None
    except jwt.PyJWTError as error:
        raise ProofRefusedError(f"not a valid proof: {error}") from None
    return claims
