"""Measure mftgit by hand: ``python bench/run.py [--quick] [--json FILE] [SECTION ...]``.

Tables go to standard output as Markdown, progress to standard error. docs/performance.md tells what each section does.
"""

import argparse
import importlib
import json
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any, Final, Protocol, cast

_ROOT: Final = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_ROOT), str(_ROOT / "tests" / "support")]

SECTIONS: Final = (
    "activation",
    "fleet",
    "curve",
    "validate",
    "transfer",
    "far",
    "takeover",
    "takeover_etcd",
    "idle",
    "idle_etcd",
    "git_load",
    "listing",
    "scrape",
    "schedule",
    "inbound",
)
"""In the order in which they run; each is a module of this folder with a function ``measure``."""

INTERRUPTED: Final = 130


class _Section(Protocol):
    """What a module of a section gives."""

    def measure(self, work: Path, *, quick: bool) -> list[Any]:
        """Return the section's tables (`bench.support.Table`), having worked in the empty folder ``work``."""


def main() -> int:
    """Run the sections that were asked for and return the exit code."""
    from bench import support  # noqa: PLC0415  the path is set above, not by an installation

    options = _options()
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    machine = support.describe_machine()
    answer: dict[str, Any] = {"machine": machine, "quick": options.quick, "sections": {}}
    try:
        for name in dict.fromkeys(options.section or SECTIONS):
            answer["sections"][name] = _run(name, machine, quick=options.quick)
    except KeyboardInterrupt:
        support.say("interrupted")
        return INTERRUPTED
    finally:
        if options.json is not None:
            options.json.write_text(json.dumps(answer, indent=2) + "\n", encoding="utf-8")
    return 0


def _run(name: str, machine: dict[str, str], *, quick: bool) -> dict[str, Any]:
    from bench import support  # noqa: PLC0415

    section = cast("_Section", importlib.import_module(f"bench.{name}"))
    before = support.load()
    support.say(f"{name}: begins, load {before}")
    with tempfile.TemporaryDirectory(prefix="mftgit-bench-", ignore_cleanup_errors=True) as work:
        tables = section.measure(Path(work), quick=quick)
    after = support.load()
    print(f"\n## {name}{' (quick)' if quick else ''}\n")
    print("; ".join(f"{what} {which}" for what, which in machine.items()))
    print(f"load average (1, 5, 15 minutes) before {before}, after {after}\n")
    for table in tables:
        print(table.text())
    sys.stdout.flush()
    return {
        "load_before": before,
        "load_after": after,
        "tables": [asdict(table) for table in tables],
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, prog="python bench/run.py")
    parser.add_argument("section", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was found there")
    options = parser.parse_args()
    for name in options.section:
        if name not in SECTIONS:
            parser.error(f"no section {name!r}: expected {', '.join(SECTIONS)}")
    return options


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
