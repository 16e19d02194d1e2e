"""What a client shows of itself when it logs in by a key (RFC 4252, 7): a key, or a certificate of one."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_network
from typing import Final

from mftgit.model.inbound.visitor import Visitor
from mftgit.model.keys.ssh_certificate import (
    SUFFIX,
    Certificate,
    CertifiedAs,
    read_certificate,
)
from mftgit.model.keys.ssh_key import (
    CURVES,
    ECDSA,
    ED25519,
    RSA,
    SK_ECDSA,
    SK_ED25519,
    PublicKey,
    read_key,
    read_string,
)

ALGORITHMS: Final = (
    ED25519,
    SK_ED25519,
    *(ECDSA + curve for curve in CURVES),
    SK_ECDSA,
    "rsa-sha2-512",
    "rsa-sha2-256",
)
"""By which a client's signature may be made (RFC 8332 for RSA): none with SHA-1."""

_KINDS: Final = {"rsa-sha2-512": RSA, "rsa-sha2-256": RSA}
_SOURCE_ADDRESS: Final = "source-address"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a client shows: ``key`` has to make a signature by ``algorithm``; ``certificate`` says whose it is."""

    algorithm: str
    key: PublicKey
    certificate: Certificate | None = None


def read_shown(algorithm: str, blob: bytes) -> Shown:
    """Return what a client shows as ``blob`` for ``algorithm``.

    Raises:
        ValueError: the algorithm is not taken, or the key is none, or of another kind.
    """
    plain = algorithm.removesuffix(SUFFIX)
    if plain not in ALGORITHMS:
        raise ValueError("the algorithm is not taken")
    certificate = None if plain == algorithm else read_certificate(blob)
    key = read_key(blob) if certificate is None else certificate.key
    if key.kind != _KINDS.get(plain, plain):
        raise ValueError("the key is of another kind than the algorithm")
    return Shown(algorithm=plain, key=key, certificate=certificate)


def is_for(
    certificate: Certificate,
    *,
    authorities: Collection[PublicKey],
    principals: Collection[str],
    visitor: Visitor,
    now: datetime,
) -> bool:
    """Tell whether ``certificate``, if its signature is good, is for one of ``principals`` who comes as ``visitor``.

    One without principals is for nobody. Of the options that have to be understood (PROTOCOL.certkeys) only
    ``source-address`` is: ``force-command`` would have to be run.
    """
    return (
        certificate.authority in authorities
        and certificate.certified_as == CertifiedAs.USER
        and not set(certificate.principals).isdisjoint(principals)
        and certificate.holds_at(now)
        and len(certificate.options) == len(certificate.option_values)
        and all(
            name == _SOURCE_ADDRESS and _is_from(value, visitor)
            for name, value in zip(certificate.options, certificate.option_values, strict=True)
        )
    )


def _is_from(value: bytes, visitor: Visitor) -> bool:
    """Tell whether ``visitor`` is from one of the networks in ``value``; from none, where one cannot be read."""
    try:
        text, end = read_string(value, 0)
        networks = text.decode("ascii").split(",")
        for network in networks:
            ip_network(network, strict=False)
    except ValueError:
        return False
    return end == len(value) and visitor.is_from(networks)
