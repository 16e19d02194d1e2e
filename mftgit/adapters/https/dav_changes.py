"""What changes names and folders on a WebDAV server (RFC 4918, 9), and what has to be looked at before that."""

import secrets as chance
from threading import Lock
from typing import Final

from mftgit.adapters.endpoint.contract import (
    EndpointBusyError,
    EndpointRefusedError,
    FileExistsAtEndpointError,
)
from mftgit.adapters.endpoint.paths import RESERVED, folder_and_name, parts_inside
from mftgit.adapters.https.dav_files import DavFiles, joined
from mftgit.adapters.https.requests import Answer, Requests
from mftgit.errors import MftgitError

_CREATED: Final = 201
_THERE_ALREADY: Final = 405  # MKCOL where something is (RFC 4918, 9.3.1)
_GONE: Final = frozenset({404, 409, 410})
_TAKEN: Final = 412
_LOOKED_INTO: Final = frozenset({301, 403, 404, 405, 409, 410, 500})
"""Statuses that servers give for more reasons than one, so that it is looked what is there."""


class DavChanges:
    """Renames and removes what ``files`` sees.

    WebDAV has no way without locks to make a name that none else can make at the same moment: a server looks, and
    does it then. DELETE and MOVE take a folder with all that is in it, so that it is looked what there is.
    """

    def __init__(self, requests: Requests, files: DavFiles) -> None:
        self._requests = requests
        self._files = files
        self._making = Lock()

    def rename(self, old: str, new: str, *, replace: bool) -> None:
        """See `Endpoint.rename`; a folder at ``new`` is never replaced, which would remove what is in it.

        WebDAV promises no single step: a server may remove what is replaced a moment before, and may without
        ``replace`` do so too where a file comes to be at ``new`` after it has looked. We look before it does: servers,
        and proxies before them, are known to take no notice of a header.
        """
        folder_and_name(old)
        folder_and_name(new)
        there = self._files.find(new)
        if there is not None and not replace:
            raise self._files.missing(old) if self._files.find(old) is None else self._taken(new)
        if there is not None:
            self._files.entry(new, there)
            if parts_inside(old) == parts_inside(new):
                return
        answer = self._move(old, new, overwrite=there is not None)
        if there is None and self._files.points_to_itself(old, answer):
            answer = self._move(old, new, overwrite=False, folder=True)
        if replace and answer.status == _TAKEN:  # it came meanwhile
            self._files.file(new)
            answer = self._move(old, new, overwrite=True)
        if not answer.is_good:
            raise self._why_not(answer, old, new, replace=replace)

    def _move(self, old: str, new: str, *, overwrite: bool, folder: bool = False) -> Answer:
        host = self._requests.server.removesuffix(":443")
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
                return self._taken(new)
            above = joined(parts_inside(new)[:-1])
            if self._files.find(above) is None:
                return self._files.missing(above)
        if answer.status in _GONE:  # what was missing is there now
            return EndpointBusyError(str(self._requests.fault(answer, new, "renaming to it")))
        return self._requests.fault(answer, new, "renaming to it")

    def _taken(self, path: str) -> FileExistsAtEndpointError:
        return FileExistsAtEndpointError(f"{self._requests.server}: {path!r} is there already")

    def remove(self, path: str) -> None:
        """See `Endpoint.remove`; DELETE takes a folder with all that is in it, so that it is looked before."""
        self._files.file(path)
        answer = self._requests.ask("DELETE", self._files.url(path), what=path)
        if not answer.is_good:
            raise self._requests.fault(answer, path, "removing it")

    def make_folder(self, path: str) -> None:
        """See `Endpoint.make_folder`; the location's own folder is the partner's to make.

        One thread at a time makes folders: some servers say to the second one that somebody has it locked.
        """
        with self._making:
            self._make_folder(path)

    def _make_folder(self, path: str) -> None:
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
