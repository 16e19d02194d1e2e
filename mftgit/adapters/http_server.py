"""HTTPS on one asyncio loop (uvicorn, starlette); what blocks runs in bounded pools of threads.

A request's body is taken in whole, within its route's bound, before a thread is given to it, and an answer
is sent from a spooled file: a slow client holds a socket, never a thread.
"""

import asyncio
import contextlib
import math
import socket
import ssl
import tempfile
import threading
from asyncio import sslproto
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum, unique
from io import BytesIO
from pathlib import Path
from typing import IO, TypeVar

import uvicorn
from loguru import logger
from starlette import requests, responses, routing
from starlette.types import ASGIApp, Receive, Scope, Send

from mftgit.adapters.http_connections import (
    KEEP_ALIVE_S,
    ConnectionLimits,
    Connections,
    Listener,
    protocol_of,
)
from mftgit.errors import ConfigError, MftgitError, TransientError
from mftgit.model.access import Access, Principal, admits

BODY_TIMEOUT_S = 300.0
"""How long a client may take to send one request's body."""

_MEMORY_BYTES = 1 << 20  # a body above this goes to disk
_CHUNK_BYTES = 1 << 16
_SENT_WHOLE_BYTES = 1 << 16
_BACKLOG = 2048
_GRACE_S = 3
_WHO = "mftgit.who"
_WRONG = 400  # statuses from here on tell of a failure (RFC 9110, 15)
_TLS_BUFFER_BYTES = 32 << 10  # each connection holds one; asyncio's own size is 256 KiB

_T = TypeVar("_T")


@unique
class Pool(Enum):
    """Which threads do a work, so that one kind does not keep another waiting; the value is how many.

    GIT: clone, fetch and push. LOGIN: passwords, each of which costs tens of milliseconds by design, so that a flood of
    wrong ones delays other operators at most. API: everything else, the members' proofs and reports among it.
    """

    API = 8
    GIT = 6
    LOGIN = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request; ``body`` stands at its start, ``params`` are the path's named parts."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    params: Mapping[str, str]
    body: IO[bytes]
    principal: Principal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One answer; a file as ``body`` is sent from its start and closed."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | IO[bytes] = b""


class NotAuthenticatedError(MftgitError):
    """Raised by ``authenticate``: a credential was shown and is not good; the message goes to the client."""


class TooManyTriesError(NotAuthenticatedError):
    """Raised by ``authenticate``: no credential is looked at before ``waits_s`` seconds are over."""

    def __init__(self, message: str, *, waits_s: float) -> None:
        super().__init__(message)
        self.waits_s = waits_s


Authenticate = Callable[[str, str, str | None, str], Principal | None]
"""(method, path, Authorization header, client address) to who it is; None without a credential."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """One route. Exactly one of ``handle`` (in a thread) and ``stream`` (on the loop; a text/event-stream) is set.

    One that is ``polled`` is asked so often that the log tells only what went wrong there.
    """

    method: str
    path: str
    access: Access
    handle: Callable[[Request], Response] | None = None
    stream: Callable[[Principal], AsyncIterator[bytes]] | None = None
    pool: Pool = Pool.API
    max_body_bytes: int = 0
    polled: bool = False


class HttpServer:
    """The controller's HTTPS server, in a thread of its own."""

    def __init__(
        self,
        doors: list[Door],
        *,
        authenticate: Authenticate,
        listen: tuple[str, int],
        certificate: Path,
        key: Path,
        limits: ConnectionLimits | None = None,
    ) -> None:
        """Bind the port; nothing is served before ``start``. Without ``limits``, this process may open more files.

        Raises:
            MftgitError: the address cannot be bound.
            ConfigError: the certificate cannot be read.
        """
        self._pools = {pool: ThreadPoolExecutor(pool.value, f"http-{pool.name}") for pool in Pool}
        self._authenticate = authenticate
        self._connections = Connections(limits or ConnectionLimits.of_process())
        self._socket = _bind(listen)
        self._socket.room = self._connections
        app = _app(doors, self._answer)
        try:
            config = _config(app, self._connections, certificate=certificate, key=key)
            self._server = uvicorn.Server(config)
        except (OSError, ssl.SSLError) as error:
            self._socket.close()
            raise ConfigError(f"{certificate}, {key}: not a TLS certificate: {error}") from error
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)
        self._started = threading.Event()
        self.loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Begin to serve; the loop is running when this returns."""
        self._socket.listen(_BACKLOG)
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        """Stop taking connections, give open requests a moment, and end."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_GRACE_S + 2)
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
        self._socket.close()

    def _serve(self) -> None:
        async def serve() -> None:
            self.loop = asyncio.get_running_loop()
            sslproto.SSLProtocol.max_size = _TLS_BUFFER_BYTES
            self._started.set()
            watch = asyncio.create_task(self._connections.watch())
            await self._server.serve(sockets=[self._socket])
            watch.cancel()

        asyncio.run(serve())

    async def _answer(self, door: Door, request: requests.Request) -> responses.Response:
        """Answer a request; one without a body that any thread may do takes one change of threads."""
        whole = _has_no_body(request) and door.stream is None and door.pool is Pool.API
        shown = request.headers.get("authorization")
        pool = Pool.LOGIN if _is_password(shown) else Pool.API
        try:
            if whole and pool is Pool.API:
                return await self._in(Pool.API, lambda: self._answer_whole(door, request))
            principal = await self._in(pool, lambda: self._admit(door, request))
        except _RefusedError as error:
            return _refusal(error.status, str(error), error.headers)
        if door.stream is not None and principal is not None:
            return responses.StreamingResponse(
                door.stream(principal),
                media_type="text/event-stream",
                headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
            )
        with tempfile.SpooledTemporaryFile(_MEMORY_BYTES) as body:
            refused = await _take_in(request, body, door.max_body_bytes)
            if refused is not None:
                return refused
            return await self._in(door.pool, lambda: _handle(door, request, body, principal))

    def _answer_whole(self, door: Door, request: requests.Request) -> responses.Response:
        return _handle(door, request, BytesIO(), self._admit(door, request))

    def _admit(self, door: Door, request: requests.Request) -> Principal | None:
        """Return who asks.

        Raises:
            _RefusedError: that is nobody who may.
        """
        client = request.client.host if request.client else "-"
        shown = request.headers.get("authorization")
        try:
            principal = self._authenticate(request.method, request.url.path, shown, client)
        except TooManyTriesError as error:
            wait = {"Retry-After": str(math.ceil(error.waits_s))}
            raise _RefusedError(429, str(error), wait) from error
        except NotAuthenticatedError as error:
            raise _RefusedError(401, str(error)) from error
        if not admits(door.access, principal):
            if principal is None:
                raise _RefusedError(401, "log in with name and password, or with a member's proof")
            raise _RefusedError(403, f"{principal} may not: this is for {door.access.value}")
        if principal is not None:
            request.scope[_WHO] = str(principal)
        return principal

    async def _in(self, pool: Pool, call: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._pools[pool], call)


