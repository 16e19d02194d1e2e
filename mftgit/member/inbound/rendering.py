"""What a service of a generation comes to on this machine: its folders, and its secrets."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from loguru import logger

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.location_secrets import SecretsHere, name_of
from mftgit.errors import ConfigError, MftgitError
from mftgit.member.inbound.speaking import make_greeting
from mftgit.member.outbound.places.opening import prepare
from mftgit.model.configuration.config import Generation
from mftgit.model.inbound.account import Account, Place
from mftgit.model.inbound.service import AnyService
from mftgit.model.inbound.serving import Served, Serving
from mftgit.model.locations.far_place import FarPlace
from mftgit.model.locations.location import LocalLocation, RemoteLocation
from mftgit.model.locations.login import SecretRef
from mftgit.model.names import Revision, SecretName
from mftgit.model.secrets.value import SecretValue


def make_serving(
    service: AnyService,
    generation: Generation,
    *,
    revision: Revision,
    files_root: Path,
    secrets: SecretsHere,
    fresh: bool,
) -> Serving:
    """Return what processes serve of ``service``.

    Where it is not ``fresh``, an account whose secret is missing cannot come in, and the others can.

    Raises:
        ConfigError: a secret is missing or is not what it should be, or an account's folder is none of this machine's.
    """
    accounts = {}
    for name, account in generation.accounts.items():
        if account.services is not None and service.name not in account.services:
            continue
        try:
            accounts[name] = _served(account, generation, files_root, secrets)
        except MftgitError as error:
            if fresh:
                raise ConfigError(f"account {name} cannot be let in: {error}") from error
            logger.bind(account=name, error=str(error)).error("an account cannot be let in")
    return Serving(
        revision=revision,
        member=generation.member.name,
        service=service,
        keys=tuple(_keys(service, secrets)),
        accounts=accounts,
        secrets=_secrets(accounts.values(), generation, secrets),
        secrets_dir=str(secrets.folder),
    )


def check_serving(serving: Serving) -> None:
    """See that a server can be made of it; raises ConfigError, which says where its keys are named."""
    try:
        make_greeting(serving, SystemClock())
    except ConfigError as error:
        raise ConfigError(f"{error} ({_places(serving.service)})") from error


def _places(service: AnyService) -> str:
    """Return where the document of ``service`` names what: ``services/sftp.yaml: /host_keys/0 is 'host'``."""
    named = (f"{pointer} is {name_of(kept)}" for pointer, kept in service.proofs.items())
    return f"services/{service.name}.yaml: {', '.join(named)}"


def _served(
    account: Account, generation: Generation, files_root: Path, secrets: SecretsHere
) -> Served:
    def folder(place: Place) -> str:
        location = generation.locations.get(place.location)
        if not isinstance(location, LocalLocation):
            raise ConfigError(f"location {place.location} is no folder of this machine")
        return str(files_root / location.path / place.path)

    far = _far(account, generation, secrets)

    def secret(ref: SecretRef | None) -> SecretValue | None:
        return None if ref is None else SecretValue(secrets.password(ref))

    return Served(
        account=account,
        home=folder(account.home),
        folders={each.at: folder(each.place) for each in account.folders if each.at not in far},
        far=far,
        password=secret(account.login.password),
        totp=secret(account.login.totp),
    )


def _far(account: Account, generation: Generation, secrets: SecretsHere) -> dict[str, FarPlace]:
    """Return the virtual folders of ``account`` that lie on servers, where all is here that logs in to these."""
    far = {}
    for each in account.folders:
        location = generation.locations.get(each.place.location)
        if isinstance(location, RemoteLocation):
            prepare(location, secrets_dir=secrets.folder, secrets=secrets.values)
            far[each.at] = FarPlace.of(location, each.place.path)
    return far


def _secrets(
    accounts: Iterable[Served], generation: Generation, secrets: SecretsHere
) -> dict[SecretName, SecretValue]:
    """Return the secrets of the repository that log in to the servers behind virtual folders."""
    names = {place.location for each in accounts for place in each.far.values()}
    wanted = {name for each in names for _, name in generation.locations[each].secrets()}
    return {name: value for name, value in secrets.values.items() if name in wanted}


def _keys(service: AnyService, secrets: SecretsHere) -> Iterator[SecretValue]:
    for pointer, kept in service.proofs.items():
        try:
            yield SecretValue(secrets.text(kept))
        except (ConfigError, ValueError) as error:
            raise ConfigError(f"services/{service.name}.yaml at {pointer}: {error}") from error
