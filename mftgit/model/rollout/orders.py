"""What operators say of a roll-out: pause, resume, promote and abort it."""

from dataclasses import replace
from typing import Final

from mftgit.errors import MftgitError
from mftgit.model.rollout.rollout import Control, Progress, finished

_ABORTED: Final = "the roll-out was aborted: push a newer revision, or say `mftgit rollout promote`"


class NothingToDoError(MftgitError):
    """What an operator asks of the roll-out does not go with its state."""


def pause(progress: Progress) -> Progress:
    """Return it with nobody beginning, this revision and the ones to come, until it is resumed or promoted.

    A promotion is taken back: resumed, the revision goes by its own settings.
    """
    if progress.control is Control.ABORTED:
        raise NothingToDoError(_ABORTED)
    done = progress.done and progress.control is not Control.PROMOTED
    return replace(progress, done=done, control=Control.PAUSED, regardless=False, due={})


def resume(progress: Progress) -> Progress:
    """Return it going on by its cohorts; who halted it is passed over."""
    if progress.control is Control.ABORTED:
        raise NothingToDoError(_ABORTED)
    if progress.halt is None and progress.control is not Control.PAUSED:
        raise NothingToDoError(
            f"the roll-out is {progress.state.value}: there is nothing to resume"
        )
    bad = {name for name in progress.reports if not progress.has(name)}
    halted_by = {progress.halt.member} if progress.halt else set()
    return replace(
        progress,
        control=Control.NONE,
        halt=None,
        excused=progress.excused | bad | halted_by,
    )


def promote(progress: Progress, *, regardless: bool) -> Progress:
    """Return it with everybody's turn at once, whatever stood in the way; ``regardless`` of change windows, too."""
    return replace(finished(progress), control=Control.PROMOTED, regardless=regardless)


def abort(progress: Progress) -> Progress:
    """Return it ended: who has it keeps it, and nobody else takes it."""
    if progress.done:
        raise NothingToDoError(
            f"the roll-out of {progress.oid[:12]} is {progress.state.value}: there is nothing to abort"
        )
    return replace(progress, control=Control.ABORTED, due={}, soaks_since=None)
