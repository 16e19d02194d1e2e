"""What a transfer costs to a partner at a distance, beside OpenSSH's and rclone's own clients."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from sshd import Sshd, running_sshd

from bench.clients import CLIENTS, SSHD_OPTIONS
from bench.support import Table
from bench.transfer import compare, installed

ROUND_TRIP_S: Final = 0.04
ROUNDS: Final = 3
LOADS: Final = {"1 x 256 MiB": (1, 256 << 20), "300 x 10 KiB": (300, 10 << 10)}
QUICK_LOADS: Final = {"1 x 32 MiB": (1, 32 << 20), "30 x 10 KiB": (30, 10 << 10)}
_CLIENTS: Final = ("sftp", "mftgit", "rclone, no hash")


def measure(work: Path, *, quick: bool) -> list[Table]:
    """See `bench.run`; each client in turn, in another order in each round."""
    (work / "sshd").mkdir()
    with running_sshd(work / "sshd", options=SSHD_OPTIONS) as near, _far(near) as server:
        return compare(
            work,
            server,
            QUICK_LOADS if quick else LOADS,
            installed({name: CLIENTS[name] for name in _CLIENTS}),
            rounds=1 if quick else ROUNDS,
            where=f"{ROUND_TRIP_S * 1000:g} ms away",
        )


@contextmanager
def _far(server: Sshd) -> Iterator[Sshd]:
    """Give the server by an address that is far away."""
    program = Path(__file__).with_name("distance.py")
    command = [sys.executable, str(program), str(server.port), str(ROUND_TRIP_S / 2)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        assert process.stdout is not None
        try:
            yield replace(server, port=int(process.stdout.readline()))
        finally:
            process.kill()
