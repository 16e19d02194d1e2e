"""Work out what a member has to start, change and stop to run another generation."""

from collections.abc import Mapping
from dataclasses import dataclass

from mftgit.model.config import Generation, Location, SftpLocation, Transfer
from mftgit.model.names import SecretName, TransferName
from mftgit.model.secret_value import SecretValue


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One transfer with all that it runs by; equal jobs run alike, so an equal one is left alone.

    Secrets count by their values, however often they were encrypted anew.
    """

    transfer: Transfer
    source: Location
    destination: Location
    secrets: tuple[tuple[SecretName, SecretValue], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to start, to change and to stop, each in name order."""

    start: tuple[Job, ...] = ()
    change: tuple[Job, ...] = ()
    stop: tuple[TransferName, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.start or self.change or self.stop)


def plan(active: Generation | None, wanted: Generation) -> Plan:
    """Return what takes a member from ``active`` (None: nothing runs) to ``wanted``."""
    before = jobs(active) if active is not None else {}
    after = jobs(wanted)
    return Plan(
        start=tuple(after[name] for name in sorted(after.keys() - before.keys())),
        change=tuple(
            after[name]
            for name in sorted(after.keys() & before.keys())
            if after[name] != before[name]
        ),
        stop=tuple(sorted(before.keys() - after.keys())),
    )


def jobs(generation: Generation) -> Mapping[TransferName, Job]:
    """Return every transfer of ``generation`` with its locations."""
    return {
        name: Job(
            transfer=transfer,
            source=generation.locations[transfer.source.location],
            destination=generation.locations[transfer.destination.location],
            secrets=_secrets(generation, transfer),
        )
        for name, transfer in generation.transfers.items()
    }


def _secrets(
    generation: Generation, transfer: Transfer
) -> tuple[tuple[SecretName, SecretValue], ...]:
    names = {
        way.secret
        for end in (transfer.source.location, transfer.destination.location)
        if isinstance(location := generation.locations[end], SftpLocation)
        for way in location.auth
    }
    return tuple(sorted((name, each) for name, each in generation.secrets.items() if name in names))
