"""Answer git's smart HTTP requests for one repository, whole request in and whole response out.

The server hands over a body that was received to its end and takes one that is complete: none of dulwich's WSGI
application is used, because it needs the legacy ``write`` callable and undoes chunked encoding a second time.
"""

import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import SEEK_END, BytesIO
from typing import BinaryIO, ParamSpec, TypeVar, cast
from urllib.parse import parse_qs

from dulwich.errors import GitProtocolError
from dulwich.pack import PackFileDisappeared
from dulwich.protocol import ReceivableProtocol
from loguru import logger

from mftgit.adapters.git.admission import Door, Gate, Merge, Pusher, Settled
from mftgit.adapters.git.answers import Answers
from mftgit.adapters.git.brought import History
from mftgit.adapters.git.damage import Damage
from mftgit.adapters.git.receive import GuardedReceivePack, PushWire
from mftgit.adapters.git.refs import Refs, SeenRefs
from mftgit.adapters.git.store import GitStore
from mftgit.adapters.git.upload import UploadPack
from mftgit.errors import TransientError
from mftgit.model.access import Kind, OperatorRole
from mftgit.model.revisions.limits import Limits
from mftgit.model.revisions.push import DAMAGED

_UPLOAD, _RECEIVE = "git-upload-pack", "git-receive-pack"
MAX_QUESTION_BYTES = 1 << 20
"""How large the body of a fetch may be after gzip is undone."""

_SPOOL_BYTES = 1 << 20
_TRIES = 3
_CHUNK_BYTES = 1 << 16
_GZIP = 16 + zlib.MAX_WBITS
_NO_CACHE = {"Cache-Control": "no-cache, max-age=0, must-revalidate", "Pragma": "no-cache"}

_P = ParamSpec("_P")
_R = TypeVar("_R")

_Talk = Callable[[BinaryIO, Callable[[bytes], int]], None]
"""Reads a body and writes a response."""

# What dulwich's handlers raise for a request that is not as the protocol has it; elsewhere it says nothing of that.
_MALFORMED = (AssertionError, GitProtocolError, ValueError)


