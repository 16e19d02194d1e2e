"""How the cluster is, as ``mftgit status`` and the Web Manager tell it: from the controller's records."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mftgit.adapters.registry.members import MemberOutline, MemberRecord
from mftgit.adapters.registry.registry import BrokenGlass, Registry
from mftgit.adapters.state_folder import Bootstrap
from mftgit.model.configuration.config import Ownership, Role
from mftgit.model.members.messages import (
    Head,
    MemberState,
    MemberStatus,
    judge_silence,
    parse_member_status,
)
from mftgit.model.names import MemberName, Revision, TransferName
from mftgit.model.ownership.storage import Sharer, find_divided, parse_storage_status
from mftgit.model.rollout.told import describe

_OUTLINED = (
    "state",
    "active_revision",
    "attempted_revision",
    "reason",
    "suspended",
    "pin",
    "drain",
)
NOT_THERE = {
    state.value for state in (MemberState.SILENT, MemberState.STOPPED, MemberState.NEVER_SEEN)
}
"""States of a member whose transfers, services and event handlers were as they are told when it was heard of last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """What ``status --json`` prints. ``recovery_key``: whether there is one; None on a node."""

    cluster: str | None
    revision: str | None
    members: list[dict[str, Any]]
    rollout: dict[str, Any] | None = None
    divided: list[str] = field(default_factory=list)
    glass_broken: dict[str, str] | None = None
    recovery_key: bool | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the documented shape."""
        return {
            "cluster": self.cluster,
            "revision": self.revision,
            "rollout": self.rollout,
            "members": self.members,
            "divided": self.divided,
            "glass_broken": self.glass_broken,
            "recovery_key": self.recovery_key,
        }


def status_of_cluster(
    registry: Registry,
    bootstrap: Bootstrap,
    left: dict[str, Any],
    *,
    running: bool,
    now: float,
    recovery_key: bool,
) -> ClusterStatus:
    """Return how all members are; ``left`` is what the controller's own member wrote of itself last.

    ``now`` is POSIX time; ``running``: whether that member runs; ``recovery_key``: whether the controller has one.
    """
    own = own_status(bootstrap, left, running=running)
    head, progress = registry.head(), registry.rollout()
    records = registry.members()
    members = [_of_record(each, own, now=now) for each in records]
    return ClusterStatus(
        cluster=left.get("cluster"),
        revision=head.oid if head else None,
        members=members,
        rollout=None if progress is None else describe(progress, what_runs(records)),
        divided=_divided(members),
        glass_broken=_glass(registry.glass(), head),
        recovery_key=recovery_key,
    )


def what_runs(records: Sequence[MemberRecord]) -> dict[MemberName, Revision | None]:
    """Return which revision each member said last that it runs."""
    return {each.name: each.status.active_revision if each.status else None for each in records}


def mark_of_cluster(registry: Registry, left: dict[str, Any], *, now: float) -> str:
    """Return what is another text as soon as the outline of a member, or the roll-out, is another one.

    It costs little also where there are many members. That time goes by, and what transfers do, are no news here.
    """
    digest = hashlib.sha256(repr((registry.head(), registry.rollout())).encode())
    own = left.get("member")
    told = {name: own.get(name) for name in _OUTLINED} if isinstance(own, dict) else None
    digest.update(json.dumps([left.get("cluster"), told]).encode())
    for each in registry.outlines():
        status = replace(_never_seen(each), state=each.state or MemberState.NEVER_SEEN)
        shown = judge_silence(
            status, _since(each.last_seen, now), cut_off_s=_since(each.cut_off, now)
        )
        digest.update(f"{each.name}\0{shown.state.value}\0{each.said}\0".encode())
    return digest.hexdigest()


def _since(at: float | None, now: float) -> float | None:
    return None if at is None else max(0.0, now - at)


def status_of_member(bootstrap: Bootstrap, left: dict[str, Any], *, running: bool) -> ClusterStatus:
    """Return how this one member is, which wrote ``left`` of itself last."""
    own = own_status(bootstrap, left, running=running)
    members = [own.as_json(last_seen_s=0.0 if running else None)]
    return ClusterStatus(
        cluster=left.get("cluster"),
        revision=left.get("revision"),
        members=members,
        divided=_divided(members),
    )


def _glass(glass: BrokenGlass | None, head: Head | None) -> dict[str, str] | None:
    """Return by whom and why the published revision is there without approvals; None where it is not so."""
    if glass is None or head is None or glass.revision != head.oid:
        return None
    return {"revision": glass.revision, "who": glass.who, "reason": glass.reason}


def own_status(bootstrap: Bootstrap, left: dict[str, Any], *, running: bool) -> MemberStatus:
    """Return how the member is that wrote ``left``."""
    try:
        status = parse_member_status(left.get("member"))
    except ValueError:
        status = _never_seen(bootstrap)
    return status if running else judge_silence(status, None)


def _of_record(record: MemberRecord, own: MemberStatus, *, now: float) -> dict[str, Any]:
    silent_s = _since(record.last_seen, now)
    if record.name == own.name:
        return own.as_json(last_seen_s=silent_s if own.state is MemberState.STOPPED else 0.0)
    status = record.status or _never_seen(record)
    shown = judge_silence(status, silent_s, cut_off_s=_since(record.cut_off, now))
    return shown.as_json(last_seen_s=silent_s)


def _never_seen(member: Bootstrap | MemberRecord | MemberOutline) -> MemberStatus:
    return MemberStatus(
        name=member.name,
        role=Role(member.role),
        state=MemberState.NEVER_SEEN,
        active_revision=None,
        attempted_revision=None,
        reason=None,
    )


def _divided(members: Sequence[dict[str, Any]]) -> list[str]:
    return find_divided(filter(None, map(_sharer, members)))


def _sharer(member: dict[str, Any]) -> Sharer | None:
    """Return what is known of the storage of a member that runs."""
    storage = parse_storage_status(member["storage"])
    if storage is None or member["state"] in NOT_THERE:
        return None
    each = Ownership.EACH.value
    shared = frozenset(
        TransferName(one["name"]) for one in member["transfers"] if one["ownership"] != each
    )
    return Sharer(name=member["name"], storage=storage, transfers=shared)
