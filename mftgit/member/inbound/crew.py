"""The processes that serve the clients of one service: started, told what to serve, and replaced when they die."""

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from socket import socket
from typing import Final

from loguru import logger

from mftgit.adapters.child_process import Child
from mftgit.adapters.clock import Clock
from mftgit.adapters.control_line import LineEndedError, LineSilentError
from mftgit.errors import MftgitError
from mftgit.model.inbound.messages import (
    MAX_TELLING_BYTES,
    Configure,
    Noted,
    Order,
    Serves,
    Telling,
    format_message,
    parse_telling,
)
from mftgit.model.names import ServiceName

_MODULE: Final = "mftgit.member.inbound.worker"
_END_S: Final = 2.0
_LONGEST_BACK_OFF_S: Final = 30.0
_GOOD_AFTER_S: Final = 60.0
_BEGIN_S: Final = 240.0
"""One that has just begun is borne for longer: a busy machine loads Python for a minute, and another would not help."""
_SILENT_S: Final = 30.0
"""A process that says nothing for so long stands still, and is killed: it gives a sign of life every two seconds."""
_numbers = itertools.count(1)


@dataclass(slots=True, kw_only=True, eq=False)
class Worker:
    """One process; ``number`` is that of no other.

    ``ready``: it takes orders. ``accepts``: the configuration whose socket it accepts from.
    """

    number: int
    slot: int
    child: Child
    since: float
    ready: bool = False
    accepts: int = 0
    leaving: bool = False
    reader: threading.Thread | None = None


