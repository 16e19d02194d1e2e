"""Make typed configuration from documents that have passed their schema and hold no template any more."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mftgit.model.configuration.config import (
    EVERYWHERE,
    ActiveOn,
    AfterSuccess,
    Batch,
    Claiming,
    Cluster,
    Deduplicate,
    Destination,
    Fallback,
    Member,
    Overwrite,
    Ownership,
    Preserve,
    Role,
    Source,
    Transfer,
    Verify,
    Web,
)
from mftgit.model.configuration.controller_line import build_line
from mftgit.model.documents.given import Value, given
from mftgit.model.events.retention import EventLimits
from mftgit.model.inbound.service import LOOPBACK, Listen
from mftgit.model.names import LocationName, MemberName, TransferName
from mftgit.model.ownership.etcd import build_etcd
from mftgit.model.review.policy import build_review
from mftgit.model.revisions.limits import build_limits
from mftgit.model.rollout.cohorts import build_rollout
from mftgit.model.rollout.windows import build_windows
from mftgit.model.transfers.calendars import build_calendars
from mftgit.model.transfers.checksum import ChecksumFormat, Sidecar
from mftgit.model.transfers.commands import build_commands
from mftgit.model.transfers.content import build_content
from mftgit.model.transfers.failover import Failover
from mftgit.model.transfers.retry import Retry
from mftgit.model.transfers.source import Checksum, Marker, Order, Pattern, Regex
from mftgit.model.transfers.triggers import (
    AfterTrigger,
    CronTrigger,
    IntervalTrigger,
    ManualTrigger,
    Trigger,
    WatchBy,
    WatchTrigger,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Where a component runs, in the fields that are the same for every member."""

    active_on: ActiveOn = EVERYWHERE
    enabled: bool = True
    prefer: tuple[MemberName, ...] = ()

    def runs_on(self, member: Member) -> bool:
        """Tell whether the component runs on ``member``; ``enabled: false`` always wins."""
        return self.enabled and self.active_on.includes(member)


def build_cluster(value: Value) -> Cluster:
    """Return what ``cluster.yaml`` says."""
    fields = given(
        value,
        name=str,
        poll_s=float,
        rollout=build_rollout,
        windows=build_windows,
        calendars=build_calendars,
        controller=build_line,
        events=build_event_limits,
        review=build_review,
    )
    coordinator = value.get("coordinator", {})
    if "ttl_s" in coordinator:
        fields["lease_ttl_s"] = float(coordinator["ttl_s"])
    if "etcd" in coordinator:
        fields["etcd"] = build_etcd(coordinator["etcd"], value["name"])
    confirm = value.get("confirm", {})
    if "within_s" in confirm:
        fields["confirm_s"] = float(confirm["within_s"])
    fields["confirm_command"] = confirm.get("command")
    if "version" in value.get("trust", {}):
        fields["policy_version"] = int(value["trust"]["version"])
    if "require_approvals" in value.get("trust", {}):
        fields["require_approvals"] = int(value["trust"]["require_approvals"])
    if "break_glass" in value.get("trust", {}):
        fields["trust_break_glass"] = int(value["trust"]["break_glass"])
    if "limits" in value.get("gate", {}):
        fields["limits"] = build_limits(value["gate"]["limits"])
    if "ledger_days" in value.get("retention", {}):
        fields["ledger_days"] = int(value["retention"]["ledger_days"])
    if "age" in value:
        fields["age_operators"] = dict(value["age"]["operators"])
    return Cluster(**fields)


def build_event_limits(value: Value) -> EventLimits:
    """Return for how long events are kept, and how much of them."""
    names = ("keep_days", "keep_info_days", "max_bytes", "member_keep_days", "member_max_bytes")
    return EventLimits(**given(value, **dict.fromkeys(names, int)))


def build_member(name: MemberName, value: Value) -> Member:
    """Return what ``members/NAME.yaml`` says."""
    fields = given(value, labels=dict, variables=dict, age_recipient=str, web=_web)
    return Member(name=name, role=Role(value["role"]), **fields)


def _web(value: Value) -> Web:
    listen = value["listen"]
    return Web(listen=Listen(address=listen.get("address", LOOPBACK), port=listen["port"]))


