"""Count the events of one member, by what they tell of its transfers and services, for its metrics."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from mftgit.model.events.event import Event
from mftgit.model.events.event import EventName as Name
from mftgit.model.events.kinds import KINDS
from mftgit.model.monitoring.metric import Metric, MetricKind, Sample, Spread, counter

RUN_BOUNDS_S: Final = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0)
"""From a look that finds nothing to a night's work."""

EVENTS: Final = counter(
    "mftgit_events_total", "events that this member wrote", "event", "group", "severity"
)
DELIVERIES: Final = counter(
    "mftgit_deliveries_total",
    "files of a transfer by what became of a try to deliver them: `succeeded`, `skipped`, `failed` "
    "(it may be tried again) or `given_up`",
    "transfer",
    "outcome",
)
DELIVERED: Final = counter("mftgit_delivered_bytes_total", "size of what was delivered", "transfer")
RUNS: Final = counter(
    "mftgit_runs_total",
    "runs by their outcome: `succeeded`, `partly`, `idle`, `failed` or `ended` (the member lost the transfer)",
    "transfer",
    "outcome",
)
RUN_TIME: Final = counter("mftgit_run_seconds_total", "how long runs took together", "transfer")
TAKEOVERS: Final = counter(
    "mftgit_takeovers_total", "how often this member became the owner", "transfer"
)
RUN_SPREAD: Final = Metric(
    name="mftgit_run_duration_seconds",
    kind=MetricKind.HISTOGRAM,
    meaning="how long runs took, over all transfers",
)
SESSIONS: Final = counter("mftgit_sessions_total", "sessions of clients that began", "service")
UPLOADS: Final = counter("mftgit_uploads_total", "files that came in", "service")
UPLOADED: Final = counter("mftgit_uploaded_bytes_total", "size of what came in", "service")
DOWNLOADS: Final = counter("mftgit_downloads_total", "files that clients read", "service")
DOWNLOADED: Final = counter("mftgit_downloaded_bytes_total", "what was sent of them", "service")
LOGINS_FAILED: Final = counter(
    "mftgit_logins_failed_total",
    "clients that were not let in, also those that are only counted in the event log; "
    "of some of these it is not known by which service, which is empty then",
    "service",
)
WORKERS_ENDED: Final = counter(
    "mftgit_workers_ended_total", "processes that serve clients and died", "service"
)
BANS: Final = counter("mftgit_bans_total", "sources that this member banned")

EVENT_METRICS: Final = (
    EVENTS, DELIVERIES, DELIVERED, RUNS, RUN_TIME, RUN_SPREAD, TAKEOVERS, SESSIONS, UPLOADS, UPLOADED,
    DOWNLOADS, DOWNLOADED, LOGINS_FAILED, WORKERS_ENDED, BANS,
)  # fmt: skip

_DELIVERY: Final = ("succeeded", "skipped", "failed", "given_up")
_OUTCOMES: Final = ("succeeded", "partly", "idle", "failed", "ended")
_OF_TRANSFERS: Final = (
    *((DELIVERIES, (outcome,)) for outcome in _DELIVERY),
    *((RUNS, (outcome,)) for outcome in _OUTCOMES),
    *((each, ()) for each in (DELIVERED, RUN_TIME, TAKEOVERS)),
)
_OF_SERVICES: Final = tuple(
    (each, ())
    for each in (SESSIONS, UPLOADS, UPLOADED, DOWNLOADS, DOWNLOADED, LOGINS_FAILED, WORKERS_ENDED)
)
_Key = tuple[Metric, tuple[str, ...]]


