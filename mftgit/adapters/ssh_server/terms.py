"""On what a server speaks with clients: its host keys, and current algorithms only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import paramiko
from paramiko.kex_curve25519 import KexCurve25519

from mftgit.adapters.ssh_server.keys import HostKeys
from mftgit.errors import ConfigError
from mftgit.model.keys.algorithms import CIPHERS, KEX, MACS, Algorithms

KEX_METHODS: Final[Mapping[str, type]] = {
    **paramiko.Transport._kex_info,  # type: ignore[attr-defined]  # noqa: SLF001  none is public
    "curve25519-sha256": KexCurve25519,  # RFC 8731, 1
}

_GROUP_EXCHANGE: Final = "diffie-hellman-group-exchange-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what a server speaks with clients."""

    keys: HostKeys
    kex: tuple[str, ...]
    ciphers: tuple[str, ...]
    macs: tuple[str, ...]


def agree(algorithms: Algorithms, keys: HostKeys) -> Terms:
    """Return the terms that ``algorithms`` come to.

    Raises:
        ConfigError: none of a sort is left that a server can have.
    """
    known = paramiko.Transport.__dict__
    # Group exchange would need primes from a file of the machine.
    kex = tuple(
        name
        for name in _both(algorithms.kex, KEX, KEX_METHODS)
        if not name.startswith(_GROUP_EXCHANGE)
    )
    ciphers = _both(algorithms.ciphers, CIPHERS, known["_cipher_info"])
    macs = _both(algorithms.macs, MACS, known["_mac_info"])
    for sort, left, given in (
        ("kex", kex, algorithms.kex),
        ("ciphers", ciphers, algorithms.ciphers),
        ("macs", macs, algorithms.macs),
    ):
        if not left:
            raise ConfigError(f"no algorithm is left of {sort}: {', '.join(given) or 'none given'}")
    return Terms(keys=keys, kex=kex, ciphers=ciphers, macs=macs)


def _both(
    given: tuple[str, ...], current: tuple[str, ...], known: Mapping[str, object]
) -> tuple[str, ...]:
    """Return those of ``given`` that are ``current`` and that paramiko has."""
    return tuple(name for name in given if name in current and name in known)
