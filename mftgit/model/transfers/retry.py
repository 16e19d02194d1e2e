"""When what failed is tried again, and when a file is given up: ``retry`` of a transfer."""

from dataclasses import dataclass
from typing import Final

_DOUBLINGS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Wait ``first_s`` after a failure, twice as long after each further one in a row, and ``longest_s`` at the most.

    ``jitter`` is the share of that by which chance makes a wait shorter or longer, so that not all come at once.
    ``attempts`` is after how many failures in a row a file is given up, None for never: it is moved to the folder
    ``quarantine`` in the source's location, or, where the source is kept, left alone until it changes.
    """

    first_s: float = 10.0
    longest_s: float = 600.0
    jitter: float = 0.1
    attempts: int | None = None
    quarantine: str = "quarantine"

    def wait_s(self, failures: int, chance: float) -> float:
        """Return how long to wait after so many failures in a row; ``chance`` is between 0 and 1."""
        doubled = self.first_s * 2.0 ** min(failures - 1, _DOUBLINGS)
        return min(doubled, self.longest_s) * (1 + self.jitter * (2 * chance - 1))

    def is_spent(self, failures: int) -> bool:
        """Tell whether a file that failed so often is given up."""
        return self.attempts is not None and failures >= self.attempts
