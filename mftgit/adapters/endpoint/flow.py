"""Tell a file that trickles from one that flows: a partner that gives a byte now and then is never silent for long.

What is sent needs none of this: each piece has to be taken within the time-out.
"""

from typing import Final

from mftgit.adapters.clock import Clock

LEAST_BYTES_PER_S: Final = 1024
"""What a line carries at the least; also the least that a limit of bandwidth can be."""

_TIMEOUTS: Final = 4
"""It is looked after so many times the location's time-out, so that a partner may stop for nearly one, and go on."""


class Flow:
    """How fast the other side gives the bytes of a file. Only the time counts that is waited for it."""

    def __init__(self, clock: Clock, *, timeout_s: float) -> None:
        self._clock = clock
        self._timeout_s = timeout_s
        self._window_s = _TIMEOUTS * timeout_s
        self._waited_s = 0.0
        self._size_bytes = 0

    def begin(self) -> float:
        """Return when it is begun to wait, for `moved`."""
        return self._clock.boottime()

    def moved(self, begun: float, size_bytes: int) -> None:
        """Take note of bytes that were waited for since ``begun``: for the time-out at most, unless this machine slept.

        Raises:
            TimeoutError: they are too few for the time that was waited for them and those before.
        """
        self._waited_s += min(self._clock.boottime() - begun, self._timeout_s)
        self._size_bytes += size_bytes
        if self._waited_s < self._window_s:
            return
        waited_s, moved_bytes = self._waited_s, self._size_bytes
        self._waited_s, self._size_bytes = 0.0, 0
        if moved_bytes < LEAST_BYTES_PER_S * waited_s:
            raise TimeoutError(
                f"{moved_bytes} bytes in {waited_s:.0f} s are too few: {LEAST_BYTES_PER_S} in each second were expected"
            )
