"""What a connection needs of its process once an account has logged in, whatever protocol it speaks."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from mftgit.adapters.clock import Clock
from mftgit.adapters.home import Home
from mftgit.adapters.sftp_serve_requests import Download, Tally
from mftgit.model.names import AccountName


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosting:
    """``enter`` opens the home of an account, raising `HomeError`; who enters closes it, and leaves.

    ``downloaded`` is told of each file that was read; ``tally`` is kept up by the connection.
    """

    enter: Callable[[AccountName], AbstractContextManager[Home]]
    downloaded: Callable[[Download], None]
    tally: Tally
    clock: Clock
