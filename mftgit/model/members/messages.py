"""What controller and member say to each other, and what ``status`` says to people."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum, unique
from typing import Any

from mftgit.model.configuration.config import Role
from mftgit.model.configuration.controller_line import MAX_AUTHORITIES
from mftgit.model.handlers.status import (
    MAX_HANDLERS,
    EventHandlerStatus,
    parse_event_handler_status,
)
from mftgit.model.inbound.service_status import MAX_SERVICES, ServiceStatus, parse_service_status
from mftgit.model.members.incarnation import MAX_WARRANT, Shown, parse_incarnation
from mftgit.model.names import (
    MAIN,
    MemberName,
    Revision,
    parse_name,
    parse_revision,
)
from mftgit.model.ownership.storage import StorageStatus, parse_storage_status
from mftgit.model.told_number import count_of
from mftgit.model.transfers.status import TransferStatus, parse_transfer_status

_MAX_TIME = 40
MAX_REPORT_BYTES = 16 << 20
MAX_REPORT_EVENTS = 1000
"""How much one report to the controller may carry."""

BAD_REPORT, TOO_LARGE = 400, 413
"""The statuses of HTTP with which a report is refused for what it holds; sending it again cannot help."""

NOT_PROVED = 401
"""The status of HTTP for who does not prove to be a member."""

NOT_FOUND = 404
"""The status of HTTP with which a controller of an older version answers what it does not know."""

CONFLICT = 409
"""The status of HTTP with which events are refused because other ones have their numbers."""


@unique
class Hint(Enum):
    """What may be news, as the controller says: the head pointer, banned sources, orders, a recovery bundle to keep.

    True is what it is asked for. SESSIONS: somebody looks at who is logged in, and is to be told. USES: accounts are
    in use at other members.
    """

    HEAD = "head"
    BANS = "bans"
    ORDERS = "orders"
    RECOVERY = "recovery"
    SESSIONS = "sessions"
    USES = "uses"


@unique
class RolloutState(Enum):
    """How a roll-out is. WAITING: for a change window. SOAKING: a cohort is watched before the next one begins."""

    RUNNING = "running"
    SOAKING = "soaking"
    WAITING = "waiting"
    PAUSED = "paused"
    HALTED = "halted"
    ABORTED = "aborted"
    PROMOTED = "promoted"
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Whether ``member`` may take the revision that the head names (``due``), otherwise for what ``reason`` not.

    ``cohort`` is None where there is no roll-out by cohorts. ``regardless``: it need not wait for a change window.
    """

    member: MemberName
    cohort: str | None
    due: bool
    state: RolloutState
    reason: str | None = None
    regardless: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the shape that goes over the wire."""
        return {**asdict(self), "state": self.state.value}


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where the published branch stands. ``seq`` only rises; ``issued_at`` is RFC 3339, for people.

    ``turn`` is that of the member that asks; operators have none. ``incarnation`` counts how often the controller was
    made anew from a member, and the ``warrant`` proves that; see `mftgit.model.members.incarnation`.
    """

    oid: Revision
    seq: int
    issued_at: str
    turn: Turn | None = None
    incarnation: int = 0
    warrant: str = ""

    @property
    def shown(self) -> Shown:
        """Return of which controller it is."""
        return Shown(incarnation=self.incarnation, warrant=self.warrant)

    @property
    def tag(self) -> str:
        """Return what changes whenever this changes, as an entity tag of HTTP."""
        if self.turn is None:
            return f'"{self.seq}"'
        turn = json.dumps(self.turn.as_json(), sort_keys=True).encode()
        return f'"{self.seq}-{hashlib.sha256(turn).hexdigest()[:16]}"'

    def as_json(self) -> dict[str, Any]:
        """Return the shape that goes over the wire."""
        shape: dict[str, Any] = {
            "ref": MAIN,
            "oid": self.oid,
            "seq": self.seq,
            "issued_at": self.issued_at,
        }
        if self.incarnation:
            shape |= {"incarnation": self.incarnation, "warrant": self.warrant}
        return shape if self.turn is None else {**shape, "turn": self.turn.as_json()}


