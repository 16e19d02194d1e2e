"""What becomes of a revision on a member: the only moves that its durable record may make.

What is attempted is waited with, refused, or decided for: from then on it is what a restart runs. It is the last known
good one only when it is confirmed; otherwise the member goes back to the one that was. History may only grow from the
anchor, which moves when a revision is confirmed and never before.
"""

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum, unique
from typing import Final

from mftgit.errors import MftgitError
from mftgit.model.members.record import (
    MAX_EARLIER,
    MAX_QUARANTINED,
    Quarantined,
    Record,
    Stage,
    Wait,
)
from mftgit.model.names import Revision

_UNAPPROVED: Final = " unapproved"
"""Behind the checker of a judgement by which nothing but approvals was missing."""

MAX_STARTS: Final = 2
"""So many starts with one that is not confirmed end in a roll-back: it may be what ends the process."""


@unique
class Move(Enum):
    """What happened to the attempted revision."""

    ATTEMPT = "attempt"
    PUT_OFF = "put off"
    REFUSE = "refuse"
    DIVERGE = "diverge"
    ACTIVATE = "activate"
    APPLY = "apply"
    CONFIRM = "confirm"
    SUPERSEDE = "supersede"
    FAIL = "fail"
    RECALL = "recall"
    RETURN = "return"
    STRAND = "strand"


_S, _M = Stage, Move
_FAILED: Final = {_S.REFUSED, _S.DIVERGED, _S.ROLLED_BACK, _S.SAFE_MODE}
_AT_REST: Final = (
    _S.NONE, _S.ATTEMPTED, _S.WAITING, _S.REFUSED, _S.DIVERGED, _S.CONFIRMED, _S.ROLLED_BACK,
    _S.SAFE_MODE,
)  # fmt: skip

NEXT: Final[Mapping[tuple[Stage, Move], Stage]] = {
    **{(stage, _M.ATTEMPT): _S.ATTEMPTED for stage in _AT_REST},
    **{(stage, _M.RECALL): _S.ROLLING_BACK for stage in _AT_REST},
    (_S.ATTEMPTED, _M.PUT_OFF): _S.WAITING,
    (_S.ATTEMPTED, _M.REFUSE): _S.REFUSED,
    (_S.ATTEMPTED, _M.DIVERGE): _S.DIVERGED,
    (_S.ATTEMPTED, _M.ACTIVATE): _S.ACTIVATING,
    (_S.ACTIVATING, _M.APPLY): _S.CONFIRMING,
    (_S.CONFIRMING, _M.CONFIRM): _S.CONFIRMED,
    (_S.CONFIRMING, _M.SUPERSEDE): _S.ACTIVATING,
    (_S.ACTIVATING, _M.FAIL): _S.ROLLING_BACK,
    (_S.CONFIRMING, _M.FAIL): _S.ROLLING_BACK,
    (_S.ROLLING_BACK, _M.RETURN): _S.ROLLED_BACK,
    (_S.ROLLING_BACK, _M.STRAND): _S.SAFE_MODE,
    (_S.ROLLED_BACK, _M.STRAND): _S.SAFE_MODE,  # it came back, and does not answer either
    (_S.SAFE_MODE, _M.RETURN): _S.ROLLED_BACK,
}
"""Where each move leads; the diagram in docs/architecture.md is drawn from it."""


class OutOfOrderError(MftgitError):
    """A move that the table does not have; nothing was changed."""


def advance(stage: Stage, move: Move) -> Stage:
    """Return the stage after ``move``; raises OutOfOrderError."""
    try:
        return NEXT[stage, move]
    except KeyError:
        raise OutOfOrderError(f"no way to {move.value} a revision that is {stage.value}") from None


# What is to be attempted


