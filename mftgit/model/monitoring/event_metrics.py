"""The metrics of where events go: to the controller, and to event handlers."""

from collections.abc import Iterator
from typing import Final

from mftgit.model.handlers.status import EventHandlerStatus, HandlerState
from mftgit.model.monitoring.metric import Sample, counter, gauge, one_of
from mftgit.model.monitoring.seen import Seen

_HANDLER: Final = "handler"
UNREPORTED: Final = gauge(
    "mftgit_events_unreported", "events of this member that the controller has not acknowledged"
)
DROPPED: Final = counter(
    "mftgit_events_dropped_total",
    "events that this member lost to the bound of its log, ever: it does not begin anew with the process",
)
HANDLER_STATE: Final = gauge(
    "mftgit_event_handler_state",
    "1 for the state of the event handler here, 0 for the others",
    _HANDLER,
    "state",
)
BEHIND: Final = gauge("mftgit_event_handler_waiting_events", "events that wait for it", _HANDLER)
HANDLED: Final = counter(
    "mftgit_event_handler_events_total",
    "events that were `handled`, or `refused` by the other side and left out",
    _HANDLER,
    "outcome",
)
MISSED: Final = counter(
    "mftgit_event_handler_missed_total",
    "events that the event log had let go of before it handled them",
    _HANDLER,
)

WAY_METRICS: Final = (UNREPORTED, DROPPED, HANDLER_STATE, BEHIND, HANDLED, MISSED)


def measure_ways(seen: Seen) -> Iterator[Sample]:
    """Give how far the events of a member have come."""
    yield UNREPORTED.of(float(seen.unreported))
    yield DROPPED.of(float(seen.status.events_dropped))
    for handler in seen.status.event_handlers:
        yield from _of_handler(handler)


def _of_handler(handler: EventHandlerStatus) -> Iterator[Sample]:
    name = handler.name
    yield from one_of(HANDLER_STATE, HandlerState, handler.state, name)
    yield BEHIND.of(float(handler.behind), name)
    yield HANDLED.of(float(handler.handled), name, "handled")
    yield HANDLED.of(float(handler.refused), name, "refused")
    yield MISSED.of(float(handler.missed), name)
