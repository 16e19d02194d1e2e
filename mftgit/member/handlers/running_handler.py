"""One event handler at work: looks at what is new in the event log, and handles lanes as they are due."""

import math
import random
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, Final

from loguru import logger

from mftgit.adapters.clock import Clock, rfc3339
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.handlers.records import HandlerRecords
from mftgit.adapters.handlers.target import TargetError, TargetRefusedError
from mftgit.errors import MftgitError
from mftgit.member.handlers.work import Page, Work
from mftgit.member.told import Told
from mftgit.model.events.event import Event, EventName, Fact
from mftgit.model.events.template import event_id
from mftgit.model.handlers.coverage import Coverage
from mftgit.model.handlers.handler import AnyEventHandler
from mftgit.model.handlers.lanes import Lanes, parse_lanes
from mftgit.model.handlers.status import (
    MAX_ERROR,
    Episode,
    EventHandlerStatus,
    HandlerState,
    Tell,
    parse_episode,
)
from mftgit.model.transfers.retry import Retry

BACK_OFF: Final = Retry(first_s=1.0, longest_s=300.0, jitter=0.2)
REFUSED_AFTER: Final = 5
"""What the other side refused so often in a row is left out, so that it does not keep all that follows."""

FORGET_S: Final = 3600.0
"""A handler that comes back within this goes on where it was; after that it begins anew."""

PAGE: Final = 500
_KEEP_EVERY_S: Final = 0.2
_LOOK_S: Final = 5.0
_SETTLE_S: Final = 0.02  # gathers the events of one moment into one look
_END_S: Final = 3.0

Again = Callable[[int], float]
"""How long to wait after so many failures in a row."""


def back_off_s(failures: int) -> float:
    """Return how long to wait after so many failures in a row, in seconds."""
    return BACK_OFF.wait_s(failures, random.random())  # noqa: S311  spreads the tries


