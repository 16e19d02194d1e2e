"""What many transfers cost that have nothing to do, and how long it takes until all of them have another owner.

A controller and two nodes, each a real process. One node is preferred and owns all transfers, the other stands by.
Every transfer is on an interval of an hour, so that nothing is looked at meanwhile but what ownership and status need.
"""

import os
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from etcd_cluster import etcd_cluster

from bench import memory
from bench.members import Cluster, moment
from bench.support import Table, pause, say
from mftgit.adapters.clock import SystemClock
from mftgit.cli.demo.processes import Processes
from mftgit.cli.orders import give_order
from mftgit.model.events.event import EventName
from mftgit.model.members.orders import Verb
from mftgit.model.names import MemberName

COUNTS: Final = (10, 100, 1000, 10_000)
QUICK_COUNTS: Final = (10, 100)
TTL_S: Final = 10.0

_OWNER, _STANDBY = "node-1", "node-2"
_SETTLE_S: Final = 15.0
_CPU_S: Final = 60.0
_TRACE_S: Final = 20.0
_QUICK_S: Final = 5.0
_CALL: Final = re.compile(r"\d+ +\w+\(")
_OPEN: Final = "AT_EMPTY_PATH"  # a look at what is open
_REQUEST: Final = '"POST /v3'
_LOOK_S: Final = 0.1
_WITHIN_S: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one idle member takes: the share of a core, and what it asks of storage and etcd, a second."""

    cpu: float
    operations: float
    requests: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was measured with so many transfers; times are in seconds, until the last of them is owned."""

    transfers: int
    first_s: float
    drain_s: float
    back_s: float
    takeover_s: float
    owner: Cost
    standby: Cost


def measure(work: Path, *, quick: bool) -> list[Table]:
    """See `bench.run`; a cluster made anew for each number of transfers."""
    return [_table(_measure(work, (), quick=quick), "leases in the shared folder")]


def measure_with_etcd(work: Path, *, quick: bool) -> list[Table]:
    """Measure the same over three etcds, on this machine and in memory."""
    with etcd_cluster() as etcds:
        urls = [str(each) for each in etcds.endpoints]
        return [_table(_measure(work, urls, quick=quick), "leases in etcd")]


def _measure(work: Path, etcd: Sequence[str], *, quick: bool) -> list[Found]:
    found = []
    for count in QUICK_COUNTS if quick else COUNTS:
        root = work / f"{count}"
        for name in ("cluster", "logs"):
            (root / name).mkdir(parents=True)
        processes = Processes(root / "logs")
        with processes.guarded():
            made = _Site(root / "cluster", processes, count, etcd)
            with made.running() as site:
                found.append(site.measure(_QUICK_S if quick else _CPU_S))
        say(f"{found[-1]}")
    return found


