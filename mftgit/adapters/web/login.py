"""Who is at the other end of a connection of HTTPS: by name and password, with each request, or by a browser's pass."""

import base64
import binascii
import hashlib
import hmac
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Final, Protocol
from urllib.parse import parse_qs

from mftgit.adapters.clock import Clock
from mftgit.adapters.ssh_server.reception import Answer, Doorkeeper, Question, Reception, Verdict
from mftgit.adapters.web.files import page, said
from mftgit.adapters.web.page import OWN, render_login
from mftgit.adapters.web.wire import Asked, Told
from mftgit.model.inbound.account import Factor
from mftgit.model.inbound.login_steps import Flaw
from mftgit.model.inbound.serving import Served
from mftgit.model.inbound.web_pass import Pass, account_of, format_pass, key_of, read_pass
from mftgit.model.names import AccountName
from mftgit.model.printable import printable

COOKIE: Final = "__Host-mftgit"
CODE: Final = "one-time-code"
"""The header in which a program that logs in with each connection gives a one-time code."""

PAGE: Final = "mftgit-page"
"""The header that our own page sends and no page of another site can: so none changes files by a browser's pass."""

_FROM: Final = "sec-fetch-site"
_OWN_SITE: Final = frozenset({"same-origin", "none"})
"""What browsers say of a request that no other site had them send (Fetch Metadata); other clients say nothing."""

_MAX_FORM_BYTES: Final = 8 << 10
_MAX_FIELDS: Final = 10
_MAX_NAME: Final = 64
_MAX_CLIENT: Final = 60  # characters
_CHANGING: Final = frozenset({"PUT", "DELETE", "MKCOL"})

Body = Callable[[], Iterator[bytes]]


class WebDoorkeeper(Doorkeeper, Protocol):
    """Decides who comes in, once; see `Doorkeeper`."""

    def vouched(self, account: AccountName, factors: frozenset[Factor]) -> Answer:
        """Decide on somebody who has proved ``factors`` before, as a pass says."""


class Passes:
    """Makes and checks the passes of the accounts of one configuration, by the server's certificate."""

    def __init__(
        self, certificate: str, accounts: Mapping[AccountName, Served], *, lasts_s: float
    ) -> None:
        self._key = key_of(certificate)
        self._accounts = accounts
        self.lasts_s = lasts_s

    def make(self, account: AccountName, factors: frozenset[Factor], now_s: float) -> str:
        """Return a pass of ``account``."""
        shown = Pass(account=account, factors=factors, until_s=int(now_s + self.lasts_s))
        return format_pass(shown, self._accounts[account], self._key)

    def read(self, text: str, now_s: float) -> Pass | None:
        """Return the pass that ``text`` is, None where it is none or holds no more."""
        name = account_of(text)
        served = None if name is None else self._accounts.get(name)
        return None if served is None else read_pass(text, served, self._key, now_s)


class _RefusedError(Exception):
    """The request is answered with this."""

    def __init__(self, told: Told) -> None:
        super().__init__(str(told.status))
        self.told = told


