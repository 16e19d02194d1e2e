"""``mftgit transfer list`` and ``show``: how the transfers of this member are."""

from typing import Any, Final

import click
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.options import Name, dir_option, json_option, print_json
from mftgit.cli.transfer.here import Active, Here, not_running, read_active, read_here
from mftgit.model.amounts import format_bytes
from mftgit.model.configuration.config import Transfer
from mftgit.model.configuration.definition import (
    describe_location,
    describe_trigger,
    tell_definition,
)
from mftgit.model.names import TransferName
from mftgit.model.printable import printable
from mftgit.model.transfers.pause import read_pause_fields
from mftgit.model.transfers.status import TransferStatus
from mftgit.model.transfers.under_way import describe_under_way

_COLOURS: Final = {"failing": "red", "running": "green", "ending": "yellow"}


@click.command(
    name="list",
    epilog="""\b
Examples:
  mftgit transfer list --dir /var/lib/mftgit
  mftgit transfer list --dir /var/lib/mftgit --json
""",
)
@dir_option
@json_option
def list_transfers(folder: StateFolder, as_json: bool) -> None:
    """List the transfers that this member runs or stands by for: owner, state, next firing, last run, what waits."""
    here = read_here(folder)
    told = [here.tell(each) for each in here.transfers]
    if as_json:
        print_json({"member": here.bootstrap.name, "running": here.running, "transfers": told})
        return
    console = Console()
    if word := not_running(here):
        console.print(word, style="yellow", markup=False)
    table = Table(
        "transfer", "owner", "epoch", "state", "next", "last run", "waiting", box=box.SIMPLE
    )
    for each in told:
        colour = _COLOURS.get(each["state"], "default")
        table.add_row(
            each["name"],
            each["owner"] or "-",
            "-" if each["epoch"] is None else str(each["epoch"]),
            f"[{colour}]{state(each)}[/]",
            _safe(each["next_at"] or "-"),
            _safe(last_run(each)),
            waiting(each),
        )
    console.print(table)
    for each in told:
        if each["paused"]:
            console.print(f"{each['name']}: {_paused(each)}", markup=False)
        if each["reason"]:
            console.print(f"{each['name']}: {printable(trouble(each))}", markup=False)


@click.command(
    epilog="""\b
Examples:
  mftgit transfer show invoices --dir /var/lib/mftgit
  mftgit transfer show invoices --dir /var/lib/mftgit --json
"""
)
@click.argument("name", type=Name())
@dir_option
@json_option
def show(name: TransferName, folder: StateFolder, as_json: bool) -> None:
    """Show how transfer NAME is on this member, and its definition as this member runs it.

    The definition is that of the confirmed revision, with variables replaced and defaults filled in. Of passwords and
    keys it says where they lie, and never what they are.
    """
    here = read_here(folder)
    active = read_active(folder)
    transfer = active.transfer(name)
    status = here.find(name)
    if not as_json:
        _show(here, active, transfer, status)
        return
    print_json(
        {
            "member": here.bootstrap.name,
            "running": here.running,
            "revision": active.revision,
            "name": name,
            "status": None if status is None else here.tell(status),
            "definition": tell_definition(transfer, active.generation),
        }
    )


def state(told: dict[str, Any]) -> str:
    """Return what it is doing, for people."""
    return f"{told['state']}, paused" if told["paused"] else str(told["state"])


def owner(told: dict[str, Any]) -> str:
    """Return who owns it, since when and why, for people."""
    words = [told["owner"] or "nobody", f"epoch {told['epoch'] or '-'}"]
    words += [f"since {told['since']}"] if told["since"] else []
    words += [str(told["moved"])] if told["moved"] else []
    return ", ".join(words)


def last_run(told: dict[str, Any]) -> str:
    """Return how the last run went, for people."""
    run = told["last_run"]
    if run is None:
        return "-"
    words = f"{run['outcome']} {run['at']}: {run['files']} files, {format_bytes(run['bytes'])}"
    return f"{words}, caught up from {run['due_at']}" if run["caught_up"] else words


def waiting(told: dict[str, Any]) -> str:
    """Return what waits at the source, for people."""
    words = {"too_fresh": "too fresh", "failed": "failed"}
    found = [f"{count} {words[kind]}" for kind, count in told["waiting"].items() if count]
    return ", ".join(found) or "-"


def trouble(told: dict[str, Any]) -> str:
    """Return what went wrong, and when it is tried again."""
    again = told["retry_at"] or told["next_at"]
    return f"{told['reason']}" + (f" (tried again at {again})" if again else "")


def _show(here: Here, active: Active, transfer: Transfer, status: TransferStatus | None) -> None:
    if word := not_running(here):
        click.secho(word, fg="yellow")
    click.secho(transfer.name, bold=True)
    if status is None:
        _row("state", "not told by the member yet")
    else:
        told = here.tell(status)
        _row("state", state(told))
        if told["paused"]:
            _row("paused", _paused(told))
        _row("owner", owner(told))
        _row("next firing", told["next_at"] or "-")
        _row("last run", last_run(told))
        _row("waiting", waiting(told))
        _row("delivered", f"{told['delivered']:,} files, by all members")
        for way in status.under_way:
            _row("under way", describe_under_way(way))
        if told["reason"]:
            _row("trouble", trouble(told))
    for label, text in _definition(active, transfer):
        _row(label, text)


def _fallback(active: Active, transfer: Transfer) -> list[tuple[str, str]]:
    other = transfer.destination.fallback
    if other is None:
        return []
    where = describe_location(active.generation.locations[other.location])
    return [
        ("or to", f"{where}, {other.path}, after {other.after_failures} runs that do not reach it")
    ]


def _definition(active: Active, transfer: Transfer) -> list[tuple[str, str]]:
    locations = active.generation.locations
    source, destination = transfer.source, transfer.destination
    but_for = f" but for {', '.join(map(str, source.exclude))}" if source.exclude else ""
    below = ", and in the folders below" if source.recursive else ""
    archive = f" to {transfer.archive_path}" if transfer.archive_path else ""
    kept = f", for {transfer.archive_days} days" if transfer.archive_days else ""
    least = f", at least {transfer.batch.at_least}" if transfer.batch else ""
    return [
        ("revision", active.revision),
        ("from", f"{describe_location(locations[source.location])}, {source.path}{below}"),
        (
            "files",
            f"{', '.join(map(str, source.include))}{but_for}, unchanged for {source.stable_s:g} s",
        ),
        ("to", f"{describe_location(locations[destination.location])}, {destination.path}"),
        *_fallback(active, transfer),
        ("overwrite", destination.overwrite.value),
        ("together", f"all or none{least}" if transfer.batch else "each by itself"),
        ("runs", describe_trigger(transfer.trigger)),
        ("after", f"{transfer.after_success.value}{archive}{kept}"),
        ("ownership", ", ".join((transfer.ownership.value, *transfer.prefer))),
    ]


def _paused(told: dict[str, Any]) -> str:
    return printable(str(read_pause_fields(told["paused"])))


def _row(label: str, text: str) -> None:
    click.echo(f"  {label:12} {printable(text)}")


def _safe(text: str) -> str:
    return escape(printable(text))
