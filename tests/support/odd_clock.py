"""Run mftgit with a wall clock that a file sets: ``odd_clock.py FILE python -m mftgit WORDS…``; FILE has seconds."""

import sys
from contextlib import suppress
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

from apscheduler.schedulers import base

from mftgit.adapters.clock import SystemClock
from mftgit.cli.main import main

REAL, PLACE = SystemClock.now, Path(sys.argv[1])


def ahead() -> timedelta:
    seconds = 0.0
    with suppress(FileNotFoundError):
        seconds = float(PLACE.read_text(encoding="ascii"))
    return timedelta(seconds=seconds)


def now(clock: SystemClock) -> datetime:
    return REAL(clock) + ahead()


class Moved(datetime):
    """What the scheduler's library asks for the time."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + ahead()  # noqa: TID251


if __name__ == "__main__":
    SystemClock.now = now  # type: ignore[method-assign,assignment]
    base.datetime = Moved
    del sys.argv[1:5]  # what is left are the words of mftgit
    main()
