"""How often files failed, kept beside the records of the transfer, so that a restart or a takeover does not count anew.

It is read once for each epoch, and written only when something failed, or went well that had failed. It is not fenced:
what a late owner writes may be a few tries off, and moves no file.
"""

from typing import Final

from loguru import logger

from mftgit.adapters.durable import read_replaced, write_file
from mftgit.member.outbound.given.context import RunContext
from mftgit.model.transfers.failures import (
    MAX_KEPT,
    MAX_WHAT,
    Failure,
    format_failures,
    parse_failures,
)

_NAME: Final = "failures.json"

_MOST_BYTES: Final = MAX_KEPT * (12 * MAX_WHAT + 200)
"""What is larger was not written by a member: JSON takes at most twelve bytes for a character."""


def recall(context: RunContext) -> None:
    """Go on counting where the last owner stopped; where that cannot be read, from what is in memory."""
    memory, epoch = context.memory, context.ownership.epoch
    if memory.recalled == epoch:
        return
    if not memory.anew:
        memory.failures, memory.changed = _read(context), False
    memory.recalled, memory.anew = epoch, False


def keep(context: RunContext) -> None:
    """Write down what has changed since; where that fails, the next one that is written has it."""
    memory, path = context.memory, context.state / _NAME
    if not memory.changed or not context.ownership.valid():
        return
    try:
        if memory.failures:
            context.state.mkdir(parents=True, exist_ok=True)
            write_file(path, format_failures(memory.failures))
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("failures were not written down", path=str(path), reason=str(error))
        return
    memory.changed = False


def _read(context: RunContext) -> dict[str, Failure]:
    path, memory = context.state / _NAME, context.memory
    try:
        content = read_replaced(path, most_bytes=_MOST_BYTES)
        return parse_failures(content, retry=memory.retry, now=context.clock.boottime())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        logger.warning("failures are counted anew", path=str(path), reason=str(error))
        return memory.failures
