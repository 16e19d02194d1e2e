"""A running member proves its requests with the key that its file holds at that moment."""

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from loguru import logger

from mftgit.adapters.durable import sync_folder
from mftgit.adapters.proof import Prover
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.errors import ConfigError


class FileProver:
    """Signs with the member's key; one that was renamed into its place is used from the next request on."""

    def __init__(
        self, folder: StateFolder, bootstrap: Bootstrap, *, now: Callable[[], datetime]
    ) -> None:
        """Read the key of ``folder``; raises ConfigError where there is none."""
        self._folder = folder
        self._bootstrap = bootstrap
        self._now = now
        self._lock = threading.Lock()
        self._file = self._look()
        self._prover = self._read()

    @property
    def public_key(self) -> str:
        """The public half of the key."""
        return self._current().public_key

    def headers(self, method: str, path: str) -> dict[str, str]:
        """Return the headers that prove a request ``method path``."""
        return self._current().headers(method, path)

    def _current(self) -> Prover:
        """Return what signs; while the file is not there, or holds no key, that is the key read before."""
        with self._lock:
            file = self._look()  # before it is read: what comes in between is seen the next time
            if file != self._file:
                self._file = file
                try:
                    self._prover = self._read()
                except ConfigError as error:
                    logger.warning("the key read before is used on", error=str(error))
            return self._prover

    def _look(self) -> tuple[int, ...] | None:
        """Return what tells one file from another; None where there is none."""
        try:
            found = self._folder.member_key.stat()
        except OSError:
            return None
        return (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def _read(self) -> Prover:
        """Return what signs with the key in the file, which a power cut does not take back from now on.

        The controller ends the key before this one at the first use, so that the file with that must not come back.
        """
        prover = Prover(
            member=self._bootstrap.name,
            cluster_id=self._bootstrap.cluster_id,
            key=self._folder.read(self._folder.member_key),
            now=self._now,
        )
        with suppress(OSError):  # a disk that cannot be flushed keeps no member from its work
            sync_folder(self._folder.root)
        return prover