@dataclass(frozen=True, slots=True, kw_only=True)
class GitRequest:
    """One request. ``path`` is below the repository's URL and begins with ``/``; names of headers are lower case.

    ``body`` was freed of chunked encoding, but not of gzip; the caller closes it. ``who`` is authenticated, ``kind`` is
    what they are, and ``role`` what they may.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: BinaryIO
    who: str
    kind: Kind = Kind.MEMBER
    role: OperatorRole


@dataclass(frozen=True, slots=True, kw_only=True)
class GitResponse:
    """One response; ``body`` stands at its start and is closed by the caller."""

    status: int
    headers: Mapping[str, str]
    body: BinaryIO


class GitHttp:
    """The git side of the controller's HTTP server; `handle` may be called by several threads at once."""

    def __init__(
        self,
        store: GitStore,
        *,
        gate: Gate,
        settled: Settled,
        limits: Callable[[], Limits] = Limits,
        merge: Merge | None = None,
    ) -> None:
        """Ask ``limits`` anew for each push; see `Door`."""
        self._store = store
        self._limits = limits
        self.damage = Damage(store.path)
        self.door = Door(
            store=store,
            gate=_own(gate),
            settled=_own(settled),
            limits=_own(limits),
            damage=self.damage.look,
            merge=merge,
        )
        self._history = History()
        self._seen = {
            kind: SeenRefs(kind, lambda: store.moves, now=time.monotonic) for kind in Kind
        }
        self.answers = Answers()

    def forget_refs(self) -> None:
        """Look at the refs anew: somebody knows that another program moved one."""
        for seen in self._seen.values():
            seen.forget()

    def at_once(self, request: GitRequest) -> GitResponse | None:
        """Answer a fetch that was answered before, from memory alone; None: ask `handle`."""
        state = self._seen[request.kind].recent()
        if state is None or "content-encoding" in request.headers:
            return None
        match request.method, request.path, request.query:
            case "GET", "/info/refs", "service=git-upload-pack":
                kind, question = f"application/x-{_UPLOAD}-advertisement", b"GET"
            case "POST", "/git-upload-pack", _:
                if request.headers.get("content-type") != f"application/x-{_UPLOAD}-request":
                    return None
                kind, question = f"application/x-{_UPLOAD}-result", b"POST" + request.body.read()
                request.body.seek(0)
            case _:
                return None
        content = self.answers.kept(state, question)
        return None if content is None else _answer(kind, BytesIO(content))

    def handle(self, request: GitRequest) -> GitResponse:
        """Answer ``request``; never raises for what a client or the disk does."""
        try:
            return self._route(request)
        except _RefusedError as refused:
            return _text(refused.status, str(refused), refused.headers)
        except (TransientError, OSError, PackFileDisappeared) as error:
            logger.warning("a git request failed for now", who=request.who, error=str(error))
            return _text(503, "the repository cannot be reached just now; try again")
        except Exception as error:  # noqa: BLE001  damage shows as whatever dulwich stumbles over
            if self.damage.look() is not None:
                return _damaged(request)
            return _failed(request, error)

    def _route(self, request: GitRequest) -> GitResponse:
        if request.path == "/info/refs":
            _only("GET", request)
            return self._advertise(request)
        if request.path in {f"/{_UPLOAD}", f"/{_RECEIVE}"}:
            _only("POST", request)
            return self._serve(request, request.path[1:])
        raise _RefusedError(
            404, f"there is no {request.path} here; only git's smart HTTP is spoken"
        )

    def _advertise(self, request: GitRequest) -> GitResponse:
        service = parse_qs(request.query).get("service", [""])[0]
        if service not in {_UPLOAD, _RECEIVE}:
            raise _RefusedError(404, "only git's smart HTTP is spoken here; use git 1.6.6 or newer")
        _may(request, service)
        if service == _UPLOAD:
            out = self._upload(BytesIO(), request.kind, advertise=True)
        else:
            out = self._receive(BytesIO(), _pusher(request), advertise=True)
        return _answer(f"application/x-{service}-advertisement", out)

    def _serve(self, request: GitRequest, service: str) -> GitResponse:
        _may(request, service)
        expected = f"application/x-{service}-request"
        if request.headers.get("content-type") != expected:
            raise _RefusedError(415, f"expected a body of the type {expected}")
        upload = service == _UPLOAD
        limit = MAX_QUESTION_BYTES if upload else self._limits().body_bytes
        with _plain(request, limit) as body:
            out = (
                self._upload(body, request.kind, advertise=False)
                if upload
                else self._receive(body, _pusher(request), advertise=False)
            )
        return _answer(f"application/x-{service}-result", out)

    def _upload(self, body: BinaryIO, kind: Kind, *, advertise: bool) -> BinaryIO:
        question = body.read()
        for _ in range(_TRIES - 1):
            # A pack that was replaced: a fresh look finds the new one.
            with suppress(PackFileDisappeared):
                return self._answer_upload(question, kind, advertise=advertise)
        return self._answer_upload(question, kind, advertise=advertise)

    def _answer_upload(self, question: bytes, kind: Kind, *, advertise: bool) -> BinaryIO:
        with self._store.repo() as repo:
            refs = self._seen[kind].read(repo)

            def talk(source: BinaryIO, write: Callable[[bytes], int]) -> None:
                proto = ReceivableProtocol(source.read, write)
                if advertise:
                    _announce(proto, _UPLOAD)
                UploadPack(
                    repo, proto, refs=refs, history=self._history, advertise=advertise
                ).handle()

            return self.answers.get(
                refs.state(),
                (b"GET" if advertise else b"POST") + question,
                lambda: _talk(BytesIO(question), talk),
            )

    def _receive(self, body: BinaryIO, pusher: Pusher, *, advertise: bool) -> BinaryIO:
        def talk(source: BinaryIO, write: Callable[[bytes], int]) -> None:
            proto = PushWire(source.read, write)
            if advertise:
                _announce(proto, _RECEIVE)
            with self._store.repo() as repo:
                Refs.of(repo, Kind.OPERATOR)  # dulwich would tell garbage as it is
                GuardedReceivePack(
                    repo, proto, self.door, pusher=pusher, advertise=advertise
                ).handle()

        return _talk(body, talk)


class _FaultError(Exception):
    """What decides about a request failed, and not the request."""


def _own(step: Callable[_P, _R]) -> Callable[_P, _R]:
    """Do ``step`` so that no fault of its own is taken for the client's."""

    def done(*args: _P.args, **named: _P.kwargs) -> _R:
        try:
            return step(*args, **named)
        except _MALFORMED as error:
            raise _FaultError(type(error).__name__) from error

    return done


