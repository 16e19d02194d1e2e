"""``mftgit controller init``: make a controller."""

import socket
from pathlib import Path

import click

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.documents_folder import importable, read_folder
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.options import Listen, folder_argument, json_option, print_json
from mftgit.cli.rules import make_validator
from mftgit.controller.certificate import ANY_ADDRESS
from mftgit.controller.initialise import initialise

_MINIMAL = {
    "cluster.yaml": b"# What holds for the cluster as a whole.\nname: my-cluster\n",
    "members/controller.yaml": b"# This machine: it hosts the repository and may transfer files itself.\n"
    b"role: controller\n",
}


@click.group()
def controller() -> None:
    """Make the cluster's controller."""


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
    if as_json:
        print_json(
            {
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
    click.echo(f"  git clone -c http.sslCAInfo={done.ca_file} {done.clone_url}")
