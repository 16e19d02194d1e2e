"""A folder on an HTTPS server as a place of files: WebDAV (RFC 4918) over urllib3."""

import secrets as chance
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

from loguru import logger

from mftgit.adapters.clock import Clock, SystemClock
from mftgit.adapters.dav_files import DavFiles, joined
from mftgit.adapters.endpoint import (
    EndpointBusyError,
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
    FileEntry,
    FileExistsAtEndpointError,
    FileMissingError,
    Traits,
)
from mftgit.adapters.endpoint_paths import RESERVED, folder_and_name, parts_inside
from mftgit.adapters.https_connection import Line
from mftgit.adapters.https_login import prepare
from mftgit.adapters.https_requests import Answer, Body, Requests
from mftgit.adapters.https_transfer import Download, Upload
from mftgit.adapters.one_by_one import OneByOne
from mftgit.errors import MftgitError
from mftgit.model.https_location import HttpsLocation
from mftgit.model.names import SecretName
from mftgit.model.secret_value import SecretValue

STAGES: Final = ("read secrets", "connect", "log in")
"""What is done one after the other until files can be asked for. Connecting includes the server's certificate."""

_DEPTH: Final = 32  # of a recursive listing; a server may make up folders without end
_OK: Final = 200
_CREATED: Final = 201
_THERE_ALREADY: Final = 405  # MKCOL where something is (RFC 4918, 9.3.1)
_GONE: Final = frozenset({404, 409, 410})
_TAKEN: Final = 412
_LOOKED_INTO: Final = frozenset({403, 404, 405, 409, 410, 412, 500})
"""Statuses that servers give for more reasons than one, so that it is looked what is there."""


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
    """The files below ``location.path``; see `mftgit.adapters.endpoint.Endpoint`.

    After an `EndpointLostError` it is closed, and every further call raises that error again: connect anew.

    WebDAV has no lock-free way to make a file or a name that none else can make at the same moment: a server looks,
    and does it then. Links on the server are files for us, if it follows them.
    """

    resumes = False

    def __init__(self, location: HttpsLocation, requests: Requests) -> None:
        self._location = location
        self._requests = requests
        self._files = DavFiles(requests, location.path)

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
        top = parts_inside(folder)
        waiting: deque[tuple[str, ...]] = deque([()])
        deepest = depth if recursive else 0
        while waiting:
            below = waiting.popleft()
            try:
                found = self._files.names(joined((*top, *below)))
            except FileMissingError:
                if not below:
                    raise
                continue
            for name, told in found:
                path = joined((*below, name))
                if name.startswith(RESERVED):
                    continue
                if not told.is_folder:
                    yield self._files.entry(path, told)
                elif deepest is None or len(below) < deepest:
                    if len(below) < _DEPTH:
                        waiting.append((*below, name))
                    else:
                        self._warn_too_deep(path)

    def list_names(self, folder: str) -> list[str]:
        """See `Endpoint.list_names`."""
        return [name for name, _ in self._files.names(folder)]

    def stat(self, path: str) -> FileEntry:
        """See `Endpoint.stat`."""
        return self._files.file(path)

    @contextmanager
    def open_read(self, path: str, offset: int = 0) -> Iterator[BinaryIO]:  # noqa: ARG002  see `resumes`
        """See `Endpoint.open_read`; other than the bytes that the server told of before are not read."""
        size_bytes = self._files.file(path).size_bytes
        with self._requests.opened("GET", self._files.url(path), what=path) as response:
            if response.status != _OK:
                answer = Answer(status=response.status, points=response.headers.get("Location", ""))
                raise self._requests.fault(answer, path, "reading it")
            if response.length_remaining not in {None, size_bytes}:
                raise EndpointBusyError(
                    f"{self._requests.server}: {path!r} has {response.length_remaining} bytes, and had {size_bytes} a "
                    "moment ago: it is tried again when it is at rest"
                )
            yield cast("BinaryIO", Download(self._requests, response, size_bytes, path))

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
        self._put(path, upload.pieces(), upload)
        return self._require_size(path, upload.sent_bytes)

    def _put(self, path: str, body: Body, upload: Upload) -> None:
        try:
            answer = self._requests.ask(
                "PUT", self._files.url(path), what=path, headers={"If-None-Match": "*"}, body=body
            )
        except BaseException:
            upload.reraise()
            raise
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
        """See `Endpoint.rename`; a folder at ``new`` is never replaced, which would remove what is in it.

        WebDAV promises no single step: a server may remove what is replaced a moment before, and may without
        ``replace`` do so too where a file comes to be at ``new`` after it has looked.
        """
        folder_and_name(old)
        folder_and_name(new)
        there = self._files.find(new) if replace else None
        if there is not None:
            self._files.entry(new, there)
            if parts_inside(old) == parts_inside(new):
                return
        answer = self._move(old, new, overwrite=there is not None)
        if replace and answer.status == _TAKEN:  # it came meanwhile
            self._files.file(new)
            answer = self._move(old, new, overwrite=True)
        if not answer.is_good:
            raise self._why_not(answer, old, new, replace=replace)

    def _move(self, old: str, new: str, *, overwrite: bool, folder: bool = False) -> Answer:
        host = self._location.address.removesuffix(":443")
        return self._requests.ask(
            "MOVE",
            self._files.url(old, folder=folder),
            what=old,
            headers={
                "Destination": self._files.destination(new, host, folder=folder),
                "Overwrite": "T" if overwrite else "F",
            },
        )

    def _why_not(self, answer: Answer, old: str, new: str, *, replace: bool) -> MftgitError:
        """Return why a rename failed, by what is there: servers have one status for many reasons."""
        if answer.status in _LOOKED_INTO:
            if self._files.find(old) is None:
                return self._files.missing(old)
            if not replace and self._files.find(new) is not None:
                return FileExistsAtEndpointError(
                    f"{self._requests.server}: {new!r} is there already"
                )
            above = joined(parts_inside(new)[:-1])
            if self._files.find(above) is None:
                return self._files.missing(above)
        if answer.status in _GONE:  # what was missing is there now
            return EndpointBusyError(str(self._requests.fault(answer, new, "renaming to it")))
        return self._requests.fault(answer, new, "renaming to it")

    def remove(self, path: str) -> None:
        """See `Endpoint.remove`; DELETE takes a folder with all that is in it, so that it is looked before."""
        self._files.file(path)
        answer = self._requests.ask("DELETE", self._files.url(path), what=path)
        if not answer.is_good:
            raise self._requests.fault(answer, path, "removing it")

    def make_folder(self, path: str) -> None:
        """See `Endpoint.make_folder`; the location's own folder is the partner's to make."""
        parts = parts_inside(path)
        made = len(parts)
        while made > 0 and not self._make_one(joined(parts[:made])):
            made -= 1
        for length in range(made + 1, len(parts) + 1):
            if not self._make_one(joined(parts[:length])):
                raise self._files.missing(joined(parts[: length - 1]))

    def _make_one(self, path: str) -> bool:
        """Make one folder, and return whether it is there; it is not where the one above it is not there either."""
        told = self._files.find(path)
        if told is None:
            answer = self._requests.ask("MKCOL", self._files.url(path, folder=True), what=path)
            if answer.status == _CREATED:
                return True
            if answer.status in _GONE:
                return False
            told = self._files.find(path) if answer.status == _THERE_ALREADY else None
            if told is None:
                raise self._requests.fault(answer, path, "making the folder")
        if not told.is_folder:
            raise EndpointRefusedError(
                f"{self._requests.server}: {path!r} is a file where a folder has to be"
            )
        return True

    def remove_folder(self, path: str) -> bool:
        """See `Endpoint.remove_folder`.

        DELETE takes what is in a folder too. So it is given a name that nobody knows, looked at again, and only then
        removed: what somebody puts into it at the last moment finds no folder, or is found there and brought back.
        """
        folder_and_name(path)
        told = self._files.find(path)
        if told is None:
            return True
        if not told.is_folder:
            raise EndpointRefusedError(f"{self._requests.server}: {path!r} is a file, no folder")
        if self._files.names(path):
            return False
        above = joined(parts_inside(path)[:-1])
        aside = f"{above}/{RESERVED}-removing-{chance.token_hex(8)}"
        answer = self._move(path, aside, overwrite=False, folder=True)
        if not answer.is_good:
            if self._files.find(path) is None:
                return True
            raise self._requests.fault(answer, path, "removing the folder")
        if self._files.names(aside):
            back = self._move(aside, path, overwrite=False, folder=True)
            if not back.is_good:
                raise EndpointRefusedError(
                    f"{self._requests.server}: what was put into {path!r} while it was removed is in {aside!r} now, "
                    "and has to be brought back by hand"
                )
            return False
        gone = self._requests.ask("DELETE", self._files.url(aside, folder=True), what=aside)
        if not gone.is_good and gone.status not in _GONE:
            raise self._requests.fault(gone, aside, "removing the folder")
        return True

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

    def _warn_too_deep(self, path: str) -> None:
        logger.warning(
            "{server}: {path!r} is more than {depth} folders deep: not listed",
            server=self._requests.server,
            path=path,
            depth=_DEPTH,
        )
