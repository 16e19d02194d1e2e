"""What an event is about and how much it matters: group, severity and component, for searches, filters and people."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, unique
from typing import Final

from mftgit.model.events.event import Event
from mftgit.model.events.event import EventName as Name


@unique
class Severity(Enum):
    """How much an event matters, in the words of RFC 5424, section 6.2.1, least first.

    INFO: work as usual. NOTICE: somebody changed something, or it is news. WARNING: it may need somebody. ERROR: it
    does need somebody.
    """

    INFO = "info"
    NOTICE = "notice"
    WARNING = "warning"
    ERROR = "error"

    @property
    def code(self) -> int:
        """The number that RFC 5424 gives it, the worse the lower."""
        return _CODES[self]

    def reaches(self, least: "Severity") -> bool:
        """Tell whether this matters as much as ``least``, or more."""
        return self.code <= least.code


_CODES: Final[Mapping[Severity, int]] = {
    Severity.ERROR: 3,
    Severity.WARNING: 4,
    Severity.NOTICE: 5,
    Severity.INFO: 6,
}


@unique
class Group(Enum):
    """What part of the cluster's life an event belongs to.

    CHANGE: pushes, proposals, what is published. ROLLOUT: its way through the members. REVISION: what a member makes of
    it. MEMBER: joining, starting, keys, orders. ACCESS: operators. TRANSFER: owners, runs, files. INBOUND: clients.
    """

    CHANGE = "change"
    ROLLOUT = "rollout"
    REVISION = "revision"
    MEMBER = "member"
    ACCESS = "access"
    TRANSFER = "transfer"
    INBOUND = "inbound"


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """What a document configures; ``kind`` is ``transfer``, ``service``, ``event-handler`` or ``location``."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventKind:
    """What holds for all events of one name; ``ends`` is the severity of what one says the end of."""

    group: Group
    severity: Severity
    ends: Severity | None = None

    def reaches(self, least: Severity) -> bool:
        """Tell whether it is for whoever wants to hear of ``least`` and worse: also that such a thing is over."""
        return (self.ends or self.severity).reaches(least)


def _kinds() -> dict[Name, EventKind]:
    found: dict[Name, EventKind] = {}
    for group, severities in _TABLE.items():
        for severity, names in severities.items():
            found |= {
                each: EventKind(group=group, severity=severity, ends=_ENDS.get(each))
                for each in names
            }
    return found


_ENDS: Final[Mapping[Name, Severity]] = {
    Name.TRANSFER_RECOVERED: Severity.ERROR,
    Name.EVENT_HANDLER_RECOVERED: Severity.WARNING,
    Name.FORGE_REACHED: Severity.WARNING,
}

