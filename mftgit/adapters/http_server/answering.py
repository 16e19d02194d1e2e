"""Answer the requests of one HTTP server: who asks, may they, the body, the door, the answer on its way (starlette).

A request's body is taken in whole, within its door's bound, before a thread is given to it, and an answer is sent from
a spooled file: a slow client holds a socket, never a thread.
"""

import asyncio
import contextlib
import json
import math
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from typing import IO, TypeVar

from loguru import logger
from starlette import requests, responses, routing
from starlette.types import ASGIApp, Receive, Scope, Send

from mftgit.adapters.http_server.doors import (
    Door,
    Doorkeeper,
    NotAuthenticatedError,
    NotServedError,
    Pool,
    Request,
    Response,
    TooManyTriesError,
)
from mftgit.adapters.sqlite import DatabaseError
from mftgit.errors import MftgitError, TransientError
from mftgit.model.access import Principal, admits

_MEMORY_BYTES = 1 << 20  # a body above this goes to disk
_SENT_WHOLE_BYTES = 1 << 15
_CHUNK_BYTES = 1 << 15
_WRONG = 400  # statuses from here on tell of a failure (RFC 9110, 15)

_T = TypeVar("_T")


class Answering:
    """The doors of one server, and the threads that answer behind them."""

    def __init__(self, doors: list[Door], doorkeeper: Doorkeeper) -> None:
        self._doorkeeper = doorkeeper
        self._pools = {pool: ThreadPoolExecutor(pool.value, f"http-{pool.name}") for pool in Pool}
        self.app = _routed(
            {(door.method, door.path): _Endpoint(door, self._answer) for door in doors}
        )

    def stop(self) -> None:
        """Take no more work; what has begun goes on."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)

    async def _answer(self, door: Door, request: requests.Request) -> "_Answered":
        try:
            shown = await self._admit(door, request)
        except _RefusedError as refused:
            return _Answered(response=_worded(door, request, refused.answer()))
        except Exception as error:  # noqa: BLE001  one bad request must not end the server
            return _Answered(response=_worded(door, request, _failed(request.scope["path"], error)))
        principal = shown.principal
        if door.stream is not None and principal is not None:
            asked = _asked(request, BytesIO(), shown)
            return _Answered(response=_streamed(door, asked, request, shown), principal=principal)
        try:
            with tempfile.SpooledTemporaryFile(_MEMORY_BYTES) as body:
                await _take_in(request, body, door)
                asked = _asked(request, body, shown)
                response = await self._open(door, asked)
                return _Answered(response=response, principal=principal)
        except _RefusedError as refused:
            answer = _worded(door, request, refused.answer(), shown)
            return _Answered(response=answer, principal=principal)
        except OSError as error:  # no room for the body
            answer = _worded(door, request, _failed(request.scope["path"], error), shown)
            return _Answered(response=answer, principal=principal)

    async def _open(self, door: Door, asked: Request) -> responses.Response:
        if door.at_once is not None and (found := _settled(door, door.at_once, asked)) is not None:
            return found
        handle = door.handle
        if handle is None:
            return _sent(_RefusedError(401, "log in first").answer())
        found = await self._in(door.pool, lambda: _settled(door, handle, asked))
        return found or responses.Response(status_code=204)

    async def _admit(self, door: Door, request: requests.Request) -> "_Shown":
        """Return who asks.

        Raises:
            _RefusedError: that is nobody who may.
        """
        shown = self._visitor(door, request) or _Shown(principal=await self._who(request))
        principal = shown.principal
        if admits(door.access, principal):
            if principal is not None and not principal.role.may(door.role):
                raise _RefusedError(403, f"{principal} may not: this is for {door.role.value}")
            return shown
        if principal is None:
            raise _RefusedError(401, "log in with name and password, or with a member's proof")
        raise _RefusedError(403, f"{principal} may not: this is for {door.access.value}")

    def _visitor(self, door: Door, request: requests.Request) -> "_Shown | None":
        """Return whose session's cookie is shown, where that counts and no other credential is."""
        cookies = request.headers.get("cookie")
        if not door.by_cookie or cookies is None or "authorization" in request.headers:
            return None
        visit = self._doorkeeper.visitor(cookies)
        if visit is None:
            return None
        return _Shown(principal=visit.principal, session=visit.session)

    async def _who(self, request: requests.Request) -> Principal | None:
        shown = request.headers.get("authorization")
        if shown is None:
            return None
        method, path = request.scope["method"], request.scope["path"]
        known = self._doorkeeper.recognise(method, path, shown)
        if known is not None:
            return known
        pool = Pool.LOGIN if shown[:6].lower() == "basic " else Pool.API
        client = _client(request.scope)
        try:
            return await self._in(
                pool, lambda: self._doorkeeper.authenticate(method, path, shown, client)
            )
        except TooManyTriesError as error:
            wait = {"Retry-After": str(math.ceil(error.waits_s))}
            raise _RefusedError(429, str(error), wait) from error
        except NotAuthenticatedError as error:
            raise _RefusedError(401, str(error)) from error

    async def _in(self, pool: Pool, call: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._pools[pool], call)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """Who asks, and in which session."""

    principal: Principal | None = None
    session: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answered:
    """An answer on its way, and to whom."""

    response: responses.Response
    principal: Principal | None = None