def parse_head(value: Any) -> Head:
    """Return the head that ``as_json`` gave ``value`` for.

    Raises:
        ValueError: it is not of that shape.
    """
    match value:
        case {"ref": str(ref), "oid": str(oid), "seq": int(seq), "issued_at": str(issued_at)}:
            if ref != MAIN or seq < 1:
                raise ValueError(f"a head of {ref} with seq {seq}")
            turn = None if value.get("turn") is None else _parse_turn(value["turn"])
            return Head(
                oid=parse_revision(oid),
                seq=seq,
                issued_at=issued_at,
                turn=turn,
                incarnation=parse_incarnation(value.get("incarnation", 0)),
                warrant=str(value.get("warrant", ""))[:MAX_WARRANT],
            )
        case _:
            raise ValueError("not a head pointer")


def _parse_turn(value: Any) -> Turn:
    match value:
        case {"member": str(member), "due": bool(due), "state": str(state)}:
            cohort, reason = value.get("cohort"), value.get("reason")
            return Turn(
                member=MemberName(parse_name(member)),
                cohort=None if cohort is None else str(cohort),
                due=due,
                state=RolloutState(state),
                reason=None if reason is None else str(reason),
                regardless=value.get("regardless") is True,
            )
        case _:
            raise ValueError("not a turn")


@unique
class MemberState(Enum):
    """What a member is doing about the published revision."""

    STARTING = "starting"
    ACTIVE = "active"
    CONFIRMING = "confirming"
    WAITING = "waiting"
    FAILING = "failing"
    REFUSED = "refused"
    ROLLED_BACK = "rolled back"
    DIVERGED = "diverged"
    SAFE_MODE = "safe mode"
    REMOVED = "removed"
    SILENT = "silent"
    STOPPED = "stopped"
    NEVER_SEEN = "never seen"


