"""What happened, as facts: the stations of a change and of a file, in the past tense."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import Any

from mftgit.model.names import Epoch, MemberName, Revision

Fact = str | int | float | bool | None | list[Any] | dict[str, Any]


@unique
class EventName(Enum):
    """Every event there is; docs/reference/events.md says when each is written."""

    PUSH_RECEIVED = "PushReceived"
    PUSH_REFUSED = "PushRefused"
    REVISION_PUBLISHED = "RevisionPublished"
    ROLLOUT_STARTED = "RolloutStarted"
    ROLLOUT_HALTED = "RolloutHalted"
    ROLLOUT_FINISHED = "RolloutFinished"
    ROLLOUT_PAUSED = "RolloutPaused"
    ROLLOUT_RESUMED = "RolloutResumed"
    ROLLOUT_PROMOTED = "RolloutPromoted"
    ROLLOUT_ABORTED = "RolloutAborted"
    CHANGE_PROPOSED = "ChangeProposed"
    CHANGE_REMOVED = "ChangeRemoved"
    FORGE_REFUSED = "ForgeRefused"
    FORGE_UNREACHABLE = "ForgeUnreachable"
    FORGE_REACHED = "ForgeReached"
    FORGE_STATUS_FAILED = "ForgeStatusFailed"
    CHANGE_MERGED = "ChangeMerged"
    REVIEW_GIVEN = "ReviewGiven"
    GLASS_BROKEN = "GlassBroken"
    LOGIN_FAILED = "LoginFailed"
    OPERATOR_ADDED = "OperatorAdded"
    OPERATOR_CHANGED = "OperatorChanged"
    OPERATOR_REMOVED = "OperatorRemoved"
    ISSUER_CHANGED = "IssuerChanged"
    OPERATOR_LOGGED_IN = "OperatorLoggedIn"
    OPERATOR_LOGGED_OUT = "OperatorLoggedOut"
    MEMBER_INVITED = "MemberInvited"
    MEMBER_JOINED = "MemberJoined"
    MEMBER_REMOVED = "MemberRemoved"
    MEMBER_KEY_OFFERED = "MemberKeyOffered"
    MEMBER_KEY_ROTATED = "MemberKeyRotated"
    AUTHORITY_CHANGED = "AuthorityChanged"
    MEMBER_STARTED = "MemberStarted"
    MEMBER_STOPPED = "MemberStopped"
    CONTROLLER_MOVED = "ControllerMoved"
    CONTROLLER_RESTORED = "ControllerRestored"
    CONTROLLER_REPLACED = "ControllerReplaced"
    CONTROLLER_DISPUTED = "ControllerDisputed"
    REVISION_FETCHED = "RevisionFetched"
    REVISION_VERIFIED = "RevisionVerified"
    REVISION_REFUSED = "RevisionRefused"
    REVISION_ACTIVATED = "RevisionActivated"
    REVISION_ROLLED_BACK = "RevisionRolledBack"
    REVISION_SUPERSEDED = "RevisionSuperseded"
    REVISION_RECALLED = "RevisionRecalled"
    DRIFT_FOUND = "DriftFound"
    SIGNER_DISTRUSTED = "SignerDistrusted"
    ORDER_GIVEN = "OrderGiven"
    ORDER_CARRIED_OUT = "OrderCarriedOut"
    ORDER_REFUSED = "OrderRefused"
    ORDER_EXPIRED = "OrderExpired"
    PLAN_APPLIED = "PlanApplied"
    OWNERSHIP_TAKEN = "OwnershipTaken"
    OWNERSHIP_LOST = "OwnershipLost"
    RUN_STARTED = "RunStarted"
    RUN_FINISHED = "RunFinished"
    RUN_FAILED = "RunFailed"
    DELIVERY_SUCCEEDED = "DeliverySucceeded"
    DELIVERY_FAILED = "DeliveryFailed"
    DELIVERY_SKIPPED = "DeliverySkipped"
    DELIVERY_GIVEN_UP = "DeliveryGivenUp"
    DESTINATION_AWAY = "DestinationAway"
    COMMAND_FAILED = "CommandFailed"
    TRANSFER_MOVE_ORDERED = "TransferMoveOrdered"
    TRANSFER_PAUSED = "TransferPaused"
    TRANSFER_RESUMED = "TransferResumed"
    TRANSFER_RECOVERED = "TransferRecovered"
    INBOUND_LOGIN_FAILED = "InboundLoginFailed"
    SESSION_OPENED = "SessionOpened"
    SESSION_CLOSED = "SessionClosed"
    UPLOAD_FINISHED = "UploadFinished"
    DOWNLOAD_FINISHED = "DownloadFinished"
    WORKER_ENDED = "WorkerEnded"
    EVENT_HANDLER_FAILING = "EventHandlerFailing"
    EVENT_HANDLER_RECOVERED = "EventHandlerRecovered"
    EVENT_HANDLER_TESTED = "EventHandlerTested"
    SOURCE_BANNED = "SourceBanned"
    SOURCE_UNBANNED = "SourceUnbanned"
    EVENTS_DROPPED = "EventsDropped"


_FIXED = ("member", "seq", "at", "event", "revision", "epoch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One fact. ``(member, seq)`` names it; ``seq`` rises by one per member, from 1.

    ``at`` is the writer's wall clock, RFC 3339 in UTC with milliseconds; it orders nothing.
    ``facts`` holds what belongs to this kind of event; no secret is ever among them.
    """

    member: MemberName
    seq: int
    at: str
    event: EventName
    revision: Revision | None = None
    epoch: Epoch | None = None
    facts: Mapping[str, Fact] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a fact that would hide a fixed field; that is a programming error."""
        if clash := self.facts.keys() & set(_FIXED):
            raise ValueError(f"a fact cannot be called {', '.join(sorted(clash))}")

    def as_json(self) -> dict[str, Fact]:
        """Return the shape that ``events --json`` documents: the facts beside the fixed fields."""
        return {
            "member": self.member,
            "seq": self.seq,
            "at": self.at,
            "event": self.event.value,
            "revision": self.revision,
            "epoch": self.epoch,
            **self.facts,
        }


def parse_event(value: Mapping[str, Any]) -> Event:
    """Return the event that ``as_json`` gave ``value`` for.

    Raises:
        ValueError: a fixed field is missing or of the wrong type, or the event is unknown.
    """
    try:
        member, seq, at = value["member"], value["seq"], value["at"]
        name = EventName(value["event"])
    except KeyError as error:
        raise ValueError(f"an event without {error.args[0]}") from None
    revision, epoch = value.get("revision"), value.get("epoch")
    well_typed = (
        isinstance(member, str)
        and isinstance(seq, int)
        and isinstance(at, str)
        and isinstance(revision, str | None)
        and isinstance(epoch, int | None)
    )
    if not well_typed:
        raise ValueError("an event with a field of the wrong type")
    return Event(
        member=MemberName(member),
        seq=seq,
        at=at,
        event=name,
        revision=None if revision is None else Revision(revision),
        epoch=None if epoch is None else Epoch(epoch),
        facts={key: fact for key, fact in value.items() if key not in _FIXED},
    )
