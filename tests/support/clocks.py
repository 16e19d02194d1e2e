"""A clock that stands where a test puts it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


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
