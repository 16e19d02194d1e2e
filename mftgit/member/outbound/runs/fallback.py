"""Go to the fallback of a transfer while its destination as a whole cannot be reached.

How often that was so in a row is counted as failures are (`Memory.failed`). Once it is often enough, the destination is
tried again when its wait is over, in the run that comes then, and the run goes on at the fallback where that fails.
What is whole at one of the two ends there, by its record, and waits for it.
"""

from collections.abc import Callable

from loguru import logger

from mftgit.errors import MftgitError
from mftgit.member.outbound.given.context import AWAY, Endpoints
from mftgit.member.outbound.runs.tally import UNREACHABLE, Tally
from mftgit.member.outbound.runs.trouble import again_at, ends_of
from mftgit.model.configuration.config import Fallback, Transfer
from mftgit.model.events.event import EventName, Fact


def with_fallback(
    transfer: Transfer, run: Tally, endpoints: Endpoints, go: Callable[[Transfer], None]
) -> None:
    """Carry ``go`` out with ``transfer`` as it is, or as it goes to its fallback; raises what ``go`` raises."""
    rules, context = transfer.destination.fallback, run.context
    if rules is None:
        go(transfer)
        return
    memory, first = context.memory, transfer.destination.location
    if _is_away(run, rules) and memory.is_put_off(AWAY, None, context.clock.boottime()):
        _go_elsewhere(transfer, run, go)
        return
    try:
        go(transfer)
    except UNREACHABLE as error:
        if error.location != first:
            raise
        _count(run, rules, first, error)
        if not _is_away(run, rules):
            raise
        run.forgive(error)
        _go_elsewhere(transfer, run, go)
    else:
        if endpoints.reached(context.generation.locations[first]) and memory.count(AWAY):
            memory.succeeded(AWAY)
            logger.info("the destination is reached again", transfer=transfer.name, location=first)


def _is_away(run: Tally, rules: Fallback) -> bool:
    return run.context.memory.count(AWAY) >= rules.after_failures


def _count(run: Tally, rules: Fallback, first: str, error: MftgitError) -> None:
    context = run.context
    failure = context.memory.failed(AWAY, None, context.clock.boottime())
    if failure.count < rules.after_failures:
        return
    facts: dict[str, Fact] = {
        "location": first,
        "fallback": rules.location,
        "try": failure.count,
        "error": str(error),
        "retried_at": again_at(failure.until, context),
    }
    context.record(EventName.DESTINATION_AWAY, facts)


def _go_elsewhere(transfer: Transfer, run: Tally, go: Callable[[Transfer], None]) -> None:
    other = transfer.at_fallback()
    run.go_elsewhere(ends_of(other))
    go(other)