class _Site:
    """A controller and two nodes over ``count`` transfers."""

    def __init__(self, root: Path, processes: Processes, count: int, etcd: Sequence[str]) -> None:
        self._processes = processes
        self._count = count
        self._clock = SystemClock()
        self._cluster = Cluster(root, processes, _documents(count, etcd))
        (self._cluster.files / "here").mkdir()
        self._cluster.start_controller()
        self._cluster.join((_OWNER, _STANDBY))

    @contextmanager
    def running(self) -> Iterator["_Site"]:
        """Run until the owner owns all, and the other one stands by."""
        with self._cluster.log(_OWNER) as one, self._cluster.log(_STANDBY) as other:
            self._logs = {_OWNER: one, _STANDBY: other}
            yield self

    def measure(self, seconds: float) -> Found:
        """Start the members, and measure."""
        began = self._clock.now()
        self._cluster.start(_OWNER)
        first_s = self._owned_by(_OWNER, since=began)
        say(f"{self._count} transfers: owned after {first_s:.1f} s")
        self._cluster.start(_STANDBY)
        self._until(
            "the other one runs", lambda: bool(self._logs[_STANDBY].all(EventName.PLAN_APPLIED))
        )
        pause(_SETTLE_S)
        owner, standby = self._cpu(seconds)
        asked = {name: self._asked(name, min(seconds, _TRACE_S)) for name in (_OWNER, _STANDBY)}
        drain_s = self._ordered(Verb.DRAIN, _STANDBY)
        back_s = self._ordered(Verb.END_DRAIN, _OWNER)
        pause(TTL_S)
        killed_at = self._clock.now()
        self._processes.kill(_OWNER)
        return Found(
            transfers=self._count,
            first_s=first_s,
            drain_s=drain_s,
            back_s=back_s,
            takeover_s=self._owned_by(_STANDBY, since=killed_at),
            owner=Cost(cpu=owner, operations=asked[_OWNER][0], requests=asked[_OWNER][1]),
            standby=Cost(cpu=standby, operations=asked[_STANDBY][0], requests=asked[_STANDBY][1]),
        )

    def _ordered(self, verb: Verb, heir: str) -> float:
        """Give the owner an order, and return how long it takes until ``heir`` has all."""
        ordered_at = self._clock.now()
        give_order(self._cluster.folder(_OWNER), verb)
        return self._owned_by(heir, since=ordered_at)

    def _owned_by(self, member: str, *, since: datetime) -> float:
        """Wait until ``member`` has taken every transfer after ``since``; return when the last one was taken."""
        last: list[datetime] = []

        def reached() -> bool:
            events = self._logs[member].all(EventName.OWNERSHIP_TAKEN)
            taken = {
                each.facts["transfer"]: moment(each) for each in events if moment(each) > since
            }
            last[:] = [max(taken.values())] if len(taken) == self._count else []
            return bool(last)

        self._until(f"{member} owns all", reached)
        return (last[0] - since).total_seconds()

    def _until(self, what: str, reached: Callable[[], bool]) -> None:
        for _ in range(int(_WITHIN_S / _LOOK_S)):
            if reached():
                return
            self._processes.check()
            pause(_LOOK_S)
        raise RuntimeError(f"waited {_WITHIN_S:.0f} s in vain: {what}")

    def _cpu(self, seconds: float) -> tuple[float, float]:
        """Return the share of a core that owner and standby take while nothing happens."""
        running = memory.find_members(self._cluster.root)
        pids = [running[MemberName(name)] for name in (_OWNER, _STANDBY)]
        before = [_cpu_s(pid) for pid in pids]
        began = self._clock.boottime()
        pause(seconds)
        took_s = self._clock.boottime() - began
        one, other = ((_cpu_s(pid) - used) / took_s for pid, used in zip(pids, before, strict=True))
        return one, other

    def _asked(self, member: str, seconds: float) -> tuple[float, float]:
        """Return how many operations on the storage and requests to etcd a second there are.

        By strace, which slows the member down.
        """
        pid = memory.find_members(self._cluster.root)[MemberName(member)]
        told = self._cluster.root / f"{member}.strace"
        words = [
            "strace",
            "-f",
            "-y",
            "-qq",
            "-e",
            "trace=%file,fsync,fdatasync,sendto",
            "-o",
            str(told),
            "-p",
            str(pid),
        ]
        tracing = subprocess.Popen(["timeout", "--signal=INT", f"{seconds:.0f}", *words])
        tracing.wait()
        lines = told.read_text("utf-8").splitlines()
        operations = sum(
            str(self._cluster.files) in line and _OPEN not in line
            for line in lines
            if _CALL.match(line)
        )
        return operations / seconds, sum(_REQUEST in line for line in lines) / seconds


def _cpu_s(pid: int) -> float:
    """Return the CPU time that a process has taken, user and system (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _documents(count: int, etcd: Sequence[str]) -> dict[str, str]:
    place = f"etcd, etcd: {{endpoints: [{', '.join(etcd)}], prefix: /idle-{count}}}"
    made = {
        "cluster.yaml": (
            f"name: bench\ncoordinator: {{type: {place if etcd else 'shared-folder'}, ttl_s: {TTL_S:.0f}}}\n"
        ),
        "members/controller.yaml": "role: controller\n",
        f"members/{_OWNER}.yaml": "role: node\n",
        f"members/{_STANDBY}.yaml": "role: node\n",
        "locations/here.yaml": "type: local\npath: here\n",
        "locations/there.yaml": "type: local\npath: there\n",
    }
    for number in range(count):
        made[f"transfers/flow-{number}.yaml"] = (
            f"source: {{location: here, path: flow-{number}}}\n"
            f"destination: {{location: there, path: flow-{number}}}\n"
            "trigger: {interval: {every_s: 3600}}\n"
            f"active_on: nodes\nprefer: [{_OWNER}, {_STANDBY}]\n"
        )
    return made


def _table(found: list[Found], where: str) -> Table:
    rows = [
        (
            f"{each.transfers:,}",
            *(f"{cost.cpu * 100:.1f} %" for cost in (each.owner, each.standby)),
            *(f"{cost.operations:.0f}" for cost in (each.owner, each.standby)),
            *(f"{cost.requests:.1f}" for cost in (each.owner, each.standby)),
            *(
                f"{seconds:.2f} s"
                for seconds in (each.first_s, each.drain_s, each.back_s, each.takeover_s)
            ),
        )
        for each in found
    ]
    return Table(
        title=f"Transfers that have nothing to do, {where}, ttl {TTL_S:.0f} s",
        columns=(
            "transfers", "CPU of a core: owner", "standby", "storage operations a second: owner", "standby",
            "requests to etcd a second: owner", "standby",
            "start -> all owned", "drain -> all handed over", "end of drain -> all back", "SIGKILL -> all taken over",
        ),
        rows=rows,
        notes=(
            "goals for 1,000: below 2 % of a core and 50 operations a second for each member; drain in less than 1 s",
            ("operations: what opens, looks at, makes, links, renames, removes or flushes a file or folder of the "
             "members' storage, by strace; reading and listing what is open belongs to it"),
            "until the last of them is owned: its OwnershipTaken event",
        ),
        raw=[asdict(each) for each in found],
    )  # fmt: skip
