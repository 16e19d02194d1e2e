"""``mftgit operator``: who may log in to the controller and push."""

from contextlib import closing

import click

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.passwords import hash_password, make_password
from mftgit.adapters.registry.errors import UnknownNameError
from mftgit.adapters.registry.operator_codes import OperatorCodes
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.app_link import echo_app_link
from mftgit.cli.options import Name, dir_option, json_option, print_json
from mftgit.cli.records import open_records
from mftgit.controller.operators.codes import Codes
from mftgit.model.access import OperatorRole
from mftgit.model.events.event import EventName, Fact
from mftgit.model.inbound.totp import key_uri
from mftgit.model.names import OperatorName

_ROLES = [role.value for role in OperatorRole]


@click.group()
def operator() -> None:
    """Add, remove and list the people who may push; works while the controller runs."""


@operator.command(
    epilog="""\b
Examples:
  mftgit operator add alice --dir /var/lib/mftgit
  mftgit operator add bob --role propose --dir /var/lib/mftgit
"""
)
@click.argument("name", type=Name())
@click.option(
    "--role",
    type=click.Choice(_ROLES),
    default=OperatorRole.PUBLISH.value,
    show_default=True,
    help="read: clone and fetch; propose: also push change/*; publish: also push main.",
)
@dir_option
@json_option
def add(name: OperatorName, role: str, folder: StateFolder, as_json: bool) -> None:
    """Add operator NAME and print a password, once."""
    password = make_password()
    with open_records(folder) as records:
        records.registry.add_operator(name, hash_password(password), OperatorRole(role))
        records.events.append(EventName.OPERATOR_ADDED, facts={"operator": name, "role": role})
    if as_json:
        print_json({"username": name, "password": password, "role": role})
    else:
        click.echo(f"Operator {name} is added. The password, shown only now:\n\n  {password}")


@operator.command(
    epilog="""\b
Example:
  mftgit operator role bob publish --dir /var/lib/mftgit
"""
)
@click.argument("name", type=Name())
@click.argument("role", type=click.Choice(_ROLES))
@dir_option
@json_option
def role(name: OperatorName, role: str, folder: StateFolder, as_json: bool) -> None:
    """Let operator NAME do from now on what ROLE says; the password stays."""
    with open_records(folder) as records:
        records.registry.give_role(name, OperatorRole(role))
        records.events.append(EventName.OPERATOR_CHANGED, facts={"operator": name, "role": role})
    if as_json:
        print_json({"username": name, "role": role})
    else:
        click.echo(f"Operator {name} has the role {role}.")


@operator.command(
    epilog="""\b
Example:
  mftgit operator remove alice --dir /var/lib/mftgit
"""
)
@click.argument("name", type=Name())
@dir_option
@json_option
def remove(name: OperatorName, folder: StateFolder, as_json: bool) -> None:
    """Remove operator NAME; the password opens nothing from now on."""
    with open_records(folder) as records:
        records.registry.remove_operator(name)
        records.events.append(EventName.OPERATOR_REMOVED, facts={"operator": name})
    if as_json:
        print_json({"username": name})
    else:
        click.echo(f"Operator {name} is removed.")


@operator.command(
    epilog="""\b
Examples:
  mftgit operator totp alice --dir /var/lib/mftgit
  mftgit operator totp alice --remove --dir /var/lib/mftgit
"""
)
@click.argument("name", type=Name())
@click.option("--remove", is_flag=True, help="Ask for no codes any more, as when the app is lost.")
@click.option(
    "--issuer",
    default="mftgit",
    show_default=True,
    metavar="TEXT",
    help="Whose account it is, as the app shows it.",
)
@dir_option
@json_option
def totp(name: OperatorName, folder: StateFolder, issuer: str, remove: bool, as_json: bool) -> None:
    """Let operator NAME log in to the Web Manager with one-time codes besides (RFC 6238).

    The key that is printed, once, is for an authenticator app, also as a link, and on a terminal as a QR code; all of
    it is secret. Said again, another one takes its place. Sessions that are open end.
    """
    with open_records(folder) as records, closing(OperatorCodes(folder.registry)) as kept:
        if records.registry.credential(name) is None:
            raise UnknownNameError(f"there is no operator {name!r}")
        codes = Codes(kept, folder.age_key, clock=SystemClock())
        key = None if remove else codes.enrol(name)
        if key is not None or codes.remove(name):
            facts: dict[str, Fact] = {"operator": name, "totp": key is not None}
            records.events.append(EventName.OPERATOR_CHANGED, facts=facts)
    uri = "" if key is None else key_uri(key, account=name, issuer=issuer)
    if as_json:
        print_json({"username": name, "key": key, "uri": uri or None})
    elif key is None:
        click.echo(f"Operator {name} logs in without codes.")
    else:
        click.echo(
            f"Operator {name} needs codes from now on. The key, shown only now:\n\n  {key}\n"
        )
        click.echo("For the app, as a link, and on a terminal as a QR code:")
        echo_app_link(uri)


@operator.command(
    "list",
    epilog="""\b
Example:
  mftgit operator list --dir /var/lib/mftgit --json
""",
)
@dir_option
@json_option
def list_operators(folder: StateFolder, as_json: bool) -> None:
    """List the operators."""
    with open_records(folder) as records:
        known = records.registry.operators()
    if as_json:
        print_json(
            [
                {"username": each.name, "role": each.role.value, "added_at": each.added_at}
                for each in known
            ]
        )
        return
    for each in known:
        click.echo(f"{each.name}  {each.role.value}  added {each.added_at}")
