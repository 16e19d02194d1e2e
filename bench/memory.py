"""How much memory a member takes, and what for."""

import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from mftgit.model.names import MemberName

_STEPS = {
    "bare Python": "",
    "+ modules of `mftgit run`": "import mftgit.cli.run, loguru._logger",
    "+ schemas, time zones, validator": (
        "import mftgit.cli.run; from mftgit.cli.rules import make_validator; kept = make_validator()"
    ),
}
_TELL = "; print(open('/proc/self/smaps_rollup').read())"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    """Memory of one process in MiB: resident, its share when shared pages are divided, its own, and heap and stacks."""

    rss: float
    pss: float
    private: float
    anonymous: float


def resident(pid: int) -> Resident:
    """Return the memory of a running process."""
    return _parse(Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8"))


def by_step() -> dict[str, Resident]:
    """Return what a process takes after each step of starting, in a fresh process each."""
    found = {}
    for name, code in _STEPS.items():
        done = subprocess.run(
            [sys.executable, "-c", f"{code or 'pass'}{_TELL}"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            encoding="utf-8",
        )
        found[name] = _parse(done.stdout)
    return found


def find_members(root: Path) -> dict[MemberName, int]:
    """Return the process of each ``mftgit run`` on a folder below ``root``."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_text(encoding="utf-8").split("\0")
        except OSError:
            continue  # it has ended
        if words[1:4] == ["-m", "mftgit", "run"] and Path(words[4]).parent == root:
            found[MemberName(Path(words[4]).name)] = int(entry.name)
    return found


def middle(values: list[Resident]) -> Resident:
    """Return the medians."""
    return Resident(
        rss=statistics.median(each.rss for each in values),
        pss=statistics.median(each.pss for each in values),
        private=statistics.median(each.private for each in values),
        anonymous=statistics.median(each.anonymous for each in values),
    )


def row(name: str, found: Resident) -> tuple[str, ...]:
    """Return a row of a table in MiB."""
    values = (found.rss, found.pss, found.private, found.anonymous)
    return (name, *(f"{value:.0f} MiB" for value in values))


def _parse(text: str) -> Resident:
    kib: dict[str, int] = {}
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) > 1 and words[1].isdigit():
            kib[words[0].rstrip(":")] = int(words[1])
    return Resident(
        rss=kib["Rss"] / 1024,
        pss=kib["Pss"] / 1024,
        private=(kib["Private_Clean"] + kib["Private_Dirty"]) / 1024,
        anonymous=kib["Anonymous"] / 1024,
    )
