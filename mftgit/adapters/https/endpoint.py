"""A folder on an HTTPS server as a place of files: WebDAV (RFC 4918) over urllib3."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final, cast

import urllib3

from mftgit.adapters.clock import Clock, SystemClock
from mftgit.adapters.endpoint.contract import (
    Content,
    EndpointBusyError,
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
    FileEntry,
    FileExistsAtEndpointError,
    FileMissingError,
    Kind,
    Named,
    Traits,
)
from mftgit.adapters.endpoint.one_by_one import OneByOne
from mftgit.adapters.endpoint.paths import folder_and_name, parts_inside
from mftgit.adapters.endpoint.side_by_side import side_by_side
from mftgit.adapters.endpoint.walk import walk
from mftgit.adapters.https.connection import Line
from mftgit.adapters.https.dav_answer import Told
from mftgit.adapters.https.dav_changes import DavChanges
from mftgit.adapters.https.dav_files import DavFiles, joined
from mftgit.adapters.https.login import prepare
from mftgit.adapters.https.requests import Answer, Body, Requests
from mftgit.adapters.https.transfer import Download, Upload, part_asked, tells_part
from mftgit.errors import MftgitError
from mftgit.model.locations.https_location import HttpsLocation
from mftgit.model.names import SecretName
from mftgit.model.secrets.value import SecretValue

STAGES: Final = ("read secrets", "connect", "log in")
"""What is done one after the other until files can be asked for. Connecting includes the server's certificate."""

_AT_ONCE: Final = 4  # small files
_OK: Final = 200
_PART: Final = 206
_NOT_SATISFIABLE: Final = 416


def connect(
    location: HttpsLocation,
    *,
    secrets_dir: Path,
    secrets: Mapping[SecretName, SecretValue] | None = None,
    clock: Clock | None = None,
    passed: Callable[[str], None] = lambda _stage: None,
) -> "HttpsEndpoint":
    """Connect and log in to ``location`` with files in ``secrets_dir``, or with ``secrets`` of the repository.

    ``passed`` is told of each of `STAGES` as it is done.

    Raises:
        ConfigError: a secret is missing or open to others; `HostKeyError` and `LoginError` are of this kind.
        EndpointRefusedError: the server does not speak WebDAV there.
        EndpointLostError: it cannot be reached or does not answer in time.
    """
    login = prepare(location, secrets_dir=secrets_dir, values=secrets or {})
    passed(STAGES[0])
    endpoint = HttpsEndpoint(location, Requests(Line(location, login, clock or SystemClock())))
    try:
        endpoint.enter(passed)
    except BaseException:
        endpoint.close()
        raise
    return endpoint


