"""All event handlers of a member: prepared, begun, changed and stopped as revisions say."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from loguru import logger

from mftgit.adapters.clock import Clock, SystemClock
from mftgit.adapters.events.store import EventStore
from mftgit.adapters.handlers.records import HandlerRecords
from mftgit.adapters.location_secrets import SecretsHere
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.errors import ConfigError, MftgitError
from mftgit.member.handlers.opening import Surroundings, open_work
from mftgit.member.handlers.running_handler import FORGET_S, RunningHandler
from mftgit.member.handlers.work import Work
from mftgit.member.told import Told
from mftgit.model.configuration.config import Generation
from mftgit.model.handlers.coverage import Coverage
from mftgit.model.handlers.handler import AnyEventHandler
from mftgit.model.handlers.status import MAX_HANDLERS, EventHandlerStatus, HandlerState
from mftgit.model.names import EventHandlerName, SecretName
from mftgit.model.secrets.value import SecretValue

_TICK_S: Final = 0.5
TRY_EVERY_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A handler with all that it works by; equal jobs work alike, so an equal one is left alone."""

    handler: AnyEventHandler
    coverage: Coverage
    cluster: str
    secrets: tuple[tuple[SecretName, SecretValue], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Handlers of which everything is made that can fail; in ``failing``, why one cannot work."""

    generation: Generation
    jobs: Mapping[EventHandlerName, Job]
    works: Mapping[EventHandlerName, Work]
    failing: Mapping[EventHandlerName, str]


class Handlers:
    """Runs event handlers, and tells how they are. One thread prepares and applies; any may ask and poke."""

    def __init__(
        self,
        *,
        folder: StateFolder,
        bootstrap: Bootstrap,
        log: EventStore,
        told: Told,
        clock: Clock | None = None,
        try_every_s: float = TRY_EVERY_S,
    ) -> None:
        """Handle nothing yet; ``told`` writes down what is to be told of handlers themselves.

        Those that lack something are tried again every ``try_every_s``.
        """
        self._try_every_s = try_every_s
        self._folder = folder
        self._me = bootstrap.name
        self._log = log
        self._records = HandlerRecords(folder.events)
        self._told = told
        self._clock: Clock = clock or SystemClock()
        self._lock = threading.RLock()  # of what follows
        self._jobs: dict[EventHandlerName, Job] = {}
        self._running: dict[EventHandlerName, RunningHandler] = {}
        self._failing: dict[EventHandlerName, str] = {}
        self._generation: Generation | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._tick_on, name="event handlers", daemon=True)

    def start(self) -> None:
        """Begin; there is nothing to handle before the first revision."""
        self._thread.start()

    def poke(self) -> None:
        """Say that there are new events."""
        for each in list(self._running.values()):
            each.poke()

    # Revisions

    def prepare(self, generation: Generation, *, fresh: bool) -> Prepared:
        """Make everything of ``generation`` that can fail; what works is not touched.

        ``fresh``: it was never run here, so that what is missing is a fault of it. What has run before starts without
        the handlers that lack something, and they are tried again.

        Raises:
            ConfigError: it cannot run on this machine as it is.
        """
        jobs = {name: _job(generation, name) for name in sorted(generation.event_handlers)}
        works: dict[EventHandlerName, Work] = {}
        failing: dict[EventHandlerName, str] = {}
        for name, job in jobs.items():
            if self._jobs.get(name) == job and name in self._running:
                continue
            try:
                works[name] = open_work(job.handler, self._around(generation))
            except ConfigError as error:
                if fresh:
                    raise ConfigError(f"event handler {name}: {error}") from error
                failing[name] = str(error)
        return Prepared(generation=generation, jobs=jobs, works=works, failing=failing)

    def apply(self, prepared: Prepared) -> None:
        """Begin, change and stop handlers; those that are as they were go on untouched."""
        with self._lock:
            if self._stopping.is_set():
                return
            self._generation = prepared.generation
            for name in self._running.keys() - prepared.jobs.keys():
                self._running.pop(name).stop()
            for name, work in prepared.works.items():
                self._begin(prepared.jobs[name], work)
            for name, why in prepared.failing.items():
                self._stop(name)
                logger.bind(event_handler=name, error=why).error(
                    "an event handler does not work; it is tried again"
                )
            self._jobs, self._failing = dict(prepared.jobs), dict(prepared.failing)
            self._forget()

    def stop_all(self) -> None:
        """Handle nothing from now on; how far each came is kept."""
        with self._lock:
            for running in self._running.values():
                running.begin_stop()
            for name in list(self._running):
                self._stop(name)
            self._jobs, self._failing, self._generation = {}, {}, None

    def stop(self) -> None:
        """Handle nothing any more, for the process ends."""
        self._stopping.set()
        self.stop_all()
        if self._thread.is_alive():
            self._thread.join(_TICK_S * 4)
        self._records.close()

    def status(self) -> Sequence[EventHandlerStatus]:
        """Return how each is, by name."""
        with self._lock:
            found = [each.status() for each in self._running.values()]
            found += [
                EventHandlerStatus(
                    name=name,
                    type=self._jobs[name].handler.KIND,
                    state=HandlerState.FAILING,
                    error=why,
                )
                for name, why in self._failing.items()
            ]
        return sorted(found, key=lambda each: each.name)[:MAX_HANDLERS]

    def _begin(self, job: Job, work: Work) -> None:
        name = job.handler.name
        self._stop(name)
        running = RunningHandler(
            job.handler,
            work,
            job.coverage,
            log=self._log,
            records=self._records,
            told=self._told,
            clock=self._clock,
        )
        self._running[name] = running
        running.start()

    def _stop(self, name: EventHandlerName) -> None:
        running = self._running.pop(name, None)
        if running is not None:
            running.stop()

    def _forget(self) -> None:
        """Forget handlers that are gone for long, and mark those that have just gone."""
        now_s = self._clock.now().timestamp()
        for name in self._records.names() - self._jobs.keys():
            record = self._records.read(name)
            gone_at = record.get("gone_at") if isinstance(record, dict) else None
            if not isinstance(gone_at, int | float):
                self._records.keep(name, {**(record or {}), "gone_at": now_s})
            elif now_s - gone_at > FORGET_S:
                self._records.forget(name)

    # What goes on by itself

    def _tick_on(self) -> None:
        newest, tried_at = -1, self._clock.boottime()
        while not self._stopping.wait(_TICK_S):
            try:
                found = self._log.last_position()
                if found != newest:
                    newest = found
                    self.poke()
                if self._failing and self._clock.boottime() - tried_at >= self._try_every_s:
                    tried_at = self._clock.boottime()
                    self._try_again()
            except MftgitError as error:
                logger.debug("event handlers were not looked after", error=str(error))

    def _try_again(self) -> None:
        with self._lock:
            for name in list(self._failing):
                if self._generation is None:
                    return
                try:
                    work = open_work(self._jobs[name].handler, self._around(self._generation))
                except ConfigError as error:
                    self._failing[name] = str(error)
                else:
                    del self._failing[name]
                    self._begin(self._jobs[name], work)

    def _around(self, generation: Generation) -> Surroundings:
        return Surroundings(
            folder=self._folder,
            cluster=generation.cluster.name,
            member=self._me,
            secrets=SecretsHere(folder=self._folder.secrets, values=generation.secrets),
            clock=self._clock,
        )


def _job(generation: Generation, name: EventHandlerName) -> Job:
    handler = generation.event_handlers[name]
    named = sorted({secret for _, secret in handler.secrets()})
    return Job(
        handler=handler,
        coverage=Coverage.of(handler.active_on, generation.member, generation.members),
        cluster=generation.cluster.name,
        secrets=tuple(
            (each, generation.secrets[each]) for each in named if each in generation.secrets
        ),
    )
