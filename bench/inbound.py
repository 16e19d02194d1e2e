"""What a member that serves clients does, beside OpenSSH's sshd with internal-sftp, in turns on one machine.

Clients are OpenSSH's sftp, one process each; what they take of the CPU is told, because it is the same on both sides
and hides a part of any difference. The member has an account for each, confinement, temporary names, digests, and an
event for each file that is on disk before the client is told; it is measured as configured by default, where a file is
flushed too, and with ``flush: false``, which is what sshd does.
"""

import itertools
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, TypeVar

from bench import inbound_clients
from bench.inbound_clients import Client, Run
from bench.inbound_servers import Server, member, sshd
from bench.support import Table, ms, pause, percentile, say

KIB, MIB = 1 << 10, 1 << 20
_SMALL_BYTES: Final = 10 * KIB
_HOLDERS: Final = 4
_WITHIN_S: Final = 600.0

K = TypeVar("K")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """How much is measured: clients and the size of the large file of each, files, handshakes, idle connections."""

    loads: tuple[tuple[int, int], ...] = ((10, 50 * MIB), (50, 50 * MIB), (200, 10 * MIB))
    files: int = 100
    handshakes: int = 400
    at_once: int = 8
    idle: int = 1000
    idle_s: float = 30.0
    rounds: int = 3