class _Endpoint:
    """A door as an ASGI application."""

    def __init__(
        self, door: Door, answer: Callable[[Door, requests.Request], Awaitable[_Answered]]
    ) -> None:
        self._door = door
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, and write down who asked what, how it ended, and how long it took."""
        began = asyncio.get_running_loop().time()
        answered = await self._answer(self._door, requests.Request(scope, receive))
        try:
            await answered.response(scope, receive, send)
        finally:
            if not (self._door.polled and answered.response.status_code < _WRONG):
                logger.debug(
                    "request answered",
                    who=str(answered.principal or "nobody"),
                    client=_client(scope),
                    method=scope["method"],
                    path=scope["path"],
                    status=answered.response.status_code,
                    took_s=round(asyncio.get_running_loop().time() - began, 3),
                )


def _routed(ends: Mapping[tuple[str, str], _Endpoint]) -> ASGIApp:
    """Return starlette's router, but go straight to a door whose path has no named parts.

    The router tries one pattern after the other. Of a short request, middlewares and patterns were half the time.
    """
    router = routing.Router(
        [routing.Route(path, end, methods=[method]) for (method, path), end in ends.items()]
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        end = ends.get((scope["method"], scope["path"]))
        await (end or router)(scope, receive, send)

    return app


class _RefusedError(Exception):
    """The request is answered with this status and text."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers
        if status == 401:  # noqa: PLR2004
            self.headers = {"WWW-Authenticate": 'Basic realm="mftgit", charset="UTF-8"'}

    def answer(self) -> Response:
        """Return it as an answer."""
        kind = {"Content-Type": "application/json"}
        body = json.dumps({"error": str(self)}).encode()
        return Response(status=self.status, headers=kind | dict(self.headers or {}), body=body)


def _client(scope: Scope) -> str:
    return str((scope.get("client") or ("-",))[0])


def _worded(
    door: Door, request: requests.Request, answer: Response, shown: _Shown | None = None
) -> responses.Response:
    """Return what a client is told that gets nothing, in the words of the door."""
    return _in_words(door, _asked(request, BytesIO(), shown or _Shown()), answer)


def _in_words(door: Door, asked: Request, answer: Response) -> responses.Response:
    return _sent(answer if door.refuse is None else door.refuse(asked, answer))


def _asked(request: requests.Request, body: IO[bytes], shown: _Shown) -> Request:
    scope = request.scope
    return Request(
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"].decode("latin-1"),
        headers=request.headers,
        params=request.path_params,
        body=body,
        principal=shown.principal,
        client=_client(scope),
        session=shown.session,
    )


def _settled(
    door: Door, handle: Callable[[Request], Response | None], asked: Request
) -> responses.Response | None:
    """Return the answer of a door, also where it fails."""
    try:
        answer = handle(asked)
        return None if answer is None else _sent(answer)
    except Exception as error:  # noqa: BLE001  one bad request must not end the server
        return _in_words(door, asked, _failed(asked.path, error))


def _failed(path: str, error: Exception) -> Response:
    if isinstance(error, TransientError | DatabaseError):
        logger.warning("request not answered for now", path=path, error=str(error))
        return _RefusedError(503, str(error)).answer()
    if isinstance(error, NotServedError):
        return _RefusedError(error.status, str(error)).answer()
    if isinstance(error, MftgitError):
        logger.warning("request refused", path=path, error=str(error))
        return _RefusedError(400, str(error)).answer()
    if isinstance(error, OSError):
        logger.error("request failed", path=path, error=str(error))
        return _RefusedError(503, "the controller failed at this; see its log").answer()
    logger.opt(exception=error).error("request failed", path=path)
    return _RefusedError(500, "the controller failed at this; see its log").answer()


async def _take_in(request: requests.Request, body: IO[bytes], door: Door) -> None:
    """Fill ``body``, and put it at its start.

    Raises:
        _RefusedError: it is too large, or not there in time.
    """
    if not {"content-length", "transfer-encoding"}.intersection(request.headers.keys()):
        return
    limit = door.max_body_bytes() if callable(door.max_body_bytes) else door.max_body_bytes
    most_s = door.max_body_s() if callable(door.max_body_s) else door.max_body_s
    if not limit and request.headers.get("content-length") != "0":
        raise _RefusedError(413, "this takes no body")
    try:
        async with asyncio.timeout(most_s):
            async for chunk in request.stream():
                if body.tell() + len(chunk) > limit:
                    raise _RefusedError(413, f"larger than {limit} bytes{door.bounded_by}")
                body.write(chunk)
    except TimeoutError:
        raise _RefusedError(
            408, f"the request took longer than {most_s:.0f} s{door.bounded_by}"
        ) from None
    except requests.ClientDisconnect:
        raise _RefusedError(400, "the client hung up") from None
    body.seek(0)


def _streamed(
    door: Door, asked: Request, request: requests.Request, shown: _Shown
) -> responses.Response:
    if door.stream is None:
        raise TypeError(f"{door.path} streams nothing")
    try:
        content = door.stream(asked)
    except NotServedError as error:
        refused = _RefusedError(error.status, str(error)).answer()
        return _worded(door, request, refused, shown)
    return responses.StreamingResponse(content, headers=dict(door.stream_headers))


def _sent(answer: Response) -> responses.Response:
    headers = dict(answer.headers)
    if isinstance(answer.body, bytes):
        return responses.Response(answer.body, answer.status, headers)
    content = answer.body.read(_SENT_WHOLE_BYTES + 1)
    if len(content) <= _SENT_WHOLE_BYTES:
        answer.body.close()
        return responses.Response(content, answer.status, headers)
    return responses.StreamingResponse(_chunks(answer.body), answer.status, headers)


async def _chunks(body: IO[bytes]) -> AsyncIterator[bytes]:
    with contextlib.closing(body):
        body.seek(0)
        while chunk := body.read(_CHUNK_BYTES):
            yield chunk
