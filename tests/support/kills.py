"""A process that kills itself before one of its steps: what changes files, databases, or reaches out."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mftgit.adapters.sqlite import Database

EFFECTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def die_before(
    at: int, told: Path, *, counts: Callable[[], bool] = lambda: True, station: str = ""
) -> None:
    """Kill this process before the ``at``-th step that ``counts`` and names ``station``; leave its name in ``told``."""
    steps = 0

    def step(what: str) -> None:
        nonlocal steps
        if station in what and counts():
            steps += 1
            if steps == at:
                descriptor = os.open(told, os.O_WRONLY | os.O_CREAT)
                os.write(descriptor, what.encode())
                os.kill(os.getpid(), signal.SIGKILL)

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        changes = event in EFFECTS or (event == "open" and int(arguments[2] or 0) & WRITES)
        if changes and str(arguments[0]) != str(told):
            step(f"{event} {arguments[0]}")
        elif event == "socket.connect":
            step(event)

    real = Database.write

    @contextmanager
    def write(database: Database) -> Iterator[Any]:
        step(f"write {database._path.name}")
        with real(database) as connection:
            yield connection
        step(f"after the write {database._path.name}")

    Database.write = write  # type: ignore[method-assign,assignment]  # in this process alone
    sys.addaudithook(watch)
