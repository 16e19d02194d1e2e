"""What is told of a failure: on which side it was, at which location, and whether and when there is another try."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from mftgit.adapters.clock import rfc3339
from mftgit.errors import MftgitError
from mftgit.member.outbound.copying.content import ContentError
from mftgit.member.outbound.copying.copy import OtherContentError
from mftgit.member.outbound.copying.piecewise import FileChangedError
from mftgit.member.outbound.given.context import RunContext
from mftgit.member.outbound.publishing.finish import (
    FolderGoneError,
    NameTakenError,
    TemporaryVanishedError,
)
from mftgit.member.outbound.taking.begun import SourceGoneError
from mftgit.member.outbound.taking.parcel import CannotGoBackError
from mftgit.member.outbound.taking.rounds import NameWaitsError
from mftgit.model.configuration.config import Transfer
from mftgit.model.events.event import Fact
from mftgit.model.names import LocationName
from mftgit.model.transfers.failures import Failure, describe_next
from mftgit.model.transfers.intent import Intent
from mftgit.model.transfers.under_way import Side

Ends = Mapping[Side, LocationName]

_SIDES: Final[Mapping[type[MftgitError], Side]] = {
    SourceGoneError: Side.SOURCE,
    FileChangedError: Side.SOURCE,
    ContentError: Side.SOURCE,
    CannotGoBackError: Side.SOURCE,
    NameTakenError: Side.DESTINATION,
    NameWaitsError: Side.DESTINATION,
    FolderGoneError: Side.DESTINATION,
    TemporaryVanishedError: Side.DESTINATION,
    OtherContentError: Side.DESTINATION,
}
"""Of errors that no endpoint raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One failure. Where source and destination are one location, an endpoint's error has no side."""

    error: MftgitError
    side: Side | None
    location: str | None
    failure: Failure
    attempts: int | None
    again_at: str | None

    def facts(self) -> dict[str, Fact]:
        """Return what the event of it carries."""
        return {
            "error": str(self.error),
            **self.place(),
            "try": self.failure.count,
            "tries": self.attempts,
            "retried_at": self.again_at,
        }

    def place(self) -> dict[str, Fact]:
        """Return where it was."""
        return {
            "side": None if self.side is None else self.side.value,
            "location": self.location,
        }

    def __str__(self) -> str:
        """Return it for people."""
        where = None if self.side is None else f"{self.side.value} {self.location or ''}".strip()
        again = describe_next(self.failure, attempts=self.attempts, again_at=self.again_at)
        return f"{self.error} ({again if where is None else f'{where}; {again}'})"


def ends_of(what: Transfer | Intent) -> Ends:
    """Return the locations that files go between."""
    if isinstance(what, Transfer):
        return {
            Side.SOURCE: what.source.location,
            Side.DESTINATION: what.destination.location,
        }
    return {
        Side.SOURCE: what.source.location.name,
        Side.DESTINATION: what.destination.location.name,
    }


def trouble_of(
    error: MftgitError, failure: Failure, *, ends: Sequence[Ends], context: RunContext, counts: bool
) -> Trouble:
    """Return what is to be told of ``error``; ``counts``: it is of one file, which is given up after some tries.

    ``ends`` are those that it may be of, the likelier first.
    """
    side = next((side for kind, side in _SIDES.items() if isinstance(error, kind)), None)
    if side is None:
        sides = {side for each in ends for side, name in each.items() if name == error.location}
        side = sides.pop() if len(sides) == 1 else None
    return Trouble(
        error=error,
        side=side,
        location=error.location or (None if side is None else ends[0].get(side)),
        failure=failure,
        attempts=context.memory.retry.attempts if counts else None,
        again_at=None if failure.spent else again_at(failure.until, context),
    )


def again_at(until: float, context: RunContext) -> str:
    """Return the boottime ``until`` by the wall clock, RFC 3339."""
    clock = context.clock
    return rfc3339(clock.now() + timedelta(seconds=until - clock.boottime()))
