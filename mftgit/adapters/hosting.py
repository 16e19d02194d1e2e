"""What a connection needs of its process once an account has logged in, and tells it, whatever protocol it speaks."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from mftgit.adapters.clock import Clock
from mftgit.adapters.home import Home
from mftgit.model.names import AccountName


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosting:
    """``enter`` opens the home of an account, raising `HomeError`; who enters closes it, and leaves.

    ``downloaded`` is told of each file that was read; ``tally`` is kept up by the connection.
    """

    enter: Callable[[AccountName], AbstractContextManager[Home]]
    downloaded: Callable[[Download], None]
    tally: Tally
    clock: Clock
