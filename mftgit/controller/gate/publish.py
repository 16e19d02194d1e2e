"""Tell that main has moved: one event, then everybody who waits for it; what fails is tried again."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from loguru import logger

from mftgit.controller.gate.receive import Record
from mftgit.model.events.event import EventName
from mftgit.model.names import Revision
from mftgit.model.revisions.push import Push

Published = Callable[[Revision], None]
"""Told the revision that main stands at now; must be quick, the next push waits for it."""

_RETRY_MAX_S = 30.0
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Move:
    revision: Revision
    who: str | None
    previous: Revision | None


class Publish:
    """What happens once main has moved, once for each move and in the order of the moves.

    Nobody is told of a move before its event is written, so that a head that was not raised means an event that may
    be missing.
    """

    def __init__(self, record: Record, published: Sequence[Published] = ()) -> None:
        """Write events by ``record``, then call each of ``published``."""
        self._record = record
        self._moves: deque[_Move] = deque()
        self._waiting = [(each, deque[Revision]()) for each in published]
        self._lock = threading.Lock()
        self._due = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publish", daemon=True)

    def __call__(self, push: Push, revision: Revision) -> None:
        """Write ``RevisionPublished`` and call everybody; a failure of one keeps nothing from the others.

        The push stands whatever fails here: main has moved.
        """
        self.tell(revision, who=push.who, previous=push.update.old)
        logger.info("revision {revision} is published", revision=revision, who=push.who)

    def tell(self, revision: Revision, *, who: str | None, previous: Revision | None) -> None:
        """Tell of one move: now, or in the background as soon as that goes through."""
        with self._lock:
            self._moves.append(_Move(revision=revision, who=who, previous=previous))
        if not self._tell_all():
            self._due.set()

    def start(self) -> None:
        """Begin to try again what failed."""
        self._thread.start()

    def stop(self) -> None:
        """Try no more; what was not told is told at the next start."""
        self._stopping.set()
        self._due.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._due.wait()
            self._due.clear()
            wait_s = 1.0
            while not self._stopping.wait(wait_s) and not self._tell_all():
                wait_s = min(_RETRY_MAX_S, 2 * wait_s)

    def _tell_all(self) -> bool:
        """Tell what was not told yet; tell whether that went through."""
        with self._lock:
            done = _drain(self._moves, self._write)
            return all([done, *(_drain(waiting, each) for each, waiting in self._waiting)])

    def _write(self, move: _Move) -> None:
        facts = {"who": move.who, "previous": move.previous}
        self._record(EventName.REVISION_PUBLISHED, move.revision, facts)
        for _, waiting in self._waiting:
            waiting.append(move.revision)


def _drain(queue: deque[_T], step: Callable[[_T], None]) -> bool:
    """Do ``step`` for each of ``queue``, up to the first failure; tell whether all is done."""
    while queue:
        try:
            step(queue[0])
        except Exception:
            logger.exception("a published revision could not be told; it is tried again")
            return False
        queue.popleft()
    return True
