"""An operator ends a run, in the middle of a file where that is large."""

from collections.abc import Callable

from mftgit.errors import MftgitError


class RunStoppedError(MftgitError):
    """An operator ends the run; what has arrived of a file is written down, for the next run to go on with."""


def look_whether_stopped(stopped_by: Callable[[], str | None]) -> None:
    """Raise RunStoppedError where an operator ends the run."""
    by = stopped_by()
    if by is not None:
        raise RunStoppedError(f"{by} ends the run")
