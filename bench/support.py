"""What every section needs: tables, a few statistics, the machine in words, progress."""

import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import mftgit

_BEGAN = time.monotonic()
_COMMAND_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Figures for people (``rows``), what has to be known to read them, and every single measurement (``raw``)."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    notes: tuple[str, ...] = ()
    raw: Any = field(default=None)

    def text(self) -> str:
        """Return the table as Markdown whose columns also line up in a terminal."""
        grid = [self.columns, *self.rows]
        widths = [max(len(row[at]) for row in grid) for at in range(len(self.columns))]
        lines = [
            "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
            for row in grid
        ]  # fmt: skip
        rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
        notes = [f"- {note}" for note in self.notes]
        parts = [f"### {self.title}", "", lines[0], rule, *lines[1:], ""]
        return "\n".join([*parts, *notes, ""] if notes else parts)


def say(what: str) -> None:
    """Tell progress, on standard error so that tables can be redirected."""
    print(f"{time.monotonic() - _BEGAN:7.1f} s  {what}", file=sys.stderr, flush=True)


def pause(seconds: float) -> None:
    """Let time pass."""
    Event().wait(seconds)


@contextmanager
def stopwatch() -> Iterator[list[float]]:
    """Give a list in which, at the end of the body, the seconds stand that it took."""
    taken: list[float] = []
    began = time.perf_counter()
    yield taken
    taken.append(time.perf_counter() - began)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least ``share`` of ``values`` do not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def median_and_p99(values: Sequence[float]) -> tuple[str, str]:
    """Return both in milliseconds, in words that say when p99 is no more than the maximum."""
    highest = " (max)" if math.ceil(0.99 * len(values)) >= len(values) else ""
    return ms(statistics.median(values)), f"{ms(percentile(values, 0.99))}{highest}"


def ms(seconds: float) -> str:
    """Return ``seconds`` in milliseconds, in words."""
    return f"{seconds * 1000:,.1f} ms" if abs(seconds) < 0.01 else f"{seconds * 1000:,.0f} ms"


def describe_machine() -> dict[str, str]:
    """Return what figures depend on: processor, memory, file system and versions."""
    return {
        "cores": f"{os.cpu_count()} ({_first('/proc/cpuinfo', 'model name') or platform.machine()})",
        "memory": f"{int(_first('/proc/meminfo', 'MemTotal').split()[0]) / 1024**2:.0f} GiB",
        "kernel": platform.release(),
        "Python": platform.python_version(),
        "mftgit": mftgit.__version__,
        "git": _version("git", "--version").removeprefix("git version "),
        "OpenSSH": _version("ssh", "-V").removeprefix("OpenSSH_").partition(",")[0],
        "rclone": _version("rclone", "version").removeprefix("rclone "),
    }


def load() -> str:
    """Return the load averages, in words."""
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def _first(path: str, key: str) -> str:
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def _version(program: str, word: str) -> str:
    if shutil.which(program) is None:
        return "not installed"
    done = subprocess.run(
        [program, word],
        capture_output=True,
        text=True,
        timeout=_COMMAND_S,
        check=False,
        encoding="utf-8",
    )
    return (done.stdout or done.stderr).partition("\n")[0]
