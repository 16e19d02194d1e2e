"""What a member's events are counted for since its process began, from whichever thread they come."""

import threading
from collections.abc import Collection, Sequence

from mftgit.adapters.clock import Clock, SystemClock
from mftgit.model.events.event import Event
from mftgit.model.events.tally import EventTally
from mftgit.model.monitoring.metric import Sample


class Counting:
    """Counts events; it is given to the event log, which tells it of each that is on disk."""

    def __init__(self, clock: Clock | None = None) -> None:
        """Begin at 0."""
        self._clock: Clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._tally = EventTally()

    def take(self, events: Sequence[Event]) -> None:
        """Count these."""
        now_s = self._clock.boottime()
        with self._lock:
            for each in events:
                self._tally.take(each, now_s=now_s)

    def samples(self, transfers: Collection[str], services: Collection[str]) -> list[Sample]:
        """See `EventTally.samples`."""
        with self._lock:
            return list(self._tally.samples(transfers, services))
