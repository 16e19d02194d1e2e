"""``mftgit transfer run``, ``stop``, ``pause`` and ``resume``."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import click

from mftgit.adapters.clock import SystemClock, rfc3339
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.process_lock import one_at_a_time, wake
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.cli.options import Name, dir_option, json_option, print_json
from mftgit.cli.orders import give_order, user
from mftgit.cli.transfer.here import Here, read_active, read_here
from mftgit.errors import ConfigError, MftgitError, TransientError
from mftgit.member.outbound.ownership.storage import STATE
from mftgit.member.outbound.records.pauses import Pauses
from mftgit.model.events.event import EventName
from mftgit.model.members.orders import Verb
from mftgit.model.names import TransferName
from mftgit.model.printable import printable
from mftgit.model.transfers.pause import Pause
from mftgit.model.transfers.status import TransferState, TransferStatus
from mftgit.model.transfers.under_way import describe_under_way

_KNOWN_BY: Final = (
    "every member that may own it knows by its next look, and within a second where it runs"
)


class NotHereError(MftgitError):
    """The transfer cannot be run on this member now; another one has it, or nobody may run it."""


@click.command(
    epilog="""\b
Example:
  mftgit transfer run nightly-reports --dir /var/lib/mftgit
"""
)
@click.argument("name", type=Name())
@dir_option
@json_option
def run(name: TransferName, folder: StateFolder, as_json: bool) -> None:
    """Run transfer NAME now, on the member that owns it, whatever its trigger says; what failed is tried again too.

    Where a run is under way, another one follows. It is said on the machine of the owner, which has to run.
    """
    here = read_here(folder)
    _check_is_ours(here, name)
    if pause := _pauses(here.bootstrap).read(name):
        raise NotHereError(
            f"the transfer {name} is {pause}: `mftgit transfer resume {name}` lets it go on"
        )
    _order(folder, here, Verb.RUN_TRANSFER, name)
    if as_json:
        print_json({"member": here.bootstrap.name, "transfer": name})
    else:
        click.echo(
            f"Member {here.bootstrap.name} runs {name} now; `mftgit events` tells how it goes."
        )


@click.command(
    epilog="""\b
Example:
  mftgit transfer stop nightly-reports --dir /var/lib/mftgit
"""
)
@click.argument("name", type=Name())
@dir_option
@json_option
def stop(name: TransferName, folder: StateFolder, as_json: bool) -> None:
    """End the run of transfer NAME that is under way, on the member that owns it.

    A large file is cut off, and the next run goes on with it where it was; small files at hand are finished. What the
    run has not come to stays at the source for the next one. A transfer that watches its source goes on with its next
    look: `pause` keeps it from that.
    """
    here = read_here(folder)
    _check_is_ours(here, name)
    status = here.find(name)
    if status is None or status.state is not TransferState.RUNNING:
        raise NotHereError(f"no run of {name} is under way on {here.bootstrap.name}")
    _order(folder, here, Verb.STOP_RUN, name)
    if as_json:
        under_way = [each.as_json() for each in status.under_way]
        print_json({"member": here.bootstrap.name, "transfer": name, "under_way": under_way})
        return
    cut = ", in the middle of:" if status.under_way else "."
    click.echo(f"Member {here.bootstrap.name} ends the run of {name}{cut}")
    for way in status.under_way:
        click.echo(f"  {printable(describe_under_way(way))}")


@click.command(
    epilog="""\b
Example:
  mftgit transfer pause invoices --dir /var/lib/mftgit
"""
)
@click.argument("name", type=Name())
@dir_option
@json_option
def pause(name: TransferName, folder: StateFolder, as_json: bool) -> None:
    """Let transfer NAME begin nothing more, on any member, until `resume`; over restarts and changes of owner.

    The file at hand is finished, a batch is stopped behind it. It can be said on every member that shares the storage.
    """
    bootstrap = folder.read_bootstrap()
    _check_exists(folder, name)
    wanted = Pause(by=user(), member=bootstrap.name, at=rfc3339(SystemClock().now()))
    pauses = _pauses(bootstrap)
    _change(
        folder,
        name,
        found=pauses.read(name),
        step=lambda: pauses.begin(name, wanted),
        event=EventName.TRANSFER_PAUSED,
        as_json=as_json,
    )


@click.command(
    epilog="""\b
