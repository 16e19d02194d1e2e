"""Sources that a member banned are banned on all: the controller keeps them in mind, and tells the members."""

import threading
from collections.abc import Callable, Sequence

from loguru import logger

from mftgit.adapters.registry.bans import BanRecords
from mftgit.errors import MftgitError
from mftgit.model.events.event import Event
from mftgit.model.inbound.bans import MOST_TOLD, BanNews, reported_bans

LOOK_EVERY_S = 1.0
"""How often it is looked whether an operator lifted one, by another process."""

_GATHER_S = 0.25  # an attack from many sources wakes the members this often at most


class Bans:
    """One thread that wakes the members when something has changed."""

    def __init__(self, records: BanRecords, *, wake: Callable[[], None]) -> None:
        """Keep bans in ``records``; ``wake`` tells the members to ask."""
        self._records = records
        self._wake = wake
        self._due = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bans", daemon=True)

    def start(self) -> None:
        """Begin to tell. What changed before is asked for by every member that begins to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Tell no more."""
        self._stopping.set()
        self._due.set()
        if self._thread.is_alive():
            self._thread.join()

    def reported(self, events: Sequence[Event], sent_at: str | None) -> None:
        """Take in what a member's events ban, which it sent at ``sent_at``; raises DatabaseError."""
        bans = reported_bans(events, sent_at=sent_at)
        if bans:
            self._records.take(bans)
            self._due.set()

    def news(self, after: int) -> BanNews:
        """Return what a member has yet to learn that knows all changes up to ``after``."""
        return self._records.news(after, limit=MOST_TOLD)

    def _run(self) -> None:
        told = -1
        while not self._stopping.is_set():
            try:
                number = self._records.number()
            except MftgitError as error:
                logger.warning("the bans were not looked at", error=str(error))
            else:
                if number != told:
                    told = number
                    self._wake()
            self._due.wait(LOOK_EVERY_S)
            self._stopping.wait(_GATHER_S)
            self._due.clear()
