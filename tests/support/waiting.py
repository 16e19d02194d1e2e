"""Wait for what a test wants to see."""

from collections.abc import Callable
from threading import Event

WAIT_S = 60.0
_STEP_S = 0.02


def whole_lines(text: str) -> list[str]:
    """Return the lines of what somebody is writing but the one that may not be there to its end."""
    return text.split("\n")[:-1]


def until(reached: Callable[[], object]) -> None:
    """Ask until it is ``reached``; what asking takes does not count, so that a busy machine has more patience."""
    left_s = WAIT_S
    while not reached():
        assert left_s > 0
        left_s -= _STEP_S
        Event().wait(_STEP_S)
