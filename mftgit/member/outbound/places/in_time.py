"""Ask what may hang, and go on without the answer when it does."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class InTime(Generic[T]):
    """Asks in threads of its own, one at a time. For any thread.

    ``last`` is the last answer, None before there is one.
    """

    def __init__(self, name: str, *, within_s: float) -> None:
        """Wait for an answer no longer than ``within_s``; ``name`` is the thread's."""
        self._name = name
        self._within_s = within_s
        self._lock = threading.Lock()
        self._asking: threading.Thread | None = None
        self.last: T | None = None

    def ask(self, question: Callable[[], T]) -> bool:
        """Get an answer to ``question`` into ``last`` and return whether it came in time.

        Where the one before has no answer yet, no other is asked, and nothing waits.
        """
        with self._lock:
            if self._asking is not None and self._asking.is_alive():
                return False
            asking = threading.Thread(
                target=self._answer, args=(question,), name=self._name, daemon=True
            )
            self._asking = asking
            asking.start()
        asking.join(self._within_s)
        return not asking.is_alive()

    def _answer(self, question: Callable[[], T]) -> None:
        self.last = question()
