"""``mftgit status``: how this member is; on the controller, how the whole cluster is."""

from typing import Any

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.process_lock import is_running
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.options import dir_option, json_option, print_json
from mftgit.cli.records import open_records
from mftgit.cli.rollout import show_rollout
from mftgit.controller.recovery.seal import is_recoverable
from mftgit.controller.views.cluster_status import (
    NOT_THERE,
    ClusterStatus,
    status_of_cluster,
    status_of_member,
)
from mftgit.model.configuration.config import Role
from mftgit.model.printable import printable
from mftgit.model.transfers.under_way import describe_under_way, parse_under_way


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
        _warn_of_loss(found)


def _warn_of_loss(found: ClusterStatus) -> None:
    """Say on the controller that it has no recovery key."""
    if found.recovery_key is False:
        click.echo(
            "no recovery key: were this controller lost, every member would have to join again; "
            "make one: mftgit controller recovery-key --new"
        )


def read_status(folder: StateFolder) -> ClusterStatus:
    """Return the status from ``folder``, whether its member runs or not; raises ConfigError."""
    bootstrap = folder.read_bootstrap()
    running, left = is_running(folder.root), folder.read_status()
    if bootstrap.role is not Role.CONTROLLER:
        return status_of_member(bootstrap, left, running=running)
    now = SystemClock().now().timestamp()
    with open_records(folder) as records:
        return status_of_cluster(
            records.registry,
            bootstrap,
            left,
            running=running,
            now=now,
            recovery_key=is_recoverable(folder),
        )


def show_status(found: ClusterStatus, console: Console) -> None:
    """Print two tables: members, and transfers with their owners."""
    _show_published(found, console)
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
                _said(each, f"{one['state']}, paused" if one["paused"] else one["state"]),
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
    _show_event_handlers(found, console)
    if transfers.rows:
        console.print(transfers)
    _show_progress(found, console)
    _show_dropped(found, console)
    _show_trouble(found, console)


def _show_published(found: ClusterStatus, console: Console) -> None:
    """Print what is published, in whatever way that came, and how it is rolled out."""
    console.print(
        f"cluster [bold]{found.cluster or '-'}[/]  revision [bold]{_short(found.revision)}[/]"
    )
    if found.glass_broken is not None:
        who, reason = found.glass_broken["who"], printable(found.glass_broken["reason"])
        words = f"it was published without approval, by a broken glass: {who}: {reason}"
        console.print(words, style="bold red", markup=False, soft_wrap=True)
    if found.rollout is not None:
        show_rollout(found.rollout, console)


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
                _said(each, one["state"]),
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


def _show_event_handlers(found: ClusterStatus, console: Console) -> None:
    """Print the event handlers of members, and what fails of them."""
    handlers = Table(
        "event handler", "on", "type", "state", "behind", "missed", "last", box=box.SIMPLE
    )
    for each in found.members:
        for one in each["event_handlers"]:
            last = "-" if one["last"] is None else f"{one['last']}, {one['last_at']}"
            handlers.add_row(
                one["name"],
                each["name"],
                one["type"],
                _said(each, one["state"]),
                str(one["behind"]),
                str(one["missed"]),
                escape(printable(last)),
            )
    if handlers.rows:
        console.print(handlers)
    for each in found.members:
        for one in each["event_handlers"]:
            if one["error"]:
                words = f"{one['name']} on {each['name']}: {printable(one['error'])}"
                console.print(words, markup=False)


def _show_progress(found: ClusterStatus, console: Console) -> None:
    """Print the files that are on their way, one a line."""
    for each in found.members:
        for one in each["transfers"]:
            for way in parse_under_way(one["under_way"]):
                told = printable(describe_under_way(way))
                words = f"{one['name']} on {each['name']}: {_said(each, told)}"
                console.print(words, markup=False, soft_wrap=True)


def _show_trouble(found: ClusterStatus, console: Console) -> None:
    """Print why transfers fail, one a line."""
    for each in found.members:
        for one in each["transfers"]:
            if one["reason"]:
                words = f"{one['name']} on {each['name']}: {printable(one['reason'])}"
                console.print(words, markup=False)


def _show_dropped(found: ClusterStatus, console: Console) -> None:
    """Print whose event log has lost events."""
    for each in found.members:
        if count := each.get("events_dropped"):
            words = f"the event log of {each['name']} was full: {count} events were dropped (mftgit events tells which)"
            console.print(words, markup=False, soft_wrap=True)


def _said(member: dict[str, Any], words: str) -> str:
    """Mark ``words`` as its last ones where a member does not run, or is not heard of: so it was then."""
    if member["state"] not in NOT_THERE:
        return words
    seen = member["last_seen_s"]
    return f"was {words}" if seen is None else f"was {words}, {seen:.0f} s ago"


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
