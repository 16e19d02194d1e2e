"""What it costs to list a folder with many files at a partner, beside OpenSSH's `sftp`."""

import getpass
import os
import statistics
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Final

from sshd import Sshd, running_sshd

from bench.clients import SSHD_OPTIONS
from bench.support import Table, say, stopwatch
from mftgit.adapters.sftp.endpoint import connect

FILES: Final = 100_000
QUICK_FILES: Final = 2_000
ROUNDS: Final = 5
_LONGEST_S: Final = 600


def measure(work: Path, *, quick: bool) -> list[Table]:
    """See `bench.run`."""
    count, rounds = (QUICK_FILES, 1) if quick else (FILES, ROUNDS)
    (work / "sshd").mkdir()
    with running_sshd(work / "sshd", options=SSHD_OPTIONS) as server:
        folder = server.folder / "many"
        folder.mkdir()
        say(f"making {count} files")
        for number in range(count):
            (folder / f"file-{number:06d}.csv").touch()
        found = [
            (_sftp(server, folder, count), _mftgit(server, folder, count)) for _ in range(rounds)
        ]
    rows = []
    for at, name in enumerate(("sftp, ls -1", "mftgit")):
        wall_s = statistics.median(each[at] for each in found)
        ratios = [each[at] / each[0] for each in found]
        span = f"{min(ratios):.2f} to {max(ratios):.2f}"
        rows.append((name, f"{wall_s:.2f} s", f"{statistics.median(ratios):.2f}", span))
    return [
        Table(
            title=f"A folder of {count:,} files on an sshd on this machine",
            columns=("client", "wall", "wall / sftp", "range"),
            rows=rows,
            notes=(
                f"medians of {rounds} rounds, ratios within a round",
                "both with the connection; mftgit with size and time of each file, without the start of Python",
            ),
            raw=found,
        )
    ]


def _sftp(server: Sshd, folder: Path, count: int) -> float:
    command = [
        "sftp", "-q", "-F", "none", "-P", str(server.port),
        "-i", str(server.secrets_dir / "client"),
        "-o", "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR",
        "-o", f"UserKnownHostsFile={os.devnull}", "-b", "-", f"{getpass.getuser()}@127.0.0.1",
    ]  # fmt: skip
    with stopwatch() as taken:
        done = subprocess.run(
            command,
            input=f"ls -1 {folder}\n",
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            check=True,
            encoding="utf-8",
        )
    _require(done.stdout.count(".csv"), count, "sftp")
    say(f"sftp: {taken[0]:.2f} s")
    return taken[0]


def _mftgit(server: Sshd, folder: Path, count: int) -> float:
    with stopwatch() as taken:
        location = server.location(path=str(folder))
        with closing(connect(location, secrets_dir=server.secrets_dir)) as endpoint:
            found = sum(1 for _ in endpoint.list_files(".", recursive=False))
    _require(found, count, "mftgit")
    say(f"mftgit: {taken[0]:.2f} s")
    return taken[0]


def _require(found: int, count: int, client: str) -> None:
    if found != count:
        raise RuntimeError(f"{client} listed {found} of {count} files")
