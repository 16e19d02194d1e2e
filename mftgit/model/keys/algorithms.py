"""Which SSH algorithms may protect a connection: lists of safe names, in the order in which they are asked for.

What is not in them is old: CBC, 3DES, MD5 and SHA-1. A list of what is allowed stays
safe when a library adds something.
"""

from dataclasses import dataclass
from typing import Final

CIPHERS: Final = (
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
)
"""AES-GCM (OpenSSH's PROTOCOL, 1.6) first: several times faster here than CTR (RFC 4344) with a MAC."""

MACS: Final = (
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256",
    "hmac-sha2-512",
)
"""RFC 6668, and OpenSSH's PROTOCOL, 1.5 (etm); AES-GCM needs none of them."""

KEX: Final = (
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group14-sha256",
)
"""RFC 8731 (curve25519, which libssh named first), RFC 5656 (ecdh), RFC 8268 and RFC 4419 (Diffie-Hellman)."""

HOST_KEYS: Final = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)
"""RFC 8709 (ed25519), RFC 5656 (ecdsa), RFC 8332 (rsa with SHA-2)."""

_OLD_CIPHERS: Final = ("aes256-cbc", "aes192-cbc", "aes128-cbc", "3des-cbc")
_OLD_MACS: Final = ("hmac-sha1-etm@openssh.com", "hmac-sha1")
_OLD_KEX: Final = (
    "diffie-hellman-group-exchange-sha1",
    "diffie-hellman-group14-sha1",
    "diffie-hellman-group1-sha1",
)
_OLD_HOST_KEYS: Final = ("ssh-rsa", "ssh-dss")

_KIND: Final = {"rsa-sha2-512": "ssh-rsa", "rsa-sha2-256": "ssh-rsa"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Algorithms:
    """What a location asks for, of each sort in this order."""

    ciphers: tuple[str, ...] = CIPHERS
    macs: tuple[str, ...] = MACS
    kex: tuple[str, ...] = KEX
    host_keys: tuple[str, ...] = HOST_KEYS

    def host_keys_by_kind(self) -> dict[str, tuple[str, ...]]:
        """Return the names by the kind of key that a server shows for them."""
        found: dict[str, tuple[str, ...]] = {}
        for name in self.host_keys:
            kind = _KIND.get(name, name)
            found[kind] = (*found.get(kind, ()), name)
        return found


def with_legacy(algorithms: Algorithms) -> Algorithms:
    """Return ``algorithms`` and after them what servers of long ago have: CBC, SHA-1 and DSA."""
    return Algorithms(
        ciphers=(*algorithms.ciphers, *_OLD_CIPHERS),
        macs=(*algorithms.macs, *_OLD_MACS),
        kex=(*algorithms.kex, *_OLD_KEX),
        host_keys=(*algorithms.host_keys, *_OLD_HOST_KEYS),
    )
