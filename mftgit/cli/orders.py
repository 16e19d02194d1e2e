"""``mftgit suspend``, ``resume``, ``pin``, ``unpin``, ``rollback``, ``reanchor``, ``drain``: orders to one member."""

import getpass
import os

import click

from mftgit.adapters.clock import SystemClock, rfc3339
from mftgit.adapters.git.store import FETCHED, GitStore
from mftgit.adapters.process_lock import one_at_a_time, wake
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.options import dir_option, json_option, print_json
from mftgit.errors import ConfigError
from mftgit.member.kept import read_orders, read_record, write_orders
from mftgit.model.configuration.config import Role
from mftgit.model.members.orders import Order, Verb, give
from mftgit.model.members.record import Record
from mftgit.model.names import MAIN, Revision, TransferName

_HISTORY = 10_000
_SHORTEST = 7
_FULL = 40


@click.command(epilog="\b\nExample:\n  mftgit suspend --dir /var/lib/mftgit\n")
@dir_option
@json_option
def suspend(folder: StateFolder, as_json: bool) -> None:
    """Let this member activate no other revision until `mftgit resume`; its transfers go on."""
    _give(folder, Verb.SUSPEND, "is suspended: it activates no other revision", as_json=as_json)


@click.command(epilog="\b\nExample:\n  mftgit resume --dir /var/lib/mftgit\n")
@dir_option
@json_option
def resume(folder: StateFolder, as_json: bool) -> None:
    """Let this member go on: it ends `suspend`, and takes again what it refused or was rolled back from."""
    _give(folder, Verb.RESUME, "goes on, and tries again what failed here", as_json=as_json)


@click.command(epilog="\b\nExample:\n  mftgit pin 1f0c2a9 --dir /var/lib/mftgit\n")
@click.argument("rev")
@dir_option
@json_option
def pin(rev: str, folder: StateFolder, as_json: bool) -> None:
    """Bring this member to revision REV, and keep it there until `mftgit unpin`.

    REV may be older than what it runs, or any published one: an id, or at least seven digits of one that is here.
    """
    revision = _resolve(folder, rev)
    _give(folder, Verb.PIN, f"is pinned to {revision}", revision=revision, as_json=as_json)


@click.command(epilog="\b\nExample:\n  mftgit unpin --dir /var/lib/mftgit\n")
@dir_option
@json_option
def unpin(folder: StateFolder, as_json: bool) -> None:
    """Let this member follow the published branch again."""
    _give(folder, Verb.UNPIN, "follows the published branch again", as_json=as_json)


@click.command(epilog="\b\nExample:\n  mftgit rollback --dir /var/lib/mftgit\n")
@dir_option
@json_option
def rollback(folder: StateFolder, as_json: bool) -> None:
    """Take this member back to the revision that was confirmed before the one that it runs.

    It takes a newer revision when one is published; the one that it left, only after `mftgit resume`.
    """
    record = read_record(folder.record)
    if not _can_go_back(record):
        raise ConfigError(
            f"{folder.root}: no revision was confirmed before {record.active or 'any'}: "
            "there is nothing to go back to"
        )
    _give(folder, Verb.ROLLBACK, "goes back to the revision before", as_json=as_json)


@click.command(epilog="\b\nExample:\n  mftgit reanchor 1f0c2a9 --dir /var/lib/mftgit\n")
@click.argument("rev")
@dir_option
@json_option
def reanchor(rev: str, folder: StateFolder, as_json: bool) -> None:
    """Let this member, which has diverged, accept a history that grew from REV.

    What was published from REV on is verified as ever; that REV itself is good is for you to know.
    """
    revision = _resolve(folder, rev)
    said = f"takes what grows from {revision}"
    _give(folder, Verb.REANCHOR, said, revision=revision, as_json=as_json)


@click.command(
    epilog="\b\nExamples:\n  mftgit drain --dir /var/lib/mftgit\n  mftgit drain --end --dir /var/lib/mftgit\n"
)
@click.option("--end", is_flag=True, help="Take part in the work again.")
@dir_option
@json_option
def drain(end: bool, folder: StateFolder, as_json: bool) -> None:
    """Let this member end its runs, hand its transfers over, take no clients, and begin nothing; also after a restart.

    `mftgit status` says drained when nothing is under way any more.
    """
    if end:
        _give(folder, Verb.END_DRAIN, "takes part in the work again", as_json=as_json)
    else:
        _give(
            folder,
            Verb.DRAIN,
            "ends its runs, hands its transfers over and takes no new clients",
            as_json=as_json,
        )


def give_order(
    folder: StateFolder,
    verb: Verb,
    *,
    revision: Revision | None = None,
    transfer: TransferName | None = None,
    session: int | None = None,
) -> bool:
    """Write an order down for the member in ``folder``, wake it, and return whether it runs.

    Raises:
        MftgitError: the order could not be written down; nothing was ordered.
    """
    folder.check_user()
    now = SystemClock().now()
    order = Order(
        number=int(now.timestamp() * 1000),
        verb=verb,
        revision=revision,
        transfer=transfer,
        session=session,
        by=user(),
        at=rfc3339(now),
    )
    with one_at_a_time(folder.root):
        write_orders(folder.orders, give(read_orders(folder.orders), order))
    return wake(folder.root)


def _give(
    folder: StateFolder, verb: Verb, said: str, *, revision: Revision | None = None, as_json: bool
) -> None:
    name = folder.read_bootstrap().name
    running = give_order(folder, verb, revision=revision)
    if as_json:
        print_json({"name": name, "order": verb.value, "revision": revision, "running": running})
        return
    click.echo(f"Member {name} {said}.")
    if not running:
        click.echo("It does not run now: this holds from its next start on.")


def user() -> str:
    """Return who says this, for people."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return f"user {os.getuid()}"


def _can_go_back(record: Record) -> bool:
    return bool(record.earlier) or (record.active is not None and record.active != record.lkg)


def _resolve(folder: StateFolder, text: str) -> Revision:
    """Return the commit whose id is or begins with ``text``; a whole id need not be here."""
    word = text.lower()
    if not set(word) <= set("0123456789abcdef") or not _SHORTEST <= len(word) <= _FULL:
        raise ConfigError(
            f"{text!r} is no revision: expected an id of {_FULL} hexadecimal digits, or its first {_SHORTEST} or more"
        )
    if len(word) == _FULL:
        return Revision(word)
    is_controllers = folder.read_bootstrap().role is Role.CONTROLLER
    ref = MAIN if is_controllers else FETCHED
    with GitStore(folder.repository if is_controllers else folder.store) as store:
        log = store.log(_HISTORY, ref)
    found = [each.revision for each in log if each.revision.startswith(word)]
    if len(found) != 1:
        many = f"{len(found)} revisions here begin" if found else "no revision here begins"
        raise ConfigError(f"{many} with {text!r}: give the whole id, as `mftgit log` shows it")
    return found[0]
