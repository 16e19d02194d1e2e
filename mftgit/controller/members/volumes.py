"""Count what members' events tell of files that were moved, and find them again by transfer and account."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from loguru import logger

from mftgit.adapters.clock import Clock
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.volume_records import VolumeRecords
from mftgit.errors import MftgitError
from mftgit.model.events.event import Event, EventName
from mftgit.model.events.text import has_words, words
from mftgit.model.monitoring.volume import (
    About,
    Amount,
    Bar,
    Flow,
    Step,
    about,
    amount,
    bars,
    first_hour,
    hour_of,
)

LOOK_EVERY_S: Final = 1.0
KEPT_DAYS: Final = 400
_BATCH: Final = 1000
_FORGET_EVERY_S: Final = 3600.0
_LOOKED_AT_ONCE: Final = 200
_MOST_LOOKED: Final = 5_000
"""So many events are looked at for one page of a search; who asks goes on from where that ended."""


class Volumes:
    """One thread that follows the event log; whoever asks reads what it has counted."""

    def __init__(self, records: VolumeRecords, events: EventStore, *, clock: Clock) -> None:
        """Count in ``records`` what ``events`` tell."""
        self._records = records
        self._events = events
        self._clock = clock
        self._changes = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="volumes", daemon=True)

    def start(self) -> None:
        """Begin to count, from where it was left."""
        self._thread.start()

    def stop(self) -> None:
        """Count no more, and let go of the records."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._records.close()

    # For who asks

    @property
    def changes(self) -> int:
        """Return another number as soon as there is more to tell."""
        return self._changes

    def bars(self, flow: Flow, name: str, step: Step) -> tuple[Bar, ...]:
        """Return what was moved of late by ``name``, or with `ALL` by all."""
        now = self._clock.now()
        found = self._records.hours(flow, name, since=first_hour(step, now))
        return bars(found, step=step, now=now)

    def newest(
        self,
        flow: Flow,
        name: str,
        *,
        text: str = "",
        named: frozenset[EventName] = frozenset(),
        before: int | None = None,
        limit: int,
    ) -> tuple[list[Event], int | None]:
        """Return up to ``limit`` events, the newest first, and from where on more may be; None where there is none.

        Every word of ``text`` is in them, and they are ``named`` so, where that says anything.
        """
        found: list[Event] = []
        at, wanted = before, words(text)
        for looked, (at, event) in enumerate(self._walk(flow, name, before), 1):
            if (not named or event.event in named) and (not wanted or has_words(event, wanted)):
                found.append(event)
            if len(found) == limit or looked == _MOST_LOOKED:
                return found, at
        return found, None

    def _walk(self, flow: Flow, name: str, before: int | None) -> Iterator[tuple[int, Event]]:
        while True:
            positions = self._records.positions(flow, name, before=before, limit=_LOOKED_AT_ONCE)
            yield from self._events.find(positions)
            if len(positions) < _LOOKED_AT_ONCE:
                return
            before = positions[-1]

    # The thread

    def look(self) -> None:
        """Count what is new; raises MftgitError."""
        position = self._records.position()
        if position > self._events.last_position():
            logger.warning("the event log is another one: volumes are counted anew")
            self._records.begin_anew()
            position = 0
        while (batch := self._events.after(position, limit=_BATCH)) and not self._stopping.is_set():
            amounts: dict[tuple[About, str], Amount] = {}
            told = []
            for position, event in batch:
                subject, hour = about(event), hour_of(event)
                if subject is None or hour is None:
                    continue
                key = subject, hour
                amounts[key] = amounts.get(key, Amount()) + amount(event)
                told.append((subject, position))
            self._records.take(amounts, told, position=position)
            self._changes += bool(told)

    def forget(self) -> None:
        """Let go of what is not in the log any more, and of volumes of long ago; raises MftgitError."""
        first = self._events.after(0, limit=1)
        day = self._clock.now() - timedelta(days=KEPT_DAYS)
        self._records.forget(
            before_position=first[0][0] if first else 0, before_hour=first_hour(Step.HOUR, day, 0)
        )

    def _run(self) -> None:
        forget_at = self._clock.boottime() + _FORGET_EVERY_S
        while not self._stopping.wait(LOOK_EVERY_S):
            try:
                self.look()
                if self._clock.boottime() >= forget_at:
                    forget_at += _FORGET_EVERY_S
                    self.forget()
            except MftgitError as error:
                logger.warning("volumes are not counted", error=str(error))
            except Exception:  # noqa: BLE001  one event that cannot be read must not end the counting
                logger.opt(exception=True).error("unexpected failure while counting volumes")
