"""What takes its time says so on a terminal, out of the way of everything else."""

import io
import sys
import threading
from collections.abc import Callable

import click
import pytest

from mftgit.adapters.clock import SystemClock
from mftgit.cli.transfer import patience as module
from mftgit.cli.transfer.patience import Patience


class Screen(io.StringIO):
    """Standard error, on a terminal or in a pipe; it tells of what is written there."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal
        self.written = threading.Event()

    def isatty(self) -> bool:
        return self.terminal

    def write(self, text: str) -> int:
        self.written.set()
        return super().write(text)


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Screen]:
    """Put a screen in the place of standard error, and wait for no more than a moment."""

    def put(*, terminal: bool, after_s: float = 0.0) -> Screen:
        screen = Screen(terminal=terminal)
        monkeypatch.setattr(sys, "stderr", screen)
        monkeypatch.setattr(module, "AFTER_S", after_s)
        monkeypatch.setattr(module, "_EVERY_S", 0.01)
        return screen

    return put


def test_on_a_terminal_it_says_how_far_it_is_and_vanishes(on: Callable[..., Screen]) -> None:
    screen = on(terminal=True)
    with Patience("files looked at", clock=SystemClock()) as patience:
        patience.step(12345)
        assert screen.written.wait(30)
        patience.aside(lambda: click.echo("something else", err=True))
    said = click.unstyle(screen.getvalue())
    assert "files looked at: 12,345, 0 s" in said
    assert "\r\x1b[Ksomething else\n" in screen.getvalue()
    shown = screen.getvalue().rpartition("\r\x1b[K")
    assert shown[2] in {"", "something else\n"}  # nothing of the line is left


def test_it_says_what_it_is_at_where_there_is_nothing_to_count(on: Callable[..., Screen]) -> None:
    screen = on(terminal=True)
    with Patience("waiting", clock=SystemClock()):
        assert screen.written.wait(30)
    assert "waiting: 0 s" in screen.getvalue()


@pytest.mark.parametrize(("terminal", "after_s"), [(False, 0.0), (True, 999.0)])
def test_in_a_pipe_and_where_it_is_quick_it_says_nothing(
    on: Callable[..., Screen], *, terminal: bool, after_s: float
) -> None:
    screen = on(terminal=terminal, after_s=after_s)
    with Patience("waiting", clock=SystemClock()) as patience:
        patience.step(1)
        patience.aside(lambda: None)
    assert screen.getvalue() == ""