@dataclass(slots=True, kw_only=True)
class _Slot:
    """The place of one process; after ``failures`` in a row the next one is started ``at``."""

    worker: Worker | None = None
    failures: int = 0
    at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A process has ended that was to go on; the next one comes in ``again_in_s``."""

    worker: Worker
    how: str
    again_in_s: float


class Crew:
    """All processes of one service. ``heard`` and ``lost`` are called by a thread of each."""

    def __init__(
        self,
        service: ServiceName,
        clock: Clock,
        *,
        heard: Callable[[Worker, Telling], None],
        lost: Callable[[Lost], None],
        gone: Callable[[Worker], None],
        silent_s: float = _SILENT_S,
    ) -> None:
        """Nobody works yet. ``gone`` is called of every process that has ended, before ``lost``."""
        self._silent_s = silent_s
        self._service = service
        self._clock = clock
        self._heard = heard
        self._lost = lost
        self._gone = gone
        self._lock = threading.RLock()
        self._slots: list[_Slot] = []
        self._leaving: set[Worker] = set()
        self._configure: Configure | None = None
        self._listening: socket | None = None
        self._ended = False

    @property
    def workers(self) -> list[Worker]:
        """The processes that run and are to go on; nobody waits for this."""
        return [worker for slot in self._slots if (worker := slot.worker) is not None]

    @property
    def accepting(self) -> int:
        """How many of them accept connections by the configuration that was ordered last."""
        number = 0 if self._configure is None else self._configure.number
        return sum(worker.accepts >= number > 0 for worker in self.workers)

    def configure(self, configure: Configure, listening: socket | None, *, processes: int) -> None:
        """Have ``processes`` serve this from now on; those there were too many leave when their last client has."""
        with self._lock:
            self._configure, self._listening = configure, listening
            surplus = self._slots[processes:]
            self._slots = self._slots[:processes]
            self._slots += [_Slot() for _ in range(processes - len(self._slots))]
            there = self.workers
            leaving = [slot.worker for slot in surplus if slot.worker is not None]
            for worker in leaving:
                worker.leaving = True
            self._leaving.update(leaving)
        message = format_message(configure)
        for worker in there:
            if worker.ready:  # otherwise it is told when it is
                self._send(worker, message, listening)
        for worker in leaving:
            self.tell(worker, replace(configure, listens=False))
        self._start_due()

    def tell(self, worker: Worker, order: Order) -> None:
        """Send ``order``; a process that does not take it is ended."""
        self._send(worker, format_message(order))

    def _send(self, worker: Worker, message: bytes, pass_on: socket | None = None) -> None:
        try:
            worker.child.line.send(message, pass_on)
        except LineEndedError:
            worker.child.kill()

    def tell_all(self, order: Order) -> None:
        """Send ``order`` to all that have clients or may have, also to those that leave."""
        for worker in self._ready():
            self.tell(worker, order)

    def tell_one(self, number: int, order: Order) -> None:
        """Send ``order`` to the process ``number``, if it is there."""
        for worker in self._ready():
            if worker.number == number:
                self.tell(worker, order)

    def _ready(self) -> list[Worker]:
        with self._lock:
            return [each for each in (*self.workers, *self._leaving) if each.ready]

    def tick(self, busy: set[int]) -> None:
        """Start what is due; end what leaves and is not ``busy``, by the numbers of processes with clients."""
        self._start_due()
        with self._lock:
            idle = [worker for worker in self._leaving if worker.number not in busy]
        for worker in idle:
            worker.child.line.end()

    def _start_due(self) -> None:
        now = self._clock.boottime()
        with self._lock:
            if self._ended or self._configure is None:
                return
            for index, slot in enumerate(self._slots):
                if slot.worker is None and slot.at <= now:
                    self._start(index, slot, now)

    def end(self) -> None:
        """End all processes, and return when they have ended."""
        with self._lock:
            self._ended = True
            workers = [*self.workers, *self._leaving]
        for worker in workers:
            worker.child.line.end()
        for worker in workers:
            if worker.reader is not None and worker.reader is not threading.current_thread():
                worker.reader.join(2 * _END_S)

    def _start(self, index: int, slot: _Slot, now: float) -> None:
        try:
            child = Child(
                _MODULE,
                self._service,
                str(index),
                most_bytes=MAX_TELLING_BYTES,
                silent_s=_BEGIN_S,
            )
        except MftgitError as error:
            slot.failures += 1
            slot.at = now + _back_off_s(slot.failures)
            logger.bind(error=str(error)).critical("a process for a service is not started")
            return
        worker = Worker(number=next(_numbers), slot=index, child=child, since=now)
        slot.worker = worker
        worker.reader = threading.Thread(
            target=self._hear, args=(worker,), name=f"inbound-{self._service}-{index}", daemon=True
        )
        worker.reader.start()

    def _hear(self, worker: Worker) -> None:
        why = ""
        try:
            while True:
                self._take(worker, parse_telling(worker.child.line.receive()))
        except LineSilentError:
            silent_s = self._silent_s if worker.ready else _BEGIN_S
            why = f"it stood still for {silent_s:g} s, "
            worker.child.kill()
        except LineEndedError:
            pass
        except Exception:  # noqa: BLE001  whatever it said, it is not to be trusted any more
            logger.opt(exception=True).error("a process of a service said what none says")
            worker.child.kill()
        worker.child.line.end()
        how = why + worker.child.wait(_END_S)
        worker.child.line.close()
        self._gone(worker)
        self._take_leave(worker, how)

    def _take(self, worker: Worker, told: Telling) -> None:
        if isinstance(told, Serves):
            worker.accepts = told.number if told.accepting else 0
            self._brief(worker)
        elif isinstance(told, Noted):
            _log(told, worker)
        else:
            self._heard(worker, told)

    def _brief(self, worker: Worker) -> None:
        """Tell a process that has just begun what to serve; no other order of that kind comes between."""
        with self._lock:
            begins, worker.ready = not worker.ready, True
            if begins:
                worker.child.bear(self._silent_s)
            if begins and self._configure is not None and not worker.leaving:
                self._send(worker, format_message(self._configure), self._listening)

    def _take_leave(self, worker: Worker, how: str) -> None:
        now = self._clock.boottime()
        with self._lock:
            self._leaving.discard(worker)
            slot = next((each for each in self._slots if each.worker is worker), None)
            if slot is None or self._ended:
                return
            slot.worker = None
            slot.failures = 1 if now - worker.since > _GOOD_AFTER_S else slot.failures + 1
            again_in_s = _back_off_s(slot.failures)
            slot.at = now + again_in_s
        logger.error(
            "a process of a service has ended",
            service=self._service,
            how=how,
            again_in_s=again_in_s,
        )
        self._lost(Lost(worker=worker, how=how, again_in_s=again_in_s))


def _back_off_s(failures: int) -> float:
    """Return 0 for the first, then 1 s doubled, up to 30 s."""
    return 0.0 if failures <= 1 else min(2.0 ** (failures - 2), _LONGEST_BACK_OFF_S)


def _log(noted: Noted, worker: Worker) -> None:
    level = noted.level if noted.level in {"INFO", "WARNING", "ERROR", "CRITICAL"} else "DEBUG"
    logger.bind(**noted.fields, pid=worker.child.pid).log(level, "{}", noted.message)
