"""``mftgit join``: become a member of a cluster."""

from pathlib import Path

import click

from mftgit.adapters.age import ensure_identity
from mftgit.adapters.clock import SystemClock
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.options import folder_argument, json_option, print_json
from mftgit.member.join import join as join_cluster
from mftgit.model.members.token import parse_token


@click.command(
    epilog="""\b
Example:
  mftgit join /var/lib/mftgit --controller https://mft.example.org:8443 --token mftgit1.WyJu...
  mftgit join /var/lib/mftgit --again --controller https://mft.example.org:8443 --token mftgit1.WyJu...
"""
)
@folder_argument
@click.option(
    "--controller", "url", required=True, metavar="URL", help="https://HOST:PORT of the controller."
)
@click.option("--token", required=True, help="What `mftgit member add` printed.")
@click.option(
    "--files-root",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="PATH",
    help="Where relative paths of documents begin: the members' shared storage. [default: DIR/files]",
)
@click.option(
    "--again",
    is_flag=True,
    help="DIR is a node of this cluster already, whose controller was made anew: keep all that it has, running or not.",
)
@json_option
def join(
    folder: StateFolder, url: str, token: str, files_root: Path | None, again: bool, as_json: bool
) -> None:
    """Make a member's state in DIR; its key is made here and never leaves this machine."""
    bootstrap = join_cluster(
        folder,
        controller_url=url,
        token=parse_token(token),
        files_root=(files_root or folder.default_files_root).absolute(),
        now=SystemClock().now,
        again=again,
    )
    public = ensure_identity(folder.age_key)
    if as_json:
        print_json(
            {
                "name": bootstrap.name,
                "role": bootstrap.role.value,
                "controller": url,
                "age_recipient": public,
            }
        )
        return
    if again:
        click.echo(f"{bootstrap.name} follows {bootstrap.controller_url} from now on, as it runs.")
        return
    click.echo(f"This is member {bootstrap.name} now. Start it with\n\n  mftgit run {folder.root}")
    click.echo(
        f"\nFor secrets that it shall read, push in members/{bootstrap.name}.yaml:\n\n  age_recipient: {public}"
    )
