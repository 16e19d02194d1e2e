"""What a WebDAV server tells of the files below one folder of it: one file, or the names in a folder."""

from collections.abc import Iterator, Sequence
from typing import Final

import urllib3

from mftgit.adapters.endpoint.contract import (
    EndpointRefusedError,
    FileEntry,
    FileMissingError,
)
from mftgit.adapters.endpoint.paths import folder_and_name, parts_inside
from mftgit.adapters.https.connection import wait_for
from mftgit.adapters.https.dav_answer import ASKED, ASKED_OF_ONE, Multistatus, NotDavError, Told
from mftgit.adapters.https.requests import Answer, Requests
from mftgit.model.locations.dav_path import name_below, quote_path

_MULTISTATUS: Final = 207
_ODD: Final = frozenset({400, 403})
_GONE: Final = frozenset({404, 409, 410})
_MOVED: Final = frozenset({301, 302, 307, 308})
_LIST_BYTES: Final = 256 << 20  # about 600,000 files of Apache's
_LIST_S: Final = 600.0
_PIECE: Final = 65_536
_XML: Final = {"Content-Type": 'application/xml; charset="utf-8"'}


class DavFiles:
    """Looks at what is below ``base`` of a server."""

    def __init__(self, requests: Requests, base: str) -> None:
        self._requests = requests
        self._base = parts_inside(base.lstrip("/"))

    @property
    def server(self) -> str:
        """How messages call it."""
        return self._requests.server

    def parts(self, path: str) -> tuple[str, ...]:
        """Return the parts of ``path`` from the root of the server on."""
        return (*self._base, *parts_inside(path))

    def url(self, path: str, *, folder: bool = False) -> str:
        """Return the path of the URL of ``path``."""
        return quote_path(self.parts(path), folder=folder)

    def find(self, path: str) -> Told | None:
        """Return what is at ``path``, file or folder; None where nothing is."""
        for folder in (False, True):
            answer = self._requests.ask(
                "PROPFIND",
                self.url(path, folder=folder),
                what=path,
                headers={"Depth": "0", **_XML},
                body=ASKED_OF_ONE,
            )
            if answer.status == _MULTISTATUS:
                return self._only(path, answer.data)
            if answer.status in _GONE or self._is_below_a_file(path, answer):
                return None
            if folder or not self.points_to_itself(path, answer):
                raise self._requests.fault(answer, path, "looking at it")
        raise AssertionError("the second time returns or raises")

    def _is_below_a_file(self, path: str, answer: Answer) -> bool:
        """Tell whether nothing can be at ``path``, for which Apache has other words than "not found"."""
        above = parts_inside(path)[:-1]
        if answer.status not in _ODD or not above:
            return False
        told = self.find(joined(above))
        return told is not None and not told.is_folder

    def points_to_itself(self, path: str, answer: Answer) -> bool:
        """Tell whether the server asks for a ``/`` at the end, as Apache does where it is a folder."""
        return (
            answer.status in _MOVED
            and name_below(answer.points, self.parts(path)) == ""
            and answer.points.endswith("/")
        )

    def _only(self, path: str, data: bytes) -> Told:
        reader = Multistatus()
        try:
            found = [*reader.feed(data)]
            reader.end()
        except NotDavError as error:
            raise self._not_dav(path, error) from error
        for told in found:
            if name_below(told.href, self.parts(path)) == "" and told.status in {None, 200}:
                return told
        raise self._not_dav(path, NotDavError("it tells of other files than was asked"))

    def entry(self, path: str, told: Told, *, at: str | None = None) -> FileEntry:
        """Return ``told``, the file ``path``, by the name ``at``.

        Raises:
            EndpointRefusedError: it is a folder, or not enough is told.
        """
        if told.is_folder:
            raise EndpointRefusedError(f"{self.server}: {path!r} is a folder: a file was expected")
        try:
            return FileEntry(
                path=at or path,
                size_bytes=told.size_bytes,
                mtime_ns=told.mtime_ns,
                tag=told.tag,
            )
        except NotDavError as error:
            raise self._not_dav(path, error) from error

    def file(self, path: str) -> FileEntry:
        """Return size and time of the file ``path``.

        Raises:
            FileMissingError, EndpointRefusedError: there is none, or a folder.
        """
        folder_and_name(path)
        told = self.find(path)
        if told is None:
            raise self.missing(path)
        return self.entry(path, told)

    def names(self, folder: str) -> list[tuple[str, Told]]:
        """Return every name in ``folder`` and what it is.

        Raises:
            FileMissingError: there is no such folder.
            EndpointRefusedError: it is a file, or the list is larger than 256 MiB.
        """
        with self._requests.opened(
            "PROPFIND",
            self.url(folder, folder=True),
            what=folder,
            headers={"Depth": "1", **_XML},
            body=ASKED,
        ) as response:
            if response.status != _MULTISTATUS:
                answer = Answer(status=response.status, points=response.headers.get("Location", ""))
                if answer.status in _GONE:
                    raise self.missing(folder)
                raise self._requests.fault(answer, folder, "listing it")
            wait_for(response, _LIST_S)
            try:
                with self._requests.telling(folder):
                    return self._members(folder, self._told(response))
            except NotDavError as error:
                raise self._not_dav(folder, error) from error

    def _told(self, response: urllib3.BaseHTTPResponse) -> Iterator[Told]:
        reader, size = Multistatus(), 0
        while data := response.read(_PIECE):
            size += len(data)
            if size > _LIST_BYTES:
                raise NotDavError("it is larger than 256 MiB: have fewer files in one folder")
            yield from reader.feed(data)
        reader.end()

    def _members(self, folder: str, answer: Iterator[Told]) -> list[tuple[str, Told]]:
        parts, found, is_folder = self.parts(folder), dict[str, Told](), False
        for told in answer:
            name = name_below(told.href, parts)
            if name is None:
                raise NotDavError(f"it tells of {told.href!r:.120}, which is not in that folder")
            if not name:
                is_folder = told.is_folder
            elif told.status in {None, 200}:
                found[name] = told
        if not is_folder:
            raise self.missing(folder)
        return list(found.items())

    def missing(self, path: str) -> FileMissingError:
        """Return that ``path`` is not there."""
        return FileMissingError(f"{self.server}: {path!r} is not there")

    def _not_dav(self, path: str, error: NotDavError) -> EndpointRefusedError:
        return EndpointRefusedError(
            f"{self.server}: {path!r}: the answer is not that of a WebDAV server: {error}"
        )

    def destination(self, path: str, host: str, *, folder: bool = False) -> str:
        """Return the URL of ``path``, whole, as the header Destination has it (RFC 4918, 10.3)."""
        return f"https://{host}{self.url(path, folder=folder)}"


def joined(parts: Sequence[str]) -> str:
    """Return ``parts`` as a path of an endpoint."""
    return "/".join(parts) or "."
