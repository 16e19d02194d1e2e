"""``mftgit issuer``: who vouches for operators in the Web Manager (OpenID Connect)."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.openid import is_guarded
from mftgit.adapters.private_file import read_private_text
from mftgit.adapters.registry.issuer import IssuerRecord
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.options import dir_option, json_option, print_json
from mftgit.cli.records import Records, open_records
from mftgit.controller.operators.vouching import Vouching
from mftgit.errors import ConfigError
from mftgit.model.access import OperatorRole
from mftgit.model.events.event import EventName
from mftgit.model.issuer import Issuer


@click.group()
def issuer() -> None:
    """Let an OpenID Connect provider vouch for operators in the Web Manager; works while the controller runs."""


@issuer.command(
    "set",
    epilog="""\b
Example:
  mftgit issuer set https://login.example --client-id mftgit --secret-file client.secret \\
    --publish mft-admins --read staff --dir /var/lib/mftgit
""",
)
@click.argument("url")
@click.option("--client-id", required=True, metavar="TEXT", help="What the provider calls us.")
@click.option(
    "--secret-file",
    required=True,
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="Holds our password there, on one line; readable by its owner alone.",
)
@click.option(
    "--at",
    metavar="URL",
    help="The address of the Web Manager that browsers know; the controller's own where none is given.",
)
@click.option(
    "--name-claim",
    default="preferred_username",
    show_default=True,
    metavar="CLAIM",
    help="Names the operator.",
)
@click.option(
    "--domain", metavar="DOMAIN", help="The name has to end with @DOMAIN, which is dropped."
)
@click.option(
    "--role-claim",
    default="groups",
    show_default=True,
    metavar="CLAIM",
    help="What the roles go by.",
)
@click.option(
    "--read",
    multiple=True,
    metavar="VALUE",
    help="A value of it that may read; can be given several times.",
)
@click.option("--propose", multiple=True, metavar="VALUE", help="A value of it that may propose.")
@click.option("--publish", multiple=True, metavar="VALUE", help="A value of it that may publish.")
@click.option(
    "--ca",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="Authorities of the provider's certificate, PEM; those of this machine where none is given.",
)
@dir_option
@json_option
def set_(
    *,
    url: str,
    client_id: str,
    secret_file: Path,
    at: str | None,
    name_claim: str,
    domain: str | None,
    role_claim: str,
    read: tuple[str, ...],
    propose: tuple[str, ...],
    publish: tuple[str, ...],
    ca: Path | None,
    folder: StateFolder,
    as_json: bool,
) -> None:
    """Let the provider at URL vouch, in the place of the one before; sessions by that one end.

    Register us there with the redirect URI that is printed. A claim that people can change themselves must name nobody.
    """
    if not is_guarded(url):
        raise ConfigError(f"{url} does not begin with https://")
    if not (read or propose or publish):
        raise ConfigError("nobody could come in: give --read, --propose or --publish")
    roles = {"read": read, "propose": propose, "publish": publish}
    with _vouching(folder) as (records, vouching):
        made = Issuer(
            url=url,
            client_id=client_id,
            at=at or records.bootstrap.controller_url,
            name_claim=name_claim,
            role_claim=role_claim,
            roles={name: list(values) for name, values in roles.items()},
            domain=domain,
            ca=None if ca is None else ca.read_text(encoding="utf-8"),
        )
        vouching.set(made, read_private_text(secret_file).strip())
        records.events.append(EventName.ISSUER_CHANGED, facts={"issuer": url})
    _show(made, as_json=as_json)


@issuer.command(
    epilog="""\b
Example:
  mftgit issuer show --dir /var/lib/mftgit
"""
)
@dir_option
@json_option
def show(folder: StateFolder, as_json: bool) -> None:
    """Show who vouches for operators, and for which roles."""
    with _vouching(folder) as (_, vouching):
        found = vouching.issuer()
    _show(found, as_json=as_json)


@issuer.command(
    epilog="""\b
Example:
  mftgit issuer remove --dir /var/lib/mftgit
"""
)
@dir_option
@json_option
def remove(folder: StateFolder, as_json: bool) -> None:
    """Let nobody vouch for operators any more; the sessions of those end."""
    with _vouching(folder) as (records, vouching):
        if vouching.remove():
            records.events.append(EventName.ISSUER_CHANGED, facts={"issuer": None})
    _show(None, as_json=as_json)


@contextmanager
def _vouching(folder: StateFolder) -> Iterator[tuple[Records, Vouching]]:
    with open_records(folder) as records:
        record = IssuerRecord(folder.registry)
        made = Vouching(record, records.registry, folder.age_key, clock=SystemClock())
        with closing(made):
            yield records, made


def _show(found: Issuer | None, *, as_json: bool) -> None:
    if as_json:
        print_json(_described(found))
    elif found is None:
        click.echo("Nobody vouches for operators; they log in with passwords.")
    else:
        click.echo(f"{found.url} vouches for operators.\nRedirect URI: {found.redirect_uri}")
        for role in OperatorRole:
            if values := found.roles.get(role.value):
                click.echo(f"{role.value}: {found.role_claim} {', '.join(values)}")


def _described(found: Issuer | None) -> dict[str, object] | None:
    if found is None:
        return None
    return {
        "issuer": found.url,
        "client_id": found.client_id,
        "redirect_uri": found.redirect_uri,
        "name_claim": found.name_claim,
        "domain": found.domain,
        "role_claim": found.role_claim,
        "roles": dict(found.roles),
    }
