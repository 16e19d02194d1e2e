"""Removing what is left of uploads that nobody went on with, beside serving clients."""

import threading
from collections.abc import Callable, Sequence
from typing import Final

from loguru import logger

from mftgit.adapters.clock import Clock
from mftgit.adapters.home.sweep import Sweep
from mftgit.model.inbound.serving import Serving

_MOST: Final = 50_000
"""So many names are looked at each time; the next time goes on behind them."""


class Sweeping:
    """One part of the accounts' folders at a time, in a thread of its own."""

    def __init__(self, clock: Clock) -> None:
        """Nothing was looked at yet."""
        self._clock = clock
        self._busy = threading.Lock()
        self._sweep: Sweep | None = None
        self._for: tuple[frozenset[str], float] | None = None

    def begin(
        self, serving: Serving, told: Callable[[int], None], *, left: Sequence[str] = ()
    ) -> None:
        """Look at the next part, unless the last one takes still; ``told`` hears how many uploads were removed.

        ``left`` are folders besides those that are served.
        """
        if self._busy.acquire(blocking=False):
            threading.Thread(
                target=self._run, args=(serving, left, told), name="sweep", daemon=True
            ).start()

    def _run(self, serving: Serving, left: Sequence[str], told: Callable[[int], None]) -> None:
        removed = 0
        try:
            removed = self._fitting(serving, left).go(_MOST).removed
        except Exception:  # noqa: BLE001  clients are served all the same
            logger.opt(exception=True).error("what is left of uploads could not be looked for")
        finally:
            self._busy.release()
        told(removed)

    def _fitting(self, serving: Serving, left: Sequence[str]) -> Sweep:
        """Return the sweep that has begun, or another one where other folders are served by now."""
        roots = serving.roots.union(left)
        wanted = roots, serving.service.uploads.stalled_s
        if self._sweep is None or self._for != wanted:
            self._for = wanted
            self._sweep = Sweep(roots, stalled_s=wanted[1], clock=self._clock)
        return self._sweep