def is_news(record: Record, *, oid: Revision, seq: int, checker: str) -> bool:
    """Tell whether a head is to be attempted.

    A lower ``seq`` is a replay and is not. What was refused or rolled back is in quarantine: it is tried again when it
    would be judged otherwise, by another version of mftgit or with other keys (``checker`` stands for both), or when
    an operator says so. What diverged stays so: whether it grows from the anchor is told by its history, which
    its id stands for. What was broken off is tried again.
    """
    if seq < record.floor or in_quarantine(record, oid, checker=checker):
        return False
    if record.attempted != oid:
        return True
    return record.stage in {
        Stage.NONE,
        Stage.ATTEMPTED,
        Stage.WAITING,
        Stage.REFUSED,
        Stage.ROLLED_BACK,
    }


def in_quarantine(record: Record, oid: Revision, *, checker: str) -> bool:
    """Tell whether ``oid`` failed by the judgement of ``checker``."""
    failed = Quarantined(oid=oid, checker=checker) in record.quarantine
    return failed or lacks_approvals(record, oid, checker=checker)


def lacks_approvals(record: Record, oid: Revision, *, checker: str) -> bool:
    """Tell whether ``oid`` failed by the judgement of ``checker`` for want of approvals, which may come yet."""
    return Quarantined(oid=oid, checker=checker + _UNAPPROVED) in record.quarantine


# The moves


def attempt(record: Record, *, oid: Revision, seq: int, number: int = 0) -> Record:
    """Return the record that says, before anything else happens, that ``oid`` is being taken in.

    One attempt lasts until its outcome: what was broken off or waits goes on under the number that it has. A new one
    has at least ``number``, so that one after a record that was lost has none that was used before.
    """
    goes_on = record.attempted == oid and is_pending(record)
    return replace(
        _move(record, Move.ATTEMPT),
        attempted=oid,
        attempts=record.attempts if goes_on else max(record.attempts + 1, number),
        seq=seq,
        reanchored=False,
        reason=None,
        wait=None,
        recalled=False,
    )


def put_off(record: Record, *, reason: str, wait: Wait) -> Record:
    """Return the record of an attempt that is not carried out now; it is looked at again."""
    return replace(_move(record, Move.PUT_OFF), reason=reason, wait=wait)


def refused(record: Record, *, reason: str, checker: str) -> Record:
    """Return the record of an attempt that failed the rules; what was active stays active."""
    return _set_apart(replace(_move(record, Move.REFUSE), reason=reason), checker)


def unapproved(record: Record, *, reason: str, checker: str) -> Record:
    """Return the record of an attempt that lacks approvals and nothing else; it is `approved` once they are there."""
    return refused(record, reason=reason, checker=checker + _UNAPPROVED)


def diverged(record: Record, *, reason: str) -> Record:
    """Return the record of a candidate that does not grow from the anchor; only a person resolves it."""
    return replace(_move(record, Move.DIVERGE), reason=reason)


def activating(record: Record) -> Record:
    """Return the record of an attempt that is good: a restart runs it, whether its plan was applied by then or not."""
    return _decided(_move(record, Move.ACTIVATE))


def superseding(record: Record, *, oid: Revision, seq: int) -> Record:
    """Return the record that ends the wait for a confirmation by deciding for a newer revision that is good."""
    moved = _move(record, Move.SUPERSEDE)
    fresh = replace(moved, attempted=oid, attempts=record.attempts + 1, seq=seq, reanchored=False)
    return _decided(fresh)


def confirming(record: Record, *, until: float, boot_id: str) -> Record:
    """Return the record of a revision that runs and has to prove itself.

    ``until`` is by `Clock.boottime` of the boot ``boot_id``; in another boot the time begins anew.
    """
    return replace(_move(record, Move.APPLY), until=until, boot_id=boot_id)


def confirmed(record: Record, *, grown: bool = True, policy_version: int = 0) -> Record:
    """Return the record of a revision that has proved itself: it is the last known good one.

    ``grown`` says that it grew from the anchor; an older one, to which the member was pinned, leaves the anchor where
    it is. ``policy_version`` is the number of its trust policy, below which the member does not go any more.
    """
    before = () if record.lkg is None or record.lkg == record.active else (record.lkg,)
    return replace(
        _move(record, Move.CONFIRM),
        anchor=record.active if grown and not record.reanchored else record.anchor,
        earlier=(*record.earlier, *before)[-MAX_EARLIER:],
        lkg=record.active,
        policy_version=max(record.policy_version, policy_version),
        reason=None,
        until=None,
        boot_id=None,
        starts=0,
    )


