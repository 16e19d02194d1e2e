"""``mftgit session``: look at who is logged in at this member's services, and end a session."""

import json
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mftgit.adapters.process_lock import is_running
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.options import dir_option, json_option, print_json
from mftgit.cli.orders import give_order
from mftgit.errors import ConfigError
from mftgit.model.members.orders import Verb
from mftgit.model.printable import printable


@click.group()
def session() -> None:
    """Look at who is logged in at the services of this member, and end a session."""


@session.command(
    name="list",
    epilog="""\b
Example:
  mftgit session list --dir /var/lib/mftgit
""",
)
@dir_option
@json_option
def list_(folder: StateFolder, as_json: bool) -> None:
    """Show who is logged in, since when and from where; what was sent is some seconds old."""
    found = _sessions(folder)
    if as_json:
        print_json(found)
        return
    table = Table("id", "account", "service", "from", "since", "in", "out", "client", box=None)
    for each in found:
        words = (
            str(each["id"]),
            each["account"],
            each["service"],
            each["source"],
            each["since"],
            f"{each['uploads']} files, {each['received_bytes']} bytes",
            f"{each['downloads']} files, {each['sent_bytes']} bytes",
            each["client"],
        )
        table.add_row(*(escape(printable(word)) for word in words))
    Console().print(table if found else "Nobody is logged in.")


@session.command(
    epilog="""\b
Example:
  mftgit session end 17 --dir /var/lib/mftgit
"""
)
@click.argument("number", metavar="ID", type=click.IntRange(min=1))
@dir_option
@json_option
def end(number: int, folder: StateFolder, as_json: bool) -> None:
    """End the session ID, as `mftgit session list` shows it; its account may log in again."""
    found = [each for each in _sessions(folder) if each["id"] == number]
    if not found:
        raise ConfigError(
            f"there is no session {number} here: `mftgit session list` shows those that are"
        )
    give_order(folder, Verb.END_SESSION, session=number)
    if as_json:
        print_json(found[0])
        return
    account = printable(found[0]["account"])
    click.echo(f"The session {number} of {account} is ended.")


def _sessions(folder: StateFolder) -> list[dict[str, Any]]:
    """Return who is logged in; nobody where the member does not run."""
    folder.read_bootstrap()
    if not is_running(folder.root):
        return []
    try:
        found: list[dict[str, Any]] = json.loads(folder.sessions.read_bytes())
    except (OSError, ValueError):
        return []
    return found
