"""Run mftgit with a wall clock that a file sets: ``odd_clock.py FILE python -m mftgit WORDS…``; FILE has seconds."""

import sys
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from mftgit.adapters.clock import SystemClock
from mftgit.cli.main import main

REAL, PLACE = SystemClock.now, Path(sys.argv[1])


def now(clock: SystemClock) -> datetime:
    seconds = 0.0
    with suppress(FileNotFoundError):
        seconds = float(PLACE.read_text(encoding="ascii"))
    return REAL(clock) + timedelta(seconds=seconds)


if __name__ == "__main__":
    SystemClock.now = now  # type: ignore[method-assign,assignment]
    del sys.argv[1:5]  # what is left are the words of mftgit
    main()
