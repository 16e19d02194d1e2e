"""``mftgit transfer owner``: who owns a transfer, why, and who else could; and moving it."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Final

import click

from mftgit.adapters.clock import SystemClock, rfc3339
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.process_lock import one_at_a_time, wake
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.options import Name, dir_option, json_option, print_json
from mftgit.cli.orders import user
from mftgit.cli.transfer.acting import NotHereError
from mftgit.cli.transfer.here import Active, Here, not_running, read_active, read_here
from mftgit.cli.transfer.looking import owner as words_of
from mftgit.cli.transfer.patience import Patience
from mftgit.errors import ConfigError, TransientError
from mftgit.member.outbound.ownership.storage import STATE
from mftgit.member.outbound.records.moves import Moves
from mftgit.model.configuration.config import Ownership, Transfer
from mftgit.model.events.event import EventName
from mftgit.model.names import MemberName, TransferName
from mftgit.model.printable import printable
from mftgit.model.transfers.move import Move
from mftgit.model.transfers.status import TransferStatus

_LOOK_S: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    """One that the configuration or the storage knows; ``why_not`` it could not own the transfer now, if so."""

    name: MemberName
    why_not: str | None

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "able": self.why_not is None, "why_not": self.why_not}


@click.command(
    epilog="""\b
Examples:
  mftgit transfer owner invoices --dir /var/lib/mftgit
  mftgit transfer owner invoices --move-to node-2 --dir /var/lib/mftgit
