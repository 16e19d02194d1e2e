"""The configuration of one revision as one member runs it, once it is known to be valid.

Every value here is rendered: variables are replaced, defaults are filled in, references are known to
resolve. Two generations that compare equal run alike, whatever their documents look like.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, unique
from typing import TYPE_CHECKING, Self

from mftgit.model.configuration.controller_line import ControllerLine
from mftgit.model.events.retention import EventLimits
from mftgit.model.inbound.account import Account
from mftgit.model.inbound.service import AnyService, Listen
from mftgit.model.locations.location import Location
from mftgit.model.names import (
    AccountName,
    EventHandlerName,
    LocationName,
    MemberName,
    SecretName,
    ServiceName,
    TransferName,
)
from mftgit.model.ownership.etcd import EtcdPlace
from mftgit.model.ownership.lease import DEFAULT_TTL_S
from mftgit.model.review.policy import ReviewPolicy
from mftgit.model.revisions.limits import Limits
from mftgit.model.rollout.cohorts import Rollout
from mftgit.model.rollout.windows import Windows
from mftgit.model.secrets.document import Secret
from mftgit.model.secrets.value import SecretValue
from mftgit.model.transfers.calendars import Calendar
from mftgit.model.transfers.checksum import Sidecar
from mftgit.model.transfers.commands import Commands
from mftgit.model.transfers.content import Step, comes_out_the_same
from mftgit.model.transfers.failover import Failover
from mftgit.model.transfers.ledger_line import LEDGER_DAYS
from mftgit.model.transfers.retry import Retry
from mftgit.model.transfers.source import Checksum, Marker, Order, Pattern
from mftgit.model.transfers.triggers import Trigger

if TYPE_CHECKING:
    from mftgit.model.handlers.handler import AnyEventHandler  # which says where it is active


@unique
class Role(Enum):
    """What a member is in the cluster."""

    CONTROLLER = "controller"
    NODE = "node"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """``cluster.yaml``: what holds for the cluster as a whole; without ``etcd``, leases lie in the shared folder."""

    name: str
    lease_ttl_s: float = DEFAULT_TTL_S
    etcd: EtcdPlace | None = None
    poll_s: float = 60.0
    confirm_s: float = 30.0
    confirm_command: str | None = None
    policy_version: int = 0
    limits: Limits = field(default_factory=Limits)
    rollout: Rollout | None = None
    windows: Windows = field(default_factory=Windows)
    controller: ControllerLine = field(default_factory=ControllerLine)
    age_operators: Mapping[str, str] = field(default_factory=dict)
    ledger_days: int = LEDGER_DAYS
    events: EventLimits = field(default_factory=EventLimits)
    calendars: Mapping[str, Calendar] = field(default_factory=dict)
    require_approvals: int = 0
    trust_break_glass: int = 0
    review: ReviewPolicy | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """Where a member has its own page and its metrics."""

    listen: Listen


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """``members/NAME.yaml``. Secrets are encrypted to ``age_recipient``; without it the member can read none.

    Without ``web`` it has no page of its own.
    """

    name: MemberName
    role: Role
    labels: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    age_recipient: str | None = None
    web: Web | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveOn:
    """On which members a component runs: by role, by name, or by label; any one of them is enough."""

    roles: frozenset[Role] = frozenset()
    members: frozenset[MemberName] = frozenset()
    labels: frozenset[tuple[str, str]] = frozenset()

    def includes(self, member: Member) -> bool:
        """Tell whether a component that is active on this runs on ``member``.

        With labels, the member has to carry all of them.
        """
        return (
            member.role in self.roles
            or member.name in self.members
            or (bool(self.labels) and self.labels <= set(member.labels.items()))
        )


EVERYWHERE = ActiveOn(roles=frozenset(Role))


@unique
class Claiming(Enum):
    """How a file is taken that does not stay at its source."""

    RENAME = "rename"
    """It is renamed into a folder of the owner's epoch at the source."""
    RECORD = "record"
    """Its record is the claim; it lies at its place until it is delivered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Which files a transfer takes, from where.

    ``path`` is below the location's path. A file is taken when it matches one of ``include`` and none of ``exclude``,
    lies at most ``depth`` folders deep where ``recursive`` is set (None: however deep), is of the size and the age
    that are asked for, has its ``marker``, and was unchanged for ``stable_s`` seconds. A run takes ``at_most`` so many.
    ``claim`` is how it is taken, where it is not kept at the source.
    """

    location: LocationName
    path: str = "."
    claim: Claiming = Claiming.RENAME
    include: tuple[Pattern, ...] = ("*",)
    exclude: tuple[Pattern, ...] = ()
    recursive: bool = False
    depth: int | None = None
    stable_s: float = 5.0
    min_size_bytes: int = 0
    max_size_bytes: int | None = None
    min_age_s: float = 0.0
    max_age_s: float | None = None
    marker: Marker | None = None
    checksum: Checksum | None = None
    order: Order = Order.TIME
    descending: bool = False
    at_most: int | None = None


