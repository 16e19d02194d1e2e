"""A large cluster: a push until 1,000 members run it, what idle members cost, and the way back from a bad revision."""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from bench import memory
from bench.activation import documents
from bench.members import CONTROLLER, Cluster, moment
from bench.support import Table, median_and_p99, ms, pause, percentile, say
from mftgit.adapters.clock import SystemClock
from mftgit.adapters.registry.registry import Registry
from mftgit.adapters.state_folder import StateFolder
from mftgit.adapters.tls import pki
from mftgit.cli.demo.processes import Processes
from mftgit.model.configuration.config import Role
from mftgit.model.events.event import EventName
from mftgit.model.names import MemberName

_RAM = Path("/dev/shm")
_SETTLE_S = 10.0
_LOOK_S = 1.0
_WITHIN_S = 240.0
_CONFIRM_S = 3
_CLUSTER, _CHANGED = "cluster.yaml", "transfers/flow-1.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much is measured."""

    simulated: tuple[tuple[int, bool], ...] = ((100, True), (1000, True), (1000, False))
    processes: int = 4
    pushes: int = 5
    nodes: int = 10
    idle_s: int = 180
    bad: int = 5


QUICK = Scale(simulated=((20, True), (20, False)), processes=2, pushes=2, nodes=2, idle_s=20, bad=1)


