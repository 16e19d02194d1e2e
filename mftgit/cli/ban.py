"""``mftgit ban``: look at the sources that members keep out, and let one in again."""

from contextlib import closing

import click
from rich.console import Console
from rich.table import Table

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.registry.bans import BanRecords
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.options import dir_option, json_option, print_json
from mftgit.cli.orders import user
from mftgit.cli.records import open_records
from mftgit.errors import ConfigError
from mftgit.model.events.event import EventName
from mftgit.model.inbound.bans import Ban, covering
from mftgit.model.printable import printable


@click.group()
def ban() -> None:
    """Look at banned sources and let them in again, on the controller; works while the controller runs."""


@ban.command(
    name="list",
    epilog="""\b
Example:
  mftgit ban list --dir /var/lib/mftgit
""",
)
@dir_option
@json_option
def list_(folder: StateFolder, as_json: bool) -> None:
    """Show the sources that failed to log in too often, and for how long they are kept out yet."""
    with open_records(folder), _open(folder) as records:
        bans = records.in_force()
    if as_json:
        print_json([each.as_json() for each in bans])
        return
    table = Table("source", "for another", "failures", "at", "banned by", box=None)
    for each in bans:
        table.add_row(
            each.source, f"{each.left_s:.0f} s", str(each.failures), each.service, each.by
        )
    Console().print(table if bans else "No source is banned.")


@ban.command(
    epilog="""\b
Example:
  mftgit ban lift 192.0.2.7 --dir /var/lib/mftgit
"""
)
@click.argument("source")
@dir_option
@json_option
def lift(source: str, folder: StateFolder, as_json: bool) -> None:
    """Let SOURCE, an address or a network, in again on all members; it may be banned anew."""
    with open_records(folder) as records, _open(folder) as bans:
        found = _found(source, bans.in_force())
        for each in found:
            # Written down before it is done: rather twice than never.
            facts = {"source": each.source, "by": user()}
            records.events.append(EventName.SOURCE_UNBANNED, facts=facts)
            bans.lift(each.source)
    if as_json:
        print_json([each.as_json() for each in found])
        return
    for each in found:
        click.echo(f"{each.source} may come again.")


def _open(folder: StateFolder) -> closing[BanRecords]:
    return closing(BanRecords(folder.registry, now=SystemClock().now))


def _found(source: str, bans: list[Ban]) -> list[Ban]:
    try:
        found = covering(source, bans)
    except ValueError as error:
        raise ConfigError(
            f"{printable(source)!r} is no source: expected an address or a network, as 192.0.2.7 or 2001:db8::/64"
        ) from error
    if not found:
        raise ConfigError(f"{printable(source)} is not banned: `mftgit ban list` shows what is")
    return found
