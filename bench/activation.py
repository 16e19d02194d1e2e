"""From ``git push`` to a revision that is active on every member, each a real process."""

import statistics
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from bench import memory
from bench.members import CONTROLLER, Cluster, Log, Pushed
from bench.support import Table, median_and_p99, ms, pause, say, stopwatch
from mftgit.adapters.clock import SystemClock
from mftgit.adapters.events.store import EventStore
from mftgit.cli.demo.processes import Processes
from mftgit.model.events.event import EventName
from mftgit.model.names import MemberName

SIZES = ((2, 20), (10, 20), (50, 10))
"""Nodes, and pushes with that many."""

QUICK_SIZES = ((2, 3), (5, 3))

_CHANGED = "transfers/flow-1.yaml"
_FIRST_LOOK_S = 0.2
_LOOK_S = 0.25
_SETTLE_S = 2.0
_WITHIN_S = 240.0


@dataclass(slots=True, kw_only=True)
class Pushes:
    """What was measured with ``nodes`` nodes, in seconds; one entry for each push."""

    nodes: int
    push_s: list[float] = field(default_factory=list)
    all_after_push_s: list[float] = field(default_factory=list)
    each_after_push_s: list[list[float]] = field(default_factory=list)


def measure(work: Path, *, quick: bool) -> list[Table]:
    """See `bench.run`; one cluster that grows."""
    (work / "logs").mkdir()
    processes = Processes(work / "logs")
    found: list[Pushes] = []
    with processes.guarded():
        cluster = Cluster(work, processes, documents())
        cluster.start_controller()
        members: list[str] = []
        for nodes, pushes in QUICK_SIZES if quick else SIZES:
            fresh = [f"node-{number + 1}" for number in range(len(members), nodes)]
            cluster.join(fresh)
            for name in fresh:
                cluster.start(name)
            members += fresh
            with _logs(cluster, members) as logs:
                _until_active(cluster, logs, cluster.revision())
                say(f"{nodes} nodes run; {pushes} pushes")
                found.append(_push(cluster, logs, pushes))
        taken = _memory_table(cluster)
    return [_times_table(found, commit_s=_commit_s(work)), taken]


def documents() -> dict[str, str]:
    """Return a configuration of twenty documents, valid as it is."""
    made = {
        "cluster.yaml": "name: bench\ndescription: Twenty documents\n",
        "members/controller.yaml": "role: controller\n",
        "members/node-1.yaml": "role: node\nlabels: {site: berlin}\n",
        "members/node-2.yaml": "role: node\nlabels: {site: paris}\n",
    }
    for number in range(1, 9):
        made[f"locations/place-{number}.yaml"] = f"type: local\npath: place-{number}\n"
        made[f"transfers/flow-{number}.yaml"] = _transfer(number, stable_s=5)
    return made


def _transfer(number: int, *, stable_s: int) -> str:
    trigger = "watch: {every_s: 5}" if number % 2 else "cron: {expression: 30 1 * * *}"
    return (
        f"description: Flow {number}\n"
        f"source: {{location: place-{number}, include: ['*.csv'], stable_s: {stable_s}}}\n"
        f"destination: {{location: place-{number % 8 + 1}, path: in}}\n"
        f"trigger:\n  {trigger}\n"
        "active_on: nodes\n"
    )


@contextmanager
def _logs(cluster: Cluster, members: list[str]) -> Iterator[dict[str, Log]]:
    with ExitStack() as stack:
        yield {name: stack.enter_context(cluster.log(name)) for name in members}


def _push(cluster: Cluster, logs: dict[str, Log], pushes: int) -> Pushes:
    found = Pushes(nodes=len(logs))
    for number in range(pushes):
        pause(_SETTLE_S)  # reports of the push before
        content = _transfer(1, stable_s=10 * found.nodes + number + 10)
        pushed = cluster.push(_CHANGED, content)
        pause(_FIRST_LOOK_S)
        _note(found, pushed, _until_active(cluster, logs, pushed.revision))
        say(
            f"{found.nodes} nodes, push {number + 1} of {pushes}: {ms(pushed.took_s)}, "
            f"all active {ms(found.all_after_push_s[-1])} after it"
        )
    return found


def _until_active(cluster: Cluster, logs: dict[str, Log], revision: str) -> list[datetime]:
    """Wait until every member has written down that it swapped to ``revision``; return when each did."""
    times: dict[str, datetime] = {}
    for _ in range(int(_WITHIN_S / _LOOK_S)):
        for name in logs.keys() - times.keys():
            at = logs[name].at(EventName.PLAN_APPLIED, revision, by=name)
            if at is not None:
                times[name] = at
        if len(times) == len(logs):
            return list(times.values())
        cluster.check()
        pause(_LOOK_S)
    missing = ", ".join(sorted(logs.keys() - times.keys()))
    raise RuntimeError(f"not active after {_WITHIN_S:.0f} s: {missing}")


def _note(found: Pushes, pushed: Pushed, times: list[datetime]) -> None:
    found.push_s.append(pushed.took_s)
    found.all_after_push_s.append((max(times) - pushed.returned_at).total_seconds())
    found.each_after_push_s.append(
        sorted((at - pushed.returned_at).total_seconds() for at in times)
    )


def _commit_s(work: Path) -> float:
    """Return how long it takes here to write one event down, which an event's own time does not hold."""
    taken: list[float] = []
    path = work / "commit.sqlite"
    with closing(EventStore(path, member=MemberName("bench"), now=SystemClock().now)) as store:
        for _ in range(200):
            with stopwatch() as one:
                store.append(EventName.MEMBER_STARTED)
            taken += one
    return statistics.median(taken)


def _times_table(found: list[Pushes], *, commit_s: float) -> Table:
    rows = []
    for each in found:
        single = [value for push in each.each_after_push_s for value in push]
        rows.append(
            (
                f"{each.nodes}",
                f"{len(each.push_s)}",
                *median_and_p99(each.push_s),
                *median_and_p99(single),
                *median_and_p99(each.all_after_push_s),
            )
        )
    return Table(
        title="A push until it is active on every node",
        columns=(
            "nodes", "pushes", "git push p50", "p99", "returned -> one node active p50", "p99",
            "returned -> all active p50", "p99",
        ),
        rows=rows,
        notes=(
            ("active: the time in the node's own PlanApplied event, whole milliseconds cut off, taken after the swap, "
             f"just before the event is committed; a commit takes {ms(commit_s)} here (median of 200)"),
            ("returned: the wall clock of this machine right after `git push` ended; members are told while git still "
             "waits for its answer, so that this may be negative"),
        ),
        raw=[asdict(each) for each in found],
    )  # fmt: skip


def _memory_table(cluster: Cluster) -> Table:
    running = {
        name: memory.resident(pid) for name, pid in memory.find_members(cluster.root).items()
    }
    nodes = [found for name, found in running.items() if name != CONTROLLER]
    steps = memory.by_step()
    rows = [memory.row(name, found) for name, found in steps.items()]
    rows.append(memory.row(f"node, running (median of {len(nodes)})", memory.middle(nodes)))
    rows.append(memory.row("controller, running", running[MemberName(CONTROLLER)]))
    return Table(
        title="Resident memory",
        columns=("process", "resident", "proportional", "private", "heap and stacks"),
        rows=rows,
        notes=(
            "proportional (PSS) divides pages that processes share; on a machine with one member it is near resident",
            "members were measured after the last push, with every node on this machine",
        ),
        raw={name: asdict(found) for name, found in (running | steps).items()},
    )
