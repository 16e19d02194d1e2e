"""How far an event handler has come: each lane of events in order, and none waiting for another.

Nothing of the events is kept but positions in the event log, where they are read again when their turn comes: however
long a target is away, what is kept is a few numbers for each lane that waits.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

MOST_LANES: Final = 1000
"""So many may wait at once; while they do, no further event is looked at."""


@dataclass(slots=True, kw_only=True)
class Lane:
    """Events after the position ``after`` that wait, how many, and when (seconds of one clock) they are due.

    ``failures`` is how often in a row they could not be handled.
    """

    after: int
    waiting: int = 0
    failures: int = 0
    due_at: float = -math.inf
    at_work: bool = False
    more: int = 0
    more_at: float = math.inf
    """While it is at work: how many were noticed meanwhile, and when they are due."""


class Lanes:
    """The lanes of one handler. ``head``: up to there each event was handled, or waits in a lane, or is not wanted.

    The caller keeps threads apart and hands the time in.
    """

    def __init__(self, head: int, lanes: Mapping[str, Lane] | None = None) -> None:
        """Begin after ``head``."""
        self.head = head
        self._lanes = dict(lanes or {})

    @property
    def is_full(self) -> bool:
        """Tell whether so many lanes wait that no further event may be looked at."""
        return len(self._lanes) >= MOST_LANES

    @property
    def waiting(self) -> int:
        """Return how many events wait that were noticed."""
        return sum(lane.waiting for lane in self._lanes.values())

    @property
    def failures(self) -> int:
        """Return how often in a row the lane failed that did so most."""
        return max((lane.failures for lane in self._lanes.values()), default=0)

    @property
    def oldest(self) -> int:
        """Return after which position an event may wait."""
        return min((lane.after for lane in self._lanes.values()), default=self.head)

    def noticed(self, key: str, position: int, *, due_at: float) -> None:
        """Take note of an event at ``position``, above ``head``, that the lane ``key`` has to handle."""
        lane = self._lanes.get(key)
        if lane is None:
            self._lanes[key] = Lane(after=position - 1, waiting=1, due_at=due_at)
            return
        lane.waiting += 1
        if lane.at_work:
            lane.more, lane.more_at = lane.more + 1, min(lane.more_at, due_at)
        elif not lane.failures:
            lane.due_at = min(lane.due_at, due_at)

    def passed(self, position: int) -> None:
        """Take note that each event up to ``position`` was looked at."""
        self.head = max(self.head, position)

    def resume(self, due_at: float) -> None:
        """Have every lane due at ``due_at``, as when another process goes on."""
        for lane in self._lanes.values():
            lane.due_at = due_at

    def due(self, now: float) -> list[str]:
        """Return which lanes are due, those first that have waited longest."""
        found = [
            key for key, lane in self._lanes.items() if not lane.at_work and lane.due_at <= now
        ]
        return sorted(found, key=lambda key: self._lanes[key].due_at)

    def next_due_at(self) -> float:
        """Return when the next lane is due, infinity for never."""
        return min(
            (lane.due_at for lane in self._lanes.values() if not lane.at_work), default=math.inf
        )

    def begin(self, key: str) -> tuple[int, int]:
        """Begin to handle a lane; return after which position, and up to which one."""
        lane = self._lanes[key]
        lane.at_work, lane.more, lane.more_at = True, 0, math.inf
        return lane.after, self.head

    def handled(self, key: str, position: int, count: int) -> None:
        """Take note that ``count`` events of the lane were handled, and that none is left up to ``position``."""
        lane = self._lanes[key]
        lane.after, lane.waiting = position, max(0, lane.waiting - count)
        lane.failures = 0 if count else lane.failures

    def failed(self, key: str) -> int:
        """Take note that the lane could not go on; return how often in a row. `put_off` says when it is due again."""
        lane = self._lanes[key]
        lane.failures += 1
        return lane.failures

    def put_off(self, key: str, due_at: float) -> None:
        """End the work at a lane that has to go on later."""
        lane = self._lanes[key]
        lane.at_work, lane.due_at = False, due_at

    def ended(self, key: str) -> int:
        """End the work at a lane of which everything was handled up to the head as it was when it began.

        Return how many events that were noticed were not there any more.
        """
        lane = self._lanes[key]
        missed = lane.waiting - lane.more
        if not lane.more:
            del self._lanes[key]
        else:
            lane.at_work, lane.failures, lane.due_at = False, 0, lane.more_at
            lane.waiting = lane.more
        return max(0, missed)

    def as_json(self) -> dict[str, Any]:
        """Return what is kept, for `parse_lanes`."""
        return {
            "head": self.head,
            "lanes": {
                key: [lane.after, lane.waiting, lane.failures] for key, lane in self._lanes.items()
            },
        }


def parse_lanes(value: Any) -> Lanes:
    """Return what `Lanes.as_json` gave ``value`` for; every lane is due at once.

    Raises:
        ValueError: it is not of that shape.
    """
    try:
        lanes = {
            str(key): Lane(after=int(after), waiting=int(waiting), failures=int(failures))
            for key, (after, waiting, failures) in value["lanes"].items()
        }
        return Lanes(int(value["head"]), lanes)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not the lanes of an event handler: {error}") from None
