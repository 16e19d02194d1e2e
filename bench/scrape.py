"""What an answer to Prometheus costs a member that has many transfers, and how long its other threads wait for it."""

import statistics
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from bench.support import Table, say
from mftgit.adapters.prometheus_text import MetricsText
from mftgit.model.configuration.config import Role
from mftgit.model.events.tally import EventTally
from mftgit.model.members.messages import MemberState, MemberStatus
from mftgit.model.monitoring.metrics import measure as measure_member
from mftgit.model.monitoring.seen import Seen
from mftgit.model.names import Epoch, MemberName, Revision, TransferName
from mftgit.model.transfers.status import LastRun, TransferState, TransferStatus

TRANSFERS: Final = (10, 100, 1_000, 5_000)
ROUNDS: Final = 7
_TICK_S: Final = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """One answer: its size, the CPU time of the thread that made it, and the longest wait of one beside it."""

    size_bytes: int
    cpu_s: float
    waited_s: float


def measure(work: Path, *, quick: bool) -> list[Table]:
    """See `bench.run`."""
    del work
    counts, rounds = (TRANSFERS[:2], 2) if quick else (TRANSFERS, ROUNDS)
    rows, raw = [], {}
    for count in counts:
        say(f"{count} transfers")
        seen, tally = _member(count), EventTally()
        found = raw[count] = [_scrape(seen, tally) for _ in range(rounds)]
        rows.append(
            (
                f"{count:,}",
                f"{found[0].size_bytes / 1000:,.0f} kB",
                f"{statistics.median(each.cpu_s for each in found) * 1000:,.0f} ms",
                f"{max(each.waited_s for each in found) * 1000:,.0f} ms",
            )
        )
    return [
        Table(
            title="An answer at /metrics",
            columns=("transfers", "size", "CPU", "longest wait of a thread beside it"),
            rows=rows,
            notes=(
                f"medians of {rounds} answers",
                f"the wait is the longest of all, of a thread that sleeps {_TICK_S * 1000:.0f} ms at a time",
            ),
            raw=raw,
        )
    ]


def _member(count: int) -> Seen:
    run = LastRun(outcome="succeeded", at="2026-11-29T12:00:00.000Z", files=3, size_bytes=9)
    transfers = tuple(
        TransferStatus(
            name=TransferName(f"transfer-{number}"),
            owner=MemberName("node-1"),
            epoch=Epoch(3),
            state=TransferState.IDLE,
            last_run=run,
            delivered=1000,
        )
        for number in range(count)
    )
    status = MemberStatus(
        name=MemberName("node-1"),
        role=Role.NODE,
        state=MemberState.ACTIVE,
        active_revision=Revision("1" * 40),
        attempted_revision=None,
        reason=None,
        transfers=transfers,
    )
    now = datetime(2026, 11, 29, 12, tzinfo=UTC)
    return Seen(now=now, version="1", python="3", cluster="bench", status=status)


def _scrape(seen: Seen, tally: EventTally) -> Scrape:
    ended, waits = threading.Event(), [0.0]

    def tick() -> None:
        while not ended.is_set():
            began = time.perf_counter()
            time.sleep(_TICK_S)  # noqa: TID251  what is measured is how much longer this takes
            waits.append(time.perf_counter() - began - _TICK_S)

    beside = threading.Thread(target=tick)
    beside.start()
    began = time.thread_time()
    names = {each.name for each in seen.transfers}
    text = MetricsText().write([*measure_member(seen), *tally.samples(names, ())])
    cpu_s = time.thread_time() - began
    ended.set()
    beside.join()
    return Scrape(size_bytes=len(text), cpu_s=cpu_s, waited_s=max(waits))