def _failed(request: GitRequest, error: Exception) -> GitResponse:
    if isinstance(error, _MALFORMED):
        logger.warning("a malformed git request", who=request.who, error=str(error))
        return _text(400, f"malformed git request: {error}")
    logger.opt(exception=error).error("a git request failed", who=request.who)
    return _text(500, "internal error; see the controller's log")


def _damaged(request: GitRequest) -> GitResponse:
    """Tell it in the way that git shows to its user: as text, or in the answer to a question as an error line.

    A member takes the status for an outage, and an error line for something that is no controller.
    """
    if request.path != f"/{_UPLOAD}" or request.kind is Kind.MEMBER:
        return _text(500, DAMAGED)
    out = _spool()
    ReceivableProtocol(out.read, out.write).write_pkt_line(b"ERR " + DAMAGED.encode() + b"\n")
    return _answer(f"application/x-{_UPLOAD}-result", out)


class _RefusedError(Exception):
    """The request is answered with this status and text."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers or {}


def _only(method: str, request: GitRequest) -> None:
    if request.method != method:
        raise _RefusedError(405, f"{request.path} takes {method} only", {"Allow": method})


def _may(request: GitRequest, service: str) -> None:
    if service == _RECEIVE and not request.role.may(OperatorRole.PROPOSE):
        raise _RefusedError(
            403,
            f"{request.who} may not push here, only fetch; an operator is given another role "
            "by the controller's administrator: mftgit operator role NAME propose",
        )


def _pusher(request: GitRequest) -> Pusher:
    return Pusher(who=request.who, role=request.role)


def _announce(proto: ReceivableProtocol, service: str) -> None:
    proto.write_pkt_line(b"# service=" + service.encode() + b"\n")
    proto.write_pkt_line(None)


def _talk(body: BinaryIO, talk: _Talk) -> BinaryIO:
    """Return what ``talk`` writes about ``body``."""
    out = _spool()
    try:
        talk(body, out.write)
    except BaseException:
        out.close()
        raise
    return out


def _answer(kind: str, out: BinaryIO) -> GitResponse:
    size_bytes = out.seek(0, SEEK_END)
    out.seek(0)
    headers = {"Content-Type": kind, "Content-Length": str(size_bytes), **_NO_CACHE}
    return GitResponse(status=200, headers=headers, body=out)


def _text(status: int, text: str, headers: Mapping[str, str] | None = None) -> GitResponse:
    content = text.encode("utf-8", "backslashreplace") + b"\n"
    out = _spool()
    out.write(content)
    out.seek(0)
    plain = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(content))}
    return GitResponse(status=status, headers={**plain, **_NO_CACHE, **(headers or {})}, body=out)


@contextmanager
def _plain(request: GitRequest, limit: int) -> Iterator[BinaryIO]:
    """Give the body without gzip, at its start.

    Some hundred kilobytes of gzip can hold hundreds of megabytes, so that what counts is the inflated size.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding == "identity":
        request.body.seek(0, SEEK_END)
        _within(request.body, limit)
        request.body.seek(0)
        yield request.body
    elif encoding in {"gzip", "x-gzip"}:
        with _spool() as out:
            _inflate(request.body, out, limit)
            out.seek(0)
            yield out
    else:
        raise _RefusedError(415, f"the content encoding {encoding!r} is not spoken here")


def _inflate(source: BinaryIO, out: BinaryIO, limit: int) -> None:
    engine = zlib.decompressobj(_GZIP)
    try:
        while not engine.eof and (chunk := engine.unconsumed_tail or source.read(_CHUNK_BYTES)):
            out.write(engine.decompress(chunk, _CHUNK_BYTES))
            _within(out, limit)
    except zlib.error as error:
        raise _RefusedError(400, f"the body is not gzip: {error}") from None
    if not engine.eof:
        raise _RefusedError(400, "the gzip body ends too early")


def _within(out: BinaryIO, limit: int) -> None:
    if out.tell() > limit:
        raise _RefusedError(413, f"the request is larger than {limit} bytes, which is the limit")


def _spool() -> BinaryIO:
    return cast("BinaryIO", tempfile.SpooledTemporaryFile(_SPOOL_BYTES))
