"""Write down what happens at the services: whatever waits goes to the disk together."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from loguru import logger

from mftgit.model.events.event import EventName, Fact

_GATHER_S: Final = 0.1

Facts = Mapping[str, Fact]


class Write(Protocol):
    """Writes facts down."""

    def __call__(self, facts: Sequence[tuple[EventName, Facts]], *, flush: bool) -> None:
        """Write all of them or none; with ``flush`` they are on disk when it returns. Raises MftgitError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    event: EventName
    facts: Facts
    then: Callable[[bool], None] | None
    flush: bool


class Recorder:
    """One thread that writes; so many uploads at once cost one flush of the disk."""

    def __init__(self, write: Write) -> None:
        """Write nothing yet."""
        self._write = write
        self._waiting: list[_Waiting] = []
        self._is_pressing = False
        self._due = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="inbound-events", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def put(
        self,
        event: EventName,
        facts: Facts,
        then: Callable[[bool], None] | None = None,
        *,
        flush: bool = True,
    ) -> None:
        """Have a fact written down soon; ``then`` is called with whether it is, with ``flush`` on disk."""
        with self._due:
            self._waiting.append(_Waiting(event=event, facts=facts, then=then, flush=flush))
            self._is_pressing |= then is not None
            self._due.notify()

    def stop(self) -> None:
        """Write what waits, and end."""
        with self._due:
            self._stopping = True
            self._due.notify()
        if self._thread.is_alive():
            self._thread.join(10.0)

    def _run(self) -> None:
        while True:
            some = self._gathered()
            if not some:
                return
            written = self._write_down(some)
            for each in some:
                if each.then is not None:
                    try:
                        each.then(written)
                    except Exception:  # noqa: BLE001  the others wait for theirs
                        logger.opt(exception=True).error("unexpected failure after an event")

    def _gathered(self) -> list[_Waiting]:
        """Return what is to be written, none at the end; what nobody waits for is gathered for a moment."""
        with self._due:
            while not self._waiting and not self._stopping:
                self._due.wait()
            self._due.wait_for(lambda: self._is_pressing or self._stopping, _GATHER_S)
            some, self._waiting, self._is_pressing = self._waiting, [], False
            return some

    def _write_down(self, some: Sequence[_Waiting]) -> bool:
        try:
            flush = any(each.flush for each in some)
            self._write([(each.event, each.facts) for each in some], flush=flush)
        except Exception as error:  # noqa: BLE001  whatever it is, clients are told that it failed
            logger.opt(exception=True).error(
                "events of the services could not be written down",
                count=len(some),
                error=str(error),
            )
            return False
        return True
