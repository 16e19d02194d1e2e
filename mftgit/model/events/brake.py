"""How many events outsiders can cause: the first ones of a source are told, and the others counted."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

WINDOW_S: Final = 60.0
PER_SOURCE: Final = 5
IN_ALL: Final = 100
"""So many a minute are told of one source, and of all together."""

AT_ONCE: Final = 10
MOST_SOURCES: Final = 10_000


@dataclass(slots=True, kw_only=True)
class _Window:
    since: float
    told: int = 0
    untold: int = 0


class EventBrake:
    """Counts by source; one thread at a time. ``now`` is in seconds that never jump."""

    def __init__(self) -> None:
        """Nothing was told yet."""
        self._windows: OrderedDict[str, _Window] = OrderedDict()
        self._all = _Window(since=float("-inf"))

    def offer(self, source: str, now: float) -> int | None:
        """Return how many before it an event of ``source`` stands for, or None where it is only counted."""
        window = self._windows.pop(source, None)
        if window is None or window.since <= now - WINDOW_S:
            window = _Window(since=now, untold=0 if window is None else window.untold)
        if self._all.since <= now - WINDOW_S:
            self._all = _Window(since=now)
        self._windows[source] = window
        if len(self._windows) > MOST_SOURCES:
            self._windows.popitem(last=False)
        if window.told >= PER_SOURCE or self._all.told >= IN_ALL:
            window.untold += 1
            return None
        window.told += 1
        self._all.told += 1
        before, window.untold = window.untold, 0
        return before

    def over(self, now: float) -> tuple[tuple[str, int], ...]:
        """Return which sources have gone quiet with events that were only counted, and how many; they are forgotten.

        No more than `AT_ONCE` are returned: the others come next.
        """
        found: list[tuple[str, int]] = []
        for source, window in list(self._windows.items()):
            if window.since > now - WINDOW_S:
                continue
            if window.untold and len(found) >= AT_ONCE:
                continue
            del self._windows[source]
            if window.untold:
                found.append((source, window.untold))
        return tuple(found)
