"""Get one branch from the controller over smart HTTP, with limits on everything that the other side decides."""

import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

import urllib3
from dulwich.client import HttpGitClient
from dulwich.errors import GitProtocolError
from dulwich.object_store import BaseObjectStore
from dulwich.objects import ObjectID
from dulwich.refs import Ref

from mftgit.adapters.git.line import FetchLine, fetch_line
from mftgit.adapters.git.objects import get_commit
from mftgit.adapters.git.ssh import SshServer, ssh_client
from mftgit.errors import MftgitError, TransientError

_SPOOL_BYTES = 4 << 20
_MESSAGE_BYTES = 500
_TOO_LONG = "cannot be reached: it took too long to send everything"
_OK, _TOO_MANY, _SERVER_ERROR = 200, 429, 500
_CAPABILITIES = (b"multi_ack_detailed", b"ofs-delta", b"side-band-64k", b"thin-pack")
"""What every controller can do, of what dulwich's client uses; a server that was not asked is not heard to offer it."""

# What dulwich's client raises when the other side does not keep to the protocol.
_BAD_TALK = (AssertionError, GitProtocolError, IndexError, KeyError, TypeError, ValueError)


class RemoteUnreachableError(TransientError):
    """The controller cannot be reached, hung up, took too long, or is in trouble itself."""


class RemoteUntrustedError(MftgitError):
    """The server could not prove to be the controller."""


class RemoteRefusedError(MftgitError):
    """The controller said no."""


class RemoteLacksError(RemoteRefusedError):
    """It has no such branch."""


