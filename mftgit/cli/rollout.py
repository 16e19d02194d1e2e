"""``mftgit rollout``: look at the roll-out of the newest revision, and steer it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.options import dir_option, json_option, print_json
from mftgit.cli.records import open_records
from mftgit.errors import ConfigError
from mftgit.model import rollout as model
from mftgit.model.events import EventName
from mftgit.model.printable import printable
from mftgit.model.rollout import Progress, describe


@click.group()
def rollout() -> None:
    """Look at a roll-out and steer it, on the controller; works while the controller runs."""


@rollout.command(
    epilog="""\b
Example:
  mftgit rollout status --dir /var/lib/mftgit
"""
)
@dir_option
@json_option
def status(folder: StateFolder, as_json: bool) -> None:
    """Show which cohort has its turn, and what became of the newest revision on each member."""
    with open_records(folder) as records:
        progress = _there(records.registry.rollout())
    _show(progress, as_json=as_json)


@rollout.command(
    epilog="""\b
Example:
  mftgit rollout pause --dir /var/lib/mftgit
"""
)
@dir_option
@json_option
def pause(folder: StateFolder, as_json: bool) -> None:
    """Let no further member begin, this revision and those to come, until `resume` or `promote`."""
    _change(folder, model.pause, EventName.ROLLOUT_PAUSED, as_json=as_json)


@rollout.command(
    epilog="""\b
Example:
  mftgit rollout resume --dir /var/lib/mftgit
"""
)
@dir_option
@json_option
def resume(folder: StateFolder, as_json: bool) -> None:
    """Go on by cohorts after a pause or a halt; the members that halted it are passed over."""
    _change(folder, model.resume, EventName.ROLLOUT_RESUMED, as_json=as_json)


@rollout.command(
    epilog="""\b
Examples:
  mftgit rollout promote --dir /var/lib/mftgit
  mftgit rollout promote --now --dir /var/lib/mftgit
"""
)
@click.option("--now", "regardless", is_flag=True, help="Do not wait for a change window either.")
@dir_option
@json_option
def promote(folder: StateFolder, as_json: bool, regardless: bool) -> None:
    """Let every member take the revision at once, whatever halted it; ends the roll-out."""
    step = partial(model.promote, regardless=regardless)
    _change(folder, step, EventName.ROLLOUT_PROMOTED, as_json=as_json, now=regardless)


@rollout.command(
    epilog="""\b
Example:
  mftgit rollout abort --dir /var/lib/mftgit
"""
)
@dir_option
@json_option
def abort(folder: StateFolder, as_json: bool) -> None:
    """Let no further member take the revision; those that have it keep it until a newer one comes."""
    _change(folder, model.abort, EventName.ROLLOUT_ABORTED, as_json=as_json)


def show_rollout(found: dict[str, Any], console: Console) -> None:
    """Print how the roll-out is, in a line, and each cohort in one more while it is under way."""
    cohort = f", cohort {found['cohort']}" if found["cohort"] else ""
    paused = ", paused" if found["paused"] and found["state"] != "paused" else ""
    console.print(
        f"roll-out of [bold]{found['revision'][:12]}[/]: [bold]{found['state']}[/]{cohort}{paused}"
    )
    if found["reason"]:
        console.print(f"  {escape(printable(found['reason']))}")
    if found["state"] == "done":
        return
    for each in found["cohorts"]:
        members = ", ".join(f"{one['name']} {one['state']}" for one in each["members"])
        console.print(f"  {each['name']}: {members or 'nobody'}")


def _change(
    folder: StateFolder,
    step: Callable[[Progress], Progress],
    event: EventName,
    *,
    as_json: bool,
    **facts: bool,
) -> None:
    with open_records(folder) as records:
        progress = _there(records.registry.change_rollout(lambda found: step(_there(found))))
        records.events.append(event, revision=progress.oid, facts=facts)
    _show(progress, as_json=as_json)


def _there(progress: Progress | None) -> Progress:
    if progress is None:
        raise ConfigError(
            "there is no roll-out yet: it begins when the controller runs (`mftgit run DIR`)"
        )
    return progress


def _show(progress: Progress, *, as_json: bool) -> None:
    if as_json:
        print_json(describe(progress))
    else:
        show_rollout(describe(progress), Console())
