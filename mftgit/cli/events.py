"""``mftgit events``: the event log."""

import threading
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import click

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.options import dir_option, json_option, print_json
from mftgit.model.events.event import Event
from mftgit.model.events.kinds import KINDS, Group, Severity
from mftgit.model.events.query import EventQuery, parse_query
from mftgit.model.printable import json_line, printable

_LOOK_S = 0.2
_PAGE = 1000
_MAX_LIMIT = 100_000
_COLOURS: Final = {Severity.WARNING: "yellow", Severity.ERROR: "red"}

_F = TypeVar("_F", bound=Callable[..., Any])

_FILTERS: Final = (
    ("since", "TIME", "At TIME or later: 2026-11-29T10:00Z, or how long ago, as 90s, 15m, 2h, 3d."),
    ("until", "TIME", "Before TIME."),
    ("member", "NAME", "Written by this member."),
    ("event", "NAME", "Of this name, as DeliveryFailed."),
    ("group", "NAME", f"Of this group: {', '.join(each.value for each in Group)}."),
    ("severity", "LEAST", f"At least {', '.join(each.value for each in Severity)}."),
    ("component", "KIND/NAME", "About transfer/NAME or service/NAME."),
    ("account", "NAME", "About this account."),
    ("revision", "REV", "Under the revision that begins so."),
    ("epoch", "N", "Under this ownership of a transfer."),
    ("text", "WORDS", "With each of these words in some field."),
)
_MANY: Final = {"member", "event", "group"}


def _filters(function: _F) -> _F:
    """Take what `parse_query` knows, each an option of that name; some may be given more than once."""
    for name, metavar, words in reversed(_FILTERS):
        several = " May be given more than once." if name in _MANY else ""
        function = click.option(f"--{name}", metavar=metavar, multiple=True, help=words + several)(
            function
        )
    return function


@click.command(
    epilog="""\b
Examples:
  mftgit events --dir /var/lib/mftgit --severity warning --since 1d
  mftgit events --dir /var/lib/mftgit --component transfer/invoices --limit 20
  mftgit events --dir /var/lib/mftgit --text invoice-4711.pdf
  mftgit events --dir /var/lib/mftgit --follow --group transfer --json
"""
)
@dir_option
@_filters
@click.option(
    "--limit", type=click.IntRange(1, _MAX_LIMIT), help="The newest N of them, the newest last."
)
@click.option("--follow", is_flag=True, help="Go on printing what happens, until Ctrl-C.")
@json_option
def events(
    folder: StateFolder, limit: int | None, follow: bool, as_json: bool, **filters: tuple[str, ...]
) -> None:
    """Print this member's events; on the controller, those of all members.

    All filters have to agree. The oldest comes first. With --json each is a
    line of its own, so that all of them, or some, can be kept elsewhere.
    """
    bootstrap = folder.read_bootstrap()
    now = SystemClock().now
    query = parse_query(filters, now=now())
    store = EventStore(folder.events, member=bootstrap.name, now=now)
    try:
        for event in find_events(store, query, limit=limit, follow=follow):
            _print(event, as_json=as_json)
    finally:
        store.close()


def find_events(
    store: EventStore, query: EventQuery, *, limit: int | None, follow: bool
) -> Iterator[Event]:
    """Give the events that ``query`` asks for, oldest first; of the newest ``limit`` where there is one."""
    pause = threading.Event()
    position = 0
    if limit is not None:
        position = store.keeping.last_position()
        newest = store.search(query, before=position + 1, limit=limit)
        yield from (event for _, event in reversed(newest))
    while limit is None or follow:
        last = store.keeping.last_position()
        page = store.look(query, after=position, before=last + 1, limit=_PAGE)
        yield from (event for _, event in page.found)
        position = last if page.is_whole else page.reached
        if page.is_whole and not follow:
            return
        if page.is_whole:
            pause.wait(_LOOK_S)


def _print(event: Event, *, as_json: bool) -> None:
    if as_json:
        print_json(event.as_json())
        return
    facts = " ".join(
        f"{printable(key)}={_short(value)}"
        for key, value in event.facts.items()
        if value is not None
    )
    revision = printable((event.revision or "")[:8])
    colour = _COLOURS.get(KINDS[event.event].severity)
    click.echo(
        f"{printable(event.at)}  {click.style(f'{printable(event.member):12}', fg='cyan')} "
        f"{click.style(f'{event.event.value:18}', bold=True, fg=colour)} {revision:8}  {facts}"
    )


def _short(value: object) -> str:
    text = json_line(value) if isinstance(value, list | dict) else str(value)
    text = printable(text.replace("\n", " "))
    return text if len(text) <= 200 else text[:197] + "..."  # noqa: PLR2004  a screen's line or two