def failed(record: Record, *, reason: str, checker: str) -> Record:
    """Return the record of a revision that did not prove itself: a restart runs the last known good one."""
    return _set_apart(_back(_move(record, Move.FAIL), reason), checker)


def recalled(record: Record, *, reason: str, checker: str) -> Record:
    """Return the record of a member that an operator takes back to the revision confirmed before the active one."""
    gone = replace(_move(record, Move.RECALL), attempted=record.active, recalled=True, wait=None)
    return _set_apart(
        _back(replace(gone, lkg=record.earlier[-1], earlier=record.earlier[:-1]), reason), checker
    )


def returned(record: Record) -> Record:
    """Return the record of a member that is back on its last known good revision."""
    return _move(record, Move.RETURN)


def stranded(record: Record, *, reason: str) -> Record:
    """Return the record of a member whose last known good revision fails too; what runs is kept running."""
    return replace(_move(record, Move.STRAND), reason=reason)


# What happens beside the stages


def started(record: Record) -> Record:
    """Return the record of a process that starts; counted while a revision is not confirmed."""
    return replace(record, starts=record.starts + 1) if is_unconfirmed(record) else record


def stopped(record: Record) -> Record:
    """Return the record of a process that ends in order, whose start is not held against the revision."""
    return replace(record, starts=max(0, record.starts - 1))


def is_pending(record: Record) -> bool:
    """Tell whether nothing has come of the attempt yet, and what it is of does not run."""
    return record.stage in {Stage.ATTEMPTED, Stage.WAITING}


def is_unconfirmed(record: Record) -> bool:
    """Tell whether what a restart runs has not proved itself."""
    return record.stage in {Stage.ACTIVATING, Stage.CONFIRMING}


def ended_too_often(record: Record) -> bool:
    """Tell whether the process ended under an unconfirmed revision as often as is borne."""
    return is_unconfirmed(record) and record.starts >= MAX_STARTS


def reanchored(record: Record, *, anchor: Revision) -> Record:
    """Return the record of a member that an operator lets follow a history that grew from elsewhere.

    Any head's number will do then, for the history may be another controller's; an attempt under way keeps its own.
    """
    return _judge_anew(replace(record, anchor=anchor, reanchored=True))


def released(record: Record) -> Record:
    """Return the record without its quarantine: what failed is tried again."""
    return _judge_anew(replace(record, quarantine=()))


def approved(record: Record, *, oid: Revision) -> Record:
    """Return the record without ``oid`` in quarantine, about which people have said more: it is tried again."""
    left = tuple(each for each in record.quarantine if each.oid != oid)
    return replace(record, quarantine=left)


def removed(record: Record) -> Record:
    """Return the record of a member that the controller does not know any more; what was active is kept in mind."""
    return replace(record, removed=True)


def let_in(record: Record) -> Record:
    """Return the record of a member that the controller knows again; what it was proving has all its time anew."""
    return replace(record, removed=False, until=None, boot_id=None)


def _move(record: Record, move: Move) -> Record:
    return replace(record, stage=advance(record.stage, move))


def _decided(record: Record) -> Record:
    return replace(record, active=record.attempted, reason=None, starts=0, until=None, boot_id=None)


def _back(record: Record, reason: str) -> Record:
    return replace(record, active=record.lkg, reason=reason, starts=0, until=None, boot_id=None)


def _set_apart(record: Record, checker: str) -> Record:
    """Put the attempted revision in quarantine; the oldest leave it."""
    if record.attempted is None:
        return record
    fresh = Quarantined(oid=record.attempted, checker=checker)
    others = tuple(each for each in record.quarantine if each.oid != record.attempted)
    return replace(record, quarantine=(*others, fresh)[-MAX_QUARANTINED:])


def _judge_anew(record: Record) -> Record:
    """Let what failed be looked at again; what runs, or has no outcome yet, is not attempted anew."""
    return replace(record, attempted=None) if record.stage in _FAILED else record
