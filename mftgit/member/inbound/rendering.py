"""What a service of a generation comes to on this machine: its folders, and its secrets."""

from pathlib import Path

from loguru import logger

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.location_secrets import SecretsHere
from mftgit.errors import ConfigError, MftgitError
from mftgit.member.inbound.speaking import make_greeting
from mftgit.model.account import Account, Place
from mftgit.model.config import Generation
from mftgit.model.location import LocalLocation
from mftgit.model.login import SecretRef
from mftgit.model.names import Revision
from mftgit.model.secret_value import SecretValue
from mftgit.model.service import AnyService
from mftgit.model.serving import Served, Serving


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
        keys=tuple(_secret(secrets, each) for each in service.proofs.values()),
        accounts=accounts,
    )


def check_serving(serving: Serving) -> None:
    """See that a server can be made of it; raises ConfigError."""
    make_greeting(serving, SystemClock())


def _served(
    account: Account, generation: Generation, files_root: Path, secrets: SecretsHere
) -> Served:
    def folder(place: Place) -> str:
        location = generation.locations.get(place.location)
        if not isinstance(location, LocalLocation):
            raise ConfigError(f"location {place.location} is no folder of this machine")
        return str(files_root / location.path / place.path)

    def secret(ref: SecretRef | None) -> SecretValue | None:
        return None if ref is None else SecretValue(secrets.password(ref))

    return Served(
        account=account,
        home=folder(account.home),
        folders={each.at: folder(each.place) for each in account.folders},
        password=secret(account.login.password),
        totp=secret(account.login.totp),
    )


def _secret(secrets: SecretsHere, ref: SecretRef) -> SecretValue:
    try:
        return SecretValue(secrets.text(ref))
    except ValueError as error:
        raise ConfigError(f"a host key cannot be used: {error}") from error
