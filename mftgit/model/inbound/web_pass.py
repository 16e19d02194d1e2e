"""What a browser shows to be logged in: made and checked by a key that all members have, so none has to remember it."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from mftgit.model.inbound.account import Factor
from mftgit.model.inbound.serving import Served
from mftgit.model.names import AccountName, is_name

MAX_PASS_BYTES: Final = 512
_VERSION: Final = "1"
_PURPOSE: Final = b"mftgit web pass"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """``account`` has logged in by ``factors``; it holds before ``until_s``, seconds since 1970."""

    account: AccountName
    factors: frozenset[Factor]
    until_s: int


def key_of(certificate: str) -> bytes:
    """Return the key of passes that belongs to a server's ``certificate`` with its private key, PEM."""
    return hmac.digest(certificate.encode(), _PURPOSE, hashlib.sha256)


def format_pass(shown: Pass, served: Served, key: bytes) -> str:
    """Return ``shown`` as a cookie holds it; it ends to hold where what ``served`` logs in with is changed."""
    factors = "+".join(sorted(each.value for each in shown.factors))
    text = f"{_VERSION}.{shown.account}.{factors}.{shown.until_s}"
    return f"{text}.{_mark(text, served, key)}"


def account_of(text: str) -> AccountName | None:
    """Return whose pass ``text`` would be; it is not checked."""
    parts = text.split(".")
    return AccountName(parts[1]) if len(parts) > 1 and is_name(parts[1]) else None


def read_pass(text: str, served: Served, key: bytes, now_s: float) -> Pass | None:
    """Return the pass that ``text`` is; None where it is none of ``served``, or not any more."""
    said, _, mark = text.rpartition(".")
    if len(text) > MAX_PASS_BYTES or not text.isascii():
        return None
    if not hmac.compare_digest(mark, _mark(said, served, key)):
        return None
    _, account, factors, until_s = said.split(".")
    if now_s >= int(until_s):
        return None
    proved = frozenset(map(Factor, factors.split("+")))
    return Pass(account=AccountName(account), factors=proved, until_s=int(until_s))


def _mark(text: str, served: Served, key: bytes) -> str:
    login = served.account.login
    secrets = [each.reveal() for each in (served.password, served.totp) if each is not None]
    require = sorted("+".join(sorted(each.value for each in factors)) for factors in login.require)
    bound = "\0".join((text, served.account.name, *require, *secrets))
    return hmac.new(key, bound.encode(), hashlib.sha256).hexdigest()