"""
)
@click.argument("name", type=Name())
@click.option("--move-to", "to", type=Name(), help="Hand it over to this member, where it stays.")
@click.option(
    "--wait-s",
    type=click.FloatRange(0, 86_400),
    default=60.0,
    show_default=True,
    help="So long it is waited for that, in seconds.",
)
@dir_option
@json_option
def owner(
    name: TransferName, to: MemberName | None, wait_s: float, folder: StateFolder, as_json: bool
) -> None:
    """Show who owns transfer NAME, since when and why, and who else could own it; or move it.

    A move can be said on every member that runs and may own it. The owner ends its run first. It stays where it was
    moved to, also where another member is preferred, as long as that member lives and can do it.
    """
    here, active = read_here(folder), read_active(folder)
    transfer = active.transfer(name)
    if to is not None:
        _move(folder, here, active, transfer, to, wait_s=wait_s)
        here = read_here(folder)
    status = here.find(name)
    members = _members(here, active, transfer)
    if as_json:
        print_json(_tell(here, name, status, members))
        return
    if word := not_running(here):
        click.secho(word, fg="yellow")
    click.secho(name, bold=True)
    click.echo(f"  owner        {printable(_words(here, status))}")
    for each in members:
        if status is None or each.name != status.owner:
            click.echo(f"  {each.name:12} {printable(each.why_not or 'could own it')}")


def _tell(
    here: Here, name: TransferName, status: TransferStatus | None, members: list[_Member]
) -> dict[str, Any]:
    mine = status is not None and status.owner == here.bootstrap.name
    return {
        "member": here.bootstrap.name,
        "running": here.running,
        "transfer": name,
        "owner": None if status is None else status.owner,
        "epoch": None if status is None else status.epoch,
        "since": None if status is None else status.since,
        "moved": None if status is None else status.moved,
        "renewed_at": here.member.renewed_at if mine and here.member is not None else None,
        "members": [each.as_json() for each in members],
    }


def _words(here: Here, status: TransferStatus | None) -> str:
    if status is None:
        return "not told by the member yet"
    renewed_at = here.member.renewed_at if here.member is not None else None
    mine = status.owner == here.bootstrap.name
    renewed = f"; last renewal {renewed_at}" if mine and renewed_at else ""
    return f"{words_of(status.as_json())}{renewed}"


def _members(here: Here, active: Active, transfer: Transfer) -> list[_Member]:
    known = {*active.generation.members, *here.members, here.bootstrap.name}
    return [_Member(name=each, why_not=_why_not(here, active, transfer, each)) for each in sorted(known)]  # fmt: skip


def _why_not(here: Here, active: Active, transfer: Transfer, name: MemberName) -> str | None:
    """Return why a member could not own the transfer now, None where it could."""
    eligible = active.generation.eligible(transfer)
    if eligible is not None and name not in eligible:
        return "its active_on leaves it out"
    standing = here.members.get(name)
    if standing is None:
        return "is not there: it does not run, has another storage, or does not reach it"
    if standing.draining:
        return "is drained: `mftgit drain --end` there lets it take part again"
    if transfer.name in standing.aside:
        return "could not do it a while ago, and leaves it to others"
    return None


def _move(
    folder: StateFolder, here: Here, active: Active, transfer: Transfer, to: MemberName, *, wait_s: float
) -> None:  # fmt: skip
    """Leave word for the owner, and wait until the transfer has moved; nothing is done where it is there already."""
    name = transfer.name
    _check(here, active, transfer, to)
    if _is_at(here, name, to):
        return
    moves = Moves(Path(here.bootstrap.files_root) / STATE)
    _leave_word(folder, moves, name, to)
    clock = SystemClock()
    until = clock.boottime() + wait_s
    what = f"{name} goes to {to} when its run has ended"
    with Patience(what, clock=clock):
        while not _is_at(read_here(folder), name, to):
            if clock.boottime() >= until:
                _give_up(moves, name, to, read_here(folder), wait_s)
            Event().wait(_LOOK_S)


def _check(here: Here, active: Active, transfer: Transfer, to: MemberName) -> None:
    """See that the transfer can go there.

    Raises:
        ConfigError: it never can, as the configuration is.
        NotHereError: this member does not run, so that nobody could tell what becomes of it.
        TransientError: that member is not there or is drained.
    """
    me = here.bootstrap.name
    if transfer.ownership is Ownership.EACH:
        raise ConfigError(f"every member runs {transfer.name} for itself: there is nothing to move")
    known = {*active.generation.members, *here.members}
    if to not in known:
        raise ConfigError(f"there is no member {to}; there are: {', '.join(sorted(known))}")
    eligible = active.generation.eligible(transfer)
    if eligible is not None and to not in eligible:
        raise ConfigError(
            f"{to} may not own {transfer.name}: its active_on leaves it out; it has: {', '.join(sorted(eligible))}"
        )
    if not here.running:
        raise NotHereError(
            f"member {me} does not run: start it (`mftgit run`), or say it on another one"
        )
    standing = here.members.get(to)
    if standing is None or standing.draining:
        raise TransientError(f"{to} {_why_not(here, active, transfer, to)}")


def _leave_word(folder: StateFolder, moves: Moves, name: TransferName, to: MemberName) -> None:
    bootstrap, now = folder.read_bootstrap(), SystemClock().now
    folder.check_user()
    with (
        one_at_a_time(folder.root),
        closing(EventStore(folder.events, member=bootstrap.name, now=now)) as events,
    ):
        facts = {"transfer": name, "to": to, "by": user()}
        events.append(EventName.TRANSFER_MOVE_ORDERED, facts=facts)
        moves.leave(name, Move(to=to, by=user(), member=bootstrap.name, at=rfc3339(now())))
    wake(folder.root)


def _is_at(here: Here, name: TransferName, to: MemberName) -> bool:
    status = here.find(name)
    return status is not None and status.owner == to


def _give_up(moves: Moves, name: TransferName, to: MemberName, here: Here, wait_s: float) -> None:
    """Take the word back, where nobody has taken it; raises TransientError."""
    status = here.find(name)
    has = "nobody owns it" if status is None or status.owner is None else f"{status.owner} has it"
    if moves.take(name):
        raise TransientError(
            f"{name} was not moved to {to} in {wait_s:g} s: {has}, and has not taken the word; it was taken back"
        )
    raise TransientError(
        f"{name} was not moved to {to} in {wait_s:g} s: {has}, and ends the run under way first; "
        f"`mftgit transfer owner {name}` tells when it has moved"
    )