QUICK: Final = Amount(
    loads=((4, 5 * MIB),), files=10, handshakes=20, at_once=4, idle=20, idle_s=3.0, rounds=1
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one round of one server took, of so many clients that all put or all get."""

    server: str
    clients: int
    verb: str
    mib_per_s: float
    p99_s: float
    median_s: float
    large_s: float
    server_cpu_s: float
    client_cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Handshakes:
    """Clients one after the other, some at once, that log in, begin a session and go."""

    server: str
    per_s: float
    server_cpu_s: float
    client_cpu_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """Connections that do nothing: memory that each adds, CPU of all in seconds for each second, and who was lost."""

    server: str
    connections: int
    each_mib: float
    all_mib: float
    cpu: float
    lost: int


def measure(work: Path, *, quick: bool) -> list[Table]:
    """See `bench.run`."""
    amount = QUICK if quick else Amount()
    most = max(clients for clients, _ in amount.loads)
    (work / "source").mkdir()
    (work / "source" / "small").write_bytes(os.urandom(_SMALL_BYTES))
    makers: list[Callable[[], AbstractContextManager[Server]]] = [
        lambda: sshd(work / "sshd"),
        lambda: member(work / "flushed", accounts=most, flush=True),
        lambda: member(work / "unflushed", accounts=most, flush=False),
    ]
    handshakes: list[Handshakes] = []
    loads: list[Load] = []
    with _all(makers) as servers:
        # First of all: memory that was freed before is not counted when it is used again.
        idle = [_hold(server, amount) for server in servers[:2]]
        for _ in range(amount.rounds):
            handshakes += [_shake_hands(server, amount) for server in servers]
        for clients, large_bytes in amount.loads:
            (work / "source" / "large").write_bytes(os.urandom(large_bytes))
            for _, server in itertools.product(range(amount.rounds), servers):
                loads += _load(server, work / "source", clients, amount.files)
    return [_handshake_table(handshakes), *_load_tables(loads, amount), _idle_table(idle)]


@contextmanager
def _all(makers: Sequence[Callable[[], AbstractContextManager[Server]]]) -> Iterator[list[Server]]:
    if not makers:
        yield []
        return
    with makers[0]() as first, _all(makers[1:]) as others:
        yield [first, *others]


def _shake_hands(server: Server, amount: Amount) -> Handshakes:
    server.empty(amount.at_once)
    clients = [
        Client(user=server.user(number % amount.at_once), key=server.key, commands=["pwd"])
        for number in range(amount.handshakes)
    ]
    run, cpu_s = _run(server, clients, at_once=amount.at_once)
    return Handshakes(
        server=server.name,
        per_s=len(clients) / run.wall_s,
        server_cpu_s=cpu_s,
        client_cpu_s=run.cpu_s,
    )


def _load(server: Server, source: Path, clients: int, files: int) -> Iterator[Load]:
    """Put and then get; every second client begins with its large file."""
    server.empty(clients)
    size_bytes = clients * (files * _SMALL_BYTES + (source / "large").stat().st_size)
    for verb in ("put", "get"):
        small = [f"f{number}" for number in range(files)]
        all_of_them = []
        for number in range(clients):
            there = server.remote(number)
            words = [_words(verb, source / "small", f"{there}{name}") for name in small]
            large = [_words(verb, source / "large", f"{there}large")]
            commands = large + words if number % 2 else words + large
            user = server.user(number)
            all_of_them.append(Client(user=user, key=server.key, commands=commands))
        run, cpu_s = _run(server, all_of_them)
        _check(server, source, clients, files)
        times = [
            seconds
            for number, each in enumerate(run.commands_s)
            for seconds in _small_ones(each, files)
        ]
        yield Load(
            server=server.name,
            clients=clients,
            verb=verb,
            mib_per_s=size_bytes / MIB / run.wall_s,
            p99_s=percentile(times, 0.99),
            median_s=statistics.median(times),
            large_s=statistics.median(max(each) for each in run.commands_s),
            server_cpu_s=cpu_s,
            client_cpu_s=run.cpu_s,
        )


def _words(verb: str, here: Path, there: str) -> str:
    return f"put {here} {there}" if verb == "put" else f"get {there} {os.devnull}"


def _small_ones(seconds: Sequence[float], files: int) -> Sequence[float]:
    """Return the times of the small files: all but the longest, as the large one is first or last."""
    first, last = seconds[0], seconds[files]
    return seconds[1:] if first > last else seconds[:-1]


def _check(server: Server, source: Path, clients: int, files: int) -> None:
    """See that every file is there, whole by its size."""
    large = (source / "large").stat().st_size
    for number in range(clients):
        sizes = {each.name: each.stat().st_size for each in server.local(number).iterdir()}
        wanted = {f"f{each}": _SMALL_BYTES for each in range(files)} | {"large": large}
        if sizes != wanted:
            raise RuntimeError(
                f"{server.name}: client {number} has {len(sizes)} files, or not whole"
            )


def _run(
    server: Server, clients: Sequence[Client], *, at_once: int | None = None
) -> tuple[Run, float]:
    server.settle()
    before_s = server.cpu_s()
    run = inbound_clients.run(server.port, clients, at_once=at_once)
    server.settle()
    cpu_s = server.cpu_s() - before_s
    say(f"{server.name}: {len(clients)} clients took {run.wall_s:.1f} s")
    return run, cpu_s


def _hold(server: Server, amount: Amount) -> Idle:
    server.empty(amount.at_once)
    server.settle()
    before_mib = server.pss_mib()
    users = [f"{server.user(one)}={server.remote(one)}" for one in range(amount.at_once)]
    share = amount.idle // _HOLDERS
    command = [
        sys.executable, str(Path(__file__).with_name("inbound_holder.py")), str(server.port),
        str(server.key), str(share), *users,
    ]  # fmt: skip
    holders = [
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )
        for _ in range(_HOLDERS)
    ]
    for each in holders:
        assert each.stdout is not None
        if each.stdout.readline().strip() != "held":
            raise RuntimeError(f"{server.name}: connections could not be held")
    server.settle()
    cpu_s = server.cpu_s()
    pause(amount.idle_s)
    cpu = (server.cpu_s() - cpu_s) / amount.idle_s
    all_mib = server.pss_mib()
    lost = sum(int(each.communicate(timeout=_WITHIN_S)[0]) for each in holders)
    say(f"{server.name}: {share * _HOLDERS} idle connections were held, {lost} were lost")
    return Idle(
        server=server.name,
        connections=share * _HOLDERS,
        each_mib=(all_mib - before_mib) / (share * _HOLDERS),
        all_mib=all_mib,
        cpu=cpu,
        lost=lost,
    )


# Tables


def _handshake_table(found: Sequence[Handshakes]) -> Table:
    by_server = _grouped(found, lambda each: each.server)
    base = _middle(by_server[found[0].server], lambda each: each.per_s)
    rows = [
        (
            name,
            f"{_middle(some, lambda each: each.per_s):.0f}",
            f"{_middle(some, lambda each: each.per_s) / base:.2f}",
            f"{_middle(some, lambda each: each.server_cpu_s):.1f} s",
            f"{_middle(some, lambda each: each.client_cpu_s):.1f} s",
        )
        for name, some in by_server.items()
    ]
    return Table(
        title="Logins: connect, log in with a key, begin a session, go",
        columns=("server", "a second", "of sshd's", "server's CPU", "clients' CPU"),
        rows=rows,
        notes=(
            "medians of rounds in turns; each client is a process of OpenSSH's sftp",
            f"key exchange by {inbound_clients.KEX}, encryption by {inbound_clients.CIPHER}",
        ),
        raw=[asdict(each) for each in found],
    )


def _load_tables(found: Sequence[Load], amount: Amount) -> Iterator[Table]:
    for (clients, verb), some in _grouped(found, lambda each: (each.clients, each.verb)).items():
        size = dict(amount.loads)[clients] // MIB
        yield Table(
            title=f"{clients} clients {verb} {amount.files} files of 10 KiB and one of {size} MiB each",
            columns=(
                "server", "MiB/s", "of sshd's", "p99, small", "of sshd's", "median, small",
                "large file", "server's CPU", "clients' CPU",
            ),
            rows=list(_load_rows(some)),
            notes=(
                "MiB/s from the start of the first client to the end of the last, logins included",
                "a small file's time is from one line of sftp's batch to the next",
            ),
            raw=[asdict(each) for each in some],
        )  # fmt: skip


def _load_rows(found: Sequence[Load]) -> Iterator[tuple[str, ...]]:
    by_server = _grouped(found, lambda each: each.server)
    base = by_server[found[0].server]
    for name, some in by_server.items():
        rate, p99_s = _middle(some, lambda each: each.mib_per_s), _middle(some, lambda each: each.p99_s)  # fmt: skip
        yield (
            name,
            f"{rate:.0f}",
            f"{rate / _middle(base, lambda each: each.mib_per_s):.2f}",
            ms(p99_s),
            f"{p99_s / _middle(base, lambda each: each.p99_s):.2f}",
            ms(_middle(some, lambda each: each.median_s)),
            f"{_middle(some, lambda each: each.large_s):.1f} s",
            f"{_middle(some, lambda each: each.server_cpu_s):.1f} s",
            f"{_middle(some, lambda each: each.client_cpu_s):.1f} s",
        )


def _idle_table(found: Sequence[Idle]) -> Table:
    return Table(
        title=f"{found[0].connections} idle connections",
        columns=("server", "memory added by each", "memory of all processes", "CPU", "lost"),
        rows=[
            (
                each.server,
                f"{each.each_mib:.2f} MiB",
                f"{each.all_mib:.0f} MiB",
                f"{each.cpu * 100:.1f} % of a core",
                str(each.lost),
            )
            for each in found
        ],
        notes=(
            "PSS: shared pages are divided; each has logged in, sent a file of 256 KiB and fetched it",
        ),
        raw=[asdict(each) for each in found],
    )


def _grouped(found: Sequence[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    groups: dict[K, list[T]] = {}
    for each in found:
        groups.setdefault(key(each), []).append(each)
    return groups


def _middle(found: Sequence[T], value: Callable[[T], float]) -> float:
    return statistics.median(value(each) for each in found)
