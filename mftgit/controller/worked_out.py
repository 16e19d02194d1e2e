"""Work out what costs much once, however many ask for it, one thing at a time, and keep the last answers."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Final, Generic, TypeVar

from mftgit.errors import TransientError

KEPT: Final = 32
MAX_WAITING: Final = 16

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

    def get(self, key: _K, *, wait_s: float) -> _V:
        """Return the answer for ``key``; raise what the work raises.

        Raises:
            StillWorkingError: it takes longer than ``wait_s`` and goes on meanwhile, or too much is under way.
        """
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
                return self._answers[key]
            future = self._under_way.get(key) or self._begin(key)
        try:
            return future.result(wait_s)
        except FutureTimeoutError:
            raise StillWorkingError("this takes long, and goes on: ask again in a moment") from None

    def close(self) -> None:
        """Begin nothing any more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _begin(self, key: _K) -> "Future[_V]":
        if len(self._under_way) >= MAX_WAITING:
            raise StillWorkingError(
                f"{MAX_WAITING} others are being worked out: ask again in a moment"
            )
        future = self._under_way[key] = self._pool.submit(self._work, key)
        future.add_done_callback(lambda done: self._done(key, done))
        return future

    def _done(self, key: _K, future: "Future[_V]") -> None:
        with self._lock:
            self._under_way.pop(key, None)
            if future.cancelled() or future.exception() is not None:
                return
            self._answers[key] = future.result()
            if len(self._answers) > self._kept:
                self._answers.popitem(last=False)
