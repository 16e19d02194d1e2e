"""The connections of one member to its partners: lent to one run at a time, kept for a while after it, and counted."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Condition
from typing import Final

from mftgit.adapters.clock import Clock
from mftgit.adapters.endpoint.contract import Endpoint, EndpointLostError, RemoteEndpoint
from mftgit.model.locations.location import RemoteLocation
from mftgit.model.names import LocationName, SecretName
from mftgit.model.secrets.value import SecretValue

SWEEP_S: Final = 5.0
"""How often those are closed that nobody has used for long."""

Secrets = Mapping[SecretName, SecretValue]
_Way = tuple[RemoteLocation, tuple[SecretValue | None, ...]]
"""What a connection was made with; another key or address is another connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Idle:
    endpoint: RemoteEndpoint
    since: float


class Connections:
    """For any thread. An endpoint that was lent is used by one thread until it is given back."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._changed = Condition()
        self._idle: dict[_Way, list[_Idle]] = defaultdict(list)
        self._lent: dict[Endpoint, tuple[RemoteEndpoint, _Way]] = {}
        self._count: Counter[LocationName] = Counter()  # lent, idle or being made
        self._ended = False

    def lend(
        self,
        location: RemoteLocation,
        secrets: Secrets,
        connect: Callable[[], RemoteEndpoint],
        *,
        wait: bool = True,
    ) -> RemoteEndpoint:
        """Return a connection to ``location``: one that is idle and answers, or a new one.

        Raises:
            EndpointLostError: all ``max_connections`` are in use for as long as connecting may take; without ``wait``,
                now.
            MftgitError: see ``connect``.
        """
        way = location, tuple(secrets.get(name) for _, name in location.secrets())
        while (idle := self._next_idle(way, wait=wait)) is not None:
            if idle.is_alive():
                return idle
            self._drop(idle)
        try:
            endpoint = connect()
        except BaseException:
            self._uncount(location.name)
            raise
        with self._changed:
            self._lent[endpoint] = endpoint, way
        return endpoint

    def give_back(self, endpoint: Endpoint) -> None:
        """Say that the run is done with ``endpoint``; one that was not lent here is closed."""
        with self._changed:
            lent = self._lent.pop(endpoint, None)
            if lent is not None and self._is_kept(*lent):
                remote, way = lent
                self._idle[way].append(_Idle(endpoint=remote, since=self._clock.boottime()))
                self._changed.notify_all()
                return
        endpoint.close()
        if lent is not None:
            self._uncount(lent[1][0].name)

    def _is_kept(self, endpoint: RemoteEndpoint, way: _Way) -> bool:
        return way[0].idle_s > 0 and endpoint.is_open and not self._ended

    def sweep(self) -> None:
        """Close those that were idle for their location's ``idle_s``."""
        now = self._clock.boottime()
        self._close_idle(lambda way, idle: now - idle.since >= way[0].idle_s)

    def close(self) -> None:
        """Close those that are idle, and keep none from now on."""
        with self._changed:
            self._ended = True
        self._close_idle(lambda _way, _idle: True)

    def _next_idle(self, way: _Way, *, wait: bool) -> RemoteEndpoint | None:
        """Return an idle connection, lent; None when a new one is to be made, which is counted already."""
        location, now = way[0], self._clock.boottime()
        until = now + location.connect_s if wait else now
        with self._changed:
            while True:
                if self._idle[way]:
                    endpoint = self._idle[way].pop().endpoint
                    self._lent[endpoint] = endpoint, way
                    return endpoint
                if self._count[location.name] < location.max_connections:
                    self._count[location.name] += 1
                    return None
                if old := self._pop_other(location.name):
                    old.close()
                    self._count[location.name] -= 1
                elif not self._changed.wait(until - self._clock.boottime()):
                    raise EndpointLostError(
                        f"all {location.max_connections} connections of {location.name} are in use: "
                        f"raise max_connections of locations/{location.name}.yaml, or run fewer transfers at a time"
                    )

    def _pop_other(self, name: LocationName) -> RemoteEndpoint | None:
        """Return an idle connection of the location as it was before; the lock is held."""
        for way, idle in self._idle.items():
            if way[0].name == name and idle:
                return idle.pop().endpoint
        return None

    def _drop(self, endpoint: RemoteEndpoint) -> None:
        with self._changed:
            _, way = self._lent.pop(endpoint)
        endpoint.close()
        self._uncount(way[0].name)

    def _uncount(self, name: LocationName) -> None:
        with self._changed:
            self._count[name] -= 1
            self._changed.notify_all()

    def _close_idle(self, over: Callable[[_Way, _Idle], bool]) -> None:
        with self._changed:
            closing = [
                (way, each) for way, idle in self._idle.items() for each in idle if over(way, each)
            ]
            for way, each in closing:
                self._idle[way].remove(each)
            self._idle = defaultdict(list, {way: idle for way, idle in self._idle.items() if idle})
        for way, each in closing:
            each.endpoint.close()
            self._uncount(way[0].name)
