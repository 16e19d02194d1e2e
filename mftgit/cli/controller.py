"""``mftgit controller``: make a controller, and what only its administrator does to it."""

import socket
from pathlib import Path
from textwrap import indent

import click

from mftgit.adapters.age import new_identity
from mftgit.adapters.clock import SystemClock
from mftgit.adapters.documents_folder import importable, read_folder
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.mirror import mirror
from mftgit.cli.options import Listen, Name, dir_option, folder_argument, json_option, print_json
from mftgit.cli.records import open_records
from mftgit.cli.restore import recovery_key, restore, set_recipients, settle
from mftgit.cli.rules import make_validator
from mftgit.controller.authority import Rotation, Step, rotate_authority
from mftgit.controller.certificate import ANY_ADDRESS
from mftgit.controller.initialise import initialise
from mftgit.model.names import MemberName

_MINIMAL = {
    "cluster.yaml": b"# What holds for the cluster as a whole.\nname: my-cluster\n",
    "members/controller.yaml": b"# This machine: it hosts the repository and may transfer files itself.\n"
    b"role: controller\n",
}


@click.group()
def controller() -> None:
    """Make the cluster's controller, give the cluster another authority, and publish what a forge has."""


for command in (mirror, restore, recovery_key, settle):
    controller.add_command(command)


@controller.command(
    epilog="""\b
Examples:
  mftgit controller init /var/lib/mftgit --listen 0.0.0.0:8443
  mftgit controller init ./ctl --listen 127.0.0.1:0 --from sample-config-repo --files-root ./files --json
"""
)
@folder_argument
@click.option(
    "--listen",
    type=Listen(),
    default="127.0.0.1:8443",
    show_default=True,
    help="Where to serve; port 0 takes a free one and reports it.",
)
@click.option(
    "--host",
    help="What members and operators call this machine, when that is not the listen address.",
)
@click.option(
    "--from",
    "source",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Documents of the first revision; without it, a cluster of the controller alone.",
)
@click.option(
    "--files-root",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="PATH",
    help="Where relative paths of documents begin: the members' shared storage. [default: DIR/files]",
)
@json_option
def init(
    folder: StateFolder,
    listen: tuple[str, int],
    host: str | None,
    source: Path | None,
    files_root: Path | None,
    as_json: bool,
) -> None:
    """Make a controller's state in DIR: authority, TLS certificate, repository, first operator.

    The password is printed once and kept nowhere but as a hash.
    """
    tree = read_folder(source) if source is not None else importable(_MINIMAL)
    done = initialise(
        folder,
        documents={path: entry.load() for path, entry in tree.items()},
        tree=tree,
        validator=make_validator(),
        listen=listen,
        host=host or (socket.getfqdn() if listen[0] in ANY_ADDRESS else listen[0]),
        files_root=(files_root or folder.default_files_root).absolute(),
        now=SystemClock().now,
    )
    secret, public = new_identity()
    set_recipients(folder, (public,))
    if as_json:
        print_json(
            {
                "recovery_key": secret,
                "url": done.url,
                "clone_url": done.clone_url,
                "ca_file": str(done.ca_file),
                "username": done.username,
                "password": done.password,
            }
        )
        return
    click.echo(f"The controller's state is in {folder.root}. Start it with\n")
    click.echo(f"  mftgit run {folder.root}\n")
    click.echo(
        f"then clone the configuration as {done.username} with this password, shown only now:\n"
    )
    click.echo(f"  {done.password}\n")
    click.echo(f"  git clone -c http.sslCAInfo={done.ca_file} {done.clone_url}\n")
    click.echo(
        "Keep this recovery key offline: with it a lost controller is made anew from any node.\n"
    )
    click.echo(f"  {secret}")


@controller.command(
    "rotate-ca",
    epilog="""\b
Example:
  mftgit controller rotate-ca --dir /var/lib/mftgit
""",
)
@dir_option
@click.option(
    "--without",
    type=Name(),
    multiple=True,
    metavar="NAME",
    help="A member that is not waited for; it has to join anew. May be repeated.",
)
@json_option
def rotate_ca(folder: StateFolder, without: tuple[MemberName, ...], as_json: bool) -> None:
    """Give the cluster another authority, step by step: each call goes on as far as the members are.

    It prints what to push as controller.ca in cluster.yaml; say it again when the members have taken that. It works
    while the controller runs, and may be broken off at any moment.
    """
    with open_records(folder) as records:
        done = rotate_authority(
            folder,
            records.registry.members(),
            left=without,
            now=SystemClock().now(),
            tell=records.events.append,
        )
    if as_json:
        print_json(
            {
                "step": done.step.value,
                "fingerprint": done.fingerprint,
                "ca": done.ca_pem,
                "waits_for": list(done.waits_for),
            }
        )
    else:
        _show_rotation(done)


def _show_rotation(done: Rotation) -> None:
    if done.step is Step.DONE:
        click.echo(f"The cluster's authority is {done.fingerprint}; the one before counts nowhere.")
        return
    what = {
        Step.OFFERED: "is made, and issues nothing yet",
        Step.CHANGED: "issues the controller's certificate now",
    }[done.step]
    click.echo(f"The authority {done.fingerprint} {what}.\nPush this in cluster.yaml:\n")
    click.echo(f"controller:\n  ca: |\n{indent(done.ca_pem, '    ')}")
    click.echo(f"and say this again when these members have taken it: {', '.join(done.waits_for)}")