class RunningHandler:
    """One handler with its threads, from `start` to `stop`.

    How far it has come is kept in the records: before what was handled is forgotten, so that everything is handled at
    least once, and what was handled just before a crash may be twice.
    """

    def __init__(
        self,
        handler: AnyEventHandler,
        work: Work,
        coverage: Coverage,
        *,
        log: EventStore,
        records: HandlerRecords,
        told: Told,
        clock: Clock,
        again_in_s: Again = back_off_s,
    ) -> None:
        """Go on where the handler of that name was, else begin with what is written from now on."""
        self.handler = handler
        self._work = work
        self._coverage = coverage
        self._log = log
        self._records = records
        self._told = told
        self._clock = clock
        self._again_in_s = again_in_s
        self._lock = threading.Lock()  # of what follows
        self._lanes, self._episode, kept = self._read()
        self._last: str | None = kept.get("last")
        self._last_at: str | None = kept.get("last_at")
        self._handled = int(kept.get("handled", 0))
        self._refused = int(kept.get("refused", 0))
        self._missed = int(kept.get("missed", 0))
        self._error: str | None = kept.get("error")
        self._dirty = True
        self._kept_at = -math.inf
        self._refusing: set[str] = set()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._queue: SimpleQueue[tuple[str, int, int] | None] = SimpleQueue()
        self._idle = work.workers
        names = [("events", self._run), *[("handle", self._serve)] * work.workers]
        self._threads = [
            threading.Thread(target=target, name=f"{name} {handler.name}"[:15], daemon=True)
            for name, target in names
        ]

    def start(self) -> None:
        """Begin."""
        self._keep()
        for thread in self._threads:
            thread.start()

    def poke(self) -> None:
        """Say that there are new events."""
        self._wake.set()

    def begin_stop(self) -> None:
        """Break off what is under way; it is done again by who goes on."""
        self._stopping.set()
        self._wake.set()
        self._work.close()
        for _ in range(self._work.workers):
            self._queue.put(None)

    def stop(self) -> None:
        """End, within a few seconds."""
        self.begin_stop()
        until = self._clock.boottime() + _END_S
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, until - self._clock.boottime()))
        with self._lock, suppress(MftgitError):
            self._write()

    def status(self) -> EventHandlerStatus:
        """Return how it is."""
        with self._lock:
            failing = self._lanes.failures > 0
            state = HandlerState.WORKING if self._last_at else HandlerState.WAITING
            return EventHandlerStatus(
                name=self.handler.name,
                type=self.handler.KIND,
                state=HandlerState.FAILING if failing else state,
                behind=self._lanes.waiting,
                last=self._last,
                last_at=self._last_at,
                error=self._error if failing else None,
                failing_since=self._episode.since if failing else None,
                handled=self._handled,
                refused=self._refused,
                missed=self._missed,
            )

    # The record

    def _read(self) -> tuple[Lanes, Episode, Mapping[str, Any]]:
        record = self._records.read(self.handler.name)
        newest = self._log.last_position()
        try:
            lanes = parse_lanes(record["lanes"])
            gone_s = self._clock.now().timestamp() - float(record.get("gone_at", math.inf))
        except (TypeError, KeyError, ValueError):
            return Lanes(newest), Episode(), {}
        if gone_s > FORGET_S:
            return Lanes(newest), Episode(), {}
        self._work.resume(record.get("work"))
        if record.get("keyed") != self.handler.KEYED:
            lanes = Lanes(lanes.oldest)  # lanes are others now
        if lanes.head > newest:
            lanes = Lanes(newest)
        lanes.resume(self._clock.boottime() + self._work.again_in_s())
        return lanes, parse_episode(record.get("episode")), record

    def _keep(self) -> None:
        """Keep how far it came, if that has changed, and not too often."""
        with self._lock:
            now = self._clock.boottime()
            if self._dirty and now - self._kept_at >= _KEEP_EVERY_S and not self._stopping.is_set():
                self._write()
                self._kept_at, self._dirty = now, False

    def _write(self) -> None:
        self._records.keep(
            self.handler.name,
            {
                "lanes": self._lanes.as_json(),
                "keyed": self.handler.KEYED,
                "episode": self._episode.as_json(),
                "work": self._work.kept(),
                "last": self._last,
                "last_at": self._last_at,
                "handled": self._handled,
                "refused": self._refused,
                "missed": self._missed,
                "error": self._error,
            },
        )

    # The thread that looks

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                self._look()
                self._begin_due()
                self._keep()
            except Exception as error:  # noqa: BLE001  the log may be locked for long; it is looked at again
                logger.bind(event_handler=self.handler.name, error=str(error)).opt(
                    exception=not isinstance(error, MftgitError)
                ).error("an event handler cannot read the event log")
                self._stopping.wait(1.0)
            if self._wake.wait(self._waits_s()):
                self._stopping.wait(_SETTLE_S)

    def _waits_s(self) -> float:
        with self._lock:
            now = self._clock.boottime()
            due_in_s = self._lanes.next_due_at() - now if self._idle else math.inf
            keep_in_s = self._kept_at + _KEEP_EVERY_S - now if self._dirty else math.inf
        return min(max(0.0, min(due_in_s, keep_in_s)), _LOOK_S)

    def _look(self) -> None:
        """Take note of what is new."""
        while not self._stopping.is_set():
            with self._lock:
                if self._lanes.is_full:
                    return
                head = self._lanes.head
            page = self._log.after(head, limit=PAGE)
            if not page:
                return
            with self._lock:
                now = self._clock.boottime()
                for position, event in page:
                    if self._is_ours(event):
                        due_at = now + self._work.due_in_s(event)
                        self._lanes.noticed(self.handler.lane(event), position, due_at=due_at)
                    self._lanes.passed(position)
                self._dirty = True

    def _is_ours(self, event: Event) -> bool:
        return self._coverage.covers(event.member) and self.handler.wants(event)

    def _begin_due(self) -> None:
        with self._lock:
            for key in self._lanes.due(self._clock.boottime()):
                if not self._idle:
                    return
                self._idle -= 1
                self._queue.put((key, *self._lanes.begin(key)))

    # The threads that handle

    def _serve(self) -> None:
        while (task := self._queue.get()) is not None and not self._stopping.is_set():
            key, after, upto = task
            try:
                self._handle(key, after, upto)
            except Exception as error:  # noqa: BLE001  one event that cannot be handled must not end the others
                logger.opt(exception=True).error("an event handler failed unexpectedly")
                self._failed(key, TargetError(f"{type(error).__name__}: {error}"))
            with self._lock:
                self._idle += 1
            self._wake.set()

    def _handle(self, key: str, after: int, upto: int) -> None:
        def done(position: int, count: int, last: Event | None) -> None:
            self._done(key, position, count, last)

        pages = self._pages(key, after, upto)
        try:
            if key in self._refusing:
                self._refusing.discard(key)
                refused = self._work.skip(pages, done)
                with self._lock:
                    self._refused += refused
                    self._lanes.put_off(key, self._clock.boottime())
                return
            self._work.take(pages, done)
        except MftgitError as error:
            self._failed(key, error)
        else:
            with self._lock:
                missed = self._lanes.ended(key)
                self._missed += missed
            if missed:
                logger.bind(event_handler=self.handler.name, events=missed).error(
                    "the event log has let go of events that were not handled"
                )
            self._follow_episode()

    def _pages(self, key: str, after: int, upto: int) -> Iterator[Page]:
        """Give the events of a lane that come after a position, up to another."""
        while after < upto:
            page = [each for each in self._log.after(after, limit=PAGE) if each[0] <= upto]
            after = page[-1][0] if len(page) == PAGE else upto
            yield (
                after,
                [
                    (position, event)
                    for position, event in page
                    if self._is_ours(event) and self.handler.lane(event) == key
                ],
            )

    def _done(self, key: str, position: int, count: int, last: Event | None) -> None:
        with self._lock:
            self._lanes.handled(key, position, count)
            self._dirty = True
            if last is not None:
                self._handled += count
                self._last, self._last_at = event_id(last), rfc3339(self._clock.now())
        self._wake.set()
        if self._stopping.is_set():
            raise TargetError("the handler was stopped")  # whoever goes on does the rest

    def _failed(self, key: str, error: MftgitError) -> None:
        if self._stopping.is_set():
            return
        with self._lock:
            failures = self._lanes.failed(key)
            self._error = str(error)[:MAX_ERROR]
            self._dirty = True
            if isinstance(error, TargetRefusedError) and failures >= REFUSED_AFTER:
                self._refusing.add(key)
            self._lanes.put_off(key, self._clock.boottime() + self._again_in_s(failures))
        level = "WARNING" if failures == 1 else "DEBUG"
        logger.bind(event_handler=self.handler.name, error=str(error)).log(
            level, "events were not handled; it is tried again"
        )
        self._follow_episode()

    def _follow_episode(self) -> None:
        """Write down that the handler fails, or does so no more, once each."""
        moment = self._clock.now()
        with self._lock:
            was = self._episode
            self._episode, tell = was.after(
                self._lanes.failures, now=rfc3339(moment), now_s=moment.timestamp()
            )
            behind = self._lanes.waiting
            self._dirty = True
        if tell is None:
            return
        facts: dict[str, Fact] = {
            "event_handler": self.handler.name,
            "type": self.handler.KIND,
            "since": was.since,
            "behind": behind,
        }
        if tell is Tell.FAILING:
            self._told(EventName.EVENT_HANDLER_FAILING, facts={**facts, "error": self._error})
        else:
            self._told(EventName.EVENT_HANDLER_RECOVERED, facts=facts)
