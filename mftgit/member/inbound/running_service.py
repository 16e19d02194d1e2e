"""One service as it runs on this member: its door, its processes, and those who are in."""

import itertools
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from socket import socket
from typing import Final

from loguru import logger

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.health_server import HealthServer
from mftgit.adapters.tls.pki import holds_until
from mftgit.member.inbound.crew import Crew, Lost, Worker
from mftgit.member.inbound.desk import Desk
from mftgit.member.inbound.guest import Guest
from mftgit.member.inbound.register import Register
from mftgit.model.events.event import EventName
from mftgit.model.inbound.messages import (
    Configure,
    Downloaded,
    EndConnections,
    Ended,
    Request,
    Sweep,
    Swept,
    Telling,
    Traffic,
)
from mftgit.model.inbound.service import HttpsService, Listen
from mftgit.model.inbound.service_status import ServiceState, ServiceStatus
from mftgit.model.inbound.serving import Serving

_MOST_PROCESSES: Final = 4
_FAREWELL_S: Final = 0.5
_LOOK_S: Final = 0.02
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """The sockets that a service listens on; None where it is not to be reached."""

    clients: socket | None = None
    health: socket | None = None


class RunningService:
    """Serves by what it was told last. The thread that applies revisions and the one that ticks call."""

    def __init__(self, serving: Serving, register: Register) -> None:
        """Nobody is let in yet."""
        self.serving = serving
        self._register = register
        self._desk = Desk(serving, register, self._hang_up, workers=self._numbers_of_workers)
        self._crew = Crew(
            serving.service.name,
            register.clock,
            heard=self._heard,
            lost=self._lost,
            gone=lambda worker: self._desk.lost(worker.number),
        )
        self._welcome = False
        self._certificate_until: str | None = None
        self._health: tuple[Listen, HealthServer] | None = None

    # Changes

    def serve(self, serving: Serving, doors: Doors, *, welcome: bool) -> None:
        """Go by ``serving``, and take clients by ``doors``; without one, those that are there go on.

        ``welcome`` is what balancers are told.
        """
        self.serving = serving
        self._certificate_until = _certificate_until(serving)
        number = next(_numbers)
        self._desk.change(number, serving)
        self._desk.open = doors.clients is not None
        self._welcome = welcome
        self._answer_health(serving.service.health, doors.health)
        processes = serving.service.processes or min(os.cpu_count() or 1, _MOST_PROCESSES)
        configure = Configure(
            number=number,
            serving=serving,
            listens=doors.clients is not None,
            others=processes - 1,
        )
        self._crew.configure(configure, doors.clients, processes=processes)

    def end_sessions(self, why: str) -> None:
        """Hang up on everybody."""
        self._desk.end(self._desk.guests(), why)

    def end_idle(self, why: str) -> None:
        """Hang up on those who have no file open."""
        self._crew.tell_all(EndConnections(connections=None, why=why, idle=True))

    def end_session(self, session: int, why: str) -> bool:
        """Hang up on one; tell whether it is here."""
        found = [each for each in self._desk.guests() if each.session == session]
        self._desk.end(found, why)
        return bool(found)

    def stop(self, why: str) -> None:
        """End all sessions and processes."""
        self._welcome = self._desk.open = False
        self.end_sessions(why)
        self._wait_until_empty()
        self._crew.end()
        for guest in self._desk.guests():
            self._desk.lost(guest.place[0])
        self._answer_health(None, None)

    def _wait_until_empty(self) -> None:
        """Give clients a moment to hear why."""
        pause, until = threading.Event(), self._register.clock.boottime() + _FAREWELL_S
        while not self.is_empty and self._register.clock.boottime() < until:
            pause.wait(_LOOK_S)

    def tick(self) -> None:
        """Do what is due: called about twice a second."""
        self._desk.end_expired()
        self._crew.tick({guest.place[0] for guest in self._desk.guests()})

    def sweep(self, left: Sequence[str] = ()) -> None:
        """Have one process remove uploads that nobody went on with, also in folders that were ``left``."""
        for worker in self._crew.workers[:1]:
            self._crew.tell(worker, Sweep(left=tuple(left)))

    # What is true

    @property
    def ready(self) -> bool:
        """Tell whether new clients are welcome, and there is somebody to take them."""
        return self._welcome and self._crew.accepting > 0

    @property
    def is_empty(self) -> bool:
        """Tell whether nobody is there."""
        return self._desk.connections == 0

    def guests(self) -> list[Guest]:
        """Return who has logged in."""
        return [each for each in self._desk.guests() if each.account is not None]

    def status(self, *, banned: int, draining: bool) -> ServiceStatus:
        """Return how it is."""
        listen = self.serving.service.listen
        if draining:
            state = ServiceState.DRAINED if self.is_empty else ServiceState.DRAINING
        else:
            state = ServiceState.SERVING if self._crew.accepting else ServiceState.STARTING
        return ServiceStatus(
            name=self.serving.service.name,
            address=written(listen),
            state=state,
            connections=self._desk.connections,
            sessions=self._desk.sessions,
            workers=len(self._crew.workers),
            banned=banned,
            certificate_until=self._certificate_until,
        )

    # Processes

    def _heard(self, worker: Worker, told: Telling) -> None:
        if isinstance(told, Request):
            self._desk.ask(worker.number, told, lambda verdict: self._crew.tell(worker, verdict))
        elif isinstance(told, Ended):
            self._desk.ended(worker.number, told)
        elif isinstance(told, Traffic):
            self._desk.used(worker.number, told.usages)
        elif isinstance(told, Downloaded):
            self._desk.downloaded(worker.number, told)
        elif isinstance(told, Swept) and told.removed:
            logger.info("uploads that nobody went on with were removed", count=told.removed)

    def _lost(self, lost: Lost) -> None:
        self._register.recorder.put(
            EventName.WORKER_ENDED,
            {
                "service": self.serving.service.name,
                "pid": lost.worker.child.pid,
                "how": lost.how,
                "again_in_s": lost.again_in_s,
            },
        )

    def _numbers_of_workers(self) -> list[int]:
        return [worker.number for worker in self._crew.workers]

    def _hang_up(self, places: Mapping[int, list[int]], why: str) -> None:
        for number, connections in places.items():
            self._crew.tell_one(number, EndConnections(connections=tuple(connections), why=why))

    def _answer_health(self, listen: Listen | None, door: socket | None) -> None:
        if self._health is not None and (door is None or self._health[0] != listen):
            self._health[1].stop()
            self._health = None
        if self._health is None and listen is not None and door is not None:
            self._health = listen, HealthServer(door, lambda: self.ready)
            self._health[1].start()


def written(listen: Listen) -> str:
    """Return ``listen`` as people write it."""
    host = f"[{listen.address}]" if ":" in listen.address else listen.address
    return f"{host}:{listen.port}"


def _certificate_until(serving: Serving) -> str | None:
    """Return until when the certificate holds that is shown to clients."""
    if not isinstance(serving.service, HttpsService):
        return None
    until = holds_until(serving.keys[0].reveal().encode())
    return None if until is None else rfc3339(until)
