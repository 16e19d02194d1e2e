"""``mftgit member``: which machines belong to the cluster."""

import click

from mftgit.adapters.pki import fingerprint
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.options import Name, dir_option, json_option, print_json
from mftgit.cli.records import open_records
from mftgit.model.config import Role
from mftgit.model.events import EventName
from mftgit.model.names import MemberName
from mftgit.model.token import JoinToken, format_token


@click.group()
def member() -> None:
    """Invite, remove and list the cluster's members; works while the controller runs."""


@member.command(
    epilog="""\b
Example:
  mftgit member add node-1 --dir /var/lib/mftgit
"""
)
@click.argument("name", type=Name())
@click.option(
    "--role",
    type=click.Choice([Role.NODE.value]),
    default=Role.NODE.value,
    show_default=True,
    help="What the member is; the controller itself was made by `controller init`.",
)
@dir_option
@json_option
def add(name: MemberName, role: str, folder: StateFolder, as_json: bool) -> None:
    """Invite member NAME and print a one-time join token, good for 24 hours."""
    with open_records(folder) as records:
        secret = records.registry.invite(name, Role(role))
        records.events.append(EventName.MEMBER_INVITED, facts={"invited": name, "role": role})
        url = records.bootstrap.controller_url
    ca = fingerprint(folder.read(folder.ca_file))
    token = format_token(JoinToken(member=name, ca_sha256=ca, secret=secret))
    if as_json:
        print_json({"name": name, "token": token})
        return
    click.echo(
        f"On the new member's machine, within 24 hours, once:\n\n  mftgit join DIR --controller {url} \\"
    )
    click.echo(f"    --token {token}\n\nthen push members/{name}.yaml if the repository has none.")


@member.command(
    epilog="""\b
Example:
  mftgit member remove node-1 --dir /var/lib/mftgit
"""
)
@click.argument("name", type=Name())
@dir_option
@json_option
def remove(name: MemberName, folder: StateFolder, as_json: bool) -> None:
    """Remove member NAME: its key opens nothing from now on, and its join token neither."""
    with open_records(folder) as records:
        if name == records.bootstrap.name:
            raise click.UsageError(f"{name} is the controller itself")
        records.registry.remove_member(name)
        records.events.append(EventName.MEMBER_REMOVED, facts={"removed": name})
    if as_json:
        print_json({"name": name})
    else:
        click.echo(f"Member {name} is removed.")


@member.command(
    "list",
    epilog="""\b
Example:
  mftgit member list --dir /var/lib/mftgit --json
""",
)
@dir_option
@json_option
def list_members(folder: StateFolder, as_json: bool) -> None:
    """List the members, and whether they have joined; `mftgit status` tells how they are."""
    with open_records(folder) as records:
        known = records.registry.members()
    if as_json:
        rows = [
            {"name": each.name, "role": each.role.value, "joined": each.public_key is not None}
            for each in known
        ]
        print_json(rows)
        return
    for each in known:
        joined = "joined" if each.public_key is not None else "invited, has not joined"
        click.echo(f"{each.name}  {each.role.value}  {joined}")
