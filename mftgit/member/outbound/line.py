"""One transfer on this member: what it is, whether it is ours, what it does, and how that is told."""

import threading
from dataclasses import replace
from enum import Enum, unique
from pathlib import Path

from loguru import logger

from mftgit.adapters.coordinator import Coordinator
from mftgit.errors import MftgitError
from mftgit.member.outbound.context import Memory
from mftgit.member.outbound.ledger import Ledger
from mftgit.member.outbound.own import Ownership
from mftgit.model.messages import LastRun, TransferState, TransferStatus
from mftgit.model.names import MemberName, Revision, TransferName
from mftgit.model.plan import Job


@unique
class Look(Enum):
    """What a run is begun for."""

    BEGUN = "end what was begun, and nothing else"
    FOUND = "begun or new, if there is anything"
    FIRED = "begun and new, and say so also when there was nothing"


class Line:
    """One transfer on this member: its job, its ownership while that lasts, its last run."""

    def __init__(self, job: Job, *, key: TransferName, state: Path, revision: Revision) -> None:
        self.job = job
        self.key = key
        self.state = state
        self.revision = revision
        self.memory = Memory(ledger=Ledger(state))
        self.counted = Ledger(state)  # for the status, whose thread is not the run's
        self.ownership: Ownership | None = None
        self.running = False
        self.again: Look | None = None  # asked for while it was running
        self.fired_at: float | None = (
            None  # the last firing that found another owner, `Clock.boottime`
        )
        self.wanted = True
        self.last_run: LastRun | None = None
        self.failing = False
        self.stopping = threading.Event()


def describe(
    name: TransferName, line: Line, *, me: MemberName, coordinator: Coordinator | None
) -> TransferStatus:
    """Return how the transfer is; what the members' storage does not tell just now is left out."""
    ownership = line.ownership
    mine = ownership is not None and ownership.valid()
    status = TransferStatus(
        name=name,
        owner=me if mine else None,
        epoch=ownership.epoch if ownership is not None and mine else None,
        state=_state(line, mine=mine),
        last_run=line.last_run,
        delivered=0,
    )
    try:
        line.counted.refresh()
        status = replace(status, delivered=line.counted.delivered)
        if not mine and coordinator is not None:
            view = coordinator.observe(line.key)
            status = replace(status, owner=view.owner, epoch=view.epoch or None)
    except MftgitError as error:
        logger.debug("shared state not read", transfer=name, error=str(error))
    return status


def _state(line: Line, *, mine: bool) -> TransferState:
    if line.running:
        return TransferState.RUNNING
    if line.failing:
        return TransferState.FAILING
    return TransferState.IDLE if mine else TransferState.STANDBY
