"""``mftgit rollout``: look at the roll-out of the newest revision, and steer it."""

from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.options import dir_option, json_option, print_json
from mftgit.cli.records import open_records
from mftgit.controller.rollout.steer import ABORT, PAUSE, RESUME, Word, steer, there
from mftgit.controller.rollout.steer import promote as say_promote
from mftgit.controller.views.cluster_status import what_runs
from mftgit.model.printable import printable
from mftgit.model.rollout.told import describe, tell_unseen

_rev_argument = click.argument("rev", metavar="[REV]", required=False)


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
        progress = there(records.registry.rollout())
        runs = what_runs(records.registry.members())
    _show(describe(progress, runs), as_json=as_json)


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
    _say(folder, PAUSE, as_json=as_json)


@rollout.command(
    epilog="""\b
Example:
  mftgit rollout resume --dir /var/lib/mftgit
"""
)
@_rev_argument
@dir_option
@json_option
def resume(folder: StateFolder, as_json: bool, rev: str | None) -> None:
    """Go on by cohorts after a pause or a halt; the members that halted it are passed over.

    With REV, an id or at least seven digits of one, it is refused where that is not the newest revision.
    """
    _say(folder, RESUME, rev=rev, as_json=as_json)


@rollout.command(
    epilog="""\b
Examples:
  mftgit rollout promote --dir /var/lib/mftgit
  mftgit rollout promote 1f0c2a9 --now --dir /var/lib/mftgit
"""
)
@click.option("--now", "regardless", is_flag=True, help="Do not wait for a change window either.")
@_rev_argument
@dir_option
@json_option
def promote(folder: StateFolder, as_json: bool, rev: str | None, regardless: bool) -> None:
    """Let every member take the revision at once, whatever halted it; ends the roll-out.

    With REV, an id or at least seven digits of one, it is refused where that is not the newest revision.
    """
    _say(folder, say_promote(regardless=regardless), rev=rev, as_json=as_json)


@rollout.command(
    epilog="""\b
Example:
  mftgit rollout abort --dir /var/lib/mftgit
"""
)
@_rev_argument
@dir_option
@json_option
def abort(folder: StateFolder, as_json: bool, rev: str | None) -> None:
    """Let no further member take the revision; those that have it keep it until a newer one comes.

    With REV, an id or at least seven digits of one, it is refused where that is not the newest revision.
    """
    _say(folder, ABORT, rev=rev, as_json=as_json)


def show_rollout(found: dict[str, Any], console: Console) -> None:
    """Print how the roll-out is, in a line, and each cohort in one more while it is under way."""
    cohort = f", cohort {found['cohort']}" if found["cohort"] else ""
    paused = ", paused" if found["paused"] and found["state"] != "paused" else ""
    unseen = tell_unseen(found.get("unseen", ()))
    console.print(
        f"roll-out of [bold]{found['revision'][:12]}[/]: [bold]{found['state']}[/]{unseen}{cohort}{paused}",
        soft_wrap=True,
    )
    if found["reason"]:
        console.print(f"  {escape(printable(found['reason']))}")
    if found["state"] == "done":
        return
    for each in found["cohorts"]:
        members = ", ".join(f"{one['name']} {one['state']}" for one in each["members"])
        console.print(f"  {each['name']}: {members or 'nobody'}")


def _say(folder: StateFolder, word: Word, *, rev: str | None = None, as_json: bool) -> None:
    with open_records(folder) as records:
        progress = steer(records.registry, records.events, word, rev=rev)
    _show(describe(progress), as_json=as_json)


def _show(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        show_rollout(found, Console())
