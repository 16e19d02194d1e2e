"""Say how far something is that takes its time, on a terminal only."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click

from mftgit.adapters.clock import Clock

AFTER_S: Final = 2.0
"""What is done by then needs no word."""

_EVERY_S: Final = 0.2
_CLEAR: Final = "\r\x1b[K"


class Patience:
    """One line on standard error that is written over and vanishes."""

    def __init__(self, what: str, *, clock: Clock) -> None:
        """Say nothing yet; ``what`` is written before the count."""
        self._what = what
        self._clock = clock
        self._next = clock.boottime() + AFTER_S
        self._shown = False
        self._silent = not sys.stderr.isatty()

    def step(self, count: int) -> None:
        """Say that so many are done, where it is time for that."""
        if self._silent or self._clock.boottime() < self._next:
            return
        self._next = self._clock.boottime() + _EVERY_S
        self._shown = True
        click.echo(f"{_CLEAR}{self._what}: {count:,}", err=True, nl=False)

    def clear(self) -> None:
        """Take the line away, before something else is written."""
        if self._shown:
            click.echo(_CLEAR, err=True, nl=False)
            self._shown = False


@contextmanager
def patience(what: str, *, clock: Clock) -> Iterator[Patience]:
    """Give a line that is taken away at the end."""
    made = Patience(what, clock=clock)
    try:
        yield made
    finally:
        made.clear()
