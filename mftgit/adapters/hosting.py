"""What a connection needs of its process once an account has logged in, and tells it, whatever protocol it speaks."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from threading import Lock
from typing import Final

from mftgit.adapters.clock import Clock
from mftgit.adapters.home.contract import Home
from mftgit.model.inbound.finished import Finished
from mftgit.model.names import AccountName

TellUpload = Callable[[Finished, Callable[[bool], None]], None]
"""Has an upload written down, and returns at once; what it is given is called with whether it is, by any thread."""

UNWRITTEN: Final = "the file is there, but that could not be written down: send it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """A file that was read and closed again; ``sent_bytes`` of it went to the client. ``path`` is the account's."""

    path: str
    size_bytes: int
    sent_bytes: int
    duration_s: float


@dataclass(slots=True)
class Tally:
    """What a session has done by now; other threads may look at it."""

    received_bytes: int = 0
    sent_bytes: int = 0
    uploads: int = 0
    downloads: int = 0


class Answering:
    """Entered while something is answered that a client must not be cut off from; for any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._count = 0

    @property
    def is_any(self) -> bool:
        """Whether anything is."""
        return self._count > 0

    def __enter__(self) -> None:
        with self._lock:
            self._count += 1

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self._count -= 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosting:
    """``enter`` opens the home of an account, raising `HomeError`; who enters closes it, and leaves.

    ``tell_upload`` is for uploads that were published and not closed, where that can be. ``downloaded`` is told of
    each file that was read; ``tally`` is kept up by the connection. ``answering`` is entered before a file is closed,
    and left when the client was told what became of it.
    """

    enter: Callable[[AccountName], AbstractContextManager[Home]]
    downloaded: Callable[[Download], None]
    tally: Tally
    answering: Answering
    clock: Clock
    tell_upload: TellUpload | None = None
