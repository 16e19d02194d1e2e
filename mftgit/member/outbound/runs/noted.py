"""What is noted after each look at a transfer: on its line, for the status; and on the storage, for who comes next."""

from datetime import timedelta

from loguru import logger

from mftgit.adapters.clock import Clock, rfc3339
from mftgit.errors import MftgitError
from mftgit.member.outbound.given.context import RunContext
from mftgit.member.outbound.runs.line import Line
from mftgit.member.outbound.runs.retention import tidy
from mftgit.member.outbound.runs.successes import Followed, Successes
from mftgit.member.outbound.runs.tally import RunOutcome
from mftgit.model.transfers.firing import Firing
from mftgit.model.transfers.run import RunState
from mftgit.model.transfers.status import MAX_REASON, LastRun

UNEXPECTED = "a fault in mftgit: the log has it"
"""Why a run failed, where nothing foresaw it."""


def note_run(
    line: Line, outcome: RunOutcome | None, clock: Clock, firing: Firing | None = None
) -> None:
    """Say how a run ended, None where nothing foresaw that; it was for ``firing``, where it was for one."""
    errors = (UNEXPECTED,) if outcome is None else outcome.errors
    line.reason = errors[0][:MAX_REASON] if errors else None
    if outcome is not None and outcome.outcome is RunState.IDLE:
        line.failing = False
        return
    line.failing = outcome is None or outcome.outcome is RunState.FAILED
    line.last_run = LastRun(
        outcome=RunState.FAILED.value if outcome is None else outcome.outcome.value,
        at=rfc3339(clock.now()),
        files=0 if outcome is None else outcome.files,
        size_bytes=0 if outcome is None else outcome.size_bytes,
        due_at=None if firing is None else rfc3339(firing.due_at),
        caught_up=firing is not None and firing.caught_up,
    )


def note_waiting(line: Line, context: RunContext) -> None:
    """Say what waits after this look, and when what failed is tried again, unless that is the next firing."""
    memory, now, transfer = context.memory, context.clock.boottime(), line.transfer
    line.waiting = memory.waiting(now, transfer.source.stable_s if transfer else 0.0)
    retry_in_s = None if line.on_schedule else memory.retry_in_s(now)
    line.retry_at = (
        None if retry_in_s is None else rfc3339(context.clock.now() + timedelta(seconds=retry_in_s))
    )


def note_success(
    line: Line,
    context: RunContext,
    successes: Successes,
    outcome: RunOutcome | None,
    number: int | None,
) -> None:
    """Write down for which success, ``number``, a run was, and that it was one, for those that run after it.

    A success is that no file failed and none is left over to the next run. It is looked at after each look, so that
    what a member did not come to write down is written by the next one. A run that ended because its owner did is
    gone on with by the next owner, and is not noted.
    """
    how = None if outcome is None else outcome.outcome
    if not context.ownership.valid() or how is RunState.ENDED:
        return
    try:
        if number is not None and line.follows is not None and how is not RunState.FAILED:
            Followed(line.state, successes).note(line.follows, number)
        delivered = context.memory.ledger.delivered
        if delivered > line.told_delivered and _is_good(outcome, context):
            successes.tell(line.name, line.key, delivered)
            line.told_delivered = delivered
    except MftgitError as error:
        logger.warning("a success was not noted", transfer=line.name, reason=str(error))


def tidy_ledger(line: Line, context: RunContext, outcome: RunOutcome) -> None:
    """Let go of what is old in the ledger; where that fails, the next look after an hour does it."""
    if line.transfer is None or outcome.outcome is RunState.ENDED or line.stopping.is_set():
        return
    try:
        tidy(line.transfer, context)
    except MftgitError as error:
        logger.warning("the ledger was not tidied", transfer=line.name, reason=str(error))


def _is_good(outcome: RunOutcome | None, context: RunContext) -> bool:
    """Tell whether all that the run took is delivered, and it left nothing to be gone on with at once.

    Files of earlier runs that wait for their next try do not count. A run that found nothing says so of those before
    it only where no file waits because it failed.
    """
    if outcome is not None and (outcome.again_in_s is not None or outcome.stopped_by is not None):
        return False
    if outcome is not None and outcome.outcome is RunState.SUCCEEDED:
        return True
    idle = outcome is None or outcome.outcome is RunState.IDLE
    return idle and context.memory.is_quiet(context.clock.boottime())