class Entrance:
    """The entrance of one connection, which one account alone may use: `require` is asked with each request."""

    def __init__(
        self,
        doorkeeper: Callable[[], WebDoorkeeper],
        passes: Passes,
        reception: Reception,
        clock: Clock,
        *,
        attempts: int,
    ) -> None:
        """``doorkeeper`` makes one for each try; after ``attempts`` that were refused the connection ends."""
        self._attempts_left = attempts
        self._doorkeeper = doorkeeper
        self._passes = passes
        self._reception = reception
        self._clock = clock
        self._shown: bytes | None = None  # the digest of the name and password that were good
        self._pause = threading.Event()
        self.account: AccountName | None = None

    def require(self, asked: Asked, body: Body) -> Told | None:
        """Return None where the request may go on to the account's files; otherwise its answer."""
        path = asked.target.partition("?")[0]
        try:
            if path.startswith(OWN):
                return self._own(path.removeprefix(OWN), asked, body)
            self._prove(asked)
        except _RefusedError as refused:
            return refused.told
        return None

    def _prove(self, asked: Asked) -> None:
        authorization = asked.headers.get("authorization")
        cookie = _cookie(asked.headers.get("cookie", ""))
        if authorization is not None:
            self._by_password(authorization, asked)
        elif cookie is not None:
            self._by_pass(cookie, asked)
        else:
            raise _unknown(asked)

    def _by_password(self, authorization: str, asked: Asked) -> None:
        shown = hashlib.sha256(authorization.encode("latin-1")).digest()
        if self._shown is not None and hmac.compare_digest(shown, self._shown):
            return
        name, password = _basic(authorization)
        self._require_owner(name)
        doorkeeper = self._doorkeeper()
        answer = _try(doorkeeper, name, password, asked.headers.get(CODE))
        self._require_in(answer, name, lambda: _unknown(asked))
        self._enter(doorkeeper.account, doorkeeper.passed, asked)
        self._shown = shown

    def _by_pass(self, cookie: str, asked: Asked) -> None:
        shown = self._passes.read(cookie, self._clock.now().timestamp())
        if shown is None:
            raise _unknown(asked)
        if asked.method in _CHANGING and PAGE not in asked.headers:
            raise _RefusedError(said(HTTPStatus.FORBIDDEN, f"a browser has to send {PAGE}"))
        if self.account == shown.account:
            return
        answer = self._doorkeeper().vouched(shown.account, shown.factors)
        if answer.verdict is not Verdict.IN:
            raise _unknown(asked)
        self._enter(shown.account, shown.factors, asked)

    def _own(self, what: str, asked: Asked, body: Body) -> Told:
        if asked.method != "POST" or what not in {"login", "logout"}:
            return said(HTTPStatus.NOT_FOUND, "there is no such page")
        if asked.headers.get(_FROM, "none") not in _OWN_SITE:
            return said(HTTPStatus.FORBIDDEN, "this was sent by the page of another site")
        if what == "logout":
            return _sent_on("/", _set_cookie("", lasts_s=0))
        form = _form(body)
        path = _safe(form.get("path", "/"))
        name, doorkeeper = form.get("name", ""), self._doorkeeper()
        self._require_owner(name)
        answer = _try(doorkeeper, name, form.get("password", ""), form.get("code"))
        self._require_in(answer, name, lambda: _RefusedError(_login(path, refused=True)))
        account = self._enter(doorkeeper.account, doorkeeper.passed, asked)
        shown = self._passes.make(account, doorkeeper.passed, self._clock.now().timestamp())
        return _sent_on(path, _set_cookie(shown, lasts_s=self._passes.lasts_s))

    def _require_in(self, answer: Answer, name: str, refusal: Callable[[], _RefusedError]) -> None:
        """Take a failure down, and answer it after the time that it costs."""
        if answer.verdict is Verdict.IN:
            return
        delay_s = self._reception.failed(name, answer.flaw or Flaw.UNFIT)
        if delay_s is None:
            raise _RefusedError(
                replace(said(HTTPStatus.TOO_MANY_REQUESTS, "too many tries"), ends=True)
            )
        self._pause.wait(delay_s)
        refused = refusal()
        self._attempts_left -= 1
        if self._attempts_left <= 0:
            refused.told = replace(refused.told, ends=True)
        raise refused

    def _enter(
        self, account: AccountName | None, factors: frozenset[Factor], asked: Asked
    ) -> AccountName:
        """Have the connection be that of ``account``, which has proved itself."""
        if account is None:
            raise _unknown(asked)
        if self.account is None:
            client = printable(asked.headers.get("user-agent", ""))[:_MAX_CLIENT]
            if not self._reception.logged_in(account, factors, client):
                text = "this account has too many connections"
                raise _RefusedError(replace(said(HTTPStatus.SERVICE_UNAVAILABLE, text), ends=True))
            self.account = account
        self._require_owner(account)
        return account

    def _require_owner(self, account: str) -> None:
        """Refuse another account than the one whose connection it is, without a look at its password.

        A proxy mixes clients: RFC 9110, 15.5.20 has it try another connection.
        """
        if self.account not in {None, account}:
            text = "this connection is somebody else's"
            raise _RefusedError(replace(said(HTTPStatus.MISDIRECTED_REQUEST, text), ends=True))


