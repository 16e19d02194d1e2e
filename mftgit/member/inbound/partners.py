"""The servers behind virtual folders, for all sessions of one process: connections are kept as for transfers."""

import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from loguru import logger

from mftgit.adapters.clock import Clock
from mftgit.adapters.endpoint.contract import RemoteEndpoint
from mftgit.adapters.home.partner import Resting
from mftgit.member.outbound.places.connections import SWEEP_S, Connections, Secrets
from mftgit.model.inbound.serving import Serving
from mftgit.model.locations.location import RemoteLocation
from mftgit.model.names import LocationName

_REST_EVERY_S: Final = 1.0


class Partners:
    """See `mftgit.adapters.home.partner.Lender`; a location's ``max_connections`` holds for each process."""

    def __init__(self, clock: Clock) -> None:
        """Connect to nobody yet."""
        self._clock = clock
        self._connections = Connections(clock=clock)
        self._secrets: Secrets = {}
        self._secrets_dir = Path()
        self._lock = threading.Lock()
        self._waiting: Counter[LocationName] = Counter()
        self._resting: set[Resting] = set()
        self._ended = threading.Event()
        self._ticks: threading.Thread | None = None

    def go_by(self, serving: Serving) -> None:
        """Log in by the secrets of ``serving`` from now on, also for sessions that began before."""
        self.log_in_by(Path(serving.secrets_dir), serving.secrets)
        if any(each.far for each in serving.accounts.values()):
            _connector()  # it takes a moment, and here no client waits

    def log_in_by(self, secrets_dir: Path, secrets: Secrets) -> None:
        """Log in by files of a folder, and by secrets of the repository."""
        self._secrets_dir, self._secrets = secrets_dir, secrets

    def lend(self, location: RemoteLocation) -> RemoteEndpoint:
        """See `Lender.lend`."""
        connect, folder, secrets = _connector(), self._secrets_dir, self._secrets
        with self._lock:
            self._waiting[location.name] += 1
        try:
            return self._connections.lend(
                location,
                secrets,
                lambda: connect(location, secrets_dir=folder, secrets=secrets, clock=self._clock),
            )
        finally:
            with self._lock:
                self._waiting[location.name] -= 1

    def is_wanted(self, location: RemoteLocation) -> bool:
        """See `Lender.is_wanted`."""
        return self._waiting[location.name] > 0

    def give_back(self, endpoint: RemoteEndpoint) -> None:
        """See `Lender.give_back`."""
        self._connections.give_back(endpoint)

    def look_after(self, resting: Resting) -> None:
        """See `Lender.look_after`."""
        with self._lock:
            self._resting.add(resting)
            if self._ticks is None:
                self._ticks = threading.Thread(target=self._tick, name="partners", daemon=True)
                self._ticks.start()

    def forget(self, resting: Resting) -> None:
        """See `Lender.forget`."""
        with self._lock:
            self._resting.discard(resting)

    def rest(self) -> None:
        """Have connections given back that sessions do not use."""
        with self._lock:
            resting = tuple(self._resting)
        for each in resting:
            each.rest()

    def close(self) -> None:
        """Let go of all connections that nobody uses."""
        self._ended.set()
        self._connections.close()

    def _tick(self) -> None:
        swept = self._clock.boottime()
        while not self._ended.wait(_REST_EVERY_S):
            try:
                self.rest()
                if self._clock.boottime() - swept >= SWEEP_S:
                    swept = self._clock.boottime()
                    self._connections.sweep()
            except Exception:  # noqa: BLE001  sessions go on, and the next time it may go well
                logger.opt(exception=True).error("connections to servers could not be given back")


def _connector() -> Callable[..., RemoteEndpoint]:
    from mftgit.member.outbound.places.opening import connect  # noqa: PLC0415  much to load, and seldom needed

    return connect
