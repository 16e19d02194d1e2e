"""Who vouches for operators besides the controller itself: set on its machine, asked when somebody logs in."""

import hashlib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mftgit.adapters.age import Identity, encrypt
from mftgit.adapters.clock import Clock
from mftgit.adapters.openid import IssuerAwayError, OpenId
from mftgit.adapters.registry.issuer import IssuerRecord, KeptIssuer
from mftgit.adapters.registry.registry import Registry
from mftgit.model.access import Principal
from mftgit.model.issuer import Issuer, NotVouchedError, format_issuer, operator_of, parse_issuer

_AT_A_TIME = 3


class Vouching:
    """The issuer, as it is set just now; usable from many threads."""

    def __init__(
        self, record: IssuerRecord, registry: Registry, age_key: Path, *, clock: Clock
    ) -> None:
        """Read the issuer from ``record`` anew each time; our password there is sealed by ``age_key``."""
        self._record = record
        self._registry = registry
        self._age_key = age_key
        self._clock = clock
        self._room = threading.BoundedSemaphore(_AT_A_TIME)
        self._lock = threading.Lock()
        self._open: tuple[KeptIssuer, OpenId] | None = None

    def set(self, issuer: Issuer, secret: str) -> None:
        """Let ``issuer`` vouch, where our password is ``secret``; raises ConfigError."""
        own = Identity(self._age_key).recipients[0]
        sealed = encrypt(secret.encode(), [own])
        self._record.set(KeptIssuer(settings=format_issuer(issuer), sealed=sealed))

    def remove(self) -> bool:
        """Let nobody vouch any more; tell whether that is news."""
        return self._record.remove()

    def issuer(self) -> Issuer | None:
        """Return who vouches just now."""
        kept = self._record.get()
        return None if kept is None else parse_issuer(kept.settings)

    def mark(self) -> str | None:
        """Return what changes with the issuer and its settings; sessions are bound to it."""
        kept = self._record.get()
        if kept is None:
            return None
        return hashlib.sha256(f"{kept.settings}\0{kept.sealed}".encode()).hexdigest()

    def where_to_go(self, *, state: str, nonce: str, verifier: str) -> str:
        """Return the URL where a browser is vouched for.

        Raises:
            NotVouchedError: nobody vouches here.
            IssuerAwayError: the issuer does not answer, or is asked by too many just now.
        """
        with self._asking() as openid:
            return openid.where_to_go(state=state, nonce=nonce, verifier=verifier)

    def operator(self, code: str, *, nonce: str, verifier: str) -> Principal:
        """Return for whom the issuer vouches who came back with ``code``.

        Raises:
            NotVouchedError: for nobody who may come in.
            IssuerAwayError: the issuer does not answer, or is asked by too many just now.
        """
        issuer = self._there(self.issuer())
        with self._asking() as openid:
            claims: Mapping[str, Any] = openid.claims(code, verifier=verifier)
        who = operator_of(issuer, claims, nonce=nonce)
        if self._registry.credential(who.name) is not None:
            raise NotVouchedError(
                f"there is an operator {who.name} here with a password, who is somebody else to us"
            )
        return who

    def close(self) -> None:
        """Let go of connections and records."""
        if self._open is not None:
            self._open[1].close()
        self._record.close()

    def _there(self, issuer: Issuer | None) -> Issuer:
        if issuer is None:
            raise NotVouchedError("nobody vouches for operators here")
        return issuer

    def _asking(self) -> "_Asking":
        return _Asking(self._room, self._openid())

    def _openid(self) -> OpenId:
        kept = self._record.get()
        issuer = self._there(None if kept is None else parse_issuer(kept.settings))
        with self._lock:
            if kept is not None and (self._open is None or self._open[0] != kept):
                if self._open is not None:
                    self._open[1].close()
                secret = Identity(self._age_key).decrypt(kept.sealed).decode()
                self._open = (kept, OpenId(issuer, secret, clock=self._clock))
            if self._open is None:
                raise NotVouchedError("nobody vouches for operators here")
            return self._open[1]


class _Asking:
    """Lets only so many ask the issuer at a time: it may be slow, and strangers make us ask."""

    def __init__(self, room: threading.BoundedSemaphore, openid: OpenId) -> None:
        self._room, self._openid = room, openid

    def __enter__(self) -> OpenId:
        if not self._room.acquire(blocking=False):
            raise IssuerAwayError("the issuer is asked by too many just now: try again")
        return self._openid

    def __exit__(self, *_: object) -> None:
        self._room.release()
