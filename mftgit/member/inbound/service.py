"""A member's inbound side: which services it runs, who is kept out, and how both are."""

import json
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from loguru import logger

from mftgit.adapters.clock import Clock, SystemClock
from mftgit.adapters.code_records import CodeRecords
from mftgit.adapters.durable import replace_file
from mftgit.adapters.home.records import HomeRecords
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.member.inbound.guest import Guest, tell
from mftgit.member.inbound.recording import Recorder, Write
from mftgit.member.inbound.register import Arrived, Register
from mftgit.member.inbound.running_service import RunningService
from mftgit.member.inbound.services import Prepared, Services
from mftgit.model.configuration.config import Generation
from mftgit.model.inbound.account_use import AccountUse
from mftgit.model.inbound.barrier import Ban
from mftgit.model.inbound.finished import Finished
from mftgit.model.inbound.service_status import ServiceStatus
from mftgit.model.names import Revision, ServiceName

GRACE_S: Final = 5.0
"""So long after `drain` new clients are still taken where there is a health endpoint, so that a balancer sees it."""

STOP_S: Final = 5.0
"""So long uploads and downloads have to end when the member stops."""

_LOOK_S: Final = 0.1
_STOPS: Final = "the member stops"
_TICK_S: Final = 0.5
_TIDY_EVERY_S: Final = 5.0
_SWEEP_EVERY_S: Final = 300.0
_OFFERED_S: Final = 10.0
_LEAVE_EVERY_S: Final = 1.0


