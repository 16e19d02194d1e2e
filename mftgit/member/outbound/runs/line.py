"""One transfer on this member: what it is, whether it is ours, what it does, and how that is told."""

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, unique
from pathlib import Path
from typing import Final

from loguru import logger

from mftgit.adapters.endpoint.contract import Endpoint
from mftgit.errors import MftgitError
from mftgit.member.outbound.firing.firings import Firings, is_off
from mftgit.member.outbound.given.context import Memory
from mftgit.member.outbound.ownership.own import Ownership
from mftgit.member.outbound.records.ledger import Ledger
from mftgit.model.configuration.config import (
    AfterSuccess,
    Generation,
    Transfer,
)
from mftgit.model.names import MemberName, Revision, TransferName
from mftgit.model.ownership.view import FREE, View
from mftgit.model.transfers.failover import Health
from mftgit.model.transfers.pause import Pause
from mftgit.model.transfers.retry import Retry
from mftgit.model.transfers.status import (
    NOTHING_WAITS,
    LastRun,
    TransferState,
    TransferStatus,
)
from mftgit.model.transfers.triggers import AfterTrigger, Trigger, WatchTrigger
from mftgit.model.transfers.under_way import UnderWay

NEVER: Final = float("-inf")
OTHERS_AT_ONCE: Final = 5
"""Of so many transfers that others own it is counted at each look for the status what was delivered."""


@unique
class Look(IntEnum):
    """What a run is begun for; of two that are asked for at one time the higher one counts."""

    BEGUN = 1
    """End what was begun; nothing is told where there is nothing."""
    FOUND = 2
    """That, and take what is new; nothing is told where there is nothing."""
    NOTICED = 3
    """The same, for news of the folder: also after a run that is under way, which may not have seen it."""
    SETTLED = 4
    """Take what was too fresh for the last run; nothing is told where there is nothing."""
    DUE = 5
    """The schedule fires: as FIRED, unless another owner, or this one, has run that firing."""
    TAKEN = 6
    """The transfer is ours from now on: as FIRED where a firing was missed meanwhile, else as BEGUN."""
    FIRED = 7
    """End what was begun, take what is new, and say so also when there was nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What a run goes by from its beginning to its end."""

    revision: Revision
    generation: Generation


class Line:
    """One transfer on this member, by the key of its lease: its ownership while that lasts, its last run.

    ``transfer`` is None for one that is not configured any more, and has deliveries to be ended.
    """

    def __init__(
        self,
        name: TransferName,
        transfer: Transfer | None,
        *,
        key: TransferName,
        state: Path,
        basis: Basis,
    ) -> None:
        self.name = name
        self.transfer = transfer
        self.key = key
        self.state = state
        self.basis = basis
        self.memory = fresh_memory(transfer, state)
        self.counted = Ledger(state)  # for the status, whose thread is not the run's
        self.ownership: Ownership | None = None
        self.since: str | None = None  # when and why it was taken, while it is ours
        self.moved: str | None = None
        self.running = False
        self.runs = 0  # that have ended
        self.counted_runs = -1  # how many had when `counted` was read
        self.counted_at = NEVER  # when that was, by `Clock.boottime`
        self.again: Look | None = None  # asked for while it was running
        self.firings = Firings()
        self.wanted = True
        self.health = Health()
        self.leaving = False  # another member is to have it, once no run goes on
        self.last_run: LastRun | None = None
        self.failing = False
        self.reason: str | None = None  # why, while it is failing
        self.retry_at: str | None = None
        self.waiting = NOTHING_WAITS
        self.told_delivered = 0  # as far as this member has told of a success
        self.pause: Pause | None = None  # as of the last look
        self.stopping = threading.Event()
        self.stopped_by: str | None = None  # who wants the run under way to end early
        self.opened: list[Endpoint] = []  # by the run under way

    @property
    def is_ours(self) -> bool:
        """Tell whether this member owns it just now."""
        return self.ownership is not None and self.ownership.valid()

    def end_ownership(self) -> None:
        """Take note that it is not ours any more: how it is, is another member's to say."""
        self.ownership, self.leaving = None, False
        if self.transfer is not None:
            self.health = self.transfer.failover.lost(self.health)
        self.failing, self.reason, self.retry_at = False, None, None
        self.waiting = NOTHING_WAITS

    @property
    def trigger(self) -> Trigger | None:
        """Return when it runs, None where it is not configured any more."""
        return None if self.transfer is None else self.transfer.trigger

    @property
    def follows(self) -> TransferName | None:
        """Return the transfer whose successes it runs after, None where it has another trigger."""
        trigger = self.trigger
        return trigger.transfer if isinstance(trigger, AfterTrigger) else None

    @property
    def watches(self) -> bool:
        """Tell whether it is looked at without an event that says so: by a watch, or after another transfer."""
        return self.transfer is not None and isinstance(
            self.transfer.trigger, WatchTrigger | AfterTrigger
        )

    @property
    def on_schedule(self) -> bool:
        """Tell whether it takes files at certain times only."""
        return self.transfer is not None and not self.watches

    def is_day_off(self, moment: datetime) -> bool:
        """Tell whether the calendar of its trigger says that nothing runs on the day of ``moment``."""
        trigger = self.trigger
        return trigger is not None and is_off(trigger, self.basis.generation, moment)