@unique
class Overwrite(Enum):
    """What happens when the destination has a file of that name already."""

    FAIL = "fail"
    SKIP = "skip"
    OVERWRITE = "overwrite"
    RENAME = "rename"
    IF_NEWER = "if_newer"
    IF_DIFFERENT = "if_different"

    @property
    def replaces(self) -> bool:
        """Whether a file that is sent may take the place of another one."""
        return self in {Overwrite.OVERWRITE, Overwrite.IF_NEWER, Overwrite.IF_DIFFERENT}


@unique
class Preserve(Enum):
    """What a file keeps at its destination, besides its content."""

    TIMES = "times"
    MODE = "mode"


@unique
class Verify(Enum):
    """How it is made sure that the destination has the file as it was sent, before it gets its name."""

    SIZE = "size"
    READ_BACK = "read_back"
    DIGEST = "digest"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """Where files go instead, once the destination could not be reached by ``after_failures`` runs in a row."""

    location: LocationName
    path: str = "."
    after_failures: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where the files go. A file is sent under a temporary name, then renamed.

    ``resume``: a large file whose sending was cut is gone on with where it was (`mftgit.model.transfers.partial`).
    ``path`` and ``name`` are patterns (`transfers.naming`), their dates in ``timezone``. ``temporary_folder`` is
    below the location; None is beside the file. ``checksum`` is what lies beside each file, if anything.
    """

    location: LocationName
    path: str = "."
    name: str = "{name}"
    timezone: str = "UTC"
    temporary_prefix: str = "."
    temporary_suffix: str = ".part"
    temporary_folder: str | None = None
    overwrite: Overwrite = Overwrite.FAIL
    preserve: frozenset[Preserve] = frozenset()
    verify: Verify = Verify.SIZE
    checksum: Sidecar | None = None
    resume: bool = True
    fallback: Fallback | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The files of one run are visible at the destination all together or not at all; fewer than ``at_least`` wait."""

    at_least: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Deduplicate:
    """A file whose content was delivered ``within_days``, by whatever name, is skipped."""

    within_days: int


@unique
class AfterSuccess(Enum):
    """What happens to the source file once it is delivered."""

    DELETE = "delete"
    KEEP = "keep"
    ARCHIVE = "archive"
    MOVE = "move"