class HttpsEndpoint(OneByOne):
    """The files below ``location.path``; see `mftgit.adapters.endpoint.contract.Endpoint`.

    After an `EndpointLostError` it is closed, and every further call raises that error again: connect anew.
    Links on the server are files for us, if it follows them.
    """

    resumes = False
    has_folders = True

    def __init__(self, location: HttpsLocation, requests: Requests) -> None:
        self._location = location
        self._requests = requests
        self._files = DavFiles(requests, location.path)
        self._changes = DavChanges(requests, self._files)

    def enter(self, passed: Callable[[str], None]) -> None:
        """Connect, and see that the server lets us in; see `connect`."""
        self._requests.connect()
        passed(STAGES[1])
        self._files.find(".")
        passed(STAGES[2])

    @property
    def is_open(self) -> bool:
        """Whether it has neither been closed nor lost, as far as is known."""
        return not self._requests.closed

    def is_alive(self) -> bool:
        """Ask the server for something, and tell whether it answered; waits as long as any call."""
        try:
            self._files.find(".")
        except EndpointLostError:
            return False
        except MftgitError:
            return True
        return True

    def list_files(
        self, folder: str, *, recursive: bool, depth: int | None = None
    ) -> Iterator[FileEntry]:
        """See `Endpoint.list_files`; breadth first, at most 32 folders deep."""
        found = walk(
            folder,
            lambda below: self._files.names(below or "."),
            deepest=depth if recursive else 0,
            is_file=lambda told: not told.is_folder,
            is_folder=lambda told: told.is_folder,
            server=self._requests.server,
        )
        return (self._files.entry(path, told) for path, told in found)

    def look(self, path: str) -> Named | None:
        """See `RemoteEndpoint.look`; a server tells nothing of links."""
        parts = parts_inside(path)
        found = self._files.find(path)
        if found is not None:
            return self._named(parts[-1] if parts else ".", found)
        above = self._files.find(joined(parts[:-1]))
        if above is None or not above.is_folder:
            raise self._files.missing(joined(parts[:-1]))
        return None

    def list_folder(self, folder: str) -> Iterator[Named]:
        """See `RemoteEndpoint.list_folder`; it is read whole before the first name is given."""
        return (self._named(name, told) for name, told in self._files.names(folder))

    def _named(self, name: str, told: Told) -> Named:
        if told.is_folder:
            return Named(name=name, kind=Kind.FOLDER)
        entry = self._files.entry(name, told)
        return Named(
            name=name, kind=Kind.FILE, size_bytes=entry.size_bytes, mtime_ns=entry.mtime_ns
        )

    def list_names(self, folder: str) -> list[str]:
        """See `Endpoint.list_names`."""
        return [name for name, _ in self._files.names(folder)]

    def stat(self, path: str) -> FileEntry:
        """See `Endpoint.stat`."""
        return self._files.file(path)

    @contextmanager
    def open_read(self, path: str, offset: int = 0) -> Iterator[BinaryIO]:
        """See `Endpoint.open_read`; other than the bytes that the server told of before are not read.

        It is asked for the part from ``offset`` on (RFC 9110, 14.2). A server that gives the whole is read from its
        start, as is a file that has changed since it was looked at.
        """
        entry = self._files.file(path)
        if offset and offset >= entry.size_bytes:
            yield BytesIO()
            return
        headers = part_asked(offset, entry.tag)
        with self._requests.opened(
            "GET", self._files.url(path), what=path, headers=headers
        ) as response:
            yield cast("BinaryIO", self._download(response, entry, offset))

    def _download(
        self, response: urllib3.BaseHTTPResponse, entry: FileEntry, offset: int
    ) -> Download:
        server, path, is_part = self._requests.server, entry.path, response.status == _PART
        if response.status == _NOT_SATISFIABLE:
            raise EndpointBusyError(
                f"{server}: {path!r} ends before byte {offset} by now: it is tried again when it is at rest"
            )
        if response.status != _OK and not (is_part and offset):
            answer = Answer(status=response.status, points=response.headers.get("Location", ""))
            raise self._requests.fault(answer, path, "reading it")
        begin = offset if is_part else 0
        if is_part and not tells_part(response.headers, begin, entry.size_bytes):
            raise EndpointRefusedError(
                f"{server}: {path!r}: the server gives other bytes than those from {offset} on that it was asked for"
            )
        left_bytes = entry.size_bytes - begin
        if response.length_remaining not in {None, left_bytes}:
            raise EndpointBusyError(
                f"{server}: {path!r} has {response.length_remaining} bytes, and had {left_bytes} a "
                "moment ago: it is tried again when it is at rest"
            )
        download = Download(self._requests, response, left_bytes, path)
        download.pass_over(offset - begin)
        return download

    def write(
        self,
        path: str,
        chunks: Iterator[bytes],
        *,
        on_chunk: Callable[[int], None],
        resume_at: int | None = None,  # noqa: ARG002  see `resumes`
    ) -> int:
        """See `Endpoint.write`; "written" means sent, and whether the server has it is asked at the end.

        What ``chunks`` and ``on_chunk`` raise passes through as it is, and ends the connection that it was sent on: a
        server that is in its right mind keeps nothing of the file then.
        """
        above, _ = folder_and_name(path)
        self._require_free(path)
        self.make_folder(joined(above))
        upload = Upload(chunks, on_chunk)
        try:
            self._put(path, upload.pieces())
        except BaseException:
            upload.reraise()
            raise
        if not upload.ended:
            raise EndpointLostError(
                f"{self._requests.server}: {path!r}: the server hung up before all of it was sent, and said that it "
                "has it"
            )
        return self._require_size(path, upload.sent_bytes)

    def write_all(self, files: Iterable[tuple[str, bytes]]) -> list[int | MftgitError]:
        """See `Endpoint.write_all`; unlike by `write`, a server is told of each size before."""
        return side_by_side(lambda file: self._write_whole(*file), files, at_once=_AT_ONCE)

    def _write_whole(self, path: str, content: bytes) -> int:
        above, _ = folder_and_name(path)
        self._require_free(path)
        try:
            self._put(path, content)
        except FileMissingError:
            self.make_folder(joined(above))
            self._put(path, content)
        return self._require_size(path, len(content))

    def stat_all(self, paths: Iterable[str]) -> list[FileEntry | MftgitError]:
        """See `Endpoint.stat_all`."""
        return side_by_side(self.stat, paths, at_once=_AT_ONCE)

    def read_all(self, paths: Iterable[str], *, most_bytes: int) -> list[Content | MftgitError]:
        """See `Endpoint.read_all`."""
        return side_by_side(lambda path: self._read(path, most_bytes), paths, at_once=_AT_ONCE)

    def rename_all(
        self, moves: Iterable[tuple[str, str]], *, replace: bool
    ) -> list[MftgitError | None]:
        """See `Endpoint.rename_all`."""
        return side_by_side(
            lambda move: self.rename(*move, replace=replace), moves, at_once=_AT_ONCE
        )

    def remove_all(self, paths: Iterable[str]) -> list[MftgitError | None]:
        """See `Endpoint.remove_all`."""
        return side_by_side(self.remove, paths, at_once=_AT_ONCE)

    def _put(self, path: str, body: Body) -> None:
        answer = self._requests.ask(
            "PUT", self._files.url(path), what=path, headers={"If-None-Match": "*"}, body=body
        )
        if not answer.is_good:
            raise self._requests.fault(answer, path, "writing it")

    def _require_free(self, path: str) -> None:
        if self._files.find(path) is not None:
            raise FileExistsAtEndpointError(f"{self._requests.server}: {path!r} is there already")

    def _require_size(self, path: str, sent_bytes: int) -> int:
        size_bytes = self._files.file(path).size_bytes
        if size_bytes != sent_bytes:
            raise EndpointFullError(
                f"{self._requests.server}: {path!r} has {size_bytes} bytes after {sent_bytes} were sent: is it full?"
            )
        return size_bytes

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        """See `Endpoint.rename`, and `DavChanges.rename` for what servers do not promise."""
        self._changes.rename(old, new, replace=replace)

    def remove(self, path: str) -> None:
        """See `Endpoint.remove`."""
        self._changes.remove(path)

    def make_folder(self, path: str) -> None:
        """See `Endpoint.make_folder`; the location's own folder is the partner's to make."""
        self._changes.make_folder(path)

    def remove_folder(self, path: str) -> bool:
        """See `Endpoint.remove_folder`."""
        return self._changes.remove_folder(path)

    def set_traits(self, path: str, traits: Traits) -> None:
        """See `OneByOne.set_traits`; WebDAV has no property for it that servers take (RFC 4918, 15.7)."""
        self._files.file(path)
        if traits != Traits():
            raise EndpointRefusedError(
                f"{self._requests.server}: {path!r}: WebDAV sets neither times nor modes: have no preserve"
            )

    def close(self) -> None:
        """See `Endpoint.close`."""
        self._requests.close()
