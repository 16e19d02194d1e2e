"""The files of one account over HTTP: GET, HEAD, PUT, DELETE and MKCOL, with ranges, and uploads that go on."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from email.utils import formatdate
from http import HTTPStatus
from itertools import islice
from typing import Final
from urllib.parse import quote

from mftgit.adapters.clock import Clock
from mftgit.adapters.home.contract import (
    Attributes,
    Home,
    HomeError,
    OpenFile,
    Opening,
    Refusal,
    Traits,
)
from mftgit.adapters.hosting import Download, Tally
from mftgit.adapters.web.page import MAX_SHOWN, render_folder
from mftgit.adapters.web.wire import Asked, Told
from mftgit.model.inbound.web_request import (
    NoSuchSpanError,
    Piece,
    Span,
    read_content_range,
    read_path,
    read_range,
    tag_of,
)
from mftgit.model.names import AccountName

_CHUNK_BYTES: Final = 256 << 10
_STATUS: Final[Mapping[Refusal, HTTPStatus]] = {
    Refusal.MISSING: HTTPStatus.NOT_FOUND,
    Refusal.DENIED: HTTPStatus.FORBIDDEN,
    Refusal.EXISTS: HTTPStatus.CONFLICT,
    Refusal.NOT_EMPTY: HTTPStatus.CONFLICT,
    Refusal.IS_FOLDER: HTTPStatus.CONFLICT,
    Refusal.NOT_FOLDER: HTTPStatus.CONFLICT,
    Refusal.NOT_FILE: HTTPStatus.CONFLICT,
    Refusal.BUSY: HTTPStatus.SERVICE_UNAVAILABLE,
    Refusal.FULL: HTTPStatus.INSUFFICIENT_STORAGE,
    Refusal.OVER_QUOTA: HTTPStatus.INSUFFICIENT_STORAGE,
    Refusal.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Refusal.BAD_NAME: HTTPStatus.BAD_REQUEST,
    Refusal.ACROSS: HTTPStatus.CONFLICT,
    Refusal.UNSUPPORTED: HTTPStatus.NOT_IMPLEMENTED,
    Refusal.FAILED: HTTPStatus.INTERNAL_SERVER_ERROR,
}

Body = Callable[[], Iterator[bytes]]


class Files:
    """The files of ``account`` for one connection."""

    def __init__(
        self,
        home: Home,
        *,
        account: AccountName,
        downloaded: Callable[[Download], None],
        tally: Tally,
        clock: Clock,
    ) -> None:
        """Serve out of ``home``; it is closed by its owner."""
        self._home = home
        self._account = account
        self._downloaded = downloaded
        self._tally = tally
        self._clock = clock
        self._methods: Mapping[str, Callable[[str, Asked, Body], Told]] = {
            "GET": self._get,
            "HEAD": self._get,
            "PUT": self._put,
            "DELETE": self._delete,
            "MKCOL": self._make_folder,
        }

    def answer(self, asked: Asked, body: Body) -> Told:
        """Do what is asked for, and return what came of it; what ``body`` raises passes through."""
        method = self._methods.get(asked.method)
        if method is None:
            allow = {"Allow": ", ".join(self._methods)}
            return said(HTTPStatus.METHOD_NOT_ALLOWED, "this method is not served", allow)
        try:
            return method(read_path(asked.target), asked, body)
        except HomeError as error:
            return said(_STATUS[error.refusal], str(error))
        except NoSuchSpanError:
            return said(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "the file has no such bytes")
        except ValueError as error:
            return said(HTTPStatus.BAD_REQUEST, str(error))

    def _get(self, path: str, asked: Asked, _body: Body) -> Told:
        found = self._home.stat(path)
        if not found.is_folder:
            return self._file(path, asked)
        here = self._home.resolve(path)
        place = f"{here.rstrip('/')}/"
        if path != place:  # what is relative to //host/ would be at another site
            headers = {"Location": _url(place)}
            return said(HTTPStatus.MOVED_PERMANENTLY, "it is a folder", headers)
        entries = self._home.list(path)
        if "application/json" in asked.headers.get("accept", ""):
            return Told(
                status=HTTPStatus.OK,
                headers={"Content-Type": "application/json", "Cache-Control": "no-store"},
                body=_as_json(entries),
                length=None,
            )
        shown = list(islice(entries, MAX_SHOWN + 1))
        return page(HTTPStatus.OK, render_folder(self._account, here, shown))

    def _file(self, path: str, asked: Asked) -> Told:
        file = self._home.open_read(path)
        try:
            found = file.attributes()
            tag = tag_of(found.size_bytes, found.mtime_s)
            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Disposition": f"attachment; filename*=UTF-8''{_url(path.rpartition('/')[2])}",
                "Accept-Ranges": "bytes",
                "ETag": tag,
                "Last-Modified": formatdate(found.mtime_s, usegmt=True),
                "Cache-Control": "private, no-cache",
                "Content-Security-Policy": "sandbox",
            }
            if tag in asked.headers.get("if-none-match", ""):
                file.close()
                return Told(status=HTTPStatus.NOT_MODIFIED, headers={"ETag": tag}, length=None)
            span = _wanted(asked, found, tag)
        except BaseException:
            file.abandon()
            raise
        status = HTTPStatus.OK
        if span is None:
            span = Span(first=0, length=found.size_bytes)
        else:
            status = HTTPStatus.PARTIAL_CONTENT
            headers["Content-Range"] = span.content_range(found.size_bytes)
        if asked.method == "HEAD":
            file.close()
            return Told(status=status, headers=headers, length=span.length)
        body = self._read(file, path, span, found.size_bytes)
        return Told(status=status, headers=headers, body=body, length=span.length)

    def _read(self, file: OpenFile, path: str, span: Span, size_bytes: int) -> Iterator[bytes]:
        began, sent = self._clock.boottime(), 0
        try:
            # A file that has become shorter ends the connection, for the length was told.
            while data := file.read(span.first + sent, min(_CHUNK_BYTES, span.length - sent)):
                sent += len(data)
                self._tally.sent_bytes += len(data)
                yield data
        finally:
            file.close()
            self._tally.downloads += 1
            self._downloaded(
                Download(
                    path=self._home.resolve(path),
                    size_bytes=size_bytes,
                    sent_bytes=sent,
                    duration_s=self._clock.boottime() - began,
                )
            )

    def _put(self, path: str, asked: Asked, body: Body) -> Told:
        if path.endswith("/"):
            return said(HTTPStatus.BAD_REQUEST, "a file's name does not end with /: use MKCOL")
        if (value := asked.headers.get("content-range")) is not None:
            return self._put_piece(path, read_content_range(value), body)
        exclusive = asked.headers.get("if-none-match") == "*"
        opening = Opening(create=True, truncate=not exclusive, exclusive=exclusive)
        file = self._home.open_write(path, opening, Traits())
        return self._take_in(file, 0, None, body)

    def _put_piece(self, path: str, piece: Piece, body: Body) -> Told:
        """Begin or go on with an upload, or tell how much of it is there."""
        first = None if piece.span is None else piece.span.first
        if first == 0:
            opening = Opening(create=True, truncate=True)
        else:
            there = self._home.unfinished(path) or 0
            if first != there:
                status = HTTPStatus.ACCEPTED if first is None else HTTPStatus.CONFLICT
                return said(status, f"{there} bytes are there", {"Upload-Offset": str(there)})
            opening = Opening(create=True, append=True)
        return self._take_in(
            self._home.open_write(path, opening, Traits()), first or 0, piece, body
        )

    def _take_in(self, file: OpenFile, at: int, piece: Piece | None, body: Body) -> Told:
        """Write ``body`` from ``at`` on; the upload is done with the last piece of it."""
        end = None if piece is None or piece.span is None else at + piece.span.length
        try:
            for data in body():
                if end is not None and at + len(data) > end:
                    raise ValueError("the body is longer than its Content-Range")  # noqa: TRY301
                file.write(at, data)
                at += len(data)
                self._tally.received_bytes += len(data)
            if end is not None and at != end:
                raise ValueError("the body is shorter than its Content-Range")  # noqa: TRY301
        except BaseException:
            file.abandon()
            raise
        if piece is not None and not piece.is_last:
            file.abandon()
            return said(HTTPStatus.ACCEPTED, "go on", {"Upload-Offset": str(at)})
        done = file.close()
        self._tally.uploads += 1
        if done is None:
            return said(HTTPStatus.CREATED, "done")
        status = HTTPStatus.OK if done.overwrote else HTTPStatus.CREATED
        digest = {"Content-Digest-SHA256": done.digest}
        return said(status, f"{done.size_bytes} bytes, SHA-256 {done.digest}", digest)

    def _delete(self, path: str, _asked: Asked, _body: Body) -> Told:
        if self._home.stat(path).is_folder:
            self._home.remove_folder(path)
        else:
            self._home.remove(path)
        return Told(status=HTTPStatus.NO_CONTENT)

    def _make_folder(self, path: str, _asked: Asked, _body: Body) -> Told:
        self._home.make_folder(path, Traits())
        return said(HTTPStatus.CREATED, "done")


def said(status: HTTPStatus, text: str, headers: Mapping[str, str] | None = None) -> Told:
    """Return an answer in a line of text."""
    body = f"{text}\n".encode("utf-8", "backslashreplace")
    plain = {"Content-Type": "text/plain; charset=utf-8", "Cache-Control": "no-store"}
    return Told(status=status, headers={**plain, **(headers or {})}, body=(body,), length=len(body))


def page(status: HTTPStatus, html: str, headers: Mapping[str, str] | None = None) -> Told:
    """Return a page, which runs nothing but this server's own script."""
    body = html.encode("utf-8", "backslashreplace")
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    )
    fixed = {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-store",
        "Content-Security-Policy": policy,
    }
    return Told(status=status, headers={**fixed, **(headers or {})}, body=(body,), length=len(body))


def _wanted(asked: Asked, found: Attributes, tag: str) -> Span | None:
    value = asked.headers.get("range")
    if value is None or asked.headers.get("if-range", tag) != tag:
        return None
    return read_range(value, found.size_bytes)


def _as_json(entries: Iterable[tuple[str, Attributes]]) -> Iterator[bytes]:
    comma = "["
    for name, each in entries:
        entry = {
            "name": name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"),
            "folder": each.is_folder,
            "size_bytes": each.size_bytes,
            "mtime_s": each.mtime_s,
        }
        yield f"{comma}{json.dumps(entry)}".encode()
        comma = ",\n"
    yield b"]\n" if comma != "[" else b"[]\n"


def _url(path: str) -> str:
    return quote(path.encode("utf-8", "surrogateescape"))
