"""``mftgit status``: how this member is; on the controller, how the whole cluster is."""

import json
from dataclasses import dataclass, field
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.process_lock import is_running
from mftgit.adapters.registry import MemberRecord
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.cli.options import dir_option, json_option, print_json
from mftgit.cli.records import open_records
from mftgit.cli.rollout import show_rollout
from mftgit.model.config import Ownership, Role
from mftgit.model.messages import MemberState, MemberStatus, judge_silence, parse_member_status
from mftgit.model.names import TransferName
from mftgit.model.printable import printable
from mftgit.model.rollout import describe
from mftgit.model.storage import Sharer, find_divided, parse_storage_status
from mftgit.model.under_way import describe_under_way, parse_under_way

_NOT_THERE = {
    state.value for state in (MemberState.SILENT, MemberState.STOPPED, MemberState.NEVER_SEEN)
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """What ``status --json`` prints."""

    cluster: str | None
    revision: str | None
    members: list[dict[str, Any]]
    rollout: dict[str, Any] | None = None
    divided: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the documented shape."""
        return {
            "cluster": self.cluster,
            "revision": self.revision,
            "rollout": self.rollout,
            "members": self.members,
            "divided": self.divided,
        }


@click.command(
    epilog="""\b
Examples:
  mftgit status --dir /var/lib/mftgit
  mftgit status --dir /var/lib/mftgit --json
"""
)
@dir_option
@json_option
def status(folder: StateFolder, as_json: bool) -> None:
    """Show this member; on the controller, every member: revision, transfers, owners, deliveries."""
    found = read_status(folder)
    if as_json:
        print_json(found.as_json())
    else:
        show_status(found, Console())


def read_status(folder: StateFolder) -> ClusterStatus:
    """Return the status from ``folder``, whether its member runs or not; raises ConfigError."""
    bootstrap = folder.read_bootstrap()
    running = is_running(folder.root)
    left = _read_left(folder)
    own = _own_status(bootstrap, left, running=running)
    progress = None
    if bootstrap.role is Role.CONTROLLER:
        with open_records(folder) as records:
            known = records.registry.members()
            head = records.registry.head()
            progress = records.registry.rollout()
        now = SystemClock().now().timestamp()
        members = [_of_record(each, own, now=now) for each in known]
        revision: str | None = head.oid if head else None
    else:
        members = [own.as_json(last_seen_s=0.0 if running else None)]
        revision = left.get("revision")
    return ClusterStatus(
        cluster=left.get("cluster"),
        revision=revision,
        members=members,
        rollout=None if progress is None else describe(progress),
        divided=find_divided(filter(None, map(_sharer, members))),
    )


def show_status(found: ClusterStatus, console: Console) -> None:
    """Print two tables: members, and transfers with their owners."""
    console.print(
        f"cluster [bold]{found.cluster or '-'}[/]  revision [bold]{_short(found.revision)}[/]"
    )
    if found.rollout is not None:
        show_rollout(found.rollout, console)
    members = Table("member", "role", "state", "active", "attempted", "last seen", box=box.SIMPLE)
    transfers = Table(
        "transfer", "on", "owner", "epoch", "state", "last run", "delivered", box=box.SIMPLE
    )
    for each in found.members:
        seen = each["last_seen_s"]
        members.add_row(
            each["name"],
            each["role"],
            each["state"],
            _short(each["active_revision"]),
            _short(each["attempted_revision"]),
            "never" if seen is None else f"{seen:.0f} s ago",
        )
        for one in each["transfers"]:
            transfers.add_row(
                one["name"],
                each["name"],
                one["owner"] or "-",
                "-" if one["epoch"] is None else str(one["epoch"]),
                f"{one['state']}, paused" if one["paused"] else one["state"],
                _run(one["last_run"]),
                str(one["delivered"]),
            )
    console.print(members)
    for each in found.members:
        if orders := _orders(each):
            console.print(f"{each['name']}: {orders}", markup=False)
        if each["reason"]:
            reason = printable(each["reason"], keep="\n")
            console.print(f"{each['name']}: {reason}", markup=False)
        if each["storage"] and each["storage"]["refused"]:
            refused = printable(each["storage"]["refused"])
            console.print(f"{each['name']}: owns nothing: {refused}", markup=False)
    for words in found.divided:
        console.print(words, markup=False)
    _show_services(found, console)
    if transfers.rows:
        console.print(transfers)
    _show_progress(found, console)
    _show_trouble(found, console)


def _show_services(found: ClusterStatus, console: Console) -> None:
    """Print the services of members, and why they fail."""
    services = Table(
        "service", "on", "address", "state", "sessions", "connections", "banned", box=box.SIMPLE
    )
    for each in found.members:
        for one in each["services"]:
            services.add_row(
                one["name"],
                each["name"],
                escape(printable(one["address"])),
                one["state"],
                str(one["sessions"]),
                str(one["connections"]),
                str(one["banned"]),
            )
    if services.rows:
        console.print(services)
    for each in found.members:
        for one in each["services"]:
            if one["reason"]:
                words = f"{one['name']} on {each['name']}: {printable(one['reason'])}"
                console.print(words, markup=False)


def _show_progress(found: ClusterStatus, console: Console) -> None:
    """Print the files that are on their way, one a line."""
    for each in found.members:
        for one in each["transfers"]:
            for way in parse_under_way(one["under_way"]):
                words = f"{one['name']} on {each['name']}: {printable(describe_under_way(way))}"
                console.print(words, markup=False, soft_wrap=True)


def _show_trouble(found: ClusterStatus, console: Console) -> None:
    """Print why transfers fail, one a line."""
    for each in found.members:
        for one in each["transfers"]:
            if one["reason"]:
                words = f"{one['name']} on {each['name']}: {printable(one['reason'])}"
                console.print(words, markup=False)


def _read_left(folder: StateFolder) -> dict[str, Any]:
    try:
        left = json.loads(folder.status.read_bytes())
    except (OSError, ValueError):
        return {}
    return left if isinstance(left, dict) else {}


def _own_status(bootstrap: Bootstrap, left: dict[str, Any], *, running: bool) -> MemberStatus:
    try:
        status = parse_member_status(left.get("member"))
    except ValueError:
        status = MemberStatus(
            name=bootstrap.name,
            role=bootstrap.role,
            state=MemberState.NEVER_SEEN,
            active_revision=None,
            attempted_revision=None,
            reason=None,
        )
    return status if running else judge_silence(status, None)


def _of_record(record: MemberRecord, own: MemberStatus, *, now: float) -> dict[str, Any]:
    silent_s = None if record.last_seen is None else max(0.0, now - record.last_seen)
    if record.name == own.name:
        return own.as_json(last_seen_s=silent_s if own.state is MemberState.STOPPED else 0.0)
    status = record.status or MemberStatus(
        name=record.name,
        role=record.role,
        state=MemberState.NEVER_SEEN,
        active_revision=None,
        attempted_revision=None,
        reason=None,
    )
    cut_off_s = None if record.cut_off is None else max(0.0, now - record.cut_off)
    shown = judge_silence(status, silent_s, cut_off_s=cut_off_s)
    return shown.as_json(last_seen_s=silent_s)


def _sharer(member: dict[str, Any]) -> Sharer | None:
    """Return what is known of the storage of a member that runs."""
    storage = parse_storage_status(member["storage"])
    if storage is None or member["state"] in _NOT_THERE:
        return None
    each = Ownership.EACH.value
    shared = frozenset(
        TransferName(one["name"]) for one in member["transfers"] if one["ownership"] != each
    )
    return Sharer(name=member["name"], storage=storage, transfers=shared)


def _orders(member: dict[str, Any]) -> str:
    words = ["suspended"] if member["suspended"] else []
    words += [f"pinned to {_short(member['pin'])}"] if member["pin"] else []
    words += [member["drain"]] if member["drain"] else []
    return ", ".join(words)


def _short(revision: str | None) -> str:
    return revision[:12] if revision else "-"


def _run(run: dict[str, Any] | None) -> str:
    if run is None:
        return "-"
    text = f"{run['outcome']}, {run['files']} files, {run['bytes']} bytes, {run['at']}"
    return escape(printable(text))  # the words are the member's own
