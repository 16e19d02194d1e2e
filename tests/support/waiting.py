"""Wait for what a test wants to see."""

from collections.abc import Callable
from threading import Event

WAIT_S = 60.0
_STEP_S = 0.02


def until(reached: Callable[[], object]) -> None:
    """Ask until it is ``reached``; what asking takes does not count, so that a busy machine has more patience."""
    left_s = WAIT_S
    while not reached():
        assert left_s > 0
        left_s -= _STEP_S
        Event().wait(_STEP_S)