class Inbound:
    """Runs services, and tells how they are. One thread prepares and applies; any may ask and ban."""

    def __init__(
        self,
        *,
        folder: StateFolder,
        bootstrap: Bootstrap,
        write: Write,
        arrived: Arrived | None = None,
        used: Callable[[], None] | None = None,
        clock: Clock | None = None,
        grace_s: float = GRACE_S,
    ) -> None:
        """Serve nothing yet.

        ``write`` writes events down; ``arrived`` is called with each upload once it is,
        ``used`` when an account comes, goes or uses a one-time code; neither may wait.
        """
        self._clock: Clock = clock or SystemClock()
        self._grace_s = grace_s
        self._sessions_file = folder.sessions
        self._left: object = None
        self._recorder = Recorder(write)
        self._arrived = arrived
        self._register = Register(
            bootstrap.name,
            self._recorder,
            self._clock,
            CodeRecords(folder.used_codes, now=self._clock.now),
            arrived=self._tell_arrived,
            used=used or (lambda: None),
        )
        self._lock = threading.RLock()  # of what follows
        self._services = Services(
            self._register, files_root=Path(bootstrap.files_root), secrets_dir=folder.secrets
        )
        self._homes = HomeRecords(folder.homes, now=self._clock.now)
        self._offered_at: float | None = None
        self._draining_since: float | None = None
        self._stopping = threading.Event()
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
        with self._lock:
            self._offered_at = self._clock.boottime()
            return self._services.prepare(generation, revision=revision, fresh=fresh)

    def apply(self, prepared: Prepared) -> None:
        """Serve what was prepared: sessions that it takes nothing from go on."""
        if self._stopping.is_set():
            return
        with self._lock:
            self._offered_at = None
            self._services.apply(prepared)
            self._left_homes()

    def stop_all(self) -> None:
        """Serve nothing from now on."""
        with self._lock:
            self._services.stop("the member serves no more")

    # Draining, and the end

    def drain(self, *, on: bool) -> None:
        """Take nobody new soon, and have sessions end in time; or, with ``on`` false, take part again."""
        with self._lock:
            services = self._services
            if on and self._draining_since is None:
                self._draining_since = self._clock.boottime()
                services.welcome, services.closed = False, not services.running
                services.reopen()
                self._go_on_draining()
            elif not on and self._draining_since is not None:
                self._draining_since = None
                services.welcome, services.closed = True, self._stopping.is_set()
                services.reopen()

    @property
    def drained(self) -> bool:
        """Tell whether nobody is here, nor can come."""
        with self._lock:
            running = self._services.running.values()
            return self._services.closed and all(each.is_empty for each in running)

    def begin_stop(self) -> None:
        """Take nobody new from now on."""
        with self._lock:
            self._stopping.set()
            self._services.welcome, self._services.closed = False, True
            self._services.reopen()

    def stop(self, *, within_s: float = STOP_S) -> None:
        """Give open files a moment to be closed, and end all sessions and processes."""
        self.begin_stop()
        pause, until = threading.Event(), self._clock.boottime() + within_s
        with self._lock:
            running = list(self._services.running.values())
        while not all(each.is_empty for each in running) and self._clock.boottime() < until:
            for service in running:
                service.end_idle(_STOPS)
            pause.wait(_LOOK_S)
        with self._lock:
            self._services.stop(_STOPS)
            self._services.forget_offers()
        self._thread.join(_TICK_S * 4)
        self._recorder.stop()

    def _go_on_draining(self) -> None:
        since, now = self._draining_since, self._clock.boottime()
        if since is None:
            return
        running = self._services.running.values()
        grace_s = self._grace_s if any(each.serving.service.health for each in running) else 0.0
        if not self._services.closed and now >= since + grace_s:
            self._services.closed = True
            self._services.reopen()
        for each in list(running):
            if now >= since + each.serving.service.drain_s:
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

    # How accounts are in use

    def uses(self) -> list[AccountUse]:
        """See `mftgit.member.uses.Accounts`."""
        return self._register.uses()

    def learn_uses(self, uses: Iterable[AccountUse], *, whole: bool) -> None:
        """See `mftgit.member.uses.Accounts`."""
        self._register.learn_uses(uses, whole=whole)

    # What is true

    def status(self) -> list[ServiceStatus]:
        """Return how each service is, by name."""
        with self._lock:
            return self._services.status(draining=self._draining_since is not None)

    def sessions(self) -> list[Guest]:
        """Return who has logged in, who came first in front."""
        with self._lock:
            found = [guest for each in self._services.running.values() for guest in each.guests()]
        return sorted(found, key=lambda guest: guest.session)

    def end_session(self, session: int, why: str) -> bool:
        """Hang up on one; tell whether it was here."""
        with self._lock:
            running = list(self._services.running.values())
        return any(each.end_session(session, why) for each in running)

    def check(self) -> None:
        """See that each service takes clients that could be prepared; raises MftgitError for one that does not."""
        with self._lock:
            self._services.check()

    # The thread

    def _tick_on(self) -> None:
        tidy_at = sweep_at = leave_at = self._clock.boottime()
        while not self._stopping.wait(_TICK_S):
            now = self._clock.boottime()
            tidies, sweeps = now >= tidy_at, now >= sweep_at
            tidy_at = now + _TIDY_EVERY_S if tidies else tidy_at
            sweep_at = now + _SWEEP_EVERY_S if sweeps else sweep_at
            try:
                with self._lock:
                    self._tick(tidies=tidies, sweeps=sweeps)
                if now >= leave_at:
                    leave_at = now + _LEAVE_EVERY_S
                    self._leave_sessions()
            except Exception:  # noqa: BLE001  the services have to be looked after
                logger.opt(exception=True).error("unexpected failure while looking after services")

    def _tick(self, *, tidies: bool, sweeps: bool) -> None:
        if self._stopping.is_set():
            return
        self._go_on_draining()
        self._register.settle()
        for service in self._services.running.values():
            service.tick()
        if sweeps:
            self._sweep()
        if tidies:
            self._register.tick()
            self._services.try_again()
            if self._offered_at is not None and self._is_long_ago(self._offered_at):
                self._services.forget_offers()
                self._offered_at = None

    def _sweep(self) -> None:
        """Have what is left of uploads removed; the service that waits for them longest looks at other folders, too."""
        left = self._left_homes()
        running = self._services.running.values()
        last = max(running, key=_stalled_s, default=None)
        for each in running:
            each.sweep(left if each is last else ())

    def _left_homes(self) -> tuple[str, ...]:
        """Take down which folders are served; return those that are not any more."""
        services = self._services
        if not services.are_whole:  # what is served is not known
            return ()
        served: dict[str, float] = {}
        for each in services.running.values():
            stalled_s = _stalled_s(each)
            for root in each.serving.roots:
                served[root] = max(stalled_s, served.get(root, 0.0))
        return self._homes.follow(served)

    def _is_long_ago(self, at: float) -> bool:
        return self._clock.boottime() > at + _OFFERED_S

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

    def _tell_arrived(self, service: ServiceName, finished: Finished) -> None:
        if self._arrived is not None:
            self._arrived(service, finished)


def _stalled_s(running: RunningService) -> float:
    return running.serving.service.uploads.stalled_s
