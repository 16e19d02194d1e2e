"""``mftgit events``: the event log."""

import threading

import click

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.event_store import EventStore
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.options import dir_option, json_option, print_json
from mftgit.model.events import Event
from mftgit.model.printable import json_line, printable

_LOOK_S = 0.2
_PAGE = 1000


@click.command(
    epilog="""\b
Examples:
  mftgit events --dir /var/lib/mftgit
  mftgit events --dir /var/lib/mftgit --follow --json
"""
)
@dir_option
@click.option("--follow", is_flag=True, help="Go on printing what happens, until Ctrl-C.")
@json_option
def events(folder: StateFolder, follow: bool, as_json: bool) -> None:
    """Print this member's events; on the controller, those of all members."""
    bootstrap = folder.read_bootstrap()
    store = EventStore(folder.events, member=bootstrap.name, now=SystemClock().now)
    pause = threading.Event()
    position = 0
    try:
        while True:
            page = store.after(position, limit=_PAGE)
            for place, event in page:
                _print(event, as_json=as_json)
                position = place
            if not page and not follow:
                return
            if not page:
                pause.wait(_LOOK_S)
    finally:
        store.close()


def _print(event: Event, *, as_json: bool) -> None:
    if as_json:
        print_json(event.as_json())
        return
    facts = " ".join(f"{printable(key)}={_short(value)}" for key, value in event.facts.items())
    revision = printable((event.revision or "")[:8])
    click.echo(
        f"{printable(event.at)}  {click.style(f'{printable(event.member):12}', fg='cyan')} "
        f"{click.style(f'{event.event.value:18}', bold=True)} {revision:8}  {facts}"
    )


def _short(value: object) -> str:
    text = json_line(value) if isinstance(value, list | dict) else str(value)
    text = printable(text.replace("\n", " "))
    return text if len(text) <= 200 else text[:197] + "..."  # noqa: PLR2004  a screen's line or two
