"""Log in by an issuer that vouches for operators: to it, and back with its word (OpenID Connect).

What belongs to one login (state, nonce, verifier, where to go on) is in a cookie of the browser that began it: a word
that was meant for another browser, or an answer that is played again, opens nothing.
"""

import base64
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mftgit.adapters.http_server.doors import Door, Pool, Request, Response
from mftgit.adapters.openid import make_verifier
from mftgit.controller.operators.vouching import Vouching
from mftgit.controller.web.doors import GoTo
from mftgit.controller.web.serve import go_to, parsed
from mftgit.controller.web.sessions import host_cookie
from mftgit.errors import TransientError
from mftgit.model.access import Access, Principal
from mftgit.model.issuer import CALLBACK, NotVouchedError
from mftgit.model.printable import printable
from mftgit.model.web_guard import own_path, read_cookie

BEGIN: Final = "/login/issuer"
_COOKIE: Final = "__Host-mftgit-issuer"
_LASTS_S: Final = 600
_MAX_CODE: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begun:
    """A login that has begun."""

    state: str
    nonce: str
    verifier: str
    to: str

    def cookie(self) -> str:
        """Return it as the cookie holds it."""
        to = base64.urlsafe_b64encode(self.to.encode()).decode().rstrip("=")
        return f"{self.state}.{self.nonce}.{self.verifier}.{to}"


class IssuerLogin:
    """The way to the issuer and back."""

    def __init__(
        self,
        vouching: Vouching,
        *,
        let_in: Callable[[Request, Principal, str], Response],
        refuse: Callable[[Request, str], Response],
        worded: Callable[[Request, Response], Response],
    ) -> None:
        """Give who is vouched for to ``let_in``, with where to go on; ``refuse`` shows why somebody is not."""
        self._vouching = vouching
        self._let_in, self._refuse, self._worded = let_in, refuse, worded

    def doors(self) -> list[Door]:
        """Return the doors to the issuer and back from it, which are anyone's."""
        return [
            Door(
                method="GET",
                path=path,
                access=Access.ANYONE,
                handle=handle,
                refuse=self._worded,
                pool=Pool.PEOPLE,
            )
            for path, handle in ((BEGIN, self._begin), (CALLBACK, self._come_back))
        ]

    def _begin(self, request: Request) -> Response:
        to = own_path(_first(parsed(request.query), "to") or "/")
        state, nonce, verifier = make_verifier(), make_verifier(), make_verifier()
        begun = _Begun(state=state, nonce=nonce, verifier=verifier, to=to[:1024])
        try:
            there = self._vouching.where_to_go(state=state, nonce=nonce, verifier=verifier)
        except (NotVouchedError, TransientError) as error:
            return self._refuse(request, printable(str(error)))
        cookie = host_cookie(_COOKIE, begun.cookie(), lasts_s=_LASTS_S)
        return go_to(GoTo(path=there, headers={"Set-Cookie": cookie}))

    def _come_back(self, request: Request) -> Response:
        asked, begun = parsed(request.query), _begun(request)
        if begun is None or not hmac.compare_digest(
            _first(asked, "state").encode(errors="replace"), begun.state.encode()
        ):
            return self._refuse(request, "this login was begun in another browser, or long ago")
        if error := _first(asked, "error"):
            return self._refuse(request, f"the issuer says {printable(error[:100])}")
        try:
            self._check_sender(_first(asked, "iss"))
            code = _first(asked, "code")[:_MAX_CODE]
            who = self._vouching.operator(code, nonce=begun.nonce, verifier=begun.verifier)
        except (NotVouchedError, TransientError) as error:
            return self._refuse(request, printable(str(error)))
        return self._let_in(request, who, begun.to)

    def _check_sender(self, told: str) -> None:
        """Refuse the answer of another issuer (RFC 9207); one that does not say whose it is was asked here."""
        issuer = self._vouching.issuer()
        if told and (issuer is None or told != issuer.url):
            raise NotVouchedError("this is the answer of another issuer")


def _begun(request: Request) -> _Begun | None:
    parts = (read_cookie(request.headers.get("cookie", ""), _COOKIE) or "").split(".")
    if len(parts) != 4:  # noqa: PLR2004
        return None
    state, nonce, verifier, to = parts
    try:
        path = base64.urlsafe_b64decode(to + "=" * (-len(to) % 4)).decode()
    except ValueError:
        return None
    return _Begun(state=state, nonce=nonce, verifier=verifier, to=own_path(path))


def _first(asked: dict[str, list[str]], name: str) -> str:
    return next(iter(asked.get(name, ())), "")
