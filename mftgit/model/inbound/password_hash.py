"""Hashes of passwords by argon2id (RFC 9106), as they are written; what one costs is the document's to say."""

import base64
import re
from dataclasses import dataclass
from typing import Final

MAX_MEMORY_KIB: Final = 256 << 10
MAX_WORK_KIB: Final = 1 << 20
"""Memory times passes: a second or so."""

MAX_LANES: Final = 16
MIN_MEMORY_KIB: Final = 8 << 10

_HASH: Final = re.compile(
    r"\$argon2id\$v=19\$m=([0-9]{1,9}),t=([0-9]{1,5}),p=([0-9]{1,3})"
    r"\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,172})"
)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Cost:
    """What it takes to check a password: memory, and how often it is gone through, by how many lanes."""

    work_kib: int
    memory_kib: int
    passes: int
    lanes: int


def cost_of(encoded: str) -> Cost:
    """Return what it takes to check a password against ``encoded``.

    Raises:
        ValueError: it is no hash that is taken, or takes too much or too little; the message tells nothing of it.
    """
    found = _HASH.fullmatch(encoded)
    if found is None:
        raise ValueError(
            "it is no hash by argon2id, which begins with $argon2id$v=19$: make one with 'mftgit account'"
        )
    memory_kib, passes, lanes = map(int, found.groups()[:3])
    cost = Cost(work_kib=memory_kib * passes, memory_kib=memory_kib, passes=passes, lanes=lanes)
    if not MIN_MEMORY_KIB <= memory_kib <= MAX_MEMORY_KIB:
        raise ValueError(
            f"the hash takes {memory_kib:,} KiB of memory; expected {MIN_MEMORY_KIB:,} to {MAX_MEMORY_KIB:,}"
        )
    if not 1 <= passes <= MAX_WORK_KIB // memory_kib:
        raise ValueError(
            f"the hash goes {passes:,} times through {memory_kib:,} KiB; "
            f"expected 1 to {MAX_WORK_KIB // memory_kib} times"
        )
    if not 1 <= lanes <= MAX_LANES:
        raise ValueError(f"the hash has {lanes} lanes; expected 1 to {MAX_LANES}")
    return cost


def decoy(cost: Cost, *, salt: bytes, digest: bytes) -> str:
    """Return a hash of no password, which takes as long to check as one of ``cost``; ``digest`` is by chance."""
    figures = f"m={cost.memory_kib},t={cost.passes},p={cost.lanes}"
    return f"$argon2id$v=19${figures}${_base64(salt)}${_base64(digest)}"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode().rstrip("=")