@unique
class Ownership(Enum):
    """How many members run a transfer at a time."""

    SINGLE = "single"
    EACH = "each"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """``transfers/NAME.yaml``: from where, to where, when, and what happens after.

    ``archive_path`` is a folder in the source's location; set exactly when ``after_success`` is ARCHIVE or MOVE. Out of
    an archive a file is removed after ``archive_days``, None: never. ``active_on`` is what its document says, whether
    this member is meant or not; how it runs does not follow from it. ``content`` is what is done to each file on its
    way, in that order.
    """

    name: TransferName
    source: Source
    destination: Destination
    trigger: Trigger
    content: tuple[Step, ...] = ()
    retry: Retry = field(default_factory=Retry)
    batch: Batch | None = None
    parallel: int = 1
    deduplicate: Deduplicate | None = None
    commands: Commands = field(default_factory=Commands)
    bytes_per_s: int | None = None
    after_success: AfterSuccess = AfterSuccess.DELETE
    archive_path: str | None = None
    archive_days: int | None = None
    ownership: Ownership = Ownership.SINGLE
    prefer: tuple[MemberName, ...] = ()
    failover: Failover = field(default_factory=Failover)
    active_on: ActiveOn = field(default=EVERYWHERE, compare=False)

    @property
    def claims(self) -> bool:
        """Return whether its files are renamed when they are taken; otherwise they stay until they are delivered."""
        keeps = self.after_success is AfterSuccess.KEEP
        return not keeps and self.source.claim is Claiming.RENAME

    @property
    def claims_by_record(self) -> bool:
        """Return whether its files stay until they are delivered, and do not stay then."""
        keeps = self.after_success is AfterSuccess.KEEP
        return not keeps and self.source.claim is Claiming.RECORD

    @property
    def resumes(self) -> bool:
        """Return whether a large file goes on where it was cut; not one with chance in it."""
        return self.destination.resume and comes_out_the_same(self.content)

    @property
    def is_plain(self) -> bool:
        """Whether nothing but their names ties its files to one another, nor is anything run for one of them."""
        ties = self.batch, self.deduplicate, self.source.checksum, self.destination.checksum
        return (
            all(tie is None for tie in ties)
            and not self.content
            and not self.claims_by_record
            and self.commands == Commands()
        )

    @property
    def locations(self) -> tuple[LocationName, ...]:
        """Return what it refers to: the source, the destination, and the fallback where there is one."""
        fallback = self.destination.fallback
        ends = self.source.location, self.destination.location
        return ends if fallback is None else (*ends, fallback.location)

    def at_fallback(self) -> Self:
        """Return the transfer as it goes to its fallback, which it has to have, by the rules of its destination."""
        fallback = self.destination.fallback
        if fallback is None:
            raise LookupError("no fallback")
        there = replace(
            self.destination, location=fallback.location, path=fallback.path, fallback=None
        )
        return replace(self, destination=there)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """The configuration of one revision for one member: what is enabled and active there, and nothing else.

    ``locations`` holds the locations that ``transfers`` and ``accounts`` refer to, and ``elsewhere`` those of them that
    other members have otherwise. ``accounts`` are those that may use one of ``services``, with what their groups say.
    ``declared`` names every transfer that has a document, and ``disabled`` those that run nowhere.
    ``sealed`` are the secrets that all these name, as their documents have them; ``secrets`` are their values, once
    this member has decrypted them. ``members`` are those that have a document.
    """

    cluster: Cluster
    member: Member
    locations: Mapping[LocationName, Location] = field(default_factory=dict)
    transfers: Mapping[TransferName, Transfer] = field(default_factory=dict)
    services: Mapping[ServiceName, AnyService] = field(default_factory=dict)
    accounts: Mapping[AccountName, Account] = field(default_factory=dict)
    event_handlers: "Mapping[EventHandlerName, AnyEventHandler]" = field(default_factory=dict)
    elsewhere: Mapping[MemberName, Mapping[LocationName, Location]] = field(default_factory=dict)
    declared: frozenset[TransferName] = frozenset()
    disabled: frozenset[TransferName] = frozenset()
    sealed: Mapping[SecretName, Secret] = field(default_factory=dict, compare=False)
    secrets: Mapping[SecretName, SecretValue] = field(default_factory=dict)
    members: Mapping[MemberName, Member] = field(default_factory=dict, compare=False)

    def eligible(self, transfer: Transfer) -> frozenset[MemberName] | None:
        """Return who may run ``transfer``, None for every member, also one that has no document.

        This member is among them: the transfer is active here, by whatever it is.
        """
        if transfer.active_on == EVERYWHERE:
            return None
        names = {name for name, each in self.members.items() if transfer.active_on.includes(each)}
        return frozenset(names | {self.member.name})