@dataclass(slots=True, kw_only=True)
class Found:
    """What was measured with so many simulated members, in seconds; ``whole`` ones do all that members do."""

    members: int
    whole: bool
    push_s: list[float] = field(default_factory=list)
    after_push_s: list[list[float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """What members that have nothing to do cost each, and all of them the controller."""

    kind: str
    members: int
    requests_per_min: float
    most_per_min: float
    member_cpu: float
    controller_cpu: float


def measure(work: Path, *, quick: bool) -> list[Table]:
    """See `bench.run`."""
    scale = QUICK if quick else Scale()
    idle, back, taken = _real(work / "real", scale)
    found: list[Found] = []
    for count, whole in scale.simulated:
        each, idles = _simulated(work / f"simulated-{count}-{whole}", count, scale, whole=whole)
        found.append(each)
        idle += idles
    return [_pushes_table(found, scale), _idle_table(idle, scale), back, taken]


# Real processes


def _real(work: Path, scale: Scale) -> tuple[list[Idle], Table, Table]:
    with _cluster(work, documents()) as cluster:
        names = [f"node-{number}" for number in range(1, scale.nodes + 1)]
        cluster.join(names)
        for name in [CONTROLLER, *names]:
            commands = cluster.folder(name).commands
            commands.mkdir(mode=0o700, exist_ok=True)
            (commands / "fail").write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
            (commands / "fail").chmod(0o700)
        for name in names:
            cluster.start(name)
        _until_applied(cluster, names, cluster.revision(), EventName.REVISION_ACTIVATED)
        back_s = [
            value for number in range(scale.bad) for value in _go_back(cluster, names, number)
        ]
        pids = memory.find_members(cluster.root)
        nodes = {name: pid for name, pid in pids.items() if name != CONTROLLER}
        idle = _idle(cluster, "processes", list(nodes.values()), scale.nodes, scale.idle_s)
        resident = memory.middle([memory.resident(pid) for pid in nodes.values()])
        taken = Table(
            title=f"Resident memory, {scale.nodes} nodes",
            columns=("process", "resident", "proportional", "private", "heap and stacks"),
            rows=[
                memory.row("node (median)", resident),
                memory.row("controller", memory.resident(pids[MemberName(CONTROLLER)])),
            ],
        )
    return [idle], _back_table(back_s, scale), taken


def _go_back(cluster: Cluster, names: Sequence[str], number: int) -> list[float]:
    """Push a revision that does not prove itself; return how long the way back took, without the time it was given."""
    good = documents()[_CLUSTER]
    confirm = f"confirm: {{within_s: {_CONFIRM_S}, command: fail}}\n"
    bad = cluster.push(_CLUSTER, f"{good}# {number}\n{confirm}").revision
    ends = _until_applied(cluster, names, bad, EventName.REVISION_ROLLED_BACK)
    begins = _until_applied(cluster, names, bad, EventName.REVISION_VERIFIED)
    pushed = cluster.push(_CLUSTER, f"{good}# {number} is mended\n").revision
    _until_applied(cluster, names, pushed, EventName.REVISION_ACTIVATED)
    say(f"bad revision {number + 1} was gone back from")
    return [end - begin - _CONFIRM_S for begin, end in zip(begins, ends, strict=True)]


def _until_applied(
    cluster: Cluster, names: Sequence[str], revision: str, event: EventName
) -> list[float]:
    """Wait until every member has written ``event`` about ``revision``; return when each did, as POSIX time."""
    times = []
    for name in names:
        with cluster.log(name) as log:
            for _ in range(int(_WITHIN_S / _LOOK_S * 4)):
                found = [told for told in log.all(event) if told.revision == revision]
                if found:
                    times.append(moment(found[0]).timestamp())
                    break
                cluster.check()
                pause(_LOOK_S / 4)
            else:
                raise RuntimeError(f"{name}: no {event.value} after {_WITHIN_S:.0f} s")
    return times


# Simulated members


def _simulated(work: Path, count: int, scale: Scale, *, whole: bool) -> tuple[Found, list[Idle]]:
    made = {
        path: text.replace("active_on: nodes", "active_on: controller")
        for path, text in documents().items()
    }
    ram = Path(tempfile.mkdtemp(prefix="mftgit-bench-", dir=_RAM if _RAM.is_dir() else None))
    try:
        with _cluster(work, made) as cluster:
            folders = _enrol(cluster, ram, count)
            with _fleet(folders, scale.processes, whole=whole) as fleet:
                first = fleet.times(cluster.revision())
                say(
                    f"{count} members run, the last came {max(first) - min(first):.1f} s after the first"
                )
                found = Found(members=count, whole=whole)
                for number in range(scale.pushes):
                    pause(_SETTLE_S)
                    _push(cluster, fleet, found, made[_CHANGED], number)
                if not whole:
                    return found, []
                pause(_SETTLE_S)
                pids = [process.pid for process in fleet.processes]
                return found, [_idle(cluster, "simulated", pids, count, scale.idle_s)]
    finally:
        shutil.rmtree(ram, ignore_errors=True)


def _push(cluster: Cluster, fleet: "Fleet", found: Found, content: str, number: int) -> None:
    pushed = cluster.push(_CHANGED, content.replace("stable_s: 5", f"stable_s: {number + 10}"))
    times = fleet.times(pushed.revision)
    found.push_s.append(pushed.took_s)
    found.after_push_s.append([at - pushed.returned_at.timestamp() for at in times])
    p50, p99 = median_and_p99(found.after_push_s[-1])
    say(f"{found.members} members, push {number + 1}: {ms(pushed.took_s)}, run after {p50}, {p99}")


def _enrol(cluster: Cluster, ram: Path, count: int) -> list[Path]:
    own = cluster.folder(CONTROLLER)
    bootstrap, authority = own.read_bootstrap(), own.ca_file.read_bytes()
    folders = []
    with closing(Registry(own.registry, now=SystemClock().now)) as registry:
        for number in range(count):
            name, key = MemberName(f"node-{number}"), pki.make_identity()
            folder = StateFolder(ram / name)
            folder.prepare()
            folder.write_secret(folder.member_key, key)
            folder.ca_file.write_bytes(authority)
            folder.write_bootstrap(replace(bootstrap, name=name, role=Role.NODE, listen=()))
            registry.enrol(name, role=Role.NODE, public_key=pki.public_identity(key))
            folders.append(folder.root)
    say(f"{count} members are enrolled")
    return folders


class Fleet:
    """Processes of `bench.fleet_members`."""

    def __init__(self, processes: list["subprocess.Popen[str]"]) -> None:
        """Ask these."""
        self.processes = processes

    def times(self, revision: str) -> list[float]:
        """Return when each member was seen to run ``revision``, as POSIX time, once all do."""
        for process in self.processes:
            _tell(process, revision)
        return [at for process in self.processes for at in json.loads(_heard(process))]


@contextmanager
def _fleet(folders: list[Path], count: int, *, whole: bool) -> Iterator[Fleet]:
    command = [sys.executable, str(Path(__file__).with_name("fleet_members.py"))]
    processes: list[subprocess.Popen[str]] = []
    try:
        for number in range(count):
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                env=os.environ | {"MALLOC_ARENA_MAX": "2"},
            )
            processes.append(process)
            _tell(process, json.dumps([whole, *map(str, folders[number::count])]))
        for process in processes:
            _heard(process)
        yield Fleet(processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _tell(process: "subprocess.Popen[str]", text: str) -> None:
    if process.stdin is None:
        raise RuntimeError("no pipe")
    process.stdin.write(text + "\n")
    process.stdin.flush()


def _heard(process: "subprocess.Popen[str]") -> str:
    line = "" if process.stdout is None else process.stdout.readline()
    if not line:
        raise RuntimeError("a process of simulated members ended")
    return line


# Idle


def _idle(cluster: Cluster, kind: str, pids: list[int], members: int, seconds: int) -> Idle:
    """See what ``members`` cost that have nothing to do; a request is what moves `last_seen` on the controller."""
    controller = memory.find_members(cluster.root)[MemberName(CONTROLLER)]
    say(f"{members} members stand idle for {seconds} s")
    pause(_SETTLE_S)
    before = _cpu_s([controller]), _cpu_s(pids)
    heard: dict[MemberName, set[float]] = {}
    path, clock = cluster.folder(CONTROLLER).registry, SystemClock()
    with closing(Registry(path, now=clock.now)) as registry:
        for _ in range(int(seconds / _LOOK_S)):
            for each in registry.members():
                if each.role is Role.NODE and each.last_seen is not None:
                    heard.setdefault(each.name, set()).add(each.last_seen)
            pause(_LOOK_S)
    after = _cpu_s([controller]), _cpu_s(pids)
    minutes = seconds / 60
    counts = [(len(times) - 1) / minutes for times in heard.values()]
    return Idle(
        kind=kind,
        members=members,
        requests_per_min=statistics.mean(counts),
        most_per_min=max(counts),
        member_cpu=(after[1] - before[1]) / seconds / members,
        controller_cpu=(after[0] - before[0]) / seconds,
    )


def _cpu_s(pids: Sequence[int]) -> float:
    """Return the processor time that processes have taken."""
    ticks = 0
    for pid in pids:
        words = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        ticks += int(words[11]) + int(words[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def _cluster(work: Path, made: dict[str, str]) -> Iterator[Cluster]:
    (work / "logs").mkdir(parents=True)
    processes = Processes(work / "logs")
    with processes.guarded():
        cluster = Cluster(work, processes, made)
        cluster.start_controller()
        yield cluster


# Tables


def _pushes_table(found: list[Found], scale: Scale) -> Table:
    rows = []
    for each in found:
        single = [value for push in each.after_push_s for value in push]
        last = [max(push) for push in each.after_push_s]
        rows.append(
            (
                f"{each.members}",
                "all of it" if each.whole else "the controller's side",
                f"{len(each.push_s)}",
                ms(statistics.median(each.push_s)),
                ms(statistics.median(single)),
                ms(percentile(single, 0.99)),
                ms(statistics.median(last)),
                ms(max(last)),
            )
        )
    return Table(
        title="A push until simulated members run it",
        columns=(
            "members", "their work", "pushes", "git push p50", "returned -> one runs it p50", "p99",
            "-> all run it p50", "highest",
        ),
        rows=rows,
        notes=(
            (f"members: their own code, many in each of {scale.processes} processes of few threads, folders in memory;"
             " they and the controller share this machine"),
            "runs it: at the end of the look that swapped, before the revision is confirmed",
            "the controller's side: they wait, ask, fetch and report, and take what they fetched for good",
        ),
        raw=[asdict(each) for each in found],
    )  # fmt: skip


def _idle_table(found: list[Idle], scale: Scale) -> Table:
    return Table(
        title="Idle members",
        columns=(
            "members", "kind", "requests per member and minute", "highest of a member",
            "CPU of a member", "CPU of the controller",
        ),
        rows=[
            (
                f"{each.members}",
                each.kind,
                f"{each.requests_per_min:.2f}",
                f"{each.most_per_min:.2f}",
                f"{each.member_cpu * 100:.2f} %",
                f"{each.controller_cpu * 100:.1f} %",
            )
            for each in found
        ],
        notes=(
            f"for {scale.idle_s} s; a request is what moves `last_seen`, which is looked at every second",
            "CPU: of one core",
        ),
        raw=[asdict(each) for each in found],
    )  # fmt: skip


def _back_table(back_s: list[float], scale: Scale) -> Table:
    return Table(
        title="Back from a revision whose command fails",
        columns=("nodes", "bad revisions", "p50", "p99"),
        rows=[(f"{scale.nodes}", f"{scale.bad}", *median_and_p99(back_s))],
        notes=(
            f"from RevisionVerified to RevisionRolledBack, less the {_CONFIRM_S} s that it was given to prove itself",
        ),
        raw=back_s,
    )
