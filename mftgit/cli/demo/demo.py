"""``mftgit demo``: the whole path on this machine, in under a minute."""

import shutil
import sys
import tempfile
import threading
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table

from mftgit.cli.demo.processes import DemoFailedError, Processes
from mftgit.cli.demo.story import TRANSFER, Story


@click.command(
    epilog="""\b
Examples:
  mftgit demo
  mftgit demo --keep
"""
)
@click.option(
    "--keep",
    is_flag=True,
    help="Leave the cluster running until Ctrl-C, and print how to clone and push.",
)
def demo(keep: bool) -> int:
    """Show the whole path with real processes on loopback: push, deliver, refuse, crash, take over.

    Exits with 1 if anything that it promises did not happen. Nothing is left behind, but with --keep
    the folder that it prints.
    """
    work = Path(tempfile.mkdtemp(prefix="mftgit-demo-"))
    processes = Processes(work / "logs")
    failed = True
    try:
        with processes.guarded():
            story = Story(work, processes)
            try:
                failed = not _tell(story)
                if keep and not failed:
                    _invite(story)
                    _wait(processes)
            finally:
                story.close()
    finally:
        if keep:
            click.echo(f"everything is in {work}")
        elif failed and sys.exc_info()[0] is not KeyboardInterrupt:
            click.echo(f"the members' logs are in {work}", err=True)
        else:
            shutil.rmtree(work, ignore_errors=True)
    return 1 if failed else 0


def _tell(story: Story) -> bool:
    story.begin()
    story.push_change()
    story.deliver(
        [f"invoice-{number}.csv" for number in range(1, 6)], told="dropped into the inbox"
    )
    story.push_broken()
    story.kill_owner()
    return _close(story)


def _close(story: Story) -> bool:
    """Print the closing tables and tell whether every count is as promised."""
    story.consumer.stop()
    counted = story.count()
    ledger = story.delivered_by_ledger()
    found = story.status()
    console = Console()
    members = Table("member", "role", "revision", "owns", box=box.SIMPLE)
    for each in found.members:
        owns = [one["name"] for one in each["transfers"] if one["owner"] == each["name"]]
        killed = each["name"] == story.killed
        members.add_row(
            each["name"],
            each["role"],
            (each["active_revision"] or "-")[:12],
            "killed by the demo" if killed else ", ".join(owns) or "-",
        )
    console.print(members)
    totals = Table("counted on disk", "files", box=box.SIMPLE)
    totals.add_row("dropped into the inbox", str(counted.dropped))
    totals.add_row("delivered to the partner", str(counted.delivered))
    totals.add_row(f"in the ledger of {TRANSFER}", str(ledger))
    totals.add_row("lost", str(counted.lost))
    totals.add_row("duplicated", str(counted.duplicated))
    totals.add_row("damaged", str(counted.damaged))
    console.print(totals)
    good = counted.clean and counted.delivered == counted.dropped == ledger
    if not good:
        raise DemoFailedError("the counts are not what mftgit promises")
    return good


def _invite(story: Story) -> None:
    access = story.controller
    click.echo("The cluster runs until Ctrl-C. Play with it:\n")
    click.echo(f"  open      {access['url']} in a browser: the Web Manager")
    click.echo(f"  name      {access['username']}")
    click.echo(f"  password  {access['password']}\n")
    click.echo(
        f"  env -u GIT_SSL_CAINFO git clone -c http.sslCAInfo={access['ca_file']} "
        f"{access['clone_url'].replace('https://', 'https://' + access['username'] + '@')}"
    )
    click.echo(f"  mftgit status --dir {story.folder('controller').root}")
    click.echo(f"  mftgit events --dir {story.folder('controller').root} --follow")
    click.echo(f"  drop files into {story.inbox}; they arrive in {story.received}\n")
    story.consumer.start()


def _wait(processes: Processes) -> None:
    pause = threading.Event()
    try:
        while not pause.wait(1.0):
            processes.check()
    except KeyboardInterrupt:
        click.echo("stopping the cluster")
