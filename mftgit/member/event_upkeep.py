"""See to the event log from time to time: index it, let go of what is old, and keep it within its bound."""

import threading
from collections.abc import Callable, Iterator

from loguru import logger

from mftgit.adapters.clock import Clock, SystemClock
from mftgit.adapters.events.store import ACKNOWLEDGED, ROLLOUT, EventStore
from mftgit.errors import MftgitError
from mftgit.model.events.retention import (
    Bound,
    EventLimits,
    Reach,
    Sweep,
    bound,
    by_age,
    by_size,
    is_over,
)

LOOK_S = 10.0
"""How often the log is looked at: it is over its bound by what is written in that time, at most."""

TELL_S = 3600.0
"""How often at most it is told that events were lost, while more and more are."""

DAY_S = 20 * 3600.0
"""How long a day is at least, whatever the wall clock says; one that is set to and fro makes no more of them."""


class EventUpkeep:
    """One thread that sees to the event log; half of the time, at most, it keeps others from writing."""

    def __init__(
        self,
        events: EventStore,
        *,
        limits: Callable[[], EventLimits | None],
        is_controller: bool,
        clock: Clock | None = None,
        rest_s: float = 0.01,
    ) -> None:
        """See to ``events`` within ``limits``, which may change; rest for ``rest_s`` after each step.

        As long as no limits are known, as before a first revision, nothing goes.
        """
        self._events = events
        self._limits = limits
        self._is_controller = is_controller
        self._clock = clock or SystemClock()
        self._rest_s = rest_s
        self._noted_at: float | None = None
        self._told_at: float | None = None
        self.dropped = 0
        """How many events were lost to the bound, ever, as of the last look."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="event-upkeep", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; what is left is done after the next start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def look(self) -> None:
        """Do all that is due.

        Raises:
            MftgitError: the log cannot be used; nothing is lost by looking again.
        """
        keeping = self._events.keeping
        while self._pause() and keeping.seal():
            pass
        limits = self._limits()
        if limits is not None:
            self._trim(bound(limits, is_controller=self._is_controller))
        self._tell()
        self.dropped = keeping.dropped()

    def _run(self) -> None:
        failures = 0
        while not self._stopping.wait(LOOK_S):
            try:
                self.look()
            except MftgitError as error:
                failures += 1
                level = "ERROR" if failures == 1 else "DEBUG"
                logger.log(level, "the event log could not be seen to", error=str(error))
            except Exception:  # noqa: BLE001  the log must stay bounded
                failures += 1
                logger.opt(exception=True).error("the event log could not be seen to")
            else:
                failures = 0

    def _trim(self, allowed: Bound) -> None:
        self._note_day(allowed)
        for sweep in self._sweeps(allowed):
            self._remove(sweep)

    def _note_day(self, allowed: Bound) -> None:
        """Count a day, where the clock says so and this machine has run for most of one since the last."""
        now = self._clock.boottime()
        is_late = self._noted_at is None or now - self._noted_at >= DAY_S
        if is_late and self._events.keeping.note_day(keep=allowed.keep_days):
            self._noted_at = now

    def _sweeps(self, allowed: Bound) -> Iterator[Sweep]:
        reach = self._reach(allowed)
        yield from by_age(allowed, reach)
        if is_over(allowed, self._events.keeping.size_bytes()):
            yield from by_size(allowed, reach)

    def _reach(self, allowed: Bound) -> Reach:
        keeping = self._events.keeping
        readers = (ACKNOWLEDGED, ROLLOUT) if self._is_controller else (ACKNOWLEDGED,)
        return Reach(
            aged=keeping.last_of_day(allowed.keep_days),
            aged_info=keeping.last_of_day(allowed.keep_info_days),
            done=min(self._events.progress(each) for each in readers),
            last=keeping.last_position(),
        )

    def _remove(self, sweep: Sweep) -> None:
        block: int | None = 0
        while block is not None and self._pause():
            block = self._events.keeping.remove(sweep, block)

    def _pause(self) -> bool:
        """Let others write, for about as long as one step took; tell whether to go on."""
        return not self._stopping.wait(self._rest_s)

    def _tell(self) -> None:
        now = self._clock.boottime()
        if self._told_at is not None and now - self._told_at < TELL_S:
            return
        if told := self._events.tell_dropped():
            self._told_at = now
            logger.bind(**told.facts).error(
                "the event log is full: events were dropped; see that the controller is reached, "
                "or raise events.member_max_bytes in cluster.yaml"
            )
