"""Where an event handler brings events to: one contract for all kinds, and what may come of it."""

from collections.abc import Sequence
from typing import Protocol

from mftgit.errors import TransientError
from mftgit.model.events.event import Event


class TargetError(TransientError):
    """Events could not be handed over; some of them may have been, and all are handed over again."""


class TargetRefusedError(TargetError):
    """The other side is well, and will not have this very event; again and again would not help for long."""


class Target(Protocol):
    """Takes events in their order. One thread at a time, unless it is said to be shared."""

    most_at_once: int
    """So many events are handed over in one call at the most."""

    def send(self, events: Sequence[Event]) -> None:
        """Hand ``events`` over, in bounded time; they are there when this returns.

        Raises:
            TargetError: they are not, or nobody knows.
        """

    def close(self) -> None:
        """Let go of connections and files; whoever is in `send` meets a TargetError soon."""
