"""Log in and out in a browser. Whoever logs in gets a new session under a new secret, whatever cookie was shown."""

from typing import Final
from urllib.parse import urlencode, urlsplit

from mftgit.adapters.events.store import EventStore
from mftgit.adapters.http_server.doors import (
    Door,
    NotAuthenticatedError,
    NotServedError,
    Pool,
    Request,
    Response,
    TooManyTriesError,
)
from mftgit.adapters.registry.web_sessions import make_session_secret
from mftgit.controller.operators.vouching import Vouching
from mftgit.controller.web.doors import GoTo, Page
from mftgit.controller.web.issuer_login import BEGIN, IssuerLogin
from mftgit.controller.web.layout import Layout
from mftgit.controller.web.parts import LogIn
from mftgit.controller.web.serve import error_of, go_to, page_response, parsed, read_form
from mftgit.controller.web.sessions import Sessions, host_cookie, session_cookie
from mftgit.model.access import Access, Principal
from mftgit.model.events.event import EventName, Fact
from mftgit.model.web_guard import is_form_token, own_path, read_cookie, why_foreign

_FORM_COOKIE: Final = "__Host-mftgit-login"
_FORM_S: Final = 3600
_MAX_BODY_BYTES: Final = 8 << 10
_STRANGER_S: Final = 10.0


class Login:
    """The page where to log in, and what its form does."""

    def __init__(
        self,
        layout: Layout,
        sessions: Sessions,
        log_in: LogIn,
        events: EventStore,
        vouching: Vouching,
    ) -> None:
        """Let in whom ``log_in`` recognises or an issuer vouches for, and tell of it in ``events``."""
        self._events = events
        self._vouching = vouching
        self._layout = layout
        self._sessions = sessions
        self._log_in = log_in

    def doors(self) -> list[Door]:
        """Return the doors to the page and for its form, which are anyone's."""
        return [
            Door(
                method="GET",
                path="/login",
                access=Access.ANYONE,
                handle=self._page,
                refuse=self._refuse,
                pool=Pool.PEOPLE,
            ),
            Door(
                method="POST",
                path="/login",
                access=Access.ANYONE,
                handle=self._enter,
                refuse=self._refuse,
                pool=Pool.LOGIN,
                max_body_bytes=_MAX_BODY_BYTES,
                max_body_s=_STRANGER_S,
            ),
            *IssuerLogin(
                self._vouching,
                let_in=lambda request, who, to: self._let_in(request, who, to, by_issuer=True),
                refuse=lambda request, why: self._shown(
                    request, to="/", refused=f"You were not let in: {why}.", status=403
                ),
                worded=self._refuse,
            ).doors(),
        ]

    def _page(self, request: Request) -> Response:
        to = own_path(next(iter(parsed(request.query).get("to", ())), "/"))
        return self._shown(request, to=to)

    def _enter(self, request: Request) -> Response:
        fields = read_form(request)
        name, password, code, to, token = (
            next(iter(fields.get(each, ())), "")
            for each in ("name", "password", "code", "to", "form_token")
        )
        to = own_path(to)
        foreign = why_foreign(request.headers, needs_proof=True)
        if foreign is not None:
            raise NotServedError(403, f"this form is not from one of our own pages: {foreign}")
        if not is_form_token(token, _form_secret(request) or make_session_secret()):
            again = "the page had been open for too long: log in again"
            return self._shown(request, to=to, refused=again, name=name)
        try:
            who = self._log_in(name, password, code, request.client)
        except TooManyTriesError as error:
            return self._shown(request, to=to, refused=str(error), name=name, status=429)
        except NotAuthenticatedError:
            refused = (
                "You were not let in. Check the name and the password, and give a one-time code "
                "if you have set that up."
            )
            return self._shown(request, to=to, refused=refused, name=name, status=403)
        return self._let_in(request, who, to)

    def _let_in(
        self, request: Request, who: Principal, to: str, *, by_issuer: bool = False
    ) -> Response:
        agent = request.headers.get("user-agent", "")
        opened = self._sessions.open(who, client=request.client, agent=agent, by_issuer=by_issuer)
        facts: dict[str, Fact] = {
            "operator": who.name,
            "role": who.role.value,
            "client": request.client,
            "by_issuer": by_issuer,
        }
        self._events.append(EventName.OPERATOR_LOGGED_IN, facts=facts)
        return go_to(GoTo(path=to, headers={"Set-Cookie": session_cookie(opened.secret)}))

    def _shown(
        self, request: Request, *, to: str, refused: str = "", name: str = "", status: int = 200
    ) -> Response:
        secret = _form_secret(request) or make_session_secret()
        issuer = self._vouching.issuer()
        values = {
            "to": to,
            "refused": refused,
            "name": name[:64],
            "issuer": None if issuer is None else urlsplit(issuer.url).hostname,
            "by_issuer": f"{BEGIN}?{urlencode({'to': to})}",
        }
        page = Page(template="login.html", title="Log in", values=values)
        body = self._layout.render(page, None, secret, path=request.path)
        cookie = host_cookie(_FORM_COOKIE, secret, lasts_s=_FORM_S)
        return page_response(body, status=status, headers={"Set-Cookie": cookie})

    def _refuse(self, request: Request, answer: Response) -> Response:
        page = self._layout.refusal(answer.status, error_of(answer))
        return page_response(
            self._layout.render(page, None, None, path=request.path), status=answer.status
        )


def _form_secret(request: Request) -> str | None:
    return read_cookie(request.headers.get("cookie", ""), _FORM_COOKIE)
