"""Ten thousand transfers on a schedule, on one member: what they take with nothing to do, and how late they fire.

One process with a member's outbound side alone. Every source is an empty folder; half of the transfers are on cron, one
sixtieth of them due at each full minute, and half on an interval of ten minutes.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.support import Table, median_and_p99, pause, say
from mftgit.adapters.clock import SystemClock
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.member.outbound.service import Outbound
from mftgit.model.configuration.config import (
    Cluster,
    Destination,
    Generation,
    Member,
    Role,
    Source,
    Transfer,
)
from mftgit.model.configuration.plan import plan
from mftgit.model.events.event import EventName
from mftgit.model.locations.location import LocalLocation
from mftgit.model.names import LocationName, MemberName, Revision, TransferName
from mftgit.model.transfers.triggers import CronTrigger, IntervalTrigger

TRANSFERS = 10_000
QUICK_TRANSFERS = 300
TTL_S = 300.0
_HERE, _THERE = LocationName("here"), LocationName("there")
_INTERVAL_S = 600.0
_IDLE_S = 30.0
_MINUTES = 3
_MINUTE_S = 60
_OWNED_WITHIN_S = 900.0
_LOOK_S = 0.1


@dataclass(slots=True)
class Seen:
    """What the member told."""

    owned: int = 0
    late_s: list[float] = field(default_factory=list)
    clock: SystemClock = field(default_factory=SystemClock)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, event: EventName, **rest: Any) -> None:
        """Take note of an event."""
        with self.lock:
            if event is EventName.OWNERSHIP_TAKEN:
                self.owned += len(rest["each"])
            elif event is EventName.RUN_STARTED:
                late_s = self.clock.now().timestamp() % _MINUTE_S
                self.late_s += [
                    late_s for each in rest["each"] if each["transfer"].startswith("cron")
                ]


def measure(work: Path, *, quick: bool) -> list[Table]:
    """See `bench.run`."""
    count = QUICK_TRANSFERS if quick else TRANSFERS
    seen, rows = Seen(), []
    empty_bytes = _resident_bytes()
    outbound = _outbound(work, seen)
    wanted = _generation(work, count)
    began = time.perf_counter()
    outbound.apply(
        outbound.prepare(plan(None, wanted), wanted, fresh=True), revision=Revision("a" * 40)
    )
    rows.append(("applied", f"{time.perf_counter() - began:.1f} s"))
    _until(lambda: seen.owned >= count)
    rows.append(("every lease taken", f"{time.perf_counter() - began:.1f} s"))
    say(f"{count} transfers are owned")
    outbound.status()
    pause(_MINUTE_S - _second(seen) + 10)  # after what a full minute brings
    taken_bytes = _resident_bytes() - empty_bytes
    rows.append(("resident memory for each", f"{taken_bytes / count / 1024:.1f} KiB"))
    rows.append(("CPU between firings", _cpu_share(_IDLE_S, lambda: None)))
    rows.append(("the same, status asked each second", _cpu_share(_IDLE_S / 2, outbound.status)))
    seen.late_s.clear()
    pause(_MINUTES * _MINUTE_S - _second(seen) + _MINUTE_S / 2)
    p50, p99 = median_and_p99(seen.late_s)
    rows += [(f"firing late, median of {len(seen.late_s)}", p50), ("firing late, p99", p99)]
    lost = count - sum(each.owner is not None for each in outbound.status())
    rows.append(("leases not held at the end", str(lost)))
    began = time.perf_counter()
    outbound.stand_down()
    rows.append(("stopped", f"{time.perf_counter() - began:.1f} s"))
    outbound.stop()
    return [
        Table(
            title=f"{count:,} transfers, ttl {TTL_S:.0f} s",
            columns=("", ""),
            rows=rows,
            notes=("CPU is that of one core, renewals of leases included",),
        )
    ]


def _outbound(work: Path, seen: Seen) -> Outbound:
    made = Outbound(
        folder=StateFolder(work / "member"),
        bootstrap=Bootstrap(
            name=MemberName("member"),
            role=Role.NODE,
            cluster_id="bench",
            controller_url="https://127.0.0.1:1",
            files_root=str(work / "files"),
        ),
        record=seen.record,
        is_ancestor=lambda _one, _other: True,
    )
    made.start()
    return made


def _generation(work: Path, count: int) -> Generation:
    transfers = {}
    for number in range(count):
        every = number % 2
        name = TransferName(f"{'every' if every else 'cron'}-{number}")
        (work / "files" / "here" / name).mkdir(parents=True)
        transfers[name] = Transfer(
            name=name,
            source=Source(location=_HERE, path=name),
            destination=Destination(location=_THERE),
            trigger=IntervalTrigger(every_s=_INTERVAL_S)
            if every
            else CronTrigger(expression=f"{number // 2 % _MINUTE_S} * * * *"),
        )
    return Generation(
        cluster=Cluster(name="bench", lease_ttl_s=TTL_S),
        member=Member(name=MemberName("member"), role=Role.NODE),
        locations={name: LocalLocation(name=name, path=name) for name in (_HERE, _THERE)},
        transfers=transfers,
        declared=frozenset(transfers),
    )


def _second(seen: Seen) -> float:
    """Return how many seconds of the minute have passed on the wall."""
    return seen.clock.now().timestamp() % _MINUTE_S


def _cpu_share(seconds: float, each_second: Callable[[], object]) -> str:
    began, used = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < seconds:
        each_second()
        pause(1.0)
    return f"{(time.process_time() - used) / (time.perf_counter() - began) * 100:.1f} %"


def _until(reached: Callable[[], bool]) -> None:
    for _ in range(int(_OWNED_WITHIN_S / _LOOK_S)):
        if reached():
            return
        pause(_LOOK_S)
    raise RuntimeError(f"waited {_OWNED_WITHIN_S:.0f} s in vain for the leases")


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096
