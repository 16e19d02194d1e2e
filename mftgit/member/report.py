"""Send the event log and this member's status to the controller, from the last acknowledged position."""

import random
import threading
from collections.abc import Callable

from loguru import logger

from mftgit.adapters.event_store import EventStore
from mftgit.errors import MftgitError
from mftgit.member.upstream import Upstream
from mftgit.model.messages import MemberStatus

LOOK_S = 1.0
"""How often the status is looked at for a change; nothing is sent without one."""

_SETTLE_S = 0.05  # gathers the events of one moment into one request
_BATCH = 500
_BACK_OFF_MAX_S = 30.0
_ACKNOWLEDGED = "acknowledged"


class Reporter:
    """One thread that reports; what cannot be sent now stays in the log and is sent later."""

    def __init__(
        self, upstream: Upstream, events: EventStore, *, status: Callable[[], MemberStatus]
    ) -> None:
        """Report ``events`` and what ``status`` gives."""
        self._upstream = upstream
        self._events = events
        self._status = status
        self._due = threading.Event()
        self._stopping = threading.Event()
        self._sent: MemberStatus | None = None
        self._thread = threading.Thread(target=self._run, name="report", daemon=True)

    def start(self) -> None:
        """Begin to report."""
        self._thread.start()

    def poke(self) -> None:
        """Say that there is something to report."""
        self._due.set()

    def stop(self) -> None:
        """Report once more, as far as that goes through at once, and end."""
        self._stopping.set()
        self._due.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            self._due.wait(LOOK_S)
            self._stopping.wait(_SETTLE_S)
            self._due.clear()
            try:
                self._send()
            except MftgitError as error:
                failures += 1
                self._sent = None  # a controller that comes back may be one restored from a backup
                level = "WARNING" if failures == 1 else "DEBUG"
                logger.log(level, "report not sent; it is kept and sent later", error=str(error))
                self._stopping.wait(back_off_s(failures))
            except Exception:  # noqa: BLE001  one event that cannot be read must not silence the member
                failures += 1
                logger.opt(exception=True).error("a report failed unexpectedly")
                self._stopping.wait(back_off_s(failures))
            else:
                failures = 0
        try:
            self._send()
        except MftgitError as error:
            logger.debug("last report not sent", error=str(error))

    def _send(self) -> None:
        status = self._status()
        if status != self._sent:
            self._upstream.send_status(status)
            self._sent = status
        while batch := self._events.after(self._events.progress(_ACKNOWLEDGED), limit=_BATCH):
            self._upstream.send_events([event for _, event in batch])
            self._events.advance(_ACKNOWLEDGED, batch[-1][0])


def back_off_s(failures: int) -> float:
    """Return how long to wait after so many failures in a row: 1 s doubled, up to 30 s, with full jitter."""
    ceiling = min(_BACK_OFF_MAX_S, 2.0 ** min(failures, 6))
    return random.uniform(ceiling / 4, ceiling)  # noqa: S311  spreads a herd, keeps no secret
