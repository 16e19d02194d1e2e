"""Send the event log and this member's status to the controller, from the last acknowledged position."""

import json
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from loguru import logger

from mftgit.adapters.channel import ControllerRefusedError, NumbersTakenError
from mftgit.adapters.clock import Clock, SystemClock
from mftgit.adapters.events.store import ACKNOWLEDGED, EventStore
from mftgit.errors import MftgitError
from mftgit.member.upstream import Upstream
from mftgit.model.events.event import Event
from mftgit.model.members.messages import BAD_REPORT, MAX_REPORT_BYTES, TOO_LARGE, MemberStatus

LOOK_S = 1.0
"""How often the status is looked at for a change, unless that takes too long; nothing is sent without one."""

LONGEST_LOOK_S = 10.0
"""How often it is looked at however long that takes; an event has it looked at at once."""

STATUS_EVERY_S = 2.0
"""How long a change of transfers and services, which change all the time, waits after the last status."""

RENEWED_EVERY_S = 30.0
"""How long a renewal of the session, of which there are many a minute, waits where nothing else has changed."""

_SHARE = 0.005  # of a core, for looking
_SETTLE_S = 0.05  # gathers the events of one moment into one request
_BUSY_SETTLE_S = (
    0.25  # and so long where there was one a moment ago: each costs both sides a commit to disk
)
_BUSY_S = 1.0
_BATCH = 500
_BATCH_BYTES = MAX_REPORT_BYTES // 4
_BACK_OFF_MAX_S = 30.0


class Reporter:
    """One thread that reports; what cannot be sent now stays in the log and is sent later."""

    def __init__(
        self,
        upstream: Upstream,
        events: EventStore,
        *,
        status: Callable[[], MemberStatus],
        clock: Clock | None = None,
    ) -> None:
        """Report ``events`` and what ``status`` gives."""
        self._upstream = upstream
        self._events = events
        self._status = status
        self._due = threading.Event()
        self._stopping = threading.Event()
        self._clock = clock or SystemClock()
        self._sent: MemberStatus | None = None
        self._sent_at = 0.0
        self._reported_at = -_BUSY_S
        self._pause_s = LOOK_S
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
            self._due.wait(self._pause_s)
            self._stopping.wait(self._settle_s())
            self._due.clear()
            try:
                self._send()
            except MftgitError as error:
                failures += 1
                self._sent = None  # a controller that comes back may be one restored from a backup
                level = "WARNING" if failures == 1 else "DEBUG"
                logger.log(level, "report not sent; it is kept and sent later", error=str(error))
                self._back_off(failures)
            except Exception:  # noqa: BLE001  one event that cannot be read must not silence the member
                failures += 1
                logger.opt(exception=True).error("a report failed unexpectedly")
                self._back_off(failures)
            else:
                failures = 0
        try:
            self._send()
        except MftgitError as error:
            logger.debug("last report not sent", error=str(error))

    def _settle_s(self) -> float:
        is_busy = self._clock.boottime() < self._reported_at + _BUSY_S
        return _BUSY_SETTLE_S if is_busy else _SETTLE_S

    def _back_off(self, failures: int) -> None:
        """Wait before the next try. The status is made all the same: that is what leaves it on this machine."""
        left_s = back_off_s(failures)
        while left_s > 0 and not self._stopping.wait(min(left_s, LOOK_S)):
            left_s -= LOOK_S
            with suppress(Exception):  # the next try tells of it
                self._status()

    def _send(self) -> None:
        began_s = time.thread_time()
        status = self._status()
        self._pause_s = pause_s(time.thread_time() - began_s)
        if self._is_due(status):
            self._send_status(status)
            self._sent, self._sent_at = status, self._clock.boottime()
        limit, until = _BATCH, self._events.last_position()
        # What comes meanwhile is gathered for the next turn, lest each goes by itself.
        while self._events.progress(ACKNOWLEDGED) < until and (batch := self._batch(limit)):
            limit = self._report(batch)
            self._reported_at = self._clock.boottime()

    def _is_due(self, status: MemberStatus) -> bool:
        sent = self._sent
        if sent is None or self._stopping.is_set():
            return status != sent
        silent_s = self._clock.boottime() - self._sent_at
        of_note = status
        if silent_s < STATUS_EVERY_S:
            of_note = replace(
                of_note,
                transfers=sent.transfers,
                services=sent.services,
                event_handlers=sent.event_handlers,
            )
        if silent_s < RENEWED_EVERY_S and status.renewed_at is not None:
            of_note = replace(of_note, renewed_at=sent.renewed_at)
        return of_note != sent

    def _send_status(self, status: MemberStatus) -> None:
        try:
            self._upstream.send_status(status)
        except ControllerRefusedError as error:
            if not _is_bad(error):
                raise
            logger.bind(error=str(error)).error("the controller does not take this status")

    def _batch(self, limit: int) -> list[tuple[int, Event]]:
        """Return the next events, with their positions, that fit into one report; at least one if there is one."""
        found = self._events.after(self._events.progress(ACKNOWLEDGED), limit=limit)
        size_bytes = 0
        for count, (_, event) in enumerate(found):
            size_bytes += len(json.dumps(event.as_json()))
            if count and size_bytes > _BATCH_BYTES:
                return found[:count]
        return found

    def _report(self, batch: list[tuple[int, Event]]) -> int:
        """Send events, or get nearer to what keeps them from being taken; return how many to send next."""
        position, first = batch[-1][0], batch[0][1]
        try:
            self._upstream.send_events([event for _, event in batch])
        except NumbersTakenError as error:
            logger.warning("event numbers were used before; these get new ones", error=str(error))
            for place in [place for place, each in batch if each.seq <= error.acknowledged][-1:]:
                self._events.advance(ACKNOWLEDGED, place)
            acknowledged = self._events.progress(ACKNOWLEDGED)
            self._events.renumber(acknowledged, above=error.last_seq)
            return _BATCH
        except ControllerRefusedError as error:
            if not _is_bad(error):
                raise
            if len(batch) > 1:
                return len(batch) // 2  # one of them is to blame
            logger.bind(seq=first.seq, event=first.event.value, error=str(error)).error(
                "the controller does not take this event; it is passed over, and stays in the log here"
            )
        self._events.advance(ACKNOWLEDGED, position)
        return _BATCH


def _is_bad(error: ControllerRefusedError) -> bool:
    """Tell whether the report was refused for what it holds, so that sending it again cannot help."""
    return error.status in {BAD_REPORT, TOO_LARGE}


def pause_s(took_s: float) -> float:
    """Return how long the status is not looked at after a look that took so much CPU time, in seconds."""
    return min(max(LOOK_S, took_s / _SHARE), LONGEST_LOOK_S)


def back_off_s(failures: int) -> float:
    """Return how long to wait after so many failures in a row: 1 s doubled, up to 30 s, with full jitter."""
    ceiling = min(_BACK_OFF_MAX_S, 2.0 ** min(failures, 6))
    return random.uniform(ceiling / 4, ceiling)  # noqa: S311  spreads a herd, keeps no secret
