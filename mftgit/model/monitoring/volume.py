"""How much was moved, and how often that failed, by the hour; and which events are kept in mind for that."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum, unique
from typing import Final

from mftgit.model.events.event import Event
from mftgit.model.events.event import EventName as Name
from mftgit.model.names import is_name

ALL: Final = ""
"""The name under which what all names did is found, too."""

_HOUR: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}(?=:)")
_MOST_BYTES: Final = (1 << 53) - 1


@unique
class Flow(Enum):
    """What is counted and found by its name: of a transfer, of an account, or of a service."""

    DELIVERY = "delivery"
    RUN = "run"
    OWNER = "owner"
    UPLOAD = "upload"
    DOWNLOAD = "download"
    LOGIN = "login"


_BY: Final[Mapping[Name, tuple[Flow, str]]] = {
    Name.DELIVERY_SUCCEEDED: (Flow.DELIVERY, "transfer"),
    Name.DELIVERY_SKIPPED: (Flow.DELIVERY, "transfer"),
    Name.DELIVERY_FAILED: (Flow.DELIVERY, "transfer"),
    Name.DELIVERY_GIVEN_UP: (Flow.DELIVERY, "transfer"),
    Name.RUN_FINISHED: (Flow.RUN, "transfer"),
    Name.RUN_FAILED: (Flow.RUN, "transfer"),
    Name.OWNERSHIP_TAKEN: (Flow.OWNER, "transfer"),
    Name.OWNERSHIP_LOST: (Flow.OWNER, "transfer"),
    Name.UPLOAD_FINISHED: (Flow.UPLOAD, "account"),
    Name.DOWNLOAD_FINISHED: (Flow.DOWNLOAD, "account"),
    Name.INBOUND_LOGIN_FAILED: (Flow.LOGIN, "service"),
}
_BYTES: Final = {
    Name.DELIVERY_SUCCEEDED: "size_bytes",
    Name.UPLOAD_FINISHED: "size_bytes",
    Name.DOWNLOAD_FINISHED: "sent_bytes",
}
_FAILURES: Final = frozenset({Name.DELIVERY_FAILED, Name.RUN_FAILED, Name.INBOUND_LOGIN_FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Under what an event is found."""

    flow: Flow
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """So much was moved whole, and so often something failed."""

    files: int = 0
    size_bytes: int = 0
    failures: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(
            files=self.files + other.files,
            size_bytes=self.size_bytes + other.size_bytes,
            failures=self.failures + other.failures,
        )


def about(event: Event) -> About | None:
    """Return under what ``event`` is found; None where it is not counted and not kept in mind."""
    flow, fact = _BY.get(event.event, (None, ""))
    name = event.facts.get(fact)
    if flow is None or not isinstance(name, str) or not is_name(name):
        return None  # that a member tells of something that has no name must not end the counting
    return About(flow=flow, name=name)


def amount(event: Event) -> Amount:
    """Return what ``event`` tells of."""
    if event.event in _FAILURES:
        return Amount(failures=1)
    size_bytes = event.facts.get(_BYTES.get(event.event, ""))
    if not isinstance(size_bytes, int) or isinstance(size_bytes, bool):
        return Amount()
    return Amount(files=1, size_bytes=min(max(0, size_bytes), _MOST_BYTES))


def hour_of(event: Event) -> str | None:
    """Return the hour that ``event`` was in, by its writer's clock, as ``2026-11-23T08``; None where it has no time."""
    found = _HOUR.match(event.at)
    return None if found is None else found[0]


@unique
class Step(Enum):
    """How long one bar of a chart is, and how many there are."""

    HOUR = "hour"
    DAY = "day"

    @property
    def count(self) -> int:
        """Two days of hours, or thirty days."""
        return 48 if self is Step.HOUR else 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """What was in one hour or day, which began at ``since`` (UTC)."""

    since: str
    amount: Amount


def bars(hours: Iterable[tuple[str, Amount]], *, step: Step, now: datetime) -> tuple[Bar, ...]:
    """Return a bar for each hour or day up to ``now``, the oldest first, empty ones too."""
    length = 13 if step is Step.HOUR else 10
    found: dict[str, Amount] = {}
    for hour, each in hours:
        found[hour[:length]] = found.get(hour[:length], Amount()) + each
    since = [first_hour(step, now, back)[:length] for back in reversed(range(step.count))]
    return tuple(Bar(since=each, amount=found.get(each, Amount())) for each in since)


def first_hour(step: Step, now: datetime, back: int | None = None) -> str:
    """Return the first hour of the bar that is ``back`` before that of ``now``, or of the oldest of all."""
    back = step.count - 1 if back is None else back
    gone = timedelta(hours=back) if step is Step.HOUR else timedelta(days=back)
    moment = (now.astimezone(UTC) - gone).strftime("%Y-%m-%dT%H")
    return moment if step is Step.HOUR else f"{moment[:10]}T00"
