"""``mftgit controller restore``, ``recovery-key`` and ``settle``: when the controller is lost."""

from pathlib import Path

import click

from mftgit.adapters import age
from mftgit.adapters.clock import SystemClock
from mftgit.adapters.durable import write_file
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.options import Listen, dir_option, folder_argument, json_option, print_json
from mftgit.cli.records import open_records
from mftgit.cli.rules import make_validator
from mftgit.controller.recovery.restore import Asked, Restored, open_bundle, read_member
from mftgit.controller.recovery.restore import restore as restore_from
from mftgit.controller.recovery.seal import recipients


@click.command(
    epilog="""\b
Examples:
  mftgit controller restore /var/lib/mftgit-controller --from-member /var/lib/mftgit --recovery-key recovery.key
  mftgit controller restore ./ctl --from-member ./node-1 --listen 0.0.0.0:8443 --url https://mft.example.org:8443
"""
)
@folder_argument
@click.option(
    "--from-member",
    "source",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="NODE_DIR",
    help="The state folder of a node on this machine; it is only read, and the node runs on.",
)
@click.option(
    "--recovery-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="What `controller init` or `controller recovery-key --new` printed. Without it, every member joins again.",
)
@click.option("--listen", type=Listen(), help="Where to serve. [default: as before]")
@click.option("--url", metavar="URL", help="How members reach it. [default: as before]")
@click.option(
    "--files-root",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="PATH",
    help="Where relative paths of documents begin. [default: as on the node]",
)
@click.option(
    "--any-authority",
    is_flag=True,
    help="Take a bundle whose authority the node does not take, as behind a proxy with a certificate of its own.",
)
@json_option
def restore(
    folder: StateFolder,
    *,
    source: Path,
    recovery_key: Path | None,
    listen: tuple[str, int] | None,
    url: str | None,
    files_root: Path | None,
    any_authority: bool,
    as_json: bool,
) -> None:
    """Make the controller anew in DIR, after it was lost, from what a node has.

    With the recovery key the authority, the members' keys, the operators and the roll-out are as they were: start it
    where the members look for it, and they follow. Nothing is published until every member has told what it runs.
    """
    member = read_member(StateFolder(source.absolute()))
    bundle = None
    if recovery_key is not None:
        bundle = open_bundle(member, age.Identity(recovery_key), any_authority=any_authority)
    done = restore_from(
        folder,
        member,
        bundle,
        asked=Asked(listen=listen, url=url, files_root=files_root),
        validator=make_validator(),
        now=SystemClock().now,
    )
    if as_json:
        print_json(
            {
                "url": done.url,
                "revision": done.revision,
                "incarnation": done.incarnation,
                "bundle_made_at": done.made_at,
                "members": list(done.members),
                "tokens": dict(done.tokens),
                "password": done.password,
            }
        )
    else:
        _show(folder, done)


def _show(folder: StateFolder, done: Restored) -> None:
    click.echo(f"The controller's state is in {folder.root}, at revision {done.revision[:12]}.")
    click.echo(f"See that the old one is off, and start this one where {done.url} leads to:\n")
    click.echo(f"  mftgit run {folder.root}\n")
    if done.members:
        click.echo(f"These members follow by themselves: {', '.join(done.members)}")
    for name, token in done.tokens.items():
        click.echo(f"{name} has to join again, within 24 hours, on its machine, while it runs:\n")
        click.echo(f"  mftgit join DIR --again --controller {done.url} \\\n    --token {token}\n")
    if done.password is not None:
        click.echo(
            f"Operators were lost. The operator admin has this password, shown only now:\n\n  {done.password}"
        )
    if done.made_at is not None:
        click.echo(
            f"Members and operators are as they were at {done.made_at}; see `mftgit member list`."
        )
    click.echo("Passwords and keys in DIR/secrets were kept nowhere: put them there again.")


@click.command(
    "recovery-key",
    epilog="""\b
Examples:
  mftgit controller recovery-key --dir /var/lib/mftgit
  mftgit controller recovery-key --dir /var/lib/mftgit --new
  mftgit controller recovery-key --dir /var/lib/mftgit --recipient age1...
""",
)
@dir_option
@click.option(
    "--new", is_flag=True, help="Make a key, in place of the one before, and print it, only now."
)
@click.option(
    "--recipient",
    "given",
    multiple=True,
    metavar="AGE",
    help="Seal for this public key of age, whose private one you keep. May be repeated.",
)
@json_option
def recovery_key(folder: StateFolder, new: bool, given: tuple[str, ...], as_json: bool) -> None:
    """Show, or change, for whom the bundle is sealed by which a lost controller is made anew.

    Every member keeps the newest bundle, and cannot open it. Keep the private key offline, and not on these machines.
    """
    with open_records(folder):
        folder.check_user()
        made = None
        if new:
            made, public = age.new_identity()
            given = (*given, public)
        if given:
            set_recipients(folder, given)
        sealed_for = recipients(folder)
    if as_json:
        print_json({"recipients": list(sealed_for), "recovery_key": made})
        return
    if made is not None:
        click.echo(f"Keep this key offline; it is shown only now:\n\n  {made}\n")
    for each in sealed_for:
        click.echo(f"The recovery bundle is sealed for {each}")
    if not sealed_for:
        click.echo("There is no recovery key: make one with --new")


def set_recipients(folder: StateFolder, given: tuple[str, ...]) -> None:
    """Seal for ``given`` from now on; raises ConfigError: one is no public key of age."""
    age.encrypt(b"", given)
    write_file(folder.recovery_recipients, "".join(f"{each}\n" for each in given).encode())


@click.command(
    epilog="""\b
Example:
  mftgit controller settle --dir /var/lib/mftgit
"""
)
@dir_option
@json_option
def settle(folder: StateFolder, as_json: bool) -> None:
    """Let a restored controller publish without the word of members that were not heard of.

    By itself it waits until every member has told what it runs, because one may have a newer revision.
    """
    with open_records(folder) as records:
        waited = records.registry.settles()
        records.registry.settle()
    if as_json:
        print_json({"waited": waited})
    else:
        click.echo("It waits for no member any more." if waited else "It waited for no member.")
