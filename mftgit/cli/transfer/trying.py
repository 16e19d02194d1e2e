"""``mftgit transfer test``: whether both sides of a transfer work from this machine."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.endpoint.contract import Endpoint
from mftgit.adapters.location_secrets import SecretsHere
from mftgit.adapters.state_folder import StateFolder
from mftgit.cli.options import Name, dir_option, json_option, print_json
from mftgit.cli.transfer.here import Active, read_active
from mftgit.cli.transfer.patience import Patience
from mftgit.member.outbound.places.opening import open_location
from mftgit.member.outbound.trial import (
    Step,
    try_content,
    try_destination,
    try_fallback,
    try_programs,
    try_source,
)
from mftgit.member.secrets import Unsealer
from mftgit.model.configuration.definition import describe_location
from mftgit.model.locations.location import Location
from mftgit.model.names import LocationName, SecretName, TransferName
from mftgit.model.printable import printable
from mftgit.model.secrets.needs import secrets_of_transfer
from mftgit.model.secrets.value import SecretValue

FAILED: Final = 1


@click.command(
    epilog="""\b
Examples:
  mftgit transfer test invoices --dir /var/lib/mftgit
  mftgit transfer test invoices --dir /var/lib/mftgit --json
"""
)
@click.argument("name", type=Name())
@dir_option
@json_option
def test(name: TransferName, folder: StateFolder, as_json: bool) -> int:
    """Try both sides of transfer NAME from this machine, step by step, whether the member runs or not.

    At the source it lists, and reads one byte of the first file. At the destination it writes a hidden file of its own,
    reads it back, renames and removes it, and does the same at the fallback. It touches no other file. Keys of OpenPGP
    are tried first, without a file, and the programs of commands are looked for. It exits with 1 where a step fails.
    """
    active = read_active(folder)
    transfer = active.transfer(name)
    steps: list[Step] = []
    files_root = Path(folder.read_bootstrap().files_root)

    def tell(step: Step) -> None:
        steps.append(step)
        if not as_json:
            patience.aside(lambda: _print(step))

    def open_endpoint(location: Location, passed: Callable[[str], None]) -> Endpoint:
        return open_location(
            location,
            files_root=files_root,
            secrets_dir=folder.secrets,
            secrets=_secrets(
                folder, active, location.secrets(), locations={location.name: location}
            ),
            make=False,
            passed=passed,
        )

    def read_secrets() -> SecretsHere:
        values = _secrets(folder, active, secrets_of_transfer(transfer), locations={})
        return SecretsHere(folder=folder.secrets, values=values)

    locations, clock = active.generation.locations, SystemClock()
    with Patience("waiting for gpg", clock=clock) as patience:
        try_content(transfer, secrets=read_secrets, clock=clock, tell=tell)
    try_programs(transfer, folder=folder.commands, clock=clock, tell=tell)
    attempts = (try_source, try_destination, try_fallback)
    for place, attempt in zip(transfer.locations, attempts, strict=False):
        if not as_json:
            click.secho(printable(describe_location(locations[place])), bold=True)
        with Patience("waiting for the other side", clock=clock) as patience:
            attempt(transfer, locations[place], open_endpoint=open_endpoint, clock=clock, tell=tell)
    good = all(step.ok for step in steps)
    if as_json:
        print_json(
            {
                "member": active.generation.member.name,
                "transfer": name,
                "revision": active.revision,
                "ok": good,
                "steps": [step.as_json() for step in steps],
            }
        )
    return 0 if good else FAILED


def _secrets(
    folder: StateFolder,
    active: Active,
    named: Iterable[tuple[str, SecretName]],
    locations: Mapping[LocationName, Location],
) -> dict[SecretName, SecretValue]:
    """Return the secrets that are ``named``, decrypted with the member's key as the running member does it.

    ``locations`` are those that name them.

    Raises:
        ConfigError: one cannot be decrypted here.
    """
    generation = active.generation
    needed = {name for _, name in named}
    alone = replace(
        generation,
        locations=locations,
        sealed={name: each for name, each in generation.sealed.items() if name in needed},
    )
    unsealed = Unsealer(folder.age_key).unseal(alone, active.parts, fresh=True)
    return dict(unsealed.secrets)


def _print(step: Step) -> None:
    word = click.style("ok    ", fg="green") if step.ok else click.style("FAILED", fg="red")
    click.echo(f"  {step.step:14} {word} {step.ms:9.1f} ms  {printable(step.note or '')}".rstrip())
    if step.error is not None:
        click.echo(f"    {step.side}: {printable(step.error)}")
        if step.way_out is not None:
            click.echo(f"    way out: {step.way_out}")
