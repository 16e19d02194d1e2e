"""Make typed configuration from documents that have passed their schema and hold no template any more."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mftgit.model.cohorts import build_rollout
from mftgit.model.config import (
    EVERYWHERE,
    ActiveOn,
    AfterSuccess,
    Auth,
    Cluster,
    CronTrigger,
    Destination,
    IntervalTrigger,
    KeyAuth,
    LocalLocation,
    Location,
    Member,
    Overwrite,
    Ownership,
    PasswordAuth,
    Preserve,
    Role,
    SftpLocation,
    Source,
    Transfer,
    Trigger,
    Verify,
    WatchTrigger,
)
from mftgit.model.controller_line import build_line
from mftgit.model.limits import build_limits
from mftgit.model.names import LocationName, MemberName, SecretName, TransferName
from mftgit.model.windows import build_windows

Value = Mapping[str, Any]
"""What a document says, once it has passed its schema."""


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
    fields = _given(
        value,
        name=str,
        poll_s=float,
        rollout=build_rollout,
        windows=build_windows,
        controller=build_line,
    )
    if "ttl_s" in value.get("coordinator", {}):
        fields["lease_ttl_s"] = float(value["coordinator"]["ttl_s"])
    confirm = value.get("confirm", {})
    if "within_s" in confirm:
        fields["confirm_s"] = float(confirm["within_s"])
    fields["confirm_command"] = confirm.get("command")
    if "version" in value.get("trust", {}):
        fields["policy_version"] = int(value["trust"]["version"])
    if "limits" in value.get("gate", {}):
        fields["limits"] = build_limits(value["gate"]["limits"])
    if "age" in value:
        fields["age_operators"] = dict(value["age"]["operators"])
    return Cluster(**fields)


def build_member(name: MemberName, value: Value) -> Member:
    """Return what ``members/NAME.yaml`` says."""
    fields = _given(value, labels=dict, variables=dict, age_recipient=str)
    return Member(name=name, role=Role(value["role"]), **fields)


def build_scope(value: Value) -> Scope:
    """Return where the component of a transfer, an account or a service runs."""
    return Scope(**_given(value, active_on=_active_on, enabled=bool, prefer=tuple))


def _active_on(value: str | list[str] | Mapping[str, Mapping[str, str]]) -> ActiveOn:
    if isinstance(value, str):
        return {
            "all": EVERYWHERE,
            "controller": ActiveOn(roles=frozenset({Role.CONTROLLER})),
            "nodes": ActiveOn(roles=frozenset({Role.NODE})),
        }[value]
    if isinstance(value, list):
        return ActiveOn(members=frozenset(MemberName(name) for name in value))
    return ActiveOn(labels=frozenset(value["labels"].items()))


def build_location(name: LocationName, value: Value) -> Location:
    """Return what ``locations/NAME.yaml`` says, once its templates are replaced."""
    if value["type"] == "local":
        return LocalLocation(name=name, path=value["path"])
    return SftpLocation(
        name=name,
        host=value["host"],
        username=value["username"],
        host_keys=tuple(value["host_keys"]),
        auth=tuple(_auth(way) for way in value["auth"]),
        **_given(value, port=int, path=str, timeout_s=float),
    )


def _auth(way: Value) -> Auth:
    if "password" in way:
        return PasswordAuth(**_given(way["password"], file=str, secret=SecretName))
    return KeyAuth(**_given(way["private_key"], file=str, secret=SecretName))


def build_transfer(name: TransferName, value: Value) -> Transfer:
    """Return what ``transfers/NAME.yaml`` says, once its templates are replaced."""
    fields = _given(
        value,
        source=_source,
        destination=_destination,
        trigger=_trigger,
        ownership=Ownership,
        prefer=tuple,
    )
    if after := value.get("after_success"):
        fields["after_success"] = AfterSuccess(after["action"])
        fields["archive_path"] = after.get("path")
    return Transfer(name=name, **fields)


def _source(value: Value) -> Source:
    return Source(
        location=LocationName(value["location"]),
        **_given(value, path=str, include=tuple, exclude=tuple, recursive=bool, stable_s=float),
    )


def _destination(value: Value) -> Destination:
    return Destination(
        location=LocationName(value["location"]),
        **_given(
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
        ),
    )


def _trigger(value: Value) -> Trigger:
    if "cron" in value:
        return CronTrigger(**_given(value["cron"], expression=str, timezone=str))
    if "interval" in value:
        return IntervalTrigger(**_given(value["interval"], every_s=float))
    return WatchTrigger(**_given(value["watch"], every_s=float))


def _given(value: Value, **readers: Callable[[Any], Any]) -> dict[str, Any]:
    """Return the fields that the document has, read; the others keep the default of the type."""
    return {name: read(value[name]) for name, read in readers.items() if name in value}
