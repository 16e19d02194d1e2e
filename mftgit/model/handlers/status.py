"""How an event handler is on one member, as ``mftgit status --json`` tells it, and when its trouble is told."""

from dataclasses import asdict, dataclass
from enum import Enum, unique
from typing import Any, Final

from mftgit.model.names import EventHandlerName, parse_name
from mftgit.model.told_number import count_of

MAX_HANDLERS: Final = 200
MAX_ERROR: Final = 500
TOLD_AFTER: Final = 3
"""After so many failures in a row it is an event that a handler fails."""

TOLD_EVERY_S: Final = 600.0
"""Two such events of one handler are at least so far apart: what tells of trouble must not make more of it."""

_MAX_TIME: Final = 40


@unique
class HandlerState(Enum):
    """What a handler does. WAITING: it was not called upon yet. FAILING: something of it is tried again and again."""

    WAITING = "waiting"
    WORKING = "working"
    FAILING = "failing"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventHandlerStatus:
    """One handler; ``error`` is what failed last, while it fails.

    ``behind`` events wait for it. ``last`` is the event that was handled last, as ``member/seq``, and ``last_at`` when.
    ``refused`` events were left out because the other side would not have them, ``missed`` ones because the event log
    had let go of them.
    """

    name: EventHandlerName
    type: str
    state: HandlerState
    behind: int = 0
    last: str | None = None
    last_at: str | None = None
    error: str | None = None
    failing_since: str | None = None
    handled: int = 0
    refused: int = 0
    missed: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the shape that ``status --json`` documents."""
        return {**asdict(self), "state": self.state.value}


def parse_event_handler_status(value: Any) -> EventHandlerStatus:
    """Return the status that ``as_json`` gave ``value`` for.

    Raises:
        ValueError: it is not of that shape.
    """
    match value:
        case {
            "name": str(name),
            "type": str(type_),
            "state": str(state),
            "behind": int(behind),
            "handled": int(handled),
            "refused": int(refused),
        }:
            return EventHandlerStatus(
                name=EventHandlerName(parse_name(name)),
                type=type_[:_MAX_TIME],
                state=HandlerState(state),
                behind=count_of(behind),
                last=_text(value.get("last"), 200),
                last_at=_text(value.get("last_at"), _MAX_TIME),
                error=_text(value.get("error"), MAX_ERROR),
                failing_since=_text(value.get("failing_since"), _MAX_TIME),
                handled=count_of(handled),
                refused=count_of(refused),
                missed=count_of(value.get("missed", 0)),
            )
        case _:
            raise ValueError("not an event handler's status")


def _text(value: Any, most: int) -> str | None:
    return None if value is None else str(value)[:most]


@unique
class Tell(Enum):
    """What is to be written down about a handler."""

    FAILING = "failing"
    RECOVERED = "recovered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """A time in which a handler fails: since when (RFC 3339), whether an event told it, and when one did last.

    ``told_at_s`` is the wall clock, in seconds since 1970; 0 for never.
    """

    since: str | None = None
    told: bool = False
    told_at_s: float = 0.0

    def after(self, failures: int, *, now: str, now_s: float) -> "tuple[Episode, Tell | None]":
        """Return how it stands when the worst lane has failed ``failures`` times in a row, and what is to be told."""
        if not failures:
            tell = Tell.RECOVERED if self.told else None
            return Episode(told_at_s=self.told_at_s), tell
        since = self.since or now
        quiet = now_s - self.told_at_s >= TOLD_EVERY_S or now_s < self.told_at_s
        if self.told or failures < TOLD_AFTER or not quiet:
            return Episode(since=since, told=self.told, told_at_s=self.told_at_s), None
        return Episode(since=since, told=True, told_at_s=now_s), Tell.FAILING

    def as_json(self) -> dict[str, Any]:
        """Return what is kept, for `parse_episode`."""
        return asdict(self)


def parse_episode(value: Any) -> Episode:
    """Return what was kept; nothing where it is of another shape."""
    match value:
        case {
            "since": str() | None as since,
            "told": bool(told),
            "told_at_s": int() | float() as at,
        }:
            return Episode(since=since, told=told, told_at_s=float(at))
        case _:
            return Episode()
