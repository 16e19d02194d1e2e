"""Work out what a member has to start, change and stop to run another generation."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import TypeVar

from mftgit.model.configuration.config import Generation, Transfer
from mftgit.model.handlers.handler import AnyEventHandler
from mftgit.model.inbound.account import Account
from mftgit.model.inbound.service import AnyService
from mftgit.model.locations.location import Location
from mftgit.model.names import (
    AccountName,
    EventHandlerName,
    LocationName,
    SecretName,
    ServiceName,
    TransferName,
)
from mftgit.model.secrets.needs import secrets_of_transfer
from mftgit.model.secrets.value import SecretValue

_Name = TypeVar("_Name")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One transfer with all that it runs by; equal jobs run alike, so an equal one is left alone.

    Secrets count by their values, however often they were encrypted anew.
    """

    transfer: Transfer
    source: Location
    destination: Location
    fallback: Location | None = None
    secrets: tuple[tuple[SecretName, SecretValue], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to start, to change and to stop, each in name order.

    ``services``, ``accounts`` and ``event_handlers`` are those that are new, other than before, or gone; secrets and
    folders count too.
    """

    start: tuple[Job, ...] = ()
    change: tuple[Job, ...] = ()
    stop: tuple[TransferName, ...] = ()
    services: tuple[ServiceName, ...] = ()
    accounts: tuple[AccountName, ...] = ()
    event_handlers: tuple[EventHandlerName, ...] = ()

    def __bool__(self) -> bool:
        transfers = self.start or self.change or self.stop
        return bool(transfers or self.services or self.accounts or self.event_handlers)


def plan(active: Generation | None, wanted: Generation) -> Plan:
    """Return what takes a member from ``active`` (None: nothing runs) to ``wanted``."""
    had = active or replace(
        wanted, transfers={}, locations={}, services={}, accounts={}, event_handlers={}
    )
    moved = _other(had.locations, wanted.locations)
    secrets = _other(had.secrets, wanted.secrets) | (had.secrets.keys() - wanted.secrets.keys())
    if secrets:
        moved |= {
            name
            for name, each in wanted.locations.items()
            if not secrets.isdisjoint(_secrets_of(each))
        }
    changed = _other(had.transfers, wanted.transfers)
    if secrets:
        changed |= {
            name
            for name, each in wanted.transfers.items()
            if not secrets.isdisjoint(_own_secrets_of(each))
        }
    if moved:
        changed |= {
            name for name, each in wanted.transfers.items() if not moved.isdisjoint(each.locations)
        }
    return Plan(
        start=tuple(_job(wanted, name) for name in sorted(changed - had.transfers.keys())),
        change=tuple(_job(wanted, name) for name in sorted(changed & had.transfers.keys())),
        stop=tuple(sorted(had.transfers.keys() - wanted.transfers.keys())),
        services=_differing(had.services, wanted.services, secrets, frozenset()),
        accounts=_differing(had.accounts, wanted.accounts, secrets, moved),
        event_handlers=_differing(had.event_handlers, wanted.event_handlers, secrets, frozenset()),
    )


def _differing(
    had: Mapping[_Name, AnyService | Account | AnyEventHandler],
    wanted: Mapping[_Name, AnyService | Account | AnyEventHandler],
    secrets: AbstractSet[SecretName],
    moved: AbstractSet[LocationName],
) -> tuple[_Name, ...]:
    """Return the names under which something is new, other, or gone."""
    found = _other(had, wanted) | (had.keys() - wanted.keys())
    for name, each in wanted.items():
        places = each.locations if isinstance(each, Account) else ()
        if not (
            secrets.isdisjoint(secret for _, secret in each.secrets()) and moved.isdisjoint(places)
        ):
            found.add(name)
    return tuple(sorted(found, key=str))


def _other(had: Mapping[_Name, _T], wanted: Mapping[_Name, _T]) -> set[_Name]:
    """Return the names under which ``wanted`` has something else; what is the very same is not compared."""
    fresh = (name for name, each in wanted.items() if had.get(name) is not each)
    return {name for name in fresh if had.get(name) != wanted[name]}


def jobs(generation: Generation) -> Mapping[TransferName, Job]:
    """Return every transfer of ``generation`` with its locations."""
    return {name: _job(generation, name) for name in generation.transfers}


def _job(generation: Generation, name: TransferName) -> Job:
    transfer = generation.transfers[name]
    ends = [generation.locations[each] for each in transfer.locations]
    source, destination, *other = ends
    names = _own_secrets_of(transfer).union(*map(_secrets_of, ends))
    secrets = ((each, generation.secrets[each]) for each in names if each in generation.secrets)
    return Job(
        transfer=transfer,
        source=source,
        destination=destination,
        fallback=other[0] if other else None,
        secrets=tuple(sorted(secrets)),
    )


def _own_secrets_of(transfer: Transfer) -> set[SecretName]:
    return {secret for _, secret in secrets_of_transfer(transfer)}


def _secrets_of(location: Location) -> set[SecretName]:
    return {secret for _, secret in location.secrets()}
