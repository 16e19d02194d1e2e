"""Say that something takes its time, and how far it is: one line on a terminal that is written over and vanishes."""

import sys
from collections.abc import Callable
from threading import Event, RLock, Thread
from typing import Final, Self

import click

from mftgit.adapters.clock import Clock

AFTER_S: Final = 2.0
"""What is done by then needs no word."""

_EVERY_S: Final = 0.5
_CLEAR: Final = "\r\x1b[K"
_END_S: Final = 5.0


class Patience:
    """For the block of ``with``; where standard error is no terminal it says nothing."""

    def __init__(self, what: str, *, clock: Clock) -> None:
        """Say nothing yet; ``what`` is what is being done."""
        self._what = what
        self._clock = clock
        self._lock = RLock()
        self._count: int | None = None
        self._shown = False
        self._over = Event()
        self._thread = Thread(target=self._watch, name="patience", daemon=True)

    def step(self, count: int) -> None:
        """Take note that so many are done."""
        self._count = count

    def aside(self, say: Callable[[], None]) -> None:
        """Let something else be written, which the line must not stand in the way of."""
        with self._lock:
            self._clear()
            say()

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(_END_S)
        with self._lock:
            self._clear()

    def _watch(self) -> None:
        begun = self._clock.boottime()
        if self._over.wait(AFTER_S):
            return
        while not self._over.wait(_EVERY_S):
            elapsed_s = self._clock.boottime() - begun
            count = "" if self._count is None else f"{self._count:,}, "
            with self._lock:
                self._shown = True
                click.echo(f"{_CLEAR}{self._what}: {count}{elapsed_s:.0f} s", err=True, nl=False)

    def _clear(self) -> None:
        if self._shown:
            click.echo(_CLEAR, err=True, nl=False)
            self._shown = False
