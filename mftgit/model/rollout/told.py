"""What is said of a roll-out: to each member, whether it may take the revision, and to people how far it is."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from mftgit.model.members.messages import RolloutState, Turn
from mftgit.model.names import MemberName, Revision
from mftgit.model.rollout.rollout import Control, Progress

_MOST_NAMED: Final = 5  # members in one sentence


def turns(progress: Progress, members: Iterable[MemberName]) -> dict[MemberName, Turn]:
    """Return for each of ``members`` whether it may take the revision, and if not, why."""
    cohort_of = {name: cohort for cohort, names in progress.cohorts for name in names}
    state = progress.state
    return {name: _turn(progress, state, name, cohort_of.get(name)) for name in members}


def _turn(progress: Progress, state: RolloutState, name: MemberName, cohort: str | None) -> Turn:
    may = (
        progress.done
        or progress.has(name)
        or name in progress.due
        or (name in progress.excused and progress.begins)
    )
    return Turn(
        member=name,
        cohort=cohort,
        due=may,
        state=state,
        reason=None if may else _why_not(progress, cohort),
        regardless=progress.regardless,
    )


def _why_not(progress: Progress, cohort: str | None) -> str:
    if progress.state is RolloutState.HALTED and progress.halt is not None:
        return f"the roll-out is halted: {progress.halt.reason}"
    if progress.state in {RolloutState.PAUSED, RolloutState.ABORTED}:
        return f"the roll-out is {progress.state.value}"
    if progress.waits is not None:
        return progress.waits
    if cohort is None or progress.cohort is None:
        return "the roll-out begins"
    return f"it is the turn of the cohort {progress.cohort}; this member is in {cohort}"


def unseen(
    progress: Progress, runs: Mapping[MemberName, Revision | None]
) -> tuple[MemberName, ...]:
    """Return who has not been seen with the revision although its roll-out is done; ``runs``: what each said it runs.

    It is done as soon as everybody may take it, also who is silent or passed over.
    """
    return tuple(
        sorted(name for name, own in runs.items() if progress.done and own != progress.oid)
    )


def tell_unseen(names: Sequence[str]) -> str:
    """Return what goes behind the state of a roll-out where there is somebody `unseen`, nothing where there is not."""
    if not names:
        return ""
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    has = "has" if len(names) == 1 else "have"
    return f", but {', '.join(names[:_MOST_NAMED])}{more} {has} not been seen on it"


def describe(
    progress: Progress, runs: Mapping[MemberName, Revision | None] | None = None
) -> dict[str, Any]:
    """Return what ``rollout status --json`` prints; with ``runs`` it tells who is `unseen`."""
    halt = progress.halt.reason if progress.halt else None
    return {
        **({} if runs is None else {"unseen": list(unseen(progress, runs))}),
        "revision": progress.oid,
        "base": progress.base,
        "state": progress.state.value,
        "paused": progress.control is Control.PAUSED,
        "cohort": progress.cohort,
        "reason": halt or progress.waits,
        "cohorts": [
            {
                "name": cohort,
                "members": [_describe_member(progress, name) for name in members],
            }
            for cohort, members in progress.cohorts
        ],
    }


def _describe_member(progress: Progress, name: MemberName) -> dict[str, Any]:
    told = progress.reports.get(name)
    due = progress.done or name in progress.due
    return {
        "name": name,
        "state": told.outcome.value if told else "due" if due else "not yet",
        "reason": told.reason if told else None,
        "passed_over": name in progress.excused,
    }