_TABLE: Final[Mapping[Group, Mapping[Severity, tuple[Name, ...]]]] = {
    Group.CHANGE: {
        Severity.INFO: (Name.PUSH_RECEIVED,),
        Severity.NOTICE: (
            Name.PUSH_REFUSED,
            Name.REVISION_PUBLISHED,
            Name.CHANGE_PROPOSED,
            Name.CHANGE_REMOVED,
            Name.FORGE_REACHED,
            Name.CHANGE_MERGED,
            Name.REVIEW_GIVEN,
        ),
        Severity.WARNING: (Name.FORGE_UNREACHABLE, Name.FORGE_STATUS_FAILED),
        Severity.ERROR: (Name.FORGE_REFUSED, Name.GLASS_BROKEN),
    },
    Group.ROLLOUT: {
        Severity.INFO: (Name.ROLLOUT_STARTED, Name.ROLLOUT_FINISHED),
        Severity.NOTICE: (Name.ROLLOUT_PAUSED, Name.ROLLOUT_RESUMED, Name.ROLLOUT_PROMOTED),
        Severity.WARNING: (Name.ROLLOUT_ABORTED,),
        Severity.ERROR: (Name.ROLLOUT_HALTED,),
    },
    Group.REVISION: {
        Severity.INFO: (Name.REVISION_FETCHED, Name.REVISION_VERIFIED, Name.PLAN_APPLIED),
        Severity.NOTICE: (Name.REVISION_ACTIVATED, Name.REVISION_SUPERSEDED),
        Severity.WARNING: (Name.REVISION_RECALLED, Name.DRIFT_FOUND, Name.SIGNER_DISTRUSTED),
        Severity.ERROR: (Name.REVISION_REFUSED, Name.REVISION_ROLLED_BACK),
    },
    Group.MEMBER: {
        Severity.NOTICE: (
            Name.MEMBER_INVITED,
            Name.MEMBER_JOINED,
            Name.MEMBER_REMOVED,
            Name.MEMBER_KEY_OFFERED,
            Name.MEMBER_KEY_ROTATED,
            Name.MEMBER_STARTED,
            Name.MEMBER_STOPPED,
            Name.CONTROLLER_MOVED,
            Name.AUTHORITY_CHANGED,
            Name.ORDER_GIVEN,
            Name.ORDER_CARRIED_OUT,
            Name.EVENT_HANDLER_RECOVERED,
            Name.EVENT_HANDLER_TESTED,
        ),
        Severity.WARNING: (
            Name.CONTROLLER_RESTORED,
            Name.ORDER_REFUSED,
            Name.ORDER_EXPIRED,
            Name.EVENTS_DROPPED,
            Name.EVENT_HANDLER_FAILING,
        ),
        Severity.ERROR: (Name.CONTROLLER_REPLACED, Name.CONTROLLER_DISPUTED),
    },
    Group.ACCESS: {
        Severity.INFO: (Name.OPERATOR_LOGGED_IN, Name.OPERATOR_LOGGED_OUT),
        Severity.NOTICE: (
            Name.ISSUER_CHANGED,
            Name.OPERATOR_ADDED,
            Name.OPERATOR_CHANGED,
            Name.OPERATOR_REMOVED,
        ),
        Severity.WARNING: (Name.LOGIN_FAILED,),
    },
    Group.TRANSFER: {
        Severity.INFO: (
            Name.RUN_STARTED,
            Name.RUN_FINISHED,
            Name.DELIVERY_SUCCEEDED,
            Name.DELIVERY_SKIPPED,
        ),
        Severity.NOTICE: (
            Name.OWNERSHIP_TAKEN,
            Name.OWNERSHIP_LOST,
            Name.TRANSFER_MOVE_ORDERED,
            Name.TRANSFER_PAUSED,
            Name.TRANSFER_RESUMED,
            Name.TRANSFER_RECOVERED,
        ),
        Severity.WARNING: (Name.DELIVERY_FAILED, Name.DESTINATION_AWAY, Name.COMMAND_FAILED),
        Severity.ERROR: (Name.RUN_FAILED, Name.DELIVERY_GIVEN_UP),
    },
    Group.INBOUND: {
        Severity.INFO: (
            Name.SESSION_OPENED,
            Name.SESSION_CLOSED,
            Name.UPLOAD_FINISHED,
            Name.DOWNLOAD_FINISHED,
        ),
        Severity.NOTICE: (Name.SOURCE_UNBANNED,),
        Severity.WARNING: (Name.INBOUND_LOGIN_FAILED, Name.SOURCE_BANNED, Name.WORKER_ENDED),
    },
}

KINDS: Final[Mapping[Name, EventKind]] = _kinds()
"""Group and severity of every event there is."""


_FACTS: Final = {
    "transfer": "transfer",
    "service": "service",
    "event_handler": "event-handler",
}
"""By what fact an event tells the component that it is about, and the kind of that."""


def component(event: Event) -> Component | None:
    """Return the component that ``event`` is about: a transfer or a service, None where it is about none."""
    for fact, kind in _FACTS.items():
        name = event.facts.get(fact)
        if isinstance(name, str):
            return Component(kind=kind, name=name)
    return None


def location(event: Event) -> Component | None:
    """Return the location at which it happened, None where ``event`` names none."""
    name = event.facts.get("location")
    return Component(kind="location", name=name) if isinstance(name, str) else None


def account(event: Event) -> str | None:
    """Return the account that ``event`` is about, None where it is about none."""
    name = event.facts.get("account")
    return name if isinstance(name, str) else None
