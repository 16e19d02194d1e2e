"""Serve the resources: from their doors to those of the HTTP server, with what holds for all of them.

Whoever comes by the cookie of a session and changes something shows that the request is from our own pages: by what the
browser says of whence it comes, and by the token in the form. No page is kept by a browser or shown in a frame, and it
runs and shows only what this controller serves.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

from mftgit.adapters.http_server.doors import (
    EVENT_STREAM,
    Door,
    NotServedError,
    Pool,
    Request,
    Response,
)
from mftgit.controller.operators.codes import Codes
from mftgit.controller.web.doors import (
    AnyDoor,
    ApiDoor,
    Asked,
    FormDoor,
    GoTo,
    Page,
    PageDoor,
    StreamDoor,
    Topic,
    json_response,
)
from mftgit.controller.web.layout import Layout
from mftgit.controller.web.sessions import COOKIE, Sessions
from mftgit.model.access import Access, OperatorRole, Principal
from mftgit.model.documents.json_fit import JsonFit
from mftgit.model.web_guard import is_form_token, read_cookie, why_foreign

GUARDED: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=31536000",
}
"""On every answer. A browser minds the last one only where it trusts the certificate (RFC 6797, 8.1)."""

_KEPT_NOWHERE: Final = {"Cache-Control": "no-store"}
_MAX_FIELDS = 1000
_MOST_SAID = 1000
_TOKEN_FIELD = "form_token"  # noqa: S105  the name of a field
_TOKEN_HEADER = "x-form-token"  # noqa: S105  the name of a header
_LIVE_HEADER = "x-live"
_SAFE = {"GET", "HEAD"}


class Serving:
    """Makes doors of the HTTP server from those of the resources."""

    def __init__(self, layout: Layout, sessions: Sessions, codes: Codes) -> None:
        self._codes = codes
        self._layout = layout
        self._sessions = sessions
        self._said: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def doors(self, resources: Sequence[AnyDoor]) -> list[Door]:
        """Return the doors for ``resources``; topics have none of their own."""
        made = []
        for each in resources:
            match each:
                case ApiDoor():
                    made.append(self._api(each))
                case StreamDoor():
                    made.append(self._stream(each))
                case PageDoor():
                    made.append(self._page(each))
                case FormDoor():
                    made.append(self._form(each))
                case Topic():
                    pass
        return made

    def nowhere(self) -> Door:
        """Return the door to where nothing is, which comes after all others: a browser is shown a page."""

        def handle(_request: Request) -> Response:
            raise NotServedError(404, "there is no such page")

        def refuse(request: Request, answer: Response) -> Response:
            is_page = "text/html" in request.headers.get("accept", "")
            return self._refuse_page(request, answer) if is_page else refuse_call(request, answer)

        return Door(
            method="GET",
            path="/{path:path}",
            access=Access.ANYONE,
            handle=handle,
            by_cookie=True,
            refuse=refuse,
            pool=Pool.PEOPLE,
        )

    # The API

    def _api(self, door: ApiDoor) -> Door:
        fit = None if door.body is None else JsonFit(door.body)

        def handle(request: Request) -> Response:
            self._check_origin(request)
            self._check_codes(request)
            asked = self._asked(request, body=None if fit is None else _json_body(request, fit))
            return _guarded(_answered(door.handle(asked)))

        return Door(
            method=door.method,
            path=door.path,
            access=Access.OPERATORS,
            role=door.role,
            handle=handle,
            by_cookie=True,
            refuse=refuse_call,
            max_body_bytes=0 if door.body is None else door.max_body_bytes,
            pool=door.pool,
        )

    def _stream(self, door: StreamDoor) -> Door:
        kind = {"Content-Type": door.media_type}

        def stream(request: Request) -> AsyncIterator[bytes]:
            self._check_codes(request)
            return door.stream(self._asked(request, is_use=False))

        return Door(
            method=door.method,
            path=door.path,
            access=Access.OPERATORS,
            role=door.role,
            stream=stream,
            stream_headers={**GUARDED, **_KEPT_NOWHERE, **EVENT_STREAM, **kind, **door.headers},
            by_cookie=True,
            refuse=refuse_call,
        )

    # Pages and forms

    def _page(self, door: PageDoor) -> Door:
        def handle(request: Request) -> Response:
            self._check_session(request)
            if request.method in _SAFE:
                return self._shown(request, door.handle(self._asked(request)))
            return self._shown(
                request, door.handle(self._asked(request, form=self._fields(request)))
            )

        return self._door(door.method, door.path, door.role, handle, door)

    def _form(self, door: FormDoor) -> Door:
        def handle(request: Request) -> Response:
            self._check_session(request)
            asked = self._asked(request, form=self._fields(request))
            answer = door.call.handle(replace(asked, body=door.body(asked)))
            return self._shown(request, door.to(asked, answer))

        return self._door("POST", door.path, door.call.role, handle, door.call)

    def _door(
        self,
        method: str,
        path: str,
        role: OperatorRole,
        handle: Callable[[Request], Response],
        bounds: PageDoor | ApiDoor,
    ) -> Door:
        return Door(
            method=method,
            path=path,
            access=Access.OPERATORS,
            role=role,
            handle=handle,
            by_cookie=True,
            refuse=self._refuse_page,
            max_body_bytes=0 if method in _SAFE else max(bounds.max_body_bytes, _MAX_FIELDS),
            pool=bounds.pool,
        )

    def _shown(self, request: Request, found: Page | GoTo) -> Response:
        if isinstance(found, GoTo):
            self._say(request.session, found.said)
            return go_to(found)
        is_live = _LIVE_HEADER in request.headers
        said = "" if is_live else self._said_before(request.session)
        body = self._layout.render(
            found, request.principal, _secret(request), path=request.path, said=said
        )
        return page_response(body, status=found.status)

    def _say(self, session: str | None, said: str) -> None:
        """Keep what came of a form for the session's next page."""
        if session is not None and said:
            with self._lock:
                self._said[session] = said
                if len(self._said) > _MOST_SAID:
                    self._said.popitem(last=False)

    def _said_before(self, session: str | None) -> str:
        with self._lock:
            return self._said.pop(session or "", "")

    def _refuse_page(self, request: Request, answer: Response) -> Response:
        """Word a refusal for people; who is not logged in goes to where that is done."""
        if answer.status == 401:  # noqa: PLR2004
            there = f"{request.path}?{request.query}" if request.query else request.path
            back = there if request.method in _SAFE and there != "/" else ""
            return go_to(GoTo(path="/login" + (f"?{urlencode({'to': back})}" if back else "")))
        page = self._layout.refusal(answer.status, error_of(answer))
        secret = _secret(request) if request.session else None
        body = self._layout.render(page, request.principal, secret, path=request.path)
        kept = {name: answer.headers[name] for name in ("Retry-After",) if name in answer.headers}
        return page_response(body, status=answer.status, headers=kept)

    # What is asked

    def _asked(self, request: Request, *, is_use: bool = True, **rest: Any) -> Asked:
        if is_use and request.session is not None and _LIVE_HEADER not in request.headers:
            self._sessions.used(request.session)
        return Asked(
            who=_who(request),
            params=request.params,
            query=parsed(request.query),
            headers=request.headers,
            session=request.session,
            client=request.client,
            **rest,
        )

    def _check_session(self, request: Request) -> None:
        if request.session is None:
            raise NotServedError(401, "log in first")

    def _check_codes(self, request: Request) -> None:
        """Refuse a password alone where the operator has to show a code besides."""
        if request.session is None and self._codes.mark(_who(request).name) is not None:
            raise NotServedError(
                403,
                "you log in with one-time codes, which is done on the page: use an operator for programs here",
            )

    def _check_origin(self, request: Request) -> None:
        """Refuse a call that another site's page makes in the name of who looks at it."""
        if request.method in _SAFE:
            return
        by_cookie = request.session is not None
        foreign = why_foreign(request.headers, needs_proof=by_cookie)
        if foreign is not None:
            raise NotServedError(403, f"this request is not from one of our own pages: {foreign}")
        if by_cookie and not is_form_token(
            request.headers.get(_TOKEN_HEADER, ""), _secret(request)
        ):
            raise NotServedError(403, f"the header {_TOKEN_HEADER} is not the one of this session")

    def _fields(self, request: Request) -> Mapping[str, Sequence[str]]:
        """Return the fields of a form from one of our own pages."""
        foreign = why_foreign(request.headers, needs_proof=True)
        if foreign is not None:
            raise NotServedError(403, f"this form is not from one of our own pages: {foreign}")
        fields = read_form(request)
        if not is_form_token("".join(fields.get(_TOKEN_FIELD, ())), _secret(request)):
            raise NotServedError(403, "this form is of another session: load its page again")
        return fields


