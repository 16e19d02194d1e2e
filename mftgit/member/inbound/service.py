"""A member's inbound side: which services it runs, who is kept out, and how both are."""

import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from loguru import logger

from mftgit.adapters.clock import Clock, SystemClock
from mftgit.adapters.durable import replace_file
from mftgit.adapters.home import Finished
from mftgit.adapters.location_secrets import SecretsHere
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.errors import ConfigError, MftgitError
from mftgit.member.inbound.desk import Guest, tell
from mftgit.member.inbound.recording import Recorder, Write
from mftgit.member.inbound.register import Arrived, Register
from mftgit.member.inbound.rendering import check_serving, make_serving
from mftgit.member.inbound.running_service import Doors, RunningService, written
from mftgit.member.inbound.sockets import Sockets
from mftgit.model.barrier import Ban
from mftgit.model.config import Generation
from mftgit.model.names import Revision, ServiceName
from mftgit.model.service import Listen, SftpService
from mftgit.model.service_status import ServiceState, ServiceStatus
from mftgit.model.serving import Serving

GRACE_S: Final = 5.0
"""So long after `drain` new clients are still taken where there is a health endpoint, so that a balancer sees it."""

STOP_S: Final = 5.0
"""So long uploads and downloads have to end when the member stops."""

_DRAINS: Final = frozenset({ServiceState.DRAINING, ServiceState.DRAINED})
_LOOK_S: Final = 0.1
_STOPS: Final = "the member stops"
_TICK_S: Final = 0.5
_TIDY_EVERY_S: Final = 5.0
_SWEEP_EVERY_S: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Services of which everything is made that can fail; in ``failing``, why one cannot run."""

    generation: Generation
    revision: Revision
    servings: Mapping[ServiceName, Serving]
    failing: Mapping[ServiceName, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draining:
    """``since`` when, by the clock that never jumps; ``closed``: nobody new is taken any more."""

    since: float
    closed: bool = False


class Inbound:
    """Runs services, and tells how they are. One thread prepares and applies; any may ask and ban."""

    def __init__(
        self,
        *,
        folder: StateFolder,
        bootstrap: Bootstrap,
        write: Write,
        arrived: Arrived | None = None,
        clock: Clock | None = None,
        grace_s: float = GRACE_S,
    ) -> None:
        """Serve nothing yet.

        ``write`` writes events down; ``arrived`` is called with each upload once it is.
        """
        self._clock: Clock = clock or SystemClock()
        self._grace_s = grace_s
        self._files_root = Path(bootstrap.files_root)
        self._secrets_dir = folder.secrets
        self._sessions_file = folder.sessions
        self._left: object = None
        self._recorder = Recorder(write)
        self._arrived = arrived
        self._register = Register(bootstrap.name, self._recorder, self._clock, self._tell_arrived)
        self._lock = threading.RLock()  # of what follows
        self._sockets = Sockets()
        self._running: dict[ServiceName, RunningService] = {}
        self._failing: dict[ServiceName, tuple[SftpService, str]] = {}
        self._prepared: Prepared | None = None
        self._draining: _Draining | None = None
        self._stopping, self._emptied = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._tick_on, name="inbound", daemon=True)

    def start(self) -> None:
        """Begin; there is nothing to serve before the first revision."""
        self._recorder.start()
        self._thread.start()

    # Revisions

    def prepare(self, generation: Generation, *, revision: Revision, fresh: bool) -> Prepared:
        """Make everything of ``generation`` that can fail; what runs is not touched.

        ``fresh``: it was never run here, so that an address in use, or a secret that is missing, is a fault of it.
        What has run before starts without the services that lack something, and they are tried again.

        Raises:
            ConfigError: it cannot run on this machine as it is.
        """
        services = sorted(generation.services.items())
        with self._lock:
            self._sockets.take_back(but=self._wanted(generation.services.values()))
            servings, failing = {}, {}
            for name, service in services:
                try:
                    servings[name] = self._prepare(service, generation, revision, fresh=fresh)
                except ConfigError as error:
                    if fresh:
                        self._sockets.take_back()
                        raise ConfigError(f"service {name}: {error}") from error
                    failing[name] = str(error)
        return Prepared(
            generation=generation, revision=revision, servings=servings, failing=failing
        )

    def _prepare(
        self, service: SftpService, generation: Generation, revision: Revision, *, fresh: bool
    ) -> Serving:
        serving = make_serving(
            service,
            generation,
            revision=revision,
            files_root=self._files_root,
            secrets=SecretsHere(folder=self._secrets_dir, values=generation.secrets),
            fresh=fresh,
        )
        check_serving(serving)
        self._doors(service)
        return serving

    def apply(self, prepared: Prepared) -> None:
        """Serve what was prepared: sessions that it takes nothing from go on."""
        if self._stopping.is_set():
            return
        with self._lock:
            self._prepared = prepared
            services = prepared.generation.services
            for name in self._running.keys() - prepared.servings.keys():
                self._running.pop(name).stop("the service was removed")
            self._failing = {name: (services[name], why) for name, why in prepared.failing.items()}
            for name, serving in prepared.servings.items():
                self._open(name, serving)
            self._keep_sockets()

    def stop_all(self) -> None:
        """Serve nothing from now on."""
        with self._lock:
            self._prepared = None
            for service in self._running.values():
                service.stop("the member serves no more")
            self._running, self._failing = {}, {}
            self._keep_sockets()

    def _open(self, name: ServiceName, serving: Serving) -> None:
        """Begin or go on to serve, as far as the member takes clients."""
        try:
            doors = self._doors(serving.service)
        except ConfigError as error:
            self._fail(name, serving.service, str(error))
            return
        self._failing.pop(name, None)
        running = self._running.get(name)
        if running is None:
            running = self._running[name] = RunningService(serving, self._register)
        running.serve(serving, doors)
        if self._draining is not None:
            running.say_full()

    def _fail(self, name: ServiceName, service: SftpService, why: str) -> None:
        if self._failing.get(name) != (service, why):
            logger.bind(service=name, error=why).error("a service does not run; it is tried again")
        self._failing[name] = service, why
        running = self._running.pop(name, None)
        if running is not None:
            running.stop("the service failed")

    def _doors(self, service: SftpService) -> Doors:
        return Doors(
            clients=None if self._is_closed else self._sockets.get(service.listen),
            health=None if service.health is None else self._sockets.get(service.health),
        )

    @property
    def _is_closed(self) -> bool:
        closed = self._draining is not None and self._draining.closed
        return closed or self._stopping.is_set()

    def _wanted(self, services: Iterable[SftpService]) -> set[Listen]:
        found = set()
        for each in services:
            found |= {each.health} if each.health is not None else set()
            found |= set() if self._is_closed else {each.listen}
        return found

    def _keep_sockets(self) -> None:
        self._sockets.keep(self._wanted(each.serving.service for each in self._running.values()))

    # Draining, and the end

    def drain(self, *, on: bool) -> None:
        """Take nobody new soon, and have sessions end in time; or, with ``on`` false, take part again."""
        with self._lock:
            if on and self._draining is None:
                self._draining = _Draining(since=self._clock.boottime(), closed=not self._running)
                for service in self._running.values():
                    service.say_full()
                self._go_on_draining()
            elif not on and self._draining is not None:
                self._draining = None
                self._reopen()

    @property
    def drained(self) -> bool:
        """Tell whether nobody is here, nor can come."""
        with self._lock:
            return self._is_closed and all(each.is_empty for each in self._running.values())

    def begin_stop(self) -> None:
        """Take nobody new from now on."""
        with self._lock:
            self._stopping.set()
            self._reopen()

    def stop(self, *, within_s: float = STOP_S) -> None:
        """Give sessions a moment to end, and end them and all processes."""
        self.begin_stop()
        until = self._clock.boottime() + within_s
        with self._lock:
            running = list(self._running.values())
        while not all(each.is_empty for each in running) and self._clock.boottime() < until:
            for service in running:
                service.end_idle(_STOPS)
            self._emptied.wait(_LOOK_S)
        with self._lock:
            for service in running:
                service.stop(_STOPS)
            self._running = {}
            self._keep_sockets()
            self._sockets.take_back()
        self._thread.join(_TICK_S * 4)
        self._recorder.stop()

    def _reopen(self) -> None:
        """Open and close doors as it is right now."""
        for name, service in list(self._running.items()):
            self._open(name, service.serving)
        self._keep_sockets()

    def _go_on_draining(self) -> None:
        draining, now = self._draining, self._clock.boottime()
        if draining is None:
            return
        running = self._running.values()
        grace_s = self._grace_s if any(each.serving.service.health for each in running) else 0.0
        if not draining.closed and now >= draining.since + grace_s:
            self._draining = replace(draining, closed=True)
            self._reopen()
        for each in list(self._running.values()):
            if now >= draining.since + each.serving.service.drain_s:
                each.end_sessions("the member is drained")

    # Who is kept out

    def ban(self, source: str, seconds: float, by: str) -> None:
        """Keep the network ``source`` out for at least so many seconds; ``by`` is the member that says so.

        Raises:
            ValueError: it is no network.
        """
        now = self._clock.boottime()
        with self._register.lock:
            self._register.barrier.ban(source, until=now + seconds, by=by, now=now)

    def lift(self, source: str) -> None:
        """Let the network ``source`` in again; raises ValueError where it is none."""
        with self._register.lock:
            self._register.barrier.lift(source)

    def banned(self) -> tuple[Ban, ...]:
        """Return who is kept out; ``until`` is by `Clock.boottime`."""
        with self._register.lock:
            return self._register.barrier.bans()

    # What is true

    def status(self) -> list[ServiceStatus]:
        """Return how each service is, by name."""
        banned = len(self.banned())
        with self._lock:
            found = [
                each.status(banned=banned, draining=self._draining is not None)
                for each in self._running.values()
            ]
            found += [
                ServiceStatus(
                    name=name,
                    address=written(service.listen),
                    state=ServiceState.FAILING,
                    reason=why,
                    banned=banned,
                )
                for name, (service, why) in self._failing.items()
            ]
        return sorted(found, key=lambda each: each.name)

    def sessions(self) -> list[Guest]:
        """Return who has logged in, who came first in front."""
        with self._lock:
            found = [guest for each in self._running.values() for guest in each.guests()]
        return sorted(found, key=lambda guest: guest.session)

    def end_session(self, session: int, why: str) -> bool:
        """Hang up on one; tell whether it was here."""
        with self._lock:
            running = list(self._running.values())
        return any(each.end_session(session, why) for each in running)

    def check(self) -> None:
        """Return once each service takes clients; raises MftgitError for one that does not."""
        for each in self.status():
            if each.state not in {ServiceState.SERVING, *_DRAINS}:
                raise MftgitError(
                    f"the service {each.name} at {each.address} does not take clients yet"
                    f"{'' if each.reason is None else f': {each.reason}'}"
                )

    # The thread

    def _tick_on(self) -> None:
        tidy_at = sweep_at = self._clock.boottime()
        while not self._stopping.wait(_TICK_S):
            now = self._clock.boottime()
            try:
                with self._lock:
                    self._go_on_draining()
                    for service in self._running.values():
                        service.tick()
                    self._leave_sessions()
                    if now >= tidy_at:
                        tidy_at = now + _TIDY_EVERY_S
                        self._register.tick()
                        self._try_again()
                    if now >= sweep_at:
                        sweep_at = now + _SWEEP_EVERY_S
                        for service in self._running.values():
                            service.sweep()
            except Exception:  # noqa: BLE001  the services have to be looked after
                logger.opt(exception=True).error("unexpected failure while looking after services")

    def _leave_sessions(self) -> None:
        """Leave who is logged in for the command line, when it changed."""
        told = [tell(each) for each in self.sessions()]
        if told == self._left:
            return
        try:
            replace_file(self._sessions_file, json.dumps(told).encode())
            self._left = told
        except OSError as error:
            logger.warning("sessions not written", error=str(error))

    def _try_again(self) -> None:
        """Start the services that lacked something, where it is there by now."""
        prepared = self._prepared
        if prepared is None:
            return
        for name, (service, _) in list(self._failing.items()):
            try:
                serving = self._prepare(
                    service, prepared.generation, prepared.revision, fresh=False
                )
            except ConfigError as error:
                self._fail(name, service, str(error))
            else:
                self._open(name, serving)
                self._keep_sockets()

    def _tell_arrived(self, service: ServiceName, finished: Finished) -> None:
        if self._arrived is not None:
            self._arrived(service, finished)
