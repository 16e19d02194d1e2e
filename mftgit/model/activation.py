"""A member's durable record of what it runs, and the only moves that it may make.

A candidate is attempted, then it is refused, held, or decided for: from then on it is what a restart runs, and it
is activated once its plan is applied and that was told. The confirmation that follows an activation, and the way
back, have their place in the same table.
"""

import json
from dataclasses import asdict, dataclass, replace
from enum import Enum, unique
from typing import Any

from mftgit.errors import MftgitError
from mftgit.model.names import Revision, parse_revision


@unique
class Stage(Enum):
    """Where the attempted revision is."""

    NONE = "none"
    ATTEMPTED = "attempted"
    ACTIVATING = "activating"
    ACTIVATED = "activated"
    REFUSED = "refused"
    HELD = "held"


_S = Stage

NEXT: frozenset[tuple[Stage, Stage]] = frozenset(
    {
        (_S.NONE, _S.ATTEMPTED),
        (_S.ATTEMPTED, _S.ATTEMPTED),  # a crash, or a newer candidate
        (_S.ATTEMPTED, _S.ACTIVATING),
        (_S.ATTEMPTED, _S.REFUSED),
        (_S.ATTEMPTED, _S.HELD),
        (_S.ACTIVATING, _S.ACTIVATED),
        (
            _S.ACTIVATING,
            _S.ATTEMPTED,
        ),  # its plan could not be applied yet, and a newer candidate came
        (_S.ACTIVATED, _S.ATTEMPTED),
        (_S.REFUSED, _S.ATTEMPTED),
        (_S.HELD, _S.ATTEMPTED),
    }
)
"""Which stage may follow which; the diagram in docs/architecture.md is drawn from it."""


class OutOfOrderError(MftgitError):
    """A move that the table does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What survives a restart.

    ``seq`` is the head's number that the attempt belongs to; ``active`` runs, or is what a restart has to run;
    history may only grow from ``anchor``; ``lkg`` is what a rollback returns to. ``checked_by`` is the version of
    mftgit that refused, since another one may judge otherwise. ``removed``: the controller said that this member is
    not of the cluster, so that it runs nothing.
    """

    seq: int = 0
    stage: Stage = Stage.NONE
    active: Revision | None = None
    anchor: Revision | None = None
    lkg: Revision | None = None
    attempted: Revision | None = None
    reason: str | None = None
    checked_by: str | None = None
    removed: bool = False


def is_news(record: Record, *, oid: Revision, seq: int, version: str) -> bool:
    """Tell whether a head is to be attempted.

    A lower ``seq`` is a replay and is not. What was refused is tried again only by another version of
    mftgit. What was held stays held: whether it grows from the anchor is told by its history, which its id stands
    for. What was broken off is tried again.
    """
    if seq < record.seq:
        return False
    if record.attempted != oid:
        return True
    match record.stage:
        case Stage.REFUSED:
            return record.checked_by != version
        case Stage.ACTIVATING | Stage.ACTIVATED | Stage.HELD:
            return False
        case _:
            return True


def attempt(record: Record, *, oid: Revision, seq: int) -> Record:
    """Return the record that says, before anything else happens, that ``oid`` is being taken in."""
    return replace(
        _move(record, Stage.ATTEMPTED), attempted=oid, seq=seq, reason=None, checked_by=None
    )


def put_off(record: Record, *, reason: str) -> Record:
    """Return the record of an attempt that could not be decided here and now; it is tried again."""
    return replace(_move(record, Stage.ATTEMPTED), reason=reason)


def activating(record: Record) -> Record:
    """Return the record of an attempt that is good: a restart runs it, whether its plan was applied by then or not."""
    oid = record.attempted
    return replace(_move(record, Stage.ACTIVATING), active=oid, anchor=oid, lkg=oid, reason=None)


def activated(record: Record) -> Record:
    """Return the record of a revision whose plan is applied, and of which that was told."""
    return _move(record, Stage.ACTIVATED)


def refused(record: Record, *, reason: str, version: str) -> Record:
    """Return the record of an attempt that failed the rules; what was active stays active."""
    return replace(_move(record, Stage.REFUSED), reason=reason, checked_by=version)


def held(record: Record, *, reason: str) -> Record:
    """Return the record of a candidate that does not grow from the anchor; only a person resolves it."""
    return replace(_move(record, Stage.HELD), reason=reason)


def removed(record: Record) -> Record:
    """Return the record of a member that the controller does not know any more; what was active is kept in mind."""
    return replace(record, removed=True)


def let_in(record: Record) -> Record:
    """Return the record of a member that the controller knows again."""
    return replace(record, removed=False)


def _move(record: Record, stage: Stage) -> Record:
    if (record.stage, stage) not in NEXT:
        raise OutOfOrderError(f"a revision that is {record.stage.value} cannot be {stage.value}")
    return replace(record, stage=stage)


def format_record(record: Record) -> bytes:
    """Return ``record`` as JSON."""
    return json.dumps({**asdict(record), "stage": record.stage.value}, indent=2).encode() + b"\n"


def parse_record(content: bytes) -> Record:
    """Return the record that ``format_record`` gave ``content`` for.

    Raises:
        ValueError: it is damaged.
    """
    value: Any = json.loads(content)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004  damage, as any other
    try:
        return Record(
            seq=int(value["seq"]),
            stage=Stage(value["stage"]),
            active=_revision(value["active"]),
            anchor=_revision(value["anchor"]),
            lkg=_revision(value["lkg"]),
            attempted=_revision(value["attempted"]),
            reason=value["reason"],
            checked_by=value["checked_by"],
            removed=bool(value.get("removed", False)),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"a record without {error}") from None


def _revision(value: Any) -> Revision | None:
    return None if value is None else parse_revision(value)
