"""Work out what costs much once, however many ask for it, one thing at a time, and keep the last answers."""

import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from typing import Final, Generic, TypeVar

from mftgit.errors import TransientError

KEPT: Final = 32
MAX_WAITING: Final = 16
MAX_OF_ONE: Final = 4
"""So many of them may be worked out for one who asks, so that there is room for others."""

MAX_WAITS_OF_ONE: Final = 2
"""So many threads may wait for answers to one who asks; who asks for more meanwhile is told to ask again."""

_K = TypeVar("_K")
_V = TypeVar("_V")


class StillWorkingError(TransientError):
    """The answer is not there yet; who asks again later gets it."""


class WorkedOut(Generic[_K, _V]):
    """Answers that never change, by their keys; any thread may ask."""

    def __init__(
        self, name: str, work: Callable[[_K], _V], *, threads: int = 1, kept: int = KEPT
    ) -> None:
        """Do ``work`` in threads that are called ``name``."""
        self._work = work
        self._kept = kept
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._lock = threading.RLock()  # a work that is done at once is noted by whoever began it
        self._answers: OrderedDict[_K, _V] = OrderedDict()
        self._under_way: dict[_K, Future[_V]] = {}
        self._begun_by: dict[_K, str] = {}
        self._waits: Counter[str] = Counter()

    def get(self, key: _K, *, wait_s: float, by: str | None = None) -> _V:
        """Return the answer for ``key``; raise what the work raises.

        ``by`` is who asks, where that may be somebody who asks for very much.

        Raises:
            StillWorkingError: it takes longer than ``wait_s`` and goes on meanwhile, or too much is under way.
        """
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
                return self._answers[key]
            future = self._under_way.get(key) or self._begin(key, by)
        with self._patience(by, wait_s) as patience_s:
            try:
                return future.result(patience_s)
            except FutureTimeoutError:
                again = "this takes long, and goes on: ask again in a moment"
                raise StillWorkingError(again) from None

    def close(self) -> None:
        """Begin nothing any more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    @contextmanager
    def _patience(self, by: str | None, wait_s: float) -> Iterator[float]:
        """Give for how long a thread may wait for ``by``."""
        if by is None:
            yield wait_s
            return
        with self._lock:
            self._waits[by] += 1
            many = self._waits[by] > MAX_WAITS_OF_ONE
        try:
            yield 0.0 if many else wait_s
        finally:
            with self._lock:
                self._waits[by] -= 1
                self._waits += Counter()  # forgets who waits for nothing

    def _begin(self, key: _K, by: str | None) -> "Future[_V]":
        own = sum(each == by for each in self._begun_by.values()) if by is not None else 0
        if own >= MAX_OF_ONE:
            raise StillWorkingError(
                f"{own} that you asked for are being worked out: ask again in a moment"
            )
        if len(self._under_way) >= MAX_WAITING:
            raise StillWorkingError(
                f"{MAX_WAITING} others are being worked out: ask again in a moment"
            )
        future = self._under_way[key] = self._pool.submit(self._work, key)
        if by is not None:
            self._begun_by[key] = by
        future.add_done_callback(lambda done: self._done(key, done))
        return future

    def _done(self, key: _K, future: "Future[_V]") -> None:
        with self._lock:
            self._under_way.pop(key, None)
            self._begun_by.pop(key, None)
            if future.cancelled() or future.exception() is not None:
                return
            self._answers[key] = future.result()
            if len(self._answers) > self._kept:
                self._answers.popitem(last=False)
