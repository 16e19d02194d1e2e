"""A member's durable record of what it runs, and how it is written."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum, unique
from typing import Any, Final

from mftgit.model.events.event import EventName, Fact
from mftgit.model.names import Revision, parse_revision

MAX_EARLIER: Final = 8
MAX_QUARANTINED: Final = 16


@unique
class Stage(Enum):
    """Where the attempted revision is."""

    NONE = "none"
    ATTEMPTED = "attempted"
    WAITING = "waiting"
    REFUSED = "refused"
    DIVERGED = "diverged"
    ACTIVATING = "activating"
    CONFIRMING = "confirming"
    CONFIRMED = "confirmed"
    ROLLING_BACK = "rolling back"
    ROLLED_BACK = "rolled back"
    SAFE_MODE = "safe mode"


_FORMER: Final = {"activated": "confirmed", "held": "diverged"}  # as they were called before


@unique
class Wait(Enum):
    """What a good revision waits for."""

    CHECK = "check"
    """A signature could not be checked, or something else of this machine was in the way."""
    SUSPENDED = "suspended"
    PINNED = "pinned"
    TURN = "turn"
    WINDOW = "window"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A revision that failed, and by whose judgement: a version of mftgit and the keys that it had."""

    oid: Revision
    checker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of the attempt with the number ``attempt``, and the event that tells it."""

    attempt: int
    event: EventName
    revision: Revision
    facts: Mapping[str, Fact]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What survives a restart.

    ``seq`` is the head's number that the attempt belongs to, ``attempts`` the attempt's own. ``active`` runs, or is
    what a restart has to run; history may only grow from ``anchor``; ``lkg`` is what a rollback returns to, ``earlier``
    what was that before, the newest last. ``recalled``: an operator took the member back from ``attempted``.
    ``reanchored``: an operator set the anchor; it stays when what was being proved is confirmed, and the next attempt
    may have a lower ``seq``.
    ``until`` and ``boot_id`` say when an unconfirmed revision has to have proved itself, ``starts`` how often a process
    began under it. ``policy_version`` is the highest that was confirmed, ``obeyed`` the last order of an operator that
    was carried out; ``obeying``: what became of that is not told yet. ``removed``: the controller said that this member
    is not of the cluster, so that it runs nothing.
    ``incarnation`` and ``warrant`` are the highest that a controller has shown (`mftgit.model.members.incarnation`).
    ``untold`` is an outcome that may not be in the event log yet: it is written with the move that makes it, so that
    what is told and what is so cannot differ.
    """

    seq: int = 0
    stage: Stage = Stage.NONE
    active: Revision | None = None
    anchor: Revision | None = None
    lkg: Revision | None = None
    earlier: tuple[Revision, ...] = ()
    attempted: Revision | None = None
    attempts: int = 0
    reason: str | None = None
    wait: Wait | None = None
    quarantine: tuple[Quarantined, ...] = ()
    recalled: bool = False
    reanchored: bool = False
    starts: int = 0
    until: float | None = None
    boot_id: str | None = None
    policy_version: int = 0
    obeyed: int = 0
    obeying: bool = False
    removed: bool = False
    untold: Outcome | None = None
    incarnation: int = 0
    warrant: str = ""

    @property
    def floor(self) -> int:
        """Return the number below which no head is taken."""
        return 0 if self.reanchored else self.seq


def format_record(record: Record) -> bytes:
    """Return ``record`` as JSON."""
    untold = record.untold
    enums = {
        "stage": record.stage.value,
        "wait": None if record.wait is None else record.wait.value,
        "untold": None if untold is None else {**asdict(untold), "event": untold.event.value},
    }
    return json.dumps({**asdict(record), **enums}, indent=2).encode() + b"\n"


def parse_record(content: bytes) -> Record:
    """Return the record that ``format_record`` gave ``content`` for; what an older version did not write is unset.

    Raises:
        ValueError: it is damaged.
    """
    value: Any = json.loads(content)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004  damage, as any other
    try:
        wait, until = value.get("wait"), value.get("until")
        return Record(
            seq=int(value["seq"]),
            stage=Stage(_FORMER.get(value["stage"], value["stage"])),
            active=_revision(value["active"]),
            anchor=_revision(value["anchor"]),
            lkg=_revision(value["lkg"]),
            earlier=tuple(parse_revision(each) for each in value.get("earlier", ())),
            attempted=_revision(value["attempted"]),
            attempts=int(value.get("attempts", 0)),
            reason=value["reason"],
            wait=None if wait is None else Wait(wait),
            quarantine=tuple(
                Quarantined(oid=parse_revision(each["oid"]), checker=str(each["checker"]))
                for each in value.get("quarantine", ())
            ),
            recalled=bool(value.get("recalled", False)),
            reanchored=bool(value.get("reanchored", False)),
            starts=int(value.get("starts", 0)),
            until=None if until is None else float(until),
            boot_id=value.get("boot_id"),
            policy_version=int(value.get("policy_version", 0)),
            obeyed=int(value.get("obeyed", 0)),
            obeying=bool(value.get("obeying", False)),
            removed=bool(value.get("removed", False)),
            untold=_outcome(value.get("untold")),
            incarnation=int(value.get("incarnation", 0)),
            warrant=str(value.get("warrant", "")),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"a record without {error}") from None


def _outcome(value: Any) -> Outcome | None:
    if value is None:
        return None
    return Outcome(
        attempt=int(value["attempt"]),
        event=EventName(value["event"]),
        revision=parse_revision(value["revision"]),
        facts=dict(value["facts"]),
    )


def _revision(value: Any) -> Revision | None:
    return None if value is None else parse_revision(value)
