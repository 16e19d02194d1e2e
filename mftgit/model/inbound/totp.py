"""One-time codes that follow the time (RFC 6238): six digits, a new one every 30 seconds, as apps show them."""

import base64
import binascii
import hmac
import struct
from typing import Final
from urllib.parse import quote, urlencode

STEP_S: Final = 30
DIGITS: Final = 6
MIN_KEY_BYTES: Final = 16
"""RFC 4226, 4: 128 bits at the least."""

SLACK_STEPS: Final = 1
"""So many steps a clock may be off (RFC 6238, 5.2)."""

_MAX_KEY_BYTES: Final = 128
_QUANTUM: Final = 8  # characters of base32 that go together


def read_key(text: str) -> bytes:
    """Return the key that ``text`` holds in base32 (RFC 4648, 6), as apps write it: blanks and cases do not matter.

    Raises:
        ValueError: it does not, or the key is too short or too long; the message tells nothing of it.
    """
    plain = "".join(text.split()).replace("-", "").rstrip("=").upper()
    try:
        key = base64.b32decode(plain + "=" * (-len(plain) % _QUANTUM))
    except (binascii.Error, ValueError):
        raise ValueError("it is not base32, which is made of A to Z and 2 to 7") from None
    if not MIN_KEY_BYTES <= len(key) <= _MAX_KEY_BYTES:
        raise ValueError(
            f"it has {len(key)} bytes; a key has {MIN_KEY_BYTES} to {_MAX_KEY_BYTES} of them, "
            f"so at least {MIN_KEY_BYTES * 8 // 5 + 1} characters of base32"
        )
    return key


def key_uri(key: str, *, account: str, issuer: str) -> str:
    """Return what an app takes, as a link or a QR code, to show the codes of ``key``, which is in base32.

    The form is that of Google Authenticator's Key URI Format; what is the default there is told all the same.
    """
    label = quote(f"{issuer}:{account}", safe="")
    said = {
        "secret": key,
        "issuer": issuer,
        "algorithm": "SHA1",
        "digits": DIGITS,
        "period": STEP_S,
    }
    return f"otpauth://totp/{label}?{urlencode(said, quote_via=quote)}"


def code_at(key: bytes, step: int) -> str:
    """Return the code of the time step ``step`` (RFC 4226, 5.3, with SHA-1, as apps have it)."""
    digest = hmac.digest(key, struct.pack(">Q", step), "sha1")
    at = digest[-1] & 0x0F
    (number,) = struct.unpack_from(">I", digest, at)
    return str((number & 0x7FFFFFFF) % 10**DIGITS).zfill(DIGITS)


def step_at(now_s: float) -> int:
    """Return the time step of ``now_s``, in seconds since 1970."""
    return int(now_s) // STEP_S


def step_of(key: bytes, code: str, now_s: float) -> int | None:
    """Return the time step, around ``now_s`` in seconds since 1970, whose code is ``code``; None where it is none's.

    A clock may be one step off. It takes as long for every code.
    """
    plain = "".join(code.split()).encode("utf-8", "replace")
    now = step_at(now_s)
    found = None
    for step in range(max(0, now - SLACK_STEPS), now + SLACK_STEPS + 1):
        if hmac.compare_digest(code_at(key, step).encode(), plain):
            found = step
    return found
