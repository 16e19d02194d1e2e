"""What a client has open, by the handles that it was given."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from mftgit.adapters.home.contract import Attributes, HomeError, OpenFile, Refusal

MOST_HANDLES: Final = 100
"""What one session may have open at a time; OpenSSH's server has the same."""


@dataclass(slots=True, kw_only=True)
class ServedFile:
    """An open file; ``began_s`` is the clock's. ``sent_bytes`` went to the client."""

    path: str
    file: OpenFile
    is_upload: bool
    began_s: float
    sent_bytes: int = 0


@dataclass(slots=True, kw_only=True)
class ServedFolder:
    """An open folder; ``kept`` is what was taken of ``entries`` and had no room in an answer any more."""

    path: str
    entries: Iterator[tuple[str, Attributes]]
    kept: bytes | None = None


class Handles:
    """The open files and folders of a session."""

    def __init__(self) -> None:
        self._opened: dict[bytes, ServedFile | ServedFolder] = {}
        self._last = 0

    def require_room(self) -> None:
        """Refuse where as much is open as may be."""
        if len(self._opened) >= MOST_HANDLES:
            raise HomeError(
                Refusal.FAILED,
                f"{MOST_HANDLES} files and folders are open, which is as many as may be: close one",
            )

    def add(self, opened: ServedFile | ServedFolder) -> bytes:
        """Take what was opened, and return its handle."""
        self._last += 1
        handle = self._last.to_bytes(8, "big")
        self._opened[handle] = opened
        return handle

    def remove(self, handle: bytes) -> ServedFile | ServedFolder:
        """Take away what is open; raises HomeError as the others do."""
        found = self._opened.pop(handle, None)
        if found is None:
            raise HomeError(Refusal.FAILED, "nothing is open by this handle")
        return found

    def found(self, handle: bytes) -> ServedFile | ServedFolder | None:
        """Return what is open."""
        return self._opened.get(handle)

    def file(self, handle: bytes) -> ServedFile:
        """Return an open file."""
        found = self._opened.get(handle)
        if not isinstance(found, ServedFile):
            raise HomeError(Refusal.FAILED, "no file is open by this handle")
        return found

    def folder(self, handle: bytes) -> ServedFolder:
        """Return an open folder."""
        found = self._opened.get(handle)
        if not isinstance(found, ServedFolder):
            raise HomeError(Refusal.FAILED, "no folder is open by this handle")
        return found

    def path(self, handle: bytes) -> str:
        """Return the path of a file or folder."""
        found = self._opened.get(handle)
        if found is None:
            raise HomeError(Refusal.FAILED, "nothing is open by this handle")
        return found.path

    def abandon(self) -> None:
        """Let go of everything; no upload gets its name."""
        opened, self._opened = list(self._opened.values()), {}
        for each in opened:
            with suppress(HomeError):
                if isinstance(each, ServedFile):
                    each.file.abandon()
                else:
                    end(each.entries)


def end(entries: Iterator[tuple[str, Attributes]]) -> None:
    """Let go of a folder that was not read to its end."""
    close = getattr(entries, "close", None)  # a generator's
    if close is not None:
        close()
