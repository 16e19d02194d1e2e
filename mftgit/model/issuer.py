"""Operators for whom somebody else vouches: an OpenID Connect provider, the issuer, and what its claims let in."""

import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from mftgit.errors import MftgitError
from mftgit.model.access import Kind, OperatorRole, Principal
from mftgit.model.names import is_name

CALLBACK: Final = "/login/issuer/callback"
"""Where the issuer sends a browser back to, below the address of the Web Manager."""

_MAX_VALUES: Final = 1000


class NotVouchedError(MftgitError):
    """What the issuer says lets nobody in; the message is for who tries to log in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """An issuer, as what it knows us, and whom it lets in.

    ``at`` is the address of the Web Manager that the issuer knows. The claim ``name_claim`` names the operator, without
    ``domain`` where one is set, which then has to be there. The claim ``role_claim`` has a value, or a list of them, of
    which one is among those of a role in ``roles``. ``ca`` are authorities of its certificate, PEM; None: those of this
    machine.
    """

    url: str
    client_id: str
    at: str
    name_claim: str
    role_claim: str
    roles: Mapping[str, Sequence[str]]
    domain: str | None = None
    ca: str | None = None

    @property
    def redirect_uri(self) -> str:
        """Return where the issuer sends a browser back to; it has to know this very text."""
        return self.at.rstrip("/") + CALLBACK


def format_issuer(issuer: Issuer) -> str:
    """Return ``issuer`` as it is kept."""
    return json.dumps(asdict(issuer), sort_keys=True)


def parse_issuer(text: str) -> Issuer:
    """Return what `format_issuer` gave ``text`` for."""
    return Issuer(**json.loads(text))


def operator_of(issuer: Issuer, claims: Mapping[str, Any], *, nonce: str) -> Principal:
    """Return for whom ``claims`` vouch, whose signature, issuer, audience and time were checked before.

    Raises:
        NotVouchedError: they answer to another ``nonce``, are for somebody else, or open nothing here.
    """
    if not _is_same(claims.get("nonce"), nonce):
        raise NotVouchedError("the answer of the issuer belongs to another login: log in again")
    if claims.get("azp", issuer.client_id) != issuer.client_id:
        raise NotVouchedError("the answer of the issuer is for another application")
    if isinstance(claims.get("aud"), list) and len(claims["aud"]) > 1 and "azp" not in claims:
        raise NotVouchedError("the answer of the issuer is for several applications")
    name, role = _name(issuer, claims), _role(issuer, claims)
    return Principal(kind=Kind.OPERATOR, name=name, role=role)


def _is_same(told: object, nonce: str) -> bool:
    return isinstance(told, str) and hmac.compare_digest(
        told.encode(errors="replace"), nonce.encode()
    )


def _name(issuer: Issuer, claims: Mapping[str, Any]) -> str:
    told = claims.get(issuer.name_claim)
    if not isinstance(told, str):
        raise NotVouchedError(f"the issuer tells no {issuer.name_claim}")
    if issuer.name_claim == "email" and claims.get("email_verified") is not True:
        raise NotVouchedError("the issuer has not checked this address")
    name = told.lower()
    if issuer.domain is not None:
        ending = f"@{issuer.domain.lower()}"
        if not name.endswith(ending):
            raise NotVouchedError(f"{issuer.name_claim} is not of {issuer.domain}")
        name = name.removesuffix(ending)
    if not is_name(name):
        raise NotVouchedError(
            f"{issuer.name_claim} is not a name here, which is made of letters, digits and hyphens"
        )
    return name


def _role(issuer: Issuer, claims: Mapping[str, Any]) -> OperatorRole:
    told = claims.get(issuer.role_claim)
    values = told if isinstance(told, list) else [told]
    has = {each for each in values[:_MAX_VALUES] if isinstance(each, str)}
    for role in reversed(OperatorRole):
        if has.intersection(issuer.roles.get(role.value, ())):
            return role
    raise NotVouchedError(f"{issuer.role_claim} opens nothing here: ask the administrator")
