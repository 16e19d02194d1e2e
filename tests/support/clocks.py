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


class Ahead(SystemClock):
    """The machine's clocks, on which time passes when it is told to, beside what passes by itself."""

    def __init__(self) -> None:
        super().__init__()
        self._ahead_s = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self._ahead_s)

    def boottime(self) -> float:
        return super().boottime() + self._ahead_s

    def pass_s(self, seconds: float) -> None:
        self._ahead_s += seconds
