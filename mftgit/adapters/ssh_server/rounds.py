"""One thread that serves many connections: it goes to each that has something to say, or room for what it is told.

A thread for each would wait for the interpreter most of the time: with five connections a request took twice the CPU.
"""

import os
import select
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, Protocol

from loguru import logger

_LIGHT_FOR_HEAVY: Final = 4
"""So many connections that had little are served before a further one that had much."""

_TICK_S: Final = 10.0
"""How often a connection that says nothing is looked after."""


class Attended(Protocol):
    """A connection that is served in rounds. All is called by the one thread that goes them, but for nothing else."""

    @property
    def is_heavy(self) -> bool:
        """Whether it had much the last time: it waits until those have been served that have little."""

    def fileno(self) -> int:
        """Return the descriptor of its socket."""

    def begin_rounds(self, rounds: "Rounds") -> None:
        """Be served in rounds from now on; do what can be done of what has come before."""

    def go_on(self, events: int) -> None:
        """Do what can be done now, without waiting; ``events`` are those of epoll(7)."""

    def tick(self) -> None:
        """Look after what time brings."""

    def conclude(self, error: Exception) -> None:
        """Be served no more, because of ``error``."""


class Rounds:
    """See the module; the thread ends with the last connection, and another one begins with the next."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """Serve nobody yet; ``monotonic`` gives seconds that never jump."""
        self._monotonic = monotonic
        self._epoll = select.epoll()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        weakref.finalize(self, os.close, self._bell)
        self._epoll.register(self._bell, select.EPOLLIN)
        self._lock = threading.Lock()
        self._coming: list[Attended] = []
        self._called: list[Attended] = []
        self._heavy: dict[int, int] = {}
        self._attended: dict[int, Attended] = {}
        self._runs = False

    def take(self, connection: Attended) -> None:
        """Serve ``connection`` from now on; raises RuntimeError where there are too many threads."""
        with self._lock:
            self._coming.append(connection)
            if not self._runs:
                self._runs = True
                try:
                    threading.Thread(target=self._run, name="ssh-rounds", daemon=True).start()
                except RuntimeError:
                    self._runs = False
                    self._coming.remove(connection)
                    raise
        os.eventfd_write(self._bell, 1)

    def call(self, connection: Attended) -> None:
        """Have `Attended.go_on` called soon, if it is served still; for any thread."""
        with self._lock:
            self._called.append(connection)
            is_first = len(self._called) == 1
        if is_first:
            os.eventfd_write(self._bell, 1)

    def watch(self, descriptor: int, events: int) -> None:
        """Have `Attended.go_on` called upon ``events`` of a connection that is served."""
        self._epoll.modify(descriptor, events)

    def let_go(self, descriptor: int) -> None:
        """Serve a connection no more; called before its descriptor is closed, by the thread that goes rounds."""
        self._heavy.pop(descriptor, None)
        if self._attended.pop(descriptor, None) is not None:
            with suppress(OSError):  # it was not asked for yet
                self._epoll.unregister(descriptor)

    def _run(self) -> None:
        due_s = self._monotonic() + _TICK_S
        while self._goes_on():
            patience_s = 0.0 if self._heavy else max(0.0, due_s - self._monotonic())
            self._go_round(self._epoll.poll(patience_s))
            if self._monotonic() >= due_s:
                due_s = self._monotonic() + _TICK_S
                for connection in tuple(self._attended.values()):
                    self._come_by(connection, connection.tick)

    def _go_round(self, ready: Sequence[tuple[int, int]]) -> None:
        """Serve who has little, and then some of those who have much, so that a small file waits for few large ones."""
        light = 0
        for descriptor, events in ready:
            connection = self._attended.get(descriptor)
            if descriptor == self._bell:
                self._answer_bell()
            elif connection is not None and connection.is_heavy:
                self._heavy[descriptor] = self._heavy.get(descriptor, 0) | events
            elif connection is not None:
                light += 1
                self._come_by(connection, partial(connection.go_on, events))
        for descriptor in list(self._heavy)[: 1 + light // _LIGHT_FOR_HEAVY]:
            events = self._heavy.pop(descriptor, 0)
            if (connection := self._attended.get(descriptor)) is not None:
                self._come_by(connection, partial(connection.go_on, events))

    def _answer_bell(self) -> None:
        os.eventfd_read(self._bell)
        with self._lock:
            coming, self._coming = self._coming, []
            called, self._called = self._called, []
        for connection in coming:
            self._come_by(connection, partial(self._welcome, connection))
        for connection in called:
            descriptor = connection.fileno()
            if self._attended.get(descriptor) is not connection:
                continue
            if connection.is_heavy:
                self._heavy.setdefault(descriptor, 0)
            else:
                self._come_by(connection, partial(connection.go_on, 0))

    def _welcome(self, connection: Attended) -> None:
        descriptor = connection.fileno()
        self._attended[descriptor] = connection
        self._epoll.register(descriptor, select.EPOLLIN)
        connection.begin_rounds(self)

    def _come_by(self, connection: Attended, do: Callable[[], None]) -> None:
        """Serve one; a defect there must not stop the others."""
        try:
            do()
        except Exception as error:
            logger.exception("a connection is served no more, by a defect")
            with suppress(Exception):
                self.let_go(connection.fileno())
                connection.conclude(error)

    def _goes_on(self) -> bool:
        with self._lock:
            self._runs = bool(self._attended or self._coming)
            return self._runs
