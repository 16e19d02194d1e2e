"""How long to wait so that no more than so many bytes go in a second."""

from typing import Final

BURST_S: Final = 1.0
"""What was not used may be made up for, as far as it is of the last second."""


class Throttle:
    """A bandwidth limit that several may share; a token bucket of `BURST_S` seconds. One thread at a time."""

    def __init__(self, bytes_per_s: int) -> None:
        self.bytes_per_s = bytes_per_s
        self._free_at: float | None = None

    def wait_s(self, size_bytes: int, now: float) -> float:
        """Take note that ``size_bytes`` go now, and return how many seconds to wait before more may go."""
        earliest = now - BURST_S
        since = now if self._free_at is None else max(self._free_at, earliest)
        self._free_at = since + size_bytes / self.bytes_per_s
        return max(0.0, self._free_at - now)