def read_form(request: Request) -> dict[str, list[str]]:
    """Return the fields of a form as browsers send them by default (application/x-www-form-urlencoded)."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise NotServedError(415, "a form is sent as application/x-www-form-urlencoded")
    return parsed(request.body.read().decode("ascii", "replace"))


def page_response(
    body: bytes, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a page with what guards it."""
    kind = {"Content-Type": "text/html; charset=utf-8"}
    return Response(
        status=status, headers={**GUARDED, **_KEPT_NOWHERE, **kind, **(headers or {})}, body=body
    )


def go_to(found: GoTo) -> Response:
    """Send the browser on, as after a form: it then asks with GET."""
    headers = {**GUARDED, **_KEPT_NOWHERE, "Location": found.path, **found.headers}
    return Response(status=303, headers=headers)


def _who(request: Request) -> Principal:
    if request.principal is None:
        raise NotServedError(401, "log in first")
    return request.principal


def _secret(request: Request) -> str:
    return read_cookie(request.headers.get("cookie", ""), COOKIE) or ""


def parsed(text: str) -> dict[str, list[str]]:
    """Return the fields of a form or of the query in a URL; raises NotServedError where there are too many."""
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise NotServedError(400, f"there are more than {_MAX_FIELDS} fields") from None


def _json_body(request: Request, fit: JsonFit) -> Any:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise NotServedError(415, "send JSON, with Content-Type: application/json")
    try:
        value = json.loads(request.body.read())
    except (ValueError, RecursionError) as error:
        raise NotServedError(400, f"the body is not JSON: {error}") from None
    if why_not := fit.why_not(value):
        raise NotServedError(400, why_not)
    return value


def _answered(value: Any) -> Response:
    return value if isinstance(value, Response) else json_response(value)


def _guarded(answer: Response) -> Response:
    return replace(answer, headers={**GUARDED, **_KEPT_NOWHERE, **answer.headers})


def refuse_call(request: Request, answer: Response) -> Response:
    """Guard a refusal. A browser's script is not asked for a password: the dialog would be the browser's own."""
    asks_page = "sec-fetch-site" in request.headers
    headers = {
        name: value
        for name, value in answer.headers.items()
        if not (asks_page and name == "WWW-Authenticate")
    }
    return _guarded(replace(answer, headers=headers))


def error_of(answer: Response) -> str:
    """Return what a refusal tells."""
    body = answer.body if isinstance(answer.body, bytes) else b"{}"
    return str(json.loads(body).get("error", ""))
