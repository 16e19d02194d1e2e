"""What is done to one file or folder of a share, as exchanges (`mftgit.adapters.smb.overlap`)."""

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from smbprotocol.exceptions import SMBResponseException

from mftgit.adapters.endpoint.contract import (
    Content,
    EndpointBusyError,
    EndpointFullError,
    EndpointRefusedError,
    FileEntry,
    FileExistsAtEndpointError,
    FileMissingError,
    Traits,
)
from mftgit.adapters.endpoint.paths import folder_and_name, parts_inside, require_length
from mftgit.adapters.smb import requests
from mftgit.adapters.smb.overlap import Exchange
from mftgit.adapters.smb.requests import RELATED, Found, Opened
from mftgit.adapters.smb.share import CREDIT_BYTES, Share
from mftgit.adapters.smb.status import (
    IS_A_DIRECTORY,
    NAME_COLLISION,
    NOT_A_DIRECTORY,
    NOT_EMPTY,
    kind_of,
    status_of,
)
from mftgit.model.locations.smb_names import wrong_name

_PIECE_BYTES: Final = CREDIT_BYTES  # of a small file: many of them share the credits
_TURN: Final = ".mftgit-turn-"
_TURN_TRIES: Final = 100  # a round trip each; whoever has the turn needs two


def entry_of(path: str, found: Found) -> FileEntry:
    """Return ``found`` as an endpoint tells it."""
    return FileEntry(path=path, size_bytes=found.size_bytes, mtime_ns=found.mtime_ns)


