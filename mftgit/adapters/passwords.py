"""Passwords of operators and accounts, kept only as argon2id hashes (RFC 9106), and what else is made by chance."""

import base64
import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict

import argon2

_HASHER = argon2.PasswordHasher()  # the library's defaults: RFC 9106, low-memory recommendation
_REMEMBERED = 256

MAX_PASSWORD_BYTES = 1024


def make_password() -> str:
    """Return a new password of 160 random bits, fit for a shell and for a URL."""
    return secrets.token_urlsafe(20)


def make_code_key() -> str:
    """Return a new key of one-time codes, of 160 random bits (RFC 4226, 4), in base32."""
    return base64.b32encode(secrets.token_bytes(20)).decode()


def hash_password(password: str) -> str:
    """Return the argon2id hash of ``password`` in its encoded form."""
    return _HASHER.hash(password)


class PasswordChecker:
    """Checks passwords; remembers the last good ones, because git logs in anew for every request.

    Only a keyed digest is remembered, under a key that lives as long as this object.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._good: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()
        self._decoy = _make_decoy()

    def remembers(self, password: str, encoded: str | None) -> bool:
        """Tell whether this password was good for ``encoded`` a short while ago; that costs next to nothing."""
        if encoded is None or len(password.encode()) > MAX_PASSWORD_BYTES:
            return False
        with self._lock:
            return self._mark(password, encoded) in self._good

    def check(self, password: str, encoded: str | None) -> bool:
        """Tell whether ``password`` is the one of ``encoded``; an unknown name (None) takes as long."""
        if len(password.encode()) > MAX_PASSWORD_BYTES:
            return False
        target = self._decoy if encoded is None else encoded
        try:
            _HASHER.verify(target, password)
        except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
            return False
        if encoded is None:
            return False
        with self._lock:
            self._good[self._mark(password, target)] = None
            while len(self._good) > _REMEMBERED:
                self._good.popitem(last=False)
        return True

    def _mark(self, password: str, encoded: str) -> bytes:
        return hmac.digest(self._key, f"{encoded}\0{password}".encode(), hashlib.sha256)


def _make_decoy() -> str:
    """Return what no password fits and takes as long to try as a hash; to make it takes no time."""
    costs = f"m={_HASHER.memory_cost},t={_HASHER.time_cost},p={_HASHER.parallelism}"
    salt, digest = (
        base64.b64encode(secrets.token_bytes(size)).rstrip(b"=").decode()
        for size in (_HASHER.salt_len, _HASHER.hash_len)
    )
    return f"$argon2id$v={argon2.low_level.ARGON2_VERSION}${costs}${salt}${digest}"