def build_scope(value: Value, default: ActiveOn = EVERYWHERE) -> Scope:
    """Return where a component runs, by ``default`` where its document does not say so."""
    fields = given(value, active_on=build_active_on, enabled=bool, prefer=tuple)
    return Scope(**{"active_on": default, **fields})


def build_active_on(value: str | list[str] | Mapping[str, Mapping[str, str]]) -> ActiveOn:
    """Return what ``active_on`` of a component says."""
    if isinstance(value, str):
        return {
            "all": EVERYWHERE,
            "controller": ActiveOn(roles=frozenset({Role.CONTROLLER})),
            "nodes": ActiveOn(roles=frozenset({Role.NODE})),
        }[value]
    if isinstance(value, list):
        return ActiveOn(members=frozenset(MemberName(name) for name in value))
    return ActiveOn(labels=frozenset(value["labels"].items()))


def build_transfer(name: TransferName, value: Value) -> Transfer:
    """Return what ``transfers/NAME.yaml`` says, once its templates are replaced."""
    fields = given(
        value,
        source=_source,
        destination=_destination,
        trigger=build_trigger,
        content=build_content,
        retry=_retry,
        batch=_batch,
        parallel=int,
        deduplicate=_deduplicate,
        commands=build_commands,
        bytes_per_s=int,
        ownership=Ownership,
        prefer=tuple,
        failover=_failover,
    )
    if after := value.get("after_success"):
        fields["after_success"] = AfterSuccess(after["action"])
        fields["archive_path"] = after.get("path")
        fields["archive_days"] = after.get("keep_days")
    return Transfer(name=name, **fields)


def _source(value: Value) -> Source:
    return Source(
        location=LocationName(value["location"]),
        **given(
            value,
            path=str,
            claim=Claiming,
            include=_patterns,
            exclude=_patterns,
            recursive=bool,
            depth=int,
            stable_s=float,
            min_size_bytes=int,
            max_size_bytes=int,
            min_age_s=float,
            max_age_s=float,
            marker=_marker,
            checksum=_checksum,
            order=Order,
            descending=bool,
            at_most=int,
        ),
    )


def _patterns(values: Iterable[str | Value]) -> tuple[Pattern, ...]:
    return tuple(each if isinstance(each, str) else Regex(regex=each["regex"]) for each in values)


def _checksum(value: Value) -> Checksum:
    return Checksum(**given(value, suffix=str, required=bool))


def _marker(value: Value) -> Marker:
    return Marker(**given(value, suffix=str, replaces=bool))


def _destination(value: Value) -> Destination:
    return Destination(
        location=LocationName(value["location"]),
        **given(
            value,
            path=str,
            name=str,
            timezone=str,
            temporary_prefix=str,
            temporary_suffix=str,
            temporary_folder=str,
            overwrite=Overwrite,
            preserve=lambda names: frozenset(map(Preserve, names)),
            verify=Verify,
            checksum=build_sidecar,
            resume=bool,
            fallback=_fallback,
        ),
    )


def build_sidecar(value: Value) -> Sidecar:
    """Return what ``checksum`` of a destination says."""
    return Sidecar(**given(value, suffix=str, format=ChecksumFormat))


def _fallback(value: Value) -> Fallback:
    return Fallback(
        location=LocationName(value["location"]), **given(value, path=str, after_failures=int)
    )


def _retry(value: Value) -> Retry:
    return Retry(
        **given(value, first_s=float, longest_s=float, jitter=float, attempts=int, quarantine=str)
    )


def _failover(value: Value) -> Failover:
    return Failover(**given(value, after_failures=int, cool_down_s=float))


def _batch(value: Value) -> Batch:
    return Batch(**given(value, at_least=int))


def _deduplicate(value: Value) -> Deduplicate:
    return Deduplicate(within_days=int(value["within_days"]))


def build_trigger(value: Value) -> Trigger:
    """Return when a transfer fires, as its field ``trigger`` says."""
    if "cron" in value:
        return CronTrigger(
            **given(value["cron"], expression=str, timezone=str, calendar=str, catch_up_s=float)
        )
    if "interval" in value:
        return IntervalTrigger(
            **given(value["interval"], every_s=float, calendar=str, catch_up_s=float)
        )
    if "after" in value:
        return AfterTrigger(**given(value["after"], transfer=TransferName, calendar=str))
    if "manual" in value:
        return ManualTrigger()
    return WatchTrigger(**given(value["watch"], every_s=float, by=WatchBy, calendar=str))
