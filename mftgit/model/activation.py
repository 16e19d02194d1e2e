"""A member's durable record of what it runs, and the only moves that it may make.

The stations of design, first form: a candidate is attempted, then it is activated, refused or held. The
confirmation that follows an activation, and the way back, have their place in the same table.
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
    ACTIVATED = "activated"
    REFUSED = "refused"
    HELD = "held"


_S = Stage

NEXT: frozenset[tuple[Stage, Stage]] = frozenset(
    {
        (_S.NONE, _S.ATTEMPTED),
        (_S.ATTEMPTED, _S.ATTEMPTED),  # a crash, or a newer candidate
        (_S.ATTEMPTED, _S.ACTIVATED),
        (_S.ATTEMPTED, _S.REFUSED),
        (_S.ATTEMPTED, _S.HELD),
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

    ``seq`` is the head's number that the attempt belongs to; ``active`` runs; history may only grow
    from ``anchor``; ``lkg`` is what a rollback returns to. ``checked_by`` is the version of mftgit
    that refused, since another one may judge otherwise.
    """

    seq: int = 0
    stage: Stage = Stage.NONE
    active: Revision | None = None
    anchor: Revision | None = None
    lkg: Revision | None = None
    attempted: Revision | None = None
    reason: str | None = None
    checked_by: str | None = None


def is_news(record: Record, *, oid: Revision, seq: int, version: str) -> bool:
    """Tell whether a head is to be attempted.

    A lower ``seq`` is a replay and is not. What was refused is tried again only by another version of
    mftgit; what was held or broken off is tried again each time.
    """
    if seq < record.seq:
        return False
    if record.attempted != oid:
        return True
    match record.stage:
        case Stage.ACTIVATED:
            return record.active != oid
        case Stage.REFUSED:
            return record.checked_by != version
        case _:
            return True


def attempt(record: Record, *, oid: Revision, seq: int) -> Record:
    """Return the record that says, before anything else happens, that ``oid`` is being taken in."""
    return replace(
        _move(record, Stage.ATTEMPTED), attempted=oid, seq=seq, reason=None, checked_by=None
    )


def activated(record: Record) -> Record:
    """Return the record of an attempt that succeeded: it is active, and what grew before it is the way back."""
    oid = record.attempted
    return replace(_move(record, Stage.ACTIVATED), active=oid, anchor=oid, lkg=oid)


def refused(record: Record, *, reason: str, version: str) -> Record:
    """Return the record of an attempt that failed the rules; what was active stays active."""
    return replace(_move(record, Stage.REFUSED), reason=reason, checked_by=version)


def held(record: Record, *, reason: str) -> Record:
    """Return the record of a candidate that does not grow from the anchor; only a person resolves it."""
    return replace(_move(record, Stage.HELD), reason=reason)


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
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"a record without {error}") from None


def _revision(value: Any) -> Revision | None:
    return None if value is None else parse_revision(value)
