"""Repack the hosted repository with C git, where that is installed: every push leaves a pack, and dulwich none fewer.

Pushes and fetches go on meanwhile. What is read out of a pack that git has just replaced is found in the new one by
dulwich; that no ref moves, and that nothing is swept, is seen to by the repository's own lock, which git's process
holds too: should this process be killed, the next one waits for git's end before it removes leftovers.
"""

import os
import shutil
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

from mftgit.adapters.git.folder import locked
from mftgit.adapters.git.store import GitStore
from mftgit.errors import MftgitError

MAX_PACKS: Final = 50
"""From so many packs on it is time, as for git itself (gc.autoPackLimit)."""

MAX_LOOSE: Final = 6_700
"""Or from so many loose objects on (gc.auto)."""

_SETTINGS: Final = {
    "gc.auto": "0",
    "gc.packRefs": "false",  # dulwich lists loose and packed refs one after the other
    "gc.cruftPacks": "true",  # else what nothing refers to any more becomes loose, and git is due again at once
    "gc.writeCommitGraph": "false",
    "pack.threads": "1",
    "repack.writeBitmaps": "false",  # see git_objects.Objects
    "repack.updateServerInfo": "false",
}
# Of whatever a person has set for git, nothing counts; a damaged pack is told in English.
_ENVIRONMENT: Final = {
    "PATH": os.defpath,
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
}
_NICENESS: Final = 10
_SAID_BYTES: Final = 2_000
_FANOUT: Final = 256


class UpkeepError(MftgitError):
    """The repository was not repacked; it is as it was."""


def find_git() -> str | None:
    """Return where C git is, None where it is not installed."""
    return shutil.which("git")


class Upkeep:
    """Repacks one repository, for one thread at a time."""

    def __init__(self, store: GitStore, *, git: str, limit_s: float = 300.0) -> None:
        """End what takes longer than ``limit_s``: so long a push may have to wait until its ref moves."""
        self._store = store
        self._git = git
        self._limit_s = limit_s
        self._mutex = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False

    def is_due(self) -> bool:
        """Tell whether there are so many packs or loose objects that it pays."""
        return self.packs() >= MAX_PACKS or self._loose() >= MAX_LOOSE

    def packs(self) -> int:
        """Return how many packs there are."""
        return sum(1 for _ in self._store.path.glob("objects/pack/*.idx"))

    def run(self) -> None:
        """Repack, unless `stop` was called; what nothing has referred to for two weeks is dropped.

        Raises:
            UpkeepError: git failed, or took too long.
        """
        with locked(self._store.path) as lock:
            try:
                said, code = self._run(lock)
            finally:
                self._store.packs_replaced()
        if code and not self._stopped:
            raise UpkeepError(f"{self._store.path}: git gc ended with {code}: {said}")

    def stop(self) -> None:
        """End what runs, and begin nothing any more."""
        with self._mutex:
            self._stopped = True
            if self._process is not None:
                _kill(self._process)

    def _run(self, lock: int) -> tuple[str, int]:
        with self._mutex:
            if self._stopped:
                return "", 0
            process = self._process = self._start(lock)
        try:
            said = process.communicate(timeout=self._limit_s)[1]
        except subprocess.TimeoutExpired:
            _kill(process)
            process.communicate()
            raise UpkeepError(
                f"{self._store.path}: git gc took longer than {self._limit_s:.0f} s and was ended"
            ) from None
        finally:
            with self._mutex:
                self._process = None
        text = said[-_SAID_BYTES:].decode("utf-8", "backslashreplace")
        return " ".join(text.split()), process.returncode

    def _start(self, lock: int) -> subprocess.Popen[bytes]:
        settings = [word for pair in _SETTINGS.items() for word in ("-c", "=".join(pair))]
        where = f"--git-dir={self._store.path.resolve()}"
        try:
            process = subprocess.Popen(  # noqa: S603  no word of it comes from outside
                [self._git, where, *settings, "gc", "--quiet", "--force", "--prune=2.weeks.ago"],
                cwd=self._store.path,
                env=_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=[lock],
                start_new_session=True,
            )
        except OSError as error:
            raise UpkeepError(f"{self._git} cannot be run: {error.strerror or error}") from error
        with suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PGRP, process.pid, _NICENESS)
        return process

    def _loose(self) -> int:
        """Return about how many loose objects there are, by one of their folders, as git does."""
        folder: Path = self._store.path / "objects/17"
        return _FANOUT * sum(1 for _ in folder.glob("*"))


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End ``process`` and those that it has started, as far as they still run."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
