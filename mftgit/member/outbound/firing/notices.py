"""Look at a watched folder at once when there is news of it; the looks of the trigger go on all the same."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from loguru import logger

from mftgit.adapters.clock import Clock
from mftgit.adapters.inotify import Inotify
from mftgit.adapters.scheduler import Scheduler
from mftgit.model.configuration.config import Generation, Transfer
from mftgit.model.locations.location import LocalLocation
from mftgit.model.names import TransferName
from mftgit.model.transfers.selection import deepest
from mftgit.model.transfers.triggers import WatchBy, WatchTrigger

GAP_S: Final = 0.2
"""One folder is looked at no more often for news of it, however many there are."""

_LATER_S: Final = 0.2  # than a file is stable, since it is seen a moment after the news


class Notices:
    """Which folders are listened to. ``look(key)`` is called in a thread of the scheduler's or of inotify's."""

    def __init__(
        self,
        *,
        files_root: Path,
        scheduler: Scheduler,
        clock: Clock,
        look: Callable[[TransferName], None],
    ) -> None:
        self._files_root = files_root
        self._scheduler = scheduler
        self._clock = clock
        self._look = look
        self._inotify = Inotify(self._heard)
        self._lock = threading.Lock()
        self._stable_s: dict[str, float] = {}
        self._looked_at: dict[str, float] = {}
        self._deaf: set[str] = set()  # told already

    def keep(self, key: TransferName, transfer: Transfer, generation: Generation) -> None:
        """Listen to the source of ``transfer`` where its trigger says so and its file system tells. It may hang."""
        trigger = transfer.trigger
        location = generation.locations[transfer.source.location]
        if not isinstance(trigger, WatchTrigger) or trigger.by is WatchBy.POLLING:
            return
        if not isinstance(location, LocalLocation):
            return
        with self._lock:
            self._stable_s[key] = transfer.source.stable_s
        folder = self._files_root / location.path / transfer.source.path
        heard = self._inotify.watch(key, folder, depth=deepest(transfer.source))
        if not heard and trigger.by is WatchBy.INOTIFY and key not in self._deaf:
            self._deaf.add(key)
            logger.warning(
                "the source is polled: its file system does not tell of files, or it is not there",
                transfer=transfer.name,
                folder=str(folder),
            )

    def forget(self, key: TransferName) -> None:
        """Listen no more."""
        self._inotify.forget(key)
        with self._lock:
            self._stable_s.pop(key, None)
            self._looked_at.pop(key, None)
        self._deaf.discard(key)

    def stop(self) -> None:
        """End."""
        self._inotify.stop()

    def settle(self, key: TransferName, stable_s: float) -> None:
        """Look again once a file that is there now is stable; each piece of news puts that off, as each change does."""
        if stable_s:
            self._scheduler.once(f".stable.{key}", stable_s + _LATER_S, lambda: self._look(key))

    def _heard(self, name: str) -> None:
        key, now = TransferName(name), self._clock.boottime()
        with self._lock:
            stable_s = self._stable_s.get(key)
            if stable_s is None:
                return
            wait_s = self._looked_at.get(key, now - GAP_S) + GAP_S - now
            if wait_s > 0:
                self._scheduler.once(f".soon.{key}", wait_s, lambda: self._look_later(key))
            else:
                self._looked_at[key] = now
        if wait_s <= 0:
            self._look(key)
        self.settle(key, stable_s)

    def _look_later(self, key: TransferName) -> None:
        with self._lock:
            self._looked_at[key] = self._clock.boottime()
        self._look(key)