Example:
  mftgit transfer resume invoices --dir /var/lib/mftgit
"""
)
@click.argument("name", type=Name())
@dir_option
@json_option
def resume(name: TransferName, folder: StateFolder, as_json: bool) -> None:
    """Let transfer NAME go on, on all members; a batch that the pause stopped is gone on with at once.

    A firing of a schedule that came while it was paused is not caught up: `mftgit transfer run` does that.
    """
    pauses = _pauses(folder.read_bootstrap())
    found = pauses.read(name)
    if found is None:
        _check_exists(folder, name)
    _change(
        folder,
        name,
        found=found,
        step=lambda: pauses.end(name),
        event=EventName.TRANSFER_RESUMED,
        as_json=as_json,
    )


def _change(
    folder: StateFolder,
    name: TransferName,
    *,
    found: Pause | None,
    step: Callable[[], None],
    event: EventName,
    as_json: bool,
) -> None:
    """Write the event and take the step, unless it is so already; tell, and let the member look."""
    bootstrap, paused = folder.read_bootstrap(), event is EventName.TRANSFER_PAUSED
    folder.check_user()
    changed = paused is (found is None)
    if changed:
        now = SystemClock().now
        with (
            one_at_a_time(folder.root),
            closing(EventStore(folder.events, member=bootstrap.name, now=now)) as events,
        ):
            # Written down before it is done: rather twice than never.
            events.append(event, facts={"transfer": name, "by": user()})
            step()
        wake(folder.root)
    if as_json:
        print_json({"transfer": name, "paused": paused, "changed": changed})
        return
    if not changed:
        click.echo(f"{name} is {found} already." if found else f"{name} is not paused.")
    elif paused:
        click.echo(f"{name} begins nothing more: {_KNOWN_BY}.")
    else:
        click.echo(f"{name} goes on: {_KNOWN_BY}.")


def _order(folder: StateFolder, here: Here, verb: Verb, name: TransferName) -> None:
    """Give the order to the member, which runs; raises TransientError where it has just ended."""
    if not give_order(folder, verb, transfer=name):
        raise TransientError(
            f"member {here.bootstrap.name} has just ended: nothing runs before it does"
        )


def _check_exists(folder: StateFolder, name: TransferName) -> None:
    """See that the configuration has the transfer, whoever runs it; raises ConfigError."""
    active = read_active(folder)
    if name not in active.generation.declared | active.generation.disabled:
        active.transfer(name)  # which says that there is none


def _check_is_ours(here: Here, name: TransferName) -> None:
    """See that the member runs and owns the transfer.

    Raises:
        ConfigError: it has none of that name.
        NotHereError: it does not run, or another member owns it.
        TransientError: nobody owns it just now.
    """
    me = here.bootstrap.name
    if not here.running:
        raise NotHereError(
            f"member {me} does not run: start it (`mftgit run`), or say it on another one"
        )
    status = here.find(name)
    if status is None:
        known = ", ".join(each.name for each in here.transfers) or "none"
        raise ConfigError(f"member {me} has no transfer {name}; it has: {known}")
    if status.state is TransferState.ENDING:
        raise ConfigError(
            f"the transfer {name} is not configured any more: {me} only ends what was begun"
        )
    _check_owner(here, status)


def _check_owner(here: Here, status: TransferStatus) -> None:
    me, name = here.bootstrap.name, status.name
    if status.owner == me:
        return
    if status.owner is not None:
        raise NotHereError(
            f"the transfer {name} is owned by {status.owner}, not by {me}: say it on the machine of {status.owner}"
        )
    drained = here.member is not None and here.member.drain is not None
    way_out = f"{me} is drained: `mftgit drain --end`" if drained else "try again in some seconds"
    raise TransientError(f"nobody owns the transfer {name} just now: {way_out}")


def _pauses(bootstrap: Bootstrap) -> Pauses:
    return Pauses(Path(bootstrap.files_root) / STATE)