def _try(doorkeeper: WebDoorkeeper, name: str, password: str, code: str | None) -> Answer:
    """Return what comes of a name, a password, and a one-time code where one is asked for."""
    if not name or len(name) > _MAX_NAME:
        return Answer(verdict=Verdict.REFUSED, flaw=Flaw.UNKNOWN)
    answer = doorkeeper.password(name, password)
    if answer.verdict is not Verdict.FURTHER:
        return answer
    asked = doorkeeper.converse(name)
    if isinstance(asked, Question):
        asked = doorkeeper.answered(name, (code or "").strip())
    return asked if isinstance(asked, Answer) else Answer(verdict=Verdict.REFUSED, flaw=Flaw.UNFIT)


def _basic(authorization: str) -> tuple[str, str]:
    """Return name and password (RFC 7617)."""
    scheme, _, value = authorization.partition(" ")
    try:
        text = base64.b64decode(value.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        text = ""
    if scheme.lower() != "basic" or ":" not in text:
        raise _RefusedError(said(HTTPStatus.BAD_REQUEST, "Authorization is not Basic"))
    name, _, password = text.partition(":")
    return name, password


def _form(body: Body) -> Mapping[str, str]:
    content = b""
    for piece in body():
        content += piece
        if len(content) > _MAX_FORM_BYTES:
            told = said(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the form is too large")
            raise _RefusedError(replace(told, ends=True))
    try:
        found = parse_qs(
            content.decode("utf-8", "replace"), max_num_fields=_MAX_FIELDS, errors="replace"
        )
    except ValueError:
        told = said(HTTPStatus.BAD_REQUEST, f"the form has more than {_MAX_FIELDS} fields")
        raise _RefusedError(told) from None
    return {name: values[0] for name, values in found.items()}


def _cookie(header: str) -> str | None:
    pairs = (each.strip().partition("=") for each in header.split(";"))
    return next((value for name, _, value in pairs if name == COOKIE and value), None)


def _set_cookie(value: str, *, lasts_s: float) -> str:
    return f"{COOKIE}={value}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={int(lasts_s)}"


def _sent_on(path: str, cookie: str) -> Told:
    return said(HTTPStatus.SEE_OTHER, "go on", {"Location": path, "Set-Cookie": cookie})


def _safe(path: str) -> str:
    """Return ``path`` where it leads to a folder of this server, and otherwise the home."""
    printable = path.isascii() and path.isprintable()
    good = printable and path.startswith("/") and not path.startswith(("//", "/\\", OWN))
    return path if good else "/"


def _login(path: str, *, refused: bool) -> Told:
    return page(HTTPStatus.UNAUTHORIZED, render_login(refused=refused, path=path))


def _unknown(asked: Asked) -> _RefusedError:
    """Return what somebody is told who has to log in: a browser by a page, others by RFC 7617."""
    target = asked.target.partition("?")[0]
    if "text/html" in asked.headers.get("accept", ""):
        return _RefusedError(_login(_safe(target), refused=False))
    headers = {} if PAGE in asked.headers else {"WWW-Authenticate": _CHALLENGE}
    text = "log in with name and password"
    return _RefusedError(said(HTTPStatus.UNAUTHORIZED, text, headers))


_CHALLENGE: Final = 'Basic realm="mftgit", charset="UTF-8"'
