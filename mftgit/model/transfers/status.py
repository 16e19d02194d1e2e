"""How one transfer is on one member: what the member says to the controller, and ``status`` to people."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, unique
from typing import Any, Final

from mftgit.model.configuration.config import Ownership
from mftgit.model.names import Epoch, MemberName, TransferName, parse_name
from mftgit.model.ownership.standing import MAX_WHY
from mftgit.model.told_number import count_of
from mftgit.model.transfers.pause import Pause, read_pause_fields
from mftgit.model.transfers.under_way import UnderWay, parse_under_way

MAX_REASON: Final = 500
"""How many characters are told of what went wrong; the events have all of it."""

_MAX_TIME: Final = 40


@unique
class TransferState(Enum):
    """What a transfer is doing on one member. ENDING: it is not configured any more, and files are under way."""

    STANDBY = "standby"
    IDLE = "idle"
    RUNNING = "running"
    FAILING = "failing"
    ENDING = "ending"


@dataclass(frozen=True, slots=True, kw_only=True)
class LastRun:
    """The last run of a transfer on one member; ``at`` is RFC 3339, ``size_bytes`` what it delivered.

    ``due_at`` (RFC 3339) is the firing that it was for, None where none; ``caught_up``: it was made up for.
    """

    outcome: str
    at: str
    files: int
    size_bytes: int
    due_at: str | None = None
    caught_up: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the shape that ``status --json`` documents."""
        return {
            "outcome": self.outcome,
            "at": self.at,
            "files": self.files,
            "bytes": self.size_bytes,
            "due_at": self.due_at,
            "caught_up": self.caught_up,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What waits at the source, as of the last look: files ``too_fresh`` to be taken, and those that ``failed``."""

    too_fresh: int = 0
    failed: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the shape that ``status --json`` documents."""
        return {"too_fresh": self.too_fresh, "failed": self.failed}


NOTHING_WAITS: Final = Waiting()


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferStatus:
    """One transfer as one member sees it; ``delivered`` counts the files in the shared ledger.

    ``ownership`` is None where that is not known: for a former transfer, and from a member of an older version.
    ``since`` (RFC 3339, by the owner's clock) and ``moved`` are when and why its owner took it; of one that is free,
    ``moved`` is why it is. While it is failing, ``reason`` is why, and ``retry_at`` (RFC 3339) when it is tried again
    by itself; None where that is its next firing. ``next_at`` (RFC 3339) is when its schedule fires next, where this
    member owns it.
    """

    name: TransferName
    owner: MemberName | None
    epoch: Epoch | None
    state: TransferState
    last_run: LastRun | None
    delivered: int
    since: str | None = None
    moved: str | None = None
    reason: str | None = None
    retry_at: str | None = None
    next_at: str | None = None
    waiting: Waiting = NOTHING_WAITS
    paused: Pause | None = None
    under_way: tuple[UnderWay, ...] = ()
    ownership: Ownership | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the shape that ``status --json`` documents."""
        return {
            "name": self.name,
            "ownership": None if self.ownership is None else self.ownership.value,
            "owner": self.owner,
            "epoch": self.epoch,
            "since": self.since,
            "moved": self.moved,
            "state": self.state.value,
            "last_run": None if self.last_run is None else self.last_run.as_json(),
            "delivered": self.delivered,
            "reason": self.reason,
            "retry_at": self.retry_at,
            "next_at": self.next_at,
            "waiting": self.waiting.as_json(),
            "paused": None if self.paused is None else self.paused.as_json(),
            "under_way": [each.as_json() for each in self.under_way],
        }


def parse_transfer_status(value: Mapping[str, Any]) -> TransferStatus:
    """Return what ``TransferStatus.as_json`` gave ``value`` for; what an older version does not know is unset.

    Raises:
        ValueError, KeyError, TypeError, OverflowError: it is not of that shape.
    """
    run, owner, epoch = value["last_run"], value["owner"], value["epoch"]
    paused = value.get("paused")
    waiting, ownership = value.get("waiting") or {}, value.get("ownership")
    return TransferStatus(
        name=TransferName(parse_name(value["name"])),
        owner=None if owner is None else MemberName(parse_name(owner)),
        epoch=None if epoch is None else Epoch(count_of(epoch)),
        state=TransferState(value["state"]),
        last_run=None
        if run is None
        else LastRun(
            outcome=str(run["outcome"]),
            at=str(run["at"]),
            files=count_of(run["files"]),
            size_bytes=count_of(run["bytes"]),
            due_at=_text(run.get("due_at"), _MAX_TIME),
            caught_up=bool(run.get("caught_up", False)),
        ),
        delivered=count_of(value["delivered"]),
        since=_text(value.get("since"), _MAX_TIME),
        moved=_text(value.get("moved"), MAX_WHY),
        reason=_text(value.get("reason"), MAX_REASON),
        retry_at=_text(value.get("retry_at"), _MAX_TIME),
        next_at=_text(value.get("next_at"), _MAX_TIME),
        waiting=Waiting(
            too_fresh=count_of(waiting.get("too_fresh", 0)),
            failed=count_of(waiting.get("failed", 0)),
        ),
        paused=None if paused is None else read_pause_fields(paused),
        under_way=parse_under_way(value.get("under_way", ())),
        ownership=None if ownership is None else Ownership(ownership),
    )


def _text(value: Any, longest: int) -> str | None:
    return None if value is None else str(value)[:longest]