class _Endpoint:
    """A door as an ASGI application."""

    def __init__(
        self,
        door: Door,
        answer: Callable[[Door, requests.Request], Awaitable[responses.Response]],
    ) -> None:
        self._door = door
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, and write down who asked what, how it ended, and how long it took."""
        began = asyncio.get_running_loop().time()
        response = await self._answer(self._door, requests.Request(scope, receive))
        try:
            await response(scope, receive, send)
        finally:
            if not (self._door.polled and response.status_code < _WRONG):
                logger.debug(
                    "request answered",
                    who=scope.get(_WHO, "nobody"),
                    client=(scope.get("client") or ("-",))[0],
                    method=scope["method"],
                    path=scope["path"],
                    status=response.status_code,
                    took_s=round(asyncio.get_running_loop().time() - began, 3),
                )


def _app(
    doors: list[Door], answer: Callable[[Door, requests.Request], Awaitable[responses.Response]]
) -> ASGIApp:
    """Return starlette's router, but go straight to a door whose path has no named parts.

    The router tries one pattern after the other. Of a short request, middlewares and patterns were half the time.
    """
    ends = {(door.method, door.path): _Endpoint(door, answer) for door in doors}
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


def _is_password(shown: str | None) -> bool:
    return shown is not None and shown[:6].lower() == "basic "


def _has_no_body(request: requests.Request) -> bool:
    headers = request.headers
    return "transfer-encoding" not in headers and headers.get("content-length", "0") == "0"


def _handle(
    door: Door, request: requests.Request, body: IO[bytes], principal: Principal | None
) -> responses.Response:
    handle = door.handle
    if handle is None:
        return _refusal(401, "log in first")
    asked = Request(
        method=request.method,
        path=request.url.path,
        query=request.url.query,
        headers=request.headers,
        params=request.path_params,
        body=body,
        principal=principal,
    )
    try:
        return _sent(handle(asked))
    except MftgitError as error:
        logger.warning("request refused", path=asked.path, error=str(error))
        again = isinstance(error, TransientError)
        return _refusal(503 if again else 400, str(error))
    except Exception:  # noqa: BLE001  one bad request must not end the server
        logger.opt(exception=True).error("request failed", path=asked.path)
        return _refusal(500, "the controller failed at this; see its log")


def _bind(listen: tuple[str, int]) -> Listener:
    host, port = listen
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        bound = Listener(family, socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}: {error}") from error
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(listen)
    except OSError as error:
        bound.close()
        raise MftgitError(
            f"cannot listen on {host}:{port}: {error.strerror}: "
            "stop what uses the port, or choose another with `mftgit controller init --listen`"
        ) from error
    return bound


def free_port(host: str) -> int:
    """Return a port of ``host`` that nothing listens on just now."""
    with _bind((host, 0)) as bound:
        return int(bound.getsockname()[1])


def _config(
    app: ASGIApp, connections: Connections, *, certificate: Path, key: Path
) -> uvicorn.Config:
    config = uvicorn.Config(
        app,
        http=protocol_of(connections),
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        ssl_certfile=str(certificate),
        ssl_keyfile=str(key),
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=_GRACE_S,
        h11_max_incomplete_event_size=64 * 1024,
    )
    config.load()
    if config.ssl is not None:
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
    return config


async def _take_in(
    request: requests.Request, body: IO[bytes], limit: int
) -> responses.Response | None:
    """Fill ``body``; return the answer to give when that cannot be done."""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                if body.tell() + len(chunk) > limit:
                    return _refusal(413, f"larger than {limit} bytes")
                body.write(chunk)
    except TimeoutError:
        return _refusal(408, f"the request took longer than {BODY_TIMEOUT_S:.0f} s")
    except requests.ClientDisconnect:
        return _refusal(400, "the client hung up")
    body.seek(0)
    return None


def _refusal(
    status: int, message: str, headers: Mapping[str, str] | None = None
) -> responses.Response:
    if status == 401:  # noqa: PLR2004
        headers = {"WWW-Authenticate": 'Basic realm="mftgit", charset="UTF-8"'}
    return responses.JSONResponse({"error": message}, status, headers)


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