def fresh_memory(transfer: Transfer | None, state: Path) -> Memory:
    """Return what a member knows of a transfer that it has not run yet."""
    keeps = transfer is not None and transfer.after_success is AfterSuccess.KEEP
    retry = Retry() if transfer is None else transfer.retry
    return Memory(ledger=Ledger(state, keeps=keeps), retry=retry)


def describe(
    line: Line,
    view: View,
    *,
    me: MemberName,
    under_way: tuple[UnderWay, ...] = (),
    next_at: str | None = None,
) -> TransferStatus:
    """Return how the transfer is; ``view`` is what was seen of its owner, where that is another.

    ``next_at`` is its next firing, which is for its owner to tell: a member that stands by has nothing new by it.
    """
    ownership = line.ownership
    mine = ownership is not None and ownership.valid()
    if ownership is not None and mine:
        seen = View(owner=me, epoch=ownership.epoch, why=line.moved or "", since=line.since)
    else:
        seen = FREE if view.owner == me else view
    moved = seen.why if seen.owner or seen.handover is None else seen.handover.why
    return TransferStatus(
        name=line.name,
        owner=seen.owner,
        epoch=seen.epoch or None,
        state=_state(line, mine=mine),
        last_run=line.last_run,
        delivered=line.counted.delivered,
        reason=line.reason,
        retry_at=line.retry_at,
        next_at=next_at if mine else None,
        waiting=line.waiting,
        paused=line.pause,
        ownership=line.transfer.ownership if line.transfer is not None else None,
        since=seen.since,
        moved=moved or None,
        under_way=under_way,
    )


def to_be_counted(lines: Iterable[Line]) -> Iterator[Line]:
    """Give those whose deliveries are to be counted now: ours after their runs, of others some after the other.

    So a member that stands by for thousands does not read all of their ledgers all the time.
    """
    others = []
    for line in lines:
        if not line.is_ours:
            others.append(line)
        elif line.counted_runs != line.runs:
            yield line
    others.sort(key=lambda line: line.counted_at)
    never = sum(line.counted_at == NEVER for line in others)
    yield from others[: max(never, OTHERS_AT_ONCE)]


def count(line: Line, now: float) -> None:
    """Count what was delivered, as the members' storage tells, at ``now``. It may hang."""
    line.counted_runs, line.counted_at = line.runs, now
    try:
        line.counted.refresh()
    except MftgitError as error:
        logger.debug("deliveries not counted", transfer=line.name, error=str(error))


def _state(line: Line, *, mine: bool) -> TransferState:
    if line.transfer is None:
        return TransferState.ENDING
    if line.running:
        return TransferState.RUNNING
    if line.failing:
        return TransferState.FAILING
    return TransferState.IDLE if mine else TransferState.STANDBY
