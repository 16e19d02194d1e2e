"""Proof of possession of a member's key: a short-lived signed token (JWT, RFC 7519) on every request.

The token is bound to one method and one path, as in DPoP (RFC 9449), so that a captured one opens nothing
else; and it is carried in a header, so that it passes a proxy that ends TLS.
"""

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta

import jwt

from mftgit.adapters.pki import load_identity, load_public_identity
from mftgit.errors import MftgitError
from mftgit.model.names import MemberName

LIFETIME = timedelta(seconds=60)
"""How long a proof holds; a member's clock may be wrong by as much."""

_ALGORITHM = "EdDSA"


class ProofRefusedError(MftgitError):
    """The request does not prove that it comes from a member of this cluster."""


class Prover:
    """Signs a member's requests with its key."""

    def __init__(
        self, *, member: MemberName, cluster_id: str, key: bytes, now: Callable[[], datetime]
    ) -> None:
        """Take the PEM ``key``; raises ConfigError when it is no Ed25519 key."""
        self._member = member
        self._cluster_id = cluster_id
        self._key = load_identity(key)
        self._now = now

    def headers(self, method: str, path: str) -> dict[str, str]:
        """Return the headers that prove a request ``method path``."""
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
        return {"Authorization": f"Bearer {jwt.encode(claims, self._key, algorithm=_ALGORITHM)}"}


def verify_proof(
    token: str,
    *,
    method: str,
    path: str,
    cluster_id: str,
    public_key: Callable[[MemberName], str | None],
) -> MemberName:
    """Return the member that signed ``token`` for this very request.

    Raises:
        ProofRefusedError: it is not a valid proof; the message says why and is safe to send back.
    """
    try:
        unverified = jwt.decode(token, options={"verify_signature": False})
        member = MemberName(str(unverified.get("iss", "")))
        key = public_key(member)
        if key is None:
            raise ProofRefusedError("not a member of this cluster")
        claims = jwt.decode(
            token,
            load_public_identity(key),
            algorithms=[_ALGORITHM],
            audience=cluster_id,
            leeway=LIFETIME,
            options={"require": ["iss", "aud", "iat", "exp", "htm", "htu"]},
        )
    except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError):
        raise ProofRefusedError(
            "the proof is not of this time: set the member's clock (it may be off by 60 s)"
        ) from None
    except jwt.PyJWTError as error:
        raise ProofRefusedError(f"not a valid proof: {error}") from None
    if (claims["htm"], claims["htu"]) != (method, path):
        raise ProofRefusedError("the proof was made for another request")
    return member