class RemoteBrokenError(MftgitError):
    """What came is no git, not whole, or too much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to get and from where; see `GitStore.fetch`. A tip that is ``unwanted`` is told, and not sent.

    A server of other than given ``connections`` may say nothing for ``silent_s``, and has to send a least in four times
    that.

    With ``ssh`` the server is asked by that, and what is for HTTP is passed over.
    """

    url: str
    ca_file: Path | None
    headers: Callable[[str, str], Mapping[str, str]]
    ref: str
    max_bytes: int
    timeout_s: float
    silent_s: float = 60.0
    tip: ObjectID | None = None
    connections: urllib3.PoolManager | None = None
    unwanted: ObjectID | None = None
    ssh: SshServer | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The tip of the branch, and a pack with what was not known here; None when all of it was."""

    tip: ObjectID
    pack: BinaryIO | None


@contextmanager
def download(request: Request, store: BaseObjectStore, known: list[ObjectID]) -> Iterator[Found]:
    """Ask for the branch and give what came; the pack is a file that is gone after the block.

    ``known`` are tips that ``store`` has with all their history. Where the request says its ``tip``, the server is not
    asked first where its branches are; should it not give that tip, it is.

    Raises:
        RemoteUnreachableError, RemoteUntrustedError, RemoteRefusedError, RemoteBrokenError: see `GitStore.fetch`.
    """
    deadline = time.monotonic() + request.timeout_s
    with (
        tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as pack,
        _line(request) as line,
    ):
        ask = partial(_ask, line, deadline, store, known, pack)
        try:
            wanted = ask(request)
        except (RemoteRefusedError, RemoteBrokenError):
            if request.tip is None:
                raise
            pack.seek(0)
            pack.truncate()
            wanted = ask(replace(request, tip=None))
        if wanted.tip is None:
            raise RemoteLacksError(
                f"{request.url} has no {request.ref}: nothing was published there yet, "
                "or this is another repository"
            )
        pack.seek(0)
        yield Found(tip=wanted.tip, pack=cast("BinaryIO", pack) if wanted.asked else None)


def _ask(
    line: FetchLine,
    deadline: float,
    store: BaseObjectStore,
    known: list[ObjectID],
    pack: "tempfile.SpooledTemporaryFile[bytes]",
    request: Request,
) -> "_Wanted":
    wanted = _Wanted(request.ref.encode(), store, request.unwanted)
    try:
        if request.ssh is not None:
            _ask_by_ssh(request, request.ssh, wanted, _Haves(store, known), pack)
            return wanted
        _Client(request, line.pool, deadline).fetch_pack(
            urlsplit(request.url).path or "/",
            wanted,
            _Haves(store, known),
            pack.write,
            protocol_version=0,
        )
    except (*_BAD_TALK, MftgitError) as error:
        if line.is_late:
            raise RemoteUnreachableError(f"{request.url} {_TOO_LONG}") from error
        if isinstance(error, MftgitError):
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        raise RemoteBrokenError(f"{request.url} does not talk git as expected: {text}") from error
    return wanted


def _ask_by_ssh(
    request: Request,
    server: SshServer,
    wanted: "_Wanted",
    haves: "_Haves",
    pack: "tempfile.SpooledTemporaryFile[bytes]",
) -> None:
    left_bytes = request.max_bytes

    def read(chunk: bytes) -> bytes:
        nonlocal left_bytes
        left_bytes -= len(chunk)
        if left_bytes < 0:
            raise RemoteBrokenError(
                f"{request.url} sent more than {request.max_bytes} bytes, which is the limit"
            )
        return chunk

    with ssh_client(server, read, timeout_s=request.timeout_s) as (client, running):
        try:
            client.fetch_pack(urlsplit(request.url).path, wanted, haves, pack.write)
        except (*_BAD_TALK, OSError) as error:
            # What comes by ssh is cut off where a key is not taken, and where the line breaks.
            why = "it took too long" if running.late else running.complaint() or str(error)
            raise RemoteUnreachableError(f"{request.url}: {why}") from error


class _Wanted:
    """Says which objects to ask for: the tip, unless it is here already, or unwanted."""

    def __init__(self, ref: bytes, store: BaseObjectStore, unwanted: ObjectID | None) -> None:
        self._unwanted = unwanted
        self._ref = Ref(ref)
        self._store = store
        self.tip: ObjectID | None = None
        self.asked = False

    def __call__(self, refs: Mapping[Ref, ObjectID], depth: int | None = None) -> list[ObjectID]:
        del depth  # never given by us
        self.tip = refs.get(self._ref)
        self.asked = (
            self.tip is not None and self.tip != self._unwanted and self.tip not in self._store
        )
        return [self.tip] if self.tip is not None and self.asked else []


class _Haves:
    """Tells the server which commits are here, newest first, so that it finds one that it knows at once.

    The controller's main only grows. dulwich stops asking after 256; its own walker goes in no order.
    """

    def __init__(self, store: BaseObjectStore, tips: list[ObjectID]) -> None:
        self._store = store
        self._todo = deque(dict.fromkeys(tips))
        self._seen = set(tips)

    def __next__(self) -> ObjectID | None:
        if not self._todo:
            return None
        oid = self._todo.popleft()
        parents = get_commit(self._store, oid).parents
        self._todo.extend(parent for parent in parents if parent not in self._seen)
        self._seen.update(parents)
        return oid

    def ack(self, sha: ObjectID, /) -> None:
        """Take note that the server has ``sha``; over HTTP everything was told before."""

    def nak(self) -> None:
        """Take note that nothing is common."""


def _line(request: Request) -> AbstractContextManager[FetchLine]:
    """Give the connections of ``request``, or some for the time of the block."""
    if request.connections is not None:
        return nullcontext(FetchLine(request.connections))
    silent_s = min(request.silent_s, request.timeout_s)
    return fetch_line(request.ca_file, timeout_s=request.timeout_s, silent_s=silent_s)


class _Client(HttpGitClient):
    """dulwich's client, with our errors and headers, and without redirects and its fallback to the dumb protocol."""

    def __init__(self, request: Request, connections: urllib3.PoolManager, deadline: float) -> None:
        super().__init__(request.url, pool_manager=connections)
        self._told = None if request.tip is None else {Ref(request.ref.encode()): request.tip}
        self._headers_for = request.headers
        self._silent_s = min(request.silent_s, request.timeout_s)
        self._left_bytes = request.max_bytes
        self._max_bytes = request.max_bytes
        self._deadline = deadline

    def _discover_references(self, service: bytes, base_url: str, *words: Any, **more: Any) -> Any:
        """Return where the server's branches are, by what is known or by asking; dulwich has no word for it."""
        if self._told is None:
            return super()._discover_references(service, base_url, *words, **more)
        return self._told, set(_CAPABILITIES), base_url, {}, {}

    def _http_request(
        self,
        url: str,
        headers: dict[str, str] | None = None,
        data: bytes | Iterator[bytes] | None = None,
        raise_for_status: bool = True,  # noqa: ARG002, FBT001, FBT002  dulwich's signature
    ) -> tuple[Any, Callable[[int], bytes]]:
        method = "GET" if data is None else "POST"
        proof = self._headers_for(method, urlsplit(url).path or "/")
        with _our_errors(url):
            response: Any = self.pool_manager.request(
                method,
                url,
                body=data,
                headers={"Pragma": "no-cache", **(headers or {}), **proof},
                preload_content=False,
                redirect=False,
                retries=False,
                timeout=urllib3.Timeout(connect=self._silent_s, read=self._silent_s),
            )
        try:
            self._check(url, response)
        except MftgitError:
            response.close()
            raise
        response.content_type = response.headers.get("Content-Type")
        response.redirect_location = ""
        return response, lambda size: self._read(url, response, size)

    def _check(self, url: str, response: Any) -> None:
        """Raise unless this is a whole-hearted answer of a smart server."""
        if response.status == _OK:
            kind = response.headers.get("Content-Type", "")
            if not kind.startswith("application/x-git-upload-pack-"):
                raise RemoteBrokenError(
                    f"{url} answered with {kind or 'no content type'}, expected git: is this the controller?"
                )
            return
        with _our_errors(url):
            text = " ".join(response.read(_MESSAGE_BYTES).decode("utf-8", "replace").split())
        message = f"{url} answered {response.status}: {text or response.reason}"
        if response.status >= _SERVER_ERROR or response.status == _TOO_MANY:
            raise RemoteUnreachableError(message)
        raise RemoteRefusedError(message)

    def _read(self, url: str, response: Any, size: int) -> bytes:
        if time.monotonic() > self._deadline:
            raise RemoteUnreachableError(f"{url} {_TOO_LONG}")
        with _our_errors(url):
            chunk: bytes = response.read(size)
        self._left_bytes -= len(chunk)
        if self._left_bytes < 0:
            raise RemoteBrokenError(
                f"{url} sent more than {self._max_bytes} bytes, which is the limit"
            )
        return chunk


@contextmanager
def _our_errors(url: str) -> Iterator[None]:
    try:
        yield
    except urllib3.exceptions.SSLError as error:
        raise RemoteUntrustedError(f"{url} could not prove who it is: {error}") from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        too_slow = isinstance(error, urllib3.exceptions.ReadTimeoutError)
        why = error.__cause__ if too_slow and error.__cause__ is not None else error
        raise RemoteUnreachableError(f"{url} cannot be reached: {why}") from error
