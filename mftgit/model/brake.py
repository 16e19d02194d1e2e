"""Slow down whoever guesses passwords: how long the next try has to wait, by who failed how often and how long ago."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

FREE_TRIES: Final = 5
"""So many failures in a row cost nothing: people mistype."""

LONGEST_WAIT_S: Final = 60.0
FORGET_S: Final = 900.0
"""After so long without a failure, all is forgotten (NIST SP 800-63B, 5.2.2 asks for a limit, not for this number)."""

_MOST: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """How often somebody has failed in a row, and when for the last time, in seconds of one clock."""

    count: int
    last: float

    def waits_s(self, now: float) -> float:
        """Return how long a try at ``now`` comes too early: doubled with each failure, up to a minute."""
        if self.count < FREE_TRIES:
            return 0.0
        pause_s = min(2.0 ** (self.count - FREE_TRIES), LONGEST_WAIT_S)
        return max(0.0, pause_s - (now - self.last))


class Brake:
    """Remembers failures by key, the latest `_MOST` of them; the caller keeps threads apart and hands the time in."""

    def __init__(self) -> None:
        self._failures: OrderedDict[Hashable, Failures] = OrderedDict()

    def waits_s(self, key: Hashable, now: float) -> float:
        """Return how long ``key`` has to wait before its next try, in seconds; 0 when it need not."""
        known = self._failures.get(key)
        return known.waits_s(now) if known is not None else 0.0

    def failed(self, key: Hashable, now: float) -> None:
        """Take note of a failure."""
        known = self._failures.pop(key, None)
        again = known is not None and now - known.last < FORGET_S
        count = known.count + 1 if known is not None and again else 1
        self._failures[key] = Failures(count=count, last=now)
        if len(self._failures) > _MOST:
            self._failures.popitem(last=False)

    def succeeded(self, key: Hashable) -> None:
        """Forget the failures of ``key``."""
        self._failures.pop(key, None)