@unique
class Drain(Enum):
    """How far a member that was drained is: it ends its runs and sessions, or has none and holds no lease."""

    DRAINING = "draining"
    DRAINED = "drained"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineStatus:
    """At which address a member reaches the controller, and the SHA-256 of the authorities that it takes there."""

    url: str
    ca: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the shape that ``status --json`` documents."""
        return {"url": self.url, "ca": list(self.ca)}


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberStatus:
    """One member; ``reason`` says why it is not active on what it last tried, or what else is wrong.

    ``lkg_revision`` is what it would go back to; ``suspended``, ``pin`` and ``drain`` are an operator's orders there.
    ``storage`` is None where it has no transfers, or has not looked yet. ``renewed_at`` (RFC 3339, by its own clock) is
    when the last renewal of its session was asked for that succeeded; None without a session. ``events_dropped`` is how
    many events its log has lost to its bound, ever.
    """

    name: MemberName
    role: Role
    state: MemberState
    active_revision: Revision | None
    attempted_revision: Revision | None
    reason: str | None
    lkg_revision: Revision | None = None
    suspended: bool = False
    pin: Revision | None = None
    drain: Drain | None = None
    line: LineStatus | None = None
    storage: StorageStatus | None = None
    renewed_at: str | None = None
    services: Sequence[ServiceStatus] = ()
    transfers: Sequence[TransferStatus] = ()
    events_dropped: int = 0
    event_handlers: Sequence[EventHandlerStatus] = ()

    def as_json(self, *, last_seen_s: float | None) -> dict[str, Any]:
        """Return the shape that ``status --json`` documents; ``last_seen_s`` is None when never."""
        return {
            "name": self.name,
            "role": self.role.value,
            "state": self.state.value,
            "active_revision": self.active_revision,
            "attempted_revision": self.attempted_revision,
            "reason": self.reason,
            "lkg_revision": self.lkg_revision,
            "suspended": self.suspended,
            "pin": self.pin,
            "drain": None if self.drain is None else self.drain.value,
            "controller": None if self.line is None else self.line.as_json(),
            "storage": None if self.storage is None else self.storage.as_json(),
            "renewed_at": self.renewed_at,
            "last_seen_s": None if last_seen_s is None else round(last_seen_s, 1),
            "services": [each.as_json() for each in self.services],
            "transfers": [each.as_json() for each in self.transfers],
            "events_dropped": self.events_dropped,
            "event_handlers": [each.as_json() for each in self.event_handlers],
        }


HEARTBEAT_S = 75.0
"""After how long without a question of another kind a member asks for the head, as a sign of life."""

SILENT_AFTER_S = 180.0
"""A member is silent when two signs of life did not come."""

CUT_OFF_AFTER_S = 10.0
"""A member is silent when the line that it listens on has ended, as with its process, and nothing came after that."""


def judge_silence(
    status: MemberStatus, silent_s: float | None, *, cut_off_s: float | None = None
) -> MemberStatus:
    """Return ``status`` as it is to be shown when its member was last heard ``silent_s`` seconds ago.

    None means that it is known not to run. Its line has ended ``cut_off_s`` seconds ago.
    """
    if status.state in {MemberState.STOPPED, MemberState.NEVER_SEEN}:
        return status
    if silent_s is None:
        return replace(status, state=MemberState.STOPPED)
    is_cut_off = cut_off_s is not None and CUT_OFF_AFTER_S < cut_off_s <= silent_s
    is_silent = is_cut_off or silent_s > SILENT_AFTER_S
    return replace(status, state=MemberState.SILENT) if is_silent else status


MAX_TRANSFERS = 20_000
_MAX_URL = 500


def parse_member_status(value: Any) -> MemberStatus:
    """Return the status that ``MemberStatus.as_json`` gave ``value`` for.

    Unknown fields are passed over, and those that an older version does not know are unset.

    Raises:
        ValueError: it is not of that shape.
    """
    try:
        transfers = value["transfers"]
        if not isinstance(transfers, list) or len(transfers) > MAX_TRANSFERS:
            raise ValueError("transfers is not a list, or too long a one")
        reason, drain = value["reason"], value.get("drain")
        return MemberStatus(
            name=MemberName(parse_name(value["name"])),
            role=Role(value["role"]),
            state=MemberState(value["state"]),
            active_revision=_revision(value["active_revision"]),
            attempted_revision=_revision(value["attempted_revision"]),
            reason=None if reason is None else str(reason)[:2000],
            lkg_revision=_revision(value.get("lkg_revision")),
            suspended=bool(value.get("suspended", False)),
            pin=_revision(value.get("pin")),
            drain=None if drain is None else Drain(drain),
            line=_parse_line(value.get("controller")),
            storage=parse_storage_status(value.get("storage")),
            renewed_at=_time(value.get("renewed_at")),
            services=_parse_services(value.get("services", [])),
            transfers=tuple(parse_transfer_status(each) for each in transfers),
            events_dropped=count_of(value.get("events_dropped", 0)),
            event_handlers=_parse_event_handlers(value.get("event_handlers", [])),
        )
    except (AttributeError, KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"not a member's status: {error}") from None


def _parse_services(value: Any) -> tuple[ServiceStatus, ...]:
    if not isinstance(value, list) or len(value) > MAX_SERVICES:
        raise ValueError("services is not a list, or too long a one")
    return tuple(parse_service_status(each) for each in value)


def _parse_event_handlers(value: Any) -> tuple[EventHandlerStatus, ...]:
    if not isinstance(value, list) or len(value) > MAX_HANDLERS:
        raise ValueError("event_handlers is not a list, or too long a one")
    return tuple(parse_event_handler_status(each) for each in value)


def _parse_line(value: Any) -> LineStatus | None:
    """Return what a member says of its line; one of an older version says nothing."""
    match value:
        case None:
            return None
        case {"url": str(url), "ca": [*ca]} if len(ca) <= MAX_AUTHORITIES:
            return LineStatus(url=url[:_MAX_URL], ca=tuple(str(each)[:64] for each in ca))
        case _:
            raise ValueError("controller is not an address and a list of authorities")


def _revision(value: Any) -> Revision | None:
    return None if value is None else parse_revision(value)


def _time(value: Any) -> str | None:
    return None if value is None else str(value)[:_MAX_TIME]