class SmbFiles:
    """The files of ``share`` below its folder ``base``; ``flush`` makes what is written last."""

    def __init__(self, share: Share, *, base: Sequence[str], flush: bool) -> None:
        self._share = share
        self._base = tuple(base)
        self._flush = flush
        self._telling = share.telling

    def remote(self, path: str) -> str:
        """Return ``path`` as the server knows it, from the share.

        Raises:
            EndpointRefusedError: it leaves the location, or has a name that cannot be there.
        """
        parts = parts_inside(path)
        for part in parts:
            if wrong := wrong_name(part):
                raise EndpointRefusedError(
                    f"{self._share.server}: nothing can be called {part!r} there ({wrong}): rename it before"
                )
        return "\\".join((*self._base, *parts))

    def stat(self, path: str) -> Exchange[FileEntry]:
        """See `Endpoint.stat`."""
        folder_and_name(path)
        message = self.opening(path, access=requests.LOOK, options=requests.EITHER)
        with self._telling(path):
            answers = yield self._at_once(message)
            found = requests.read_opened(answers[0]).found
        if not found.is_file:
            raise EndpointRefusedError(f"{self._share.server}: {path!r} is no regular file")
        return entry_of(path, found)

    def look(self, path: str) -> Exchange[Found | None]:
        """Return what ``path`` is, a link being a link; None where nothing is."""
        message = self.opening(path, access=requests.LOOK, options=requests.EITHER)
        try:
            with self._telling(path):
                answers = yield self._at_once(message)
                return requests.read_opened(answers[0]).found
        except FileMissingError:
            return None

    def open_read(self, path: str) -> Exchange[Opened]:
        """Open ``path`` to read it, while nobody writes to it."""
        folder_and_name(path)
        message = self.opening(
            path, access=requests.READ, options=requests.FILE, share=requests.NO_WRITERS
        )
        with self._telling(path):
            return requests.read_opened((yield [message])[0])

    def read(self, path: str, most_bytes: int) -> Exchange[Content]:
        """See `Endpoint.read_all`."""
        opened = yield from self.open_read(path)
        size, data = opened.found.size_bytes, bytearray()
        with self._telling(path):
            try:
                while len(data) < size <= most_bytes:
                    length = min(_PIECE_BYTES, size - len(data))
                    answers = yield [requests.read(opened.file_id, len(data), length)]
                    data += requests.read_data(answers[0], length)
            except SMBResponseException:
                yield from _drop(opened.file_id)
                raise
            answers = yield [requests.close(opened.file_id, told=True)]
            after = requests.read_closed(answers[0])
        before = entry_of(path, opened.found)
        return Content(before=before, after=entry_of(path, after), data=bytes(data))

    def create(self, path: str) -> Exchange[Opened]:
        """Make the new file ``path`` and the folders above it, and open it to write."""
        above, _ = folder_and_name(path)
        message = self.opening(
            path, access=requests.WRITE, options=requests.FILE, disposition=requests.CREATE
        )
        try:
            return (yield from self._created(path, message))
        except FileMissingError:
            yield from self.make_folders(above)
        return (yield from self._created(path, message))

    def _created(self, path: str, message: Any) -> Exchange[Opened]:
        with self._telling(path):
            try:
                return requests.read_opened((yield [message])[0])
            except SMBResponseException as error:
                if status_of(error) != IS_A_DIRECTORY:
                    raise
                raise FileExistsAtEndpointError(
                    f"{self._share.server}: {path!r}: there is a folder of that name"
                ) from error

    def go_on(self, path: str, offset: int) -> Exchange[Opened]:
        """Open ``path``, which is there, to write from ``offset`` on."""
        folder_and_name(path)
        message = self.opening(path, access=requests.WRITE, options=requests.FILE)
        with self._telling(path):
            opened = requests.read_opened((yield [message])[0])
            try:
                require_length(f"{self._share.server}: {path!r}", opened.found.size_bytes, offset)
            except EndpointRefusedError:
                yield from _drop(opened.file_id)
                raise
        return opened

    def write(self, path: str, content: bytes) -> Exchange[int]:
        """See `Endpoint.write_all`."""
        opened = yield from self.create(path)
        file_id = opened.file_id
        with self._telling(path):
            try:
                for start in range(0, len(content), _PIECE_BYTES):
                    piece = content[start : start + _PIECE_BYTES]
                    yield [requests.write(file_id, start, piece)]
                if self._flush:
                    yield [requests.flush(file_id)]
            except SMBResponseException:
                yield from _drop(file_id)
                raise
            answers = yield [requests.close(file_id, told=True)]
            size = requests.read_closed(answers[0]).size_bytes
        self.require_size(path, size, len(content))
        return size

    def require_size(self, path: str, size_bytes: int, sent_bytes: int) -> None:
        """Raise `EndpointFullError` where ``path`` is not as large as what was sent."""
        if size_bytes != sent_bytes:
            raise EndpointFullError(
                f"{self._share.server}: {path!r} has {size_bytes} bytes after {sent_bytes} were sent: is it full?"
            )

    def rename(self, old: str, new: str, *, replace: bool) -> Exchange[None]:
        """See `Endpoint.rename`; a file that somebody has open is replaced only where that one allows it."""
        folder_and_name(old)
        folder_and_name(new)
        message = self.opening(old, access=requests.MOVE, options=requests.EITHER)
        target = self.remote(new)
        if not replace and target == self.remote(old):
            yield from self.stat(old)
            raise FileExistsAtEndpointError(f"{self._share.server}: {new!r} is there already")
        move = self._at_once(message, requests.rename(RELATED, target, replace=replace))
        with self._telling(old, new):
            if replace:
                yield move
                return
            turn = yield from self._take_turn(new)
            try:
                yield move
            finally:
                yield from _drop(turn)

    def _take_turn(self, name: str) -> Exchange[bytes]:
        """Open what only one at a time has open who gives a file the ``name``; it is gone once that is closed.

        Samba looks whether the name is free, and then renames: of two at once both would be told that they won.
        """
        folder, _, last = name.rpartition("/")
        digest = hashlib.sha256(last.casefold().encode(errors="surrogateescape")).hexdigest()
        path = f"{folder}/{_TURN}{digest[:16]}" if folder else f"{_TURN}{digest[:16]}"
        message = self.opening(
            path,
            access=requests.MOVE,
            options=requests.FILE | requests.GONE_WHEN_CLOSED,
            disposition=requests.OPEN_OR_CREATE,
            share=requests.NOBODY,
        )
        for _ in range(_TURN_TRIES - 1):
            try:
                return requests.read_opened((yield [message])[0]).file_id
            except SMBResponseException as error:
                if kind_of(status_of(error)) is not EndpointBusyError:
                    raise
        return requests.read_opened((yield [message])[0]).file_id

    def remove(self, path: str) -> Exchange[None]:
        """See `Endpoint.remove`."""
        folder_and_name(path)
        message = self.opening(path, access=requests.MOVE, options=requests.FILE)
        with self._telling(path):
            yield self._at_once(message, requests.remove(RELATED))

    def set(self, path: str, traits: Traits) -> Exchange[None]:
        """Set the time; there is no mode. SMB has no word for "make it last", so that a power cut may lose it."""
        if traits.mtime_ns is None:
            yield from self.stat(path)
            return
        folder_and_name(path)
        message = self.opening(path, access=requests.SET, options=requests.FILE)
        with self._telling(path):
            yield self._at_once(message, requests.set_time(RELATED, traits.mtime_ns))

    def make_folders(self, parts: Sequence[str]) -> Exchange[None]:
        """Make the folder at ``parts`` and those above it, below the location's own."""
        for count in range(1, len(parts) + 1):
            path = "/".join(parts[:count])
            message = self.opening(
                path,
                access=requests.LOOK,
                options=requests.FOLDER,
                disposition=requests.OPEN_OR_CREATE,
            )
            with self._telling(path):
                try:
                    yield self._at_once(message)
                except SMBResponseException as error:
                    if status_of(error) not in {NOT_A_DIRECTORY, NAME_COLLISION}:
                        raise
                    raise EndpointRefusedError(
                        f"{self._share.server}: there is a file {path!r} where a folder has to be"
                    ) from error

    def remove_folder(self, path: str) -> Exchange[bool]:
        """See `Endpoint.remove_folder`."""
        folder_and_name(path)
        message = self.opening(path, access=requests.MOVE, options=requests.FOLDER)
        with self._telling(path):
            try:
                yield self._at_once(message, requests.remove(RELATED))
            except SMBResponseException as error:
                status = status_of(error)
                if status == NOT_A_DIRECTORY:
                    raise EndpointRefusedError(
                        f"{self._share.server}: {path!r} is no folder"
                    ) from error
                if status != NOT_EMPTY and kind_of(status) is not FileMissingError:
                    raise
                return status != NOT_EMPTY
        return True

    def opening(
        self,
        path: str,
        *,
        access: int,
        options: int,
        disposition: int = requests.OPEN,
        share: int = requests.ANY,
    ) -> Any:
        """Return the message that opens ``path``."""
        return requests.open_(
            self.remote(path), access=access, disposition=disposition, options=options, share=share
        )

    @staticmethod
    def _at_once(opening: Any, *between: Any) -> list[Any]:
        """Open, do what is ``between``, and close, in one packet."""
        return [opening, *between, requests.close(RELATED)]


def _drop(file_id: bytes) -> Exchange[None]:
    """Close what is open by ``file_id``, whatever the server says to that."""
    with suppress(SMBResponseException):
        yield [requests.close(file_id)]