@dataclass(slots=True, kw_only=True)
class EventTally:
    """What was counted since the process began; not for several threads at a time.

    Names are those that the configuration gave to transfers and services: what is not among the names of today is
    forgotten by `samples`.
    """

    _events: Counter[Name] = field(default_factory=Counter)
    _counted: dict[_Key, float] = field(default_factory=dict)
    _began: dict[str, float] = field(default_factory=dict)
    _spread: Spread = field(default_factory=lambda: Spread(bounds=RUN_BOUNDS_S))

    def take(self, event: Event, *, now_s: float) -> None:
        """Count ``event``, which was written at ``now_s`` by a clock that never jumps."""
        self._events[event.event] += 1
        if (counted := _COUNTED.get(event.event)) is not None:
            self._count(counted, event)
        elif event.event is Name.RUN_STARTED:
            self._began[_text(event, "transfer")] = now_s
        elif event.event in _RUN_ENDS:
            self._end_run(event, now_s)
        elif event.event is Name.INBOUND_LOGIN_FAILED:
            self._count_failed_login(event)

    def samples(self, transfers: Collection[str], services: Collection[str]) -> Iterator[Sample]:
        """Give what was counted for these, 0 where nothing was; all else is forgotten."""
        for name, kind in KINDS.items():
            labels = name.value, kind.group.value, kind.severity.value
            yield EVENTS.of(float(self._events[name]), *labels)
        yield from self._of(transfers, _OF_TRANSFERS)
        yield from self._of({*services, ""}, _OF_SERVICES)
        yield BANS.of(float(self._events[Name.SOURCE_BANNED]))
        yield RUN_SPREAD.of(self._spread)

    def _of(
        self, names: Collection[str], metrics: Collection[tuple[Metric, tuple[str, ...]]]
    ) -> Iterator[Sample]:
        kinds = {metric for metric, _ in metrics}
        gone = [key for key in self._counted if key[0] in kinds and key[1][0] not in names]
        for key in gone:
            del self._counted[key]
        for name in sorted(names):
            for metric, rest in metrics:
                labels = (name, *rest)
                counted = self._counted.get((metric, labels))
                if name or counted is not None:
                    yield metric.of(counted or 0.0, *labels)

    def _add(self, metric: Metric, labels: tuple[str, ...], amount: float = 1.0) -> None:
        key = metric, labels
        self._counted[key] = self._counted.get(key, 0.0) + amount

    def _count(self, counted: "_Counted", event: Event) -> None:
        component = _text(event, counted.named_by)
        self._add(counted.metric, (component, *counted.rest))
        if counted.size is not None:
            self._add(counted.size, (component,), _number(event, counted.sized_by))

    def _end_run(self, event: Event, now_s: float) -> None:
        transfer, outcome = _text(event, "transfer"), _text(event, "outcome")
        self._add(RUNS, (transfer, outcome if outcome in _OUTCOMES else "failed"))
        began_s = self._began.pop(transfer, None)
        if began_s is not None:
            self._add(RUN_TIME, (transfer,), now_s - began_s)
            self._spread.add(now_s - began_s)

    def _count_failed_login(self, event: Event) -> None:
        service, untold = _text(event, "service"), _number(event, "untold")
        if service:
            self._add(LOGINS_FAILED, (service,))
        if untold:
            self._add(LOGINS_FAILED, ("",), untold)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counted:
    """One is added to ``metric`` of the component that the fact ``named_by`` names, and a fact to its ``size``."""

    named_by: str
    metric: Metric
    rest: tuple[str, ...] = ()
    size: Metric | None = None
    sized_by: str = ""


_RUN_ENDS: Final = frozenset({Name.RUN_FINISHED, Name.RUN_FAILED})


def _delivery(outcome: str, size: Metric | None = None) -> _Counted:
    return _Counted(
        named_by="transfer", metric=DELIVERIES, rest=(outcome,), size=size, sized_by="size_bytes"
    )


def _client(metric: Metric, size: Metric | None = None, sized_by: str = "") -> _Counted:
    return _Counted(named_by="service", metric=metric, size=size, sized_by=sized_by)


_COUNTED: Final[Mapping[Name, _Counted]] = {
    Name.DELIVERY_SUCCEEDED: _delivery("succeeded", DELIVERED),
    Name.DELIVERY_SKIPPED: _delivery("skipped"),
    Name.DELIVERY_FAILED: _delivery("failed"),
    Name.DELIVERY_GIVEN_UP: _delivery("given_up"),
    Name.OWNERSHIP_TAKEN: _Counted(named_by="transfer", metric=TAKEOVERS),
    Name.SESSION_OPENED: _client(SESSIONS),
    Name.UPLOAD_FINISHED: _client(UPLOADS, UPLOADED, "size_bytes"),
    Name.DOWNLOAD_FINISHED: _client(DOWNLOADS, DOWNLOADED, "sent_bytes"),
    Name.WORKER_ENDED: _client(WORKERS_ENDED),
}


def _text(event: Event, fact: str) -> str:
    found = event.facts.get(fact)
    return found if isinstance(found, str) else ""


def _number(event: Event, fact: str) -> float:
    found = event.facts.get(fact)
    return float(found) if isinstance(found, int | float) else 0.0
