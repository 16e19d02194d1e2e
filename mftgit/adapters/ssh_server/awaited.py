"""An answer that somebody else gives, later: nobody waits for it, and the client's further requests do."""

from collections.abc import Callable
from threading import Lock

from mftgit.adapters.ssh.packets import Piece


class Awaited:
    """One answer; any thread gives it, once."""

    def __init__(self) -> None:
        """Wait for it."""
        self.answer: tuple[Piece, ...] = ()
        self._lock = Lock()
        self._is_given = False
        self._then: Callable[[], None] | None = None

    def give(self, answer: tuple[Piece, ...]) -> None:
        """Give the answer."""
        with self._lock:
            self.answer, self._is_given = answer, True
            then = self._then
        if then is not None:
            then()

    def is_given(self, then: Callable[[], None]) -> bool:
        """Tell whether the answer is there; otherwise ``then`` is called when it is."""
        with self._lock:
            self._then = then
            return self._is_given
