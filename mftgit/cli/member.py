"""``mftgit member``: which machines belong to the cluster."""

from pathlib import Path

import click

from mftgit.adapters.age import ensure_identity, make_identity
from mftgit.adapters.clock import SystemClock
from mftgit.adapters.registry.members import MemberRecord
from mftgit.adapters.state_folder import StateFolder
from mftgit.adapters.tls.pki import identity_fingerprint
from mftgit.cli.options import Name, dir_option, json_option, print_json
from mftgit.cli.records import open_records
from mftgit.controller.certificate import token_authority
from mftgit.controller.members.keys import LocalKeyLine, MemberKeys
from mftgit.errors import ConfigError
from mftgit.member.follow import follow_controller
from mftgit.member.outbound.ownership.storage import STATE, Storage
from mftgit.member.rotate import RemoteKeyLine, Rotated
from mftgit.member.rotate import rotate_key as rotate
from mftgit.model.configuration.config import Role
from mftgit.model.events.event import EventName
from mftgit.model.members.token import JoinToken, format_token
from mftgit.model.names import MemberName


@click.group()
def member() -> None:
    """Invite, remove and list the cluster's members, and change a member's key; works while the controller runs."""


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
    token = format_token(JoinToken(member=name, ca_sha256=token_authority(folder), secret=secret))
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
    """Remove member NAME: no key of it opens anything from now on, and its join token neither."""
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
        print_json([_row(each) for each in known])
        return
    for each in known:
        joined = "joined" if each.public_key is not None else "invited, has not joined"
        words = [each.name, each.role.value, joined, _fingerprint(each.public_key)]
        if each.next_key is not None:
            words.append(f"(changes to {_fingerprint(each.next_key)})")
        click.echo("  ".join(word for word in words if word))


def _row(record: MemberRecord) -> dict[str, object]:
    return {
        "name": record.name,
        "role": record.role.value,
        "joined": record.public_key is not None,
        "fingerprint": _fingerprint(record.public_key),
        "next_fingerprint": _fingerprint(record.next_key),
    }


def _fingerprint(public_key: str | None) -> str | None:
    return None if public_key is None else identity_fingerprint(public_key)


@member.command(
    epilog="""\b
Example:
  mftgit member recipient --dir /var/lib/mftgit
"""
)
@dir_option
@json_option
def recipient(folder: StateFolder, as_json: bool) -> None:
    """Print the public key that secrets are encrypted to for the member in DIR, on its own machine."""
    name = folder.read_bootstrap().name
    folder.check_user()
    _show_recipient(name, ensure_identity(folder.age_key), as_json=as_json)


@member.command(
    epilog="""\b
Example:
  mftgit member rotate-age-key --dir /var/lib/mftgit
"""
)
@dir_option
@json_option
def rotate_age_key(folder: StateFolder, as_json: bool) -> None:
    """Give the member in DIR another key to read secrets with; those before it work on until their lines are removed.

    Then write the new public key into its document, `mftgit secret rekey`, and push.
    """
    name = folder.read_bootstrap().name
    folder.check_user()
    _show_recipient(name, make_identity(folder.age_key), as_json=as_json)


def _show_recipient(name: MemberName, public: str, *, as_json: bool) -> None:
    if as_json:
        print_json({"name": name, "age_recipient": public})
        return
    click.echo(f"Write into members/{name}.yaml:\n\n  age_recipient: {public}")


@member.command(
    epilog="""\b
Example:
  mftgit member rotate-key --dir /var/lib/mftgit
"""
)
@dir_option
@json_option
def rotate_key(folder: StateFolder, as_json: bool) -> None:
    """Give the member in DIR, on its own machine, another key; works whether it runs or not.

    It may be said again when it was broken off: until the new key is in use, the present one is in force.
    """
    bootstrap = folder.read_bootstrap()
    if bootstrap.role is Role.CONTROLLER:
        with open_records(folder) as records:
            keys = MemberKeys(
                records.registry, lambda event, facts: records.events.append(event, facts=facts)
            )
            done = rotate(folder, LocalKeyLine(keys, bootstrap.name))
    else:
        done = rotate(folder, RemoteKeyLine(folder, bootstrap, now=SystemClock().now))
    _show_rotated(bootstrap.name, done, as_json=as_json)


def _show_rotated(name: MemberName, done: Rotated, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "name": name,
                "fingerprint": done.fingerprint,
                "previous_ended": done.previous_ended,
            }
        )
        return
    ends = "opens nothing any more" if done.previous_ended else "ends with the next request"
    click.echo(f"Member {name} has the key {done.fingerprint} now; the one before {ends}.")


@member.command(
    epilog="""\b
Example:
  mftgit member accept-storage --dir /var/lib/mftgit
"""
)
@dir_option
@json_option
def accept_storage(folder: StateFolder, as_json: bool) -> None:
    """Let the member in DIR, on its own machine, own transfers on the storage that is there now.

    A member owns nothing on other storage than before, as where a mount is missing. See first that it is the
    storage that all members share: what the former one tells of deliveries and of files under way counts no more.
    """
    bootstrap = folder.read_bootstrap()
    folder.check_user()
    storage = Storage(
        Path(bootstrap.files_root) / STATE,
        member=bootstrap.name,
        known=folder.storage_id,
        clock=SystemClock(),
    )
    try:
        former, accepted = storage.accept()
    except OSError as error:
        raise ConfigError(
            f"{folder.storage_id}: cannot be written: {error.strerror}: make room, or see to its owner"
        ) from error
    if as_json:
        print_json({"name": bootstrap.name, "storage": accepted, "former": former})
        return
    was = "" if former in {None, accepted} else f", and no more {former}"
    click.echo(
        f"Member {bootstrap.name} takes the storage {accepted} at {bootstrap.files_root}{was}."
    )


@member.command(
    epilog="""\b
Example:
  mftgit member follow --dir /var/lib/mftgit --controller https://new.example.org:8443
"""
)
@dir_option
@click.option(
    "--controller", "url", required=True, metavar="URL", help="https://HOST:PORT of the controller."
)
@json_option
def follow(folder: StateFolder, url: str, as_json: bool) -> None:
    """Have the node in DIR reach its controller at another address: said on its machine, while it runs or not.

    It is tried first: who answers there has to be this cluster's controller, by the authority that the node takes.
    """
    bootstrap = folder.read_bootstrap()
    folder.check_user()
    followed = follow_controller(folder, bootstrap, url, now=SystemClock().now)
    if as_json:
        print_json({"name": bootstrap.name, "controller": followed})
    else:
        click.echo(f"{bootstrap.name} reaches its controller at {followed} from now on.")
