"""What a transfer costs, beside what OpenSSH's and rclone's own clients take for the same files to the same sshd."""

import os
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Final

from sshd import Sshd, running_sshd

from bench.clients import CIPHER, CLIENTS, SIDE_BY_SIDE, SSHD_OPTIONS, Clients, Cost, Job
from bench.support import Table, say

ROUNDS: Final = 5
LOADS: Final = {"1 x 1 GiB": (1, 1 << 30), "2,000 x 10 KiB": (2000, 10 << 10)}
"""How many files of how many bytes."""

LARGE: Final = {"4 x 256 MiB": (4, 256 << 20)}
QUICK_LARGE: Final = {"4 x 16 MiB": (4, 16 << 20)}
QUICK_LOADS: Final = {"1 x 64 MiB": (1, 64 << 20), "100 x 10 KiB": (100, 10 << 10)}

ONCE_IS_ENOUGH_S: Final = 100.0
"""A client that took this long for a load is not asked again."""

_PIECE = 1 << 20
_SPARE = 1 << 30


def measure(work: Path, *, quick: bool) -> list[Table]:
    """See `bench.run`; each client in turn, in another order in each round."""
    (work / "sshd").mkdir()
    rounds = 1 if quick else ROUNDS
    with running_sshd(work / "sshd", options=SSHD_OPTIONS) as server:
        tables = []
        for loads, clients in (
            (QUICK_LOADS if quick else LOADS, CLIENTS),
            (QUICK_LARGE if quick else LARGE, SIDE_BY_SIDE),
        ):
            tables += compare(
                work, server, loads, installed(clients), rounds=rounds, where="on this machine"
            )
    return tables


def installed(clients: Clients) -> Clients:
    """Return those of the clients that this machine has."""
    optional = ("rclone", "lftp")
    return {
        name: take
        for name, take in clients.items()
        if all(shutil.which(each) for each in optional if name.startswith(each))
    }


def compare(
    work: Path,
    server: Sshd,
    loads: Mapping[str, tuple[int, int]],
    clients: Clients,
    *,
    rounds: int,
    where: str,
) -> list[Table]:
    """Return a table for each of ``loads``, up and down; ``where`` the server is, in words.

    The first of ``clients`` is what the others are compared with.
    """
    tables = []
    for name, (count, size) in loads.items():
        with _files(work, count, size) as source:
            for up in (True, False):
                title = f"{name} {'up to' if up else 'down from'} an sshd {where}"
                make = partial(_one, clients, server=server, source=source, up=up, load=title)
                found = _rounds(list(clients), rounds, make)
                tables.append(_table(title, count * size, list(clients), found))
    return tables


def _rounds(clients: list[str], rounds: int, one: Callable[[str], Cost]) -> list[dict[str, Cost]]:
    """Return what each client took in each round; a very slow one is in the first round only."""
    found: list[dict[str, Cost]] = []
    for number in range(rounds):
        turn = number % len(clients)
        order = [
            each
            for each in clients[turn:] + clients[:turn]
            if not found or found[0][each].wall_s < ONCE_IS_ENOUGH_S
        ]
        found.append({each: one(each) for each in order})
    return found


@contextmanager
def _files(work: Path, count: int, size: int) -> Iterator[Path]:
    """Give a folder with ``count`` files of ``size`` random bytes each."""
    free = shutil.disk_usage(work).free
    if free < 2 * count * size + _SPARE:
        raise RuntimeError(f"{work} has {free >> 20} MiB free: expected room for two copies")
    source = work / "source"
    source.mkdir()
    say(f"making {count} files of {size} bytes")
    for number in range(count):
        with (source / f"file-{number:05d}.bin").open("wb") as stream:
            for start in range(0, size, _PIECE):
                stream.write(os.urandom(min(_PIECE, size - start)))
    try:
        yield source
    finally:
        shutil.rmtree(source)


def _one(clients: Clients, client: str, *, server: Sshd, source: Path, up: bool, load: str) -> Cost:
    """Let ``client`` take the files once, look that all are there, and put what came out of the way.

    Small files are removed at the end of all: ext4 passes by the inodes that were freed within some seconds, one by
    one, so that who comes after thousands of removals pays for them.
    """
    folders = [source.parent / name for name in ("linked", "scratch", "target")]
    for folder in folders:
        folder.mkdir()
    linked, scratch, target = folders
    try:
        for path in source.iterdir():
            (linked / path.name).hardlink_to(path)  # mftgit removes what it has delivered
        os.sync()  # what the one before left to be written is not this one's burden
        job = Job(server=server, source=linked, target=target, scratch=scratch, up=up)
        cost = clients[client](job)
        _require_all(source, target, client)
    finally:
        done = Path(tempfile.mkdtemp(prefix="done-", dir=source.parent))
        for folder in folders:
            folder.rename(done / folder.name)
        if sum(path.stat().st_size for path in source.iterdir()) > _SPARE // 4:
            shutil.rmtree(done)
    say(f"{load}, {client}: {cost.wall_s:.2f} s, CPU {cost.cpu_s:.2f} s")
    return cost


def _require_all(source: Path, target: Path, client: str) -> None:
    sent = {path.name: path.stat().st_size for path in source.iterdir()}
    arrived = {path.name: path.stat().st_size for path in target.iterdir() if path.is_file()}
    if sent != arrived:
        raise RuntimeError(f"{client}: {len(arrived)} of {len(sent)} files arrived as they were")


def _table(name: str, size: int, clients: list[str], found: list[dict[str, Cost]]) -> Table:
    rows, reference = [], clients[0]
    for client in clients:
        rounds = [each for each in found if client in each]
        wall_s = statistics.median(each[client].wall_s for each in rounds)
        cpu_s = statistics.median(each[client].cpu_s for each in rounds)
        ratios = [each[client].wall_s / each[reference].wall_s for each in rounds]
        cpu_ratios = [each[client].cpu_s / each[reference].cpu_s for each in rounds]
        rows.append(
            (
                client,
                f"{len(rounds)}",
                f"{wall_s:.2f} s",
                f"{size / wall_s / 2**20:.1f} MiB/s",
                f"{statistics.median(ratios):.2f}",
                f"{min(ratios):.2f} to {max(ratios):.2f}",
                f"{cpu_s:.2f} s",
                f"{statistics.median(cpu_ratios):.2f}",
            )
        )
    return Table(
        title=name,
        columns=(
            "client",
            "rounds",
            "wall",
            "rate",
            f"wall / {reference}",
            "range",
            "client CPU",
            f"CPU / {reference}",
        ),
        rows=rows,
        notes=(
            f"medians; ratios are medians of the ratios within a round; cipher {CIPHER} for all",
            "mftgit without the start of Python, the others from start to end of their process",
            (
                "mftgit flushes its own records to disk, and each file where it arrives, but with 'flush: false' not "
                "at the server; of the others, only 'sftp, fsync' (`-f`) flushes the file"
            ),
            "rclone sends four files at once, the others one",
        ),
        raw=[{client: asdict(cost) for client, cost in each.items()} for each in found],
    )
