"""Which services of a member run: prepared, begun, changed and stopped as revisions say."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from mftgit.adapters.location_secrets import SecretsHere
from mftgit.errors import ConfigError, MftgitError
from mftgit.member.inbound.register import Register
from mftgit.member.inbound.rendering import check_serving, make_serving
from mftgit.member.inbound.running_service import Doors, RunningService, written
from mftgit.member.inbound.sockets import Sockets
from mftgit.model.configuration.config import Generation
from mftgit.model.inbound.service import AnyService, Listen
from mftgit.model.inbound.service_status import ServiceState, ServiceStatus
from mftgit.model.inbound.serving import Serving
from mftgit.model.names import Revision, ServiceName


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Services of which everything is made that can fail; in ``failing``, why one cannot run."""

    generation: Generation
    revision: Revision
    servings: Mapping[ServiceName, Serving]
    failing: Mapping[ServiceName, str]


class Services:
    """All of them. One thread at a time.

    ``closed``: nobody new is taken, and no address is listened on for clients. ``welcome``: balancers are told that
    clients may come. What is set there holds once `reopen` is called.
    """

    def __init__(self, register: Register, *, files_root: Path, secrets_dir: Path) -> None:
        """Serve nothing yet."""
        self._register = register
        self._files_root = files_root
        self._secrets_dir = secrets_dir
        self._sockets = Sockets()
        self._failing: dict[ServiceName, tuple[AnyService, str]] = {}
        self._prepared: Prepared | None = None
        self.running: dict[ServiceName, RunningService] = {}
        self.closed = False
        self.welcome = True

    def prepare(self, generation: Generation, *, revision: Revision, fresh: bool) -> Prepared:
        """See `Inbound.prepare`."""
        self._sockets.take_back(but=self._wanted(generation.services.values()))
        servings, failing = {}, {}
        for name, service in sorted(generation.services.items()):
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

    def forget_offers(self) -> None:
        """Stop listening for what was prepared and never applied."""
        self._sockets.take_back()

    def apply(self, prepared: Prepared) -> None:
        """See `Inbound.apply`."""
        self._prepared = prepared
        services = prepared.generation.services
        for name in self.running.keys() - prepared.servings.keys():
            self.running.pop(name).stop("the service was removed")
        self._failing = {name: (services[name], why) for name, why in prepared.failing.items()}
        self._sockets.keep(self._wanted(each.service for each in prepared.servings.values()))
        for name, serving in prepared.servings.items():
            self._open(name, serving)
        self._keep_sockets()

    @property
    def are_whole(self) -> bool:
        """Whether services run, and none that is to is missing."""
        return bool(self.running) and not self._failing

    def reopen(self) -> None:
        """Open and close doors as ``closed`` and ``welcome`` say."""
        for name, service in list(self.running.items()):
            self._open(name, service.serving)
        self._keep_sockets()

    def try_again(self) -> None:
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

    def stop(self, why: str) -> None:
        """Serve nothing from now on."""
        self._prepared = None
        for service in self.running.values():
            service.stop(why)
        self.running, self._failing = {}, {}
        self._keep_sockets()

    def status(self, *, draining: bool) -> list[ServiceStatus]:
        """Return how each is, by name."""
        with self._register.lock:
            banned = len(self._register.barrier.bans())
        found = [each.status(banned=banned, draining=draining) for each in self.running.values()]
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

    def check(self) -> None:
        """See `Inbound.check`."""
        excused = {} if self._prepared is None else self._prepared.failing
        for each in self.status(draining=False):
            serves = each.state is ServiceState.SERVING
            if not (serves or self.closed or each.name in excused):
                raise MftgitError(
                    f"the service {each.name} at {each.address} does not take clients yet"
                    f"{'' if each.reason is None else f': {each.reason}'}"
                )

    def _prepare(
        self, service: AnyService, generation: Generation, revision: Revision, *, fresh: bool
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
        for each in sorted(self._wanted([service]), key=str):
            self._sockets.try_out(each)
        return serving

    def _open(self, name: ServiceName, serving: Serving) -> None:
        """Begin or go on to serve, as far as the member takes clients."""
        service = serving.service
        try:
            doors = Doors(
                clients=None if self.closed else self._sockets.get(service.listen),
                health=None if service.health is None else self._sockets.get(service.health),
            )
        except ConfigError as error:
            self._fail(name, service, str(error))
            return
        self._failing.pop(name, None)
        running = self.running.get(name)
        if running is None:
            running = self.running[name] = RunningService(serving, self._register)
        running.serve(serving, doors, welcome=self.welcome)

    def _fail(self, name: ServiceName, service: AnyService, why: str) -> None:
        if self._failing.get(name) != (service, why):
            logger.bind(service=name, error=why).error("a service does not run; it is tried again")
        self._failing[name] = service, why
        running = self.running.pop(name, None)
        if running is not None:
            running.stop("the service failed")

    def _wanted(self, services: Iterable[AnyService]) -> set[Listen]:
        found = set()
        for each in services:
            found |= {each.health} if each.health is not None else set()
            found |= set() if self.closed else {each.listen}
        return found

    def _keep_sockets(self) -> None:
        self._sockets.keep(self._wanted(each.serving.service for each in self.running.values()))
