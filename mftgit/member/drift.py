"""Keep the copy of the confirmed revision as it is: what changes at once, the whole every minute; never in the way.

What was edited is told as `DriftFound`, and lies in `drift` of the state folder.
"""

import threading
from collections import deque
from datetime import UTC
from typing import Final

from loguru import logger

from mftgit.adapters.active_copy import ActiveCopy
from mftgit.adapters.clock import Clock
from mftgit.adapters.drift_folder import Drift
from mftgit.adapters.git.store import GitStore
from mftgit.adapters.state_folder import StateFolder
from mftgit.errors import MftgitError
from mftgit.member.told import Told
from mftgit.model.events.event import EventName, Fact
from mftgit.model.names import Revision
from mftgit.model.rules.tree import Tree

LOOK_S: Final = 60.0
MAX_TOLD: Final = 20
_MAX_UNTOLD: Final = 20


class DriftWatch:
    """Looks after the copy, in a thread of its own once it is started."""

    def __init__(self, store: GitStore, folder: StateFolder, told: Told, *, clock: Clock) -> None:
        """Look at nothing yet; `follow` says which revision the copy is of."""
        self._store = store
        self._told = told
        self._clock = clock
        self._copy = ActiveCopy(folder.root)
        self._wanted: Revision | None = None
        self._read: tuple[Revision, Tree, bytes] | None = None
        self._untold: deque[tuple[Revision, dict[str, Fact]]] = deque(maxlen=_MAX_UNTOLD)
        self._looking = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="drift", daemon=True)

    def start(self) -> None:
        """Look from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Begin no further look."""
        self._stopping.set()
        self._wake.set()

    def join(self, timeout_s: float) -> None:
        """Wait until the thread has ended."""
        self._thread.join(timeout_s)

    def follow(self, revision: Revision | None) -> None:
        """Say which revision was confirmed last; where it is another one, a look is due."""
        if revision != self._wanted:
            self._wanted = revision
            self._wake.set()

    def look(self, *, whole: bool = True) -> None:
        """Put the copy right once, or what has changed in it, and tell what was found.

        Raises:
            MftgitError: not all of it went through; the next look goes on.
        """
        with self._looking:
            self._tell()
            if self._wanted is None:
                return
            revision, tree, commit = self._confirmed(self._wanted)
            stamp = f"{self._clock.now().astimezone(UTC):%Y%m%dT%H%M%S.%fZ}"
            found = self._copy.put_right(tree, commit=commit, stamp=stamp, whole=whole)
            if found is not None:
                self._untold.append((revision, _facts(found)))
                logger.bind(saved=found.saved).warning(
                    "the copy of the active revision was put right", files=len(found.deviations)
                )
                self._tell()

    def _confirmed(self, revision: Revision) -> tuple[Revision, Tree, bytes]:
        if self._read is None or self._read[0] != revision:
            self._read = revision, self._store.tree(revision), self._store.raw_commit(revision)
        return self._read

    def _tell(self) -> None:
        while self._untold:
            revision, facts = self._untold[0]
            self._told(EventName.DRIFT_FOUND, revision=revision, facts=facts)
            self._untold.popleft()

    def _watch(self) -> None:
        before, whole_at = None, self._clock.boottime()
        while not self._stopping.is_set():
            whole = self._clock.boottime() >= whole_at
            if whole:
                whole_at = self._clock.boottime() + LOOK_S
            try:
                self.look(whole=whole)
                before = None
            except MftgitError as error:
                level = "DEBUG" if str(error) == before else "WARNING"
                before = str(error)
                logger.log(level, "the copy of the active revision is not right", error=before)
            except Exception:  # noqa: BLE001  the member does without its copy
                logger.opt(exception=True).error("unexpected failure while looking for drift")
            self._wake.wait(max(0.0, whole_at - self._clock.boottime()))
            self._wake.clear()


def _facts(found: Drift) -> dict[str, Fact]:
    told: list[Fact] = [
        {"path": path, "what": deviation.value} for path, deviation in found.deviations[:MAX_TOLD]
    ]
    return {
        "count": len(found.deviations),
        "files": told,
        "saved": found.saved,
        "not_kept": found.not_kept,
    }
