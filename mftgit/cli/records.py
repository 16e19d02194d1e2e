"""Open a controller's records for a verb, beside the running controller."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.registry.registry import Registry
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.errors import ConfigError
from mftgit.model.configuration.config import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What a verb on the controller's machine works with."""

    bootstrap: Bootstrap
    registry: Registry
    events: EventStore


@contextmanager
def open_records(folder: StateFolder) -> Iterator[Records]:
    """Give the records of the controller in ``folder``.

    Raises:
        ConfigError: there is no controller there.
    """
    bootstrap = folder.read_bootstrap()
    if bootstrap.role is not Role.CONTROLLER:
        raise ConfigError(
            f"{folder.root} is the state of node {bootstrap.name}: "
            "this is for the controller's state folder, on the controller's machine"
        )
    now = SystemClock().now
    registry = Registry(folder.registry, now=now)
    events = EventStore(folder.events, member=bootstrap.name, now=now)
    try:
        yield Records(bootstrap=bootstrap, registry=registry, events=events)
    finally:
        registry.close()
        events.close()
