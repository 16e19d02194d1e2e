"""A clock that stands where a test puts it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mftgit.adapters.clock import SystemClock


@dataclass
class SetClock:
    """Moves only when told to."""

    moment: datetime = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
    booted_s: float = 1000.0

    def now(self) -> datetime:
        return self.moment

    def boottime(self) -> float:
        return self.booted_s

    def pass_s(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)
        self.booted_s += seconds


@dataclass
class Wall:
    """The machine's clocks, of which the one on the wall shows something else."""

    ahead: timedelta = timedelta()

    def now(self) -> datetime:
        return SystemClock().now() + self.ahead

    def boottime(self) -> float:
        return SystemClock().boottime()

    def set(self, moment: datetime) -> None:
        """Set it: it goes on from ``moment``."""
        self.ahead = moment - SystemClock().now()
