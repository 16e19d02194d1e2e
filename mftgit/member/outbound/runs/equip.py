"""What a run is given to work with: its endpoints, secrets, programs and limits, by what its transfer goes by now."""

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from loguru import logger

from mftgit.adapters.clock import Clock
from mftgit.adapters.endpoint.contract import Endpoint, RemoteEndpoint
from mftgit.adapters.local.endpoint import open_local
from mftgit.adapters.location_secrets import SecretsHere
from mftgit.errors import MftgitError
from mftgit.member.outbound.given.context import RunContext
from mftgit.member.outbound.given.programs import programs
from mftgit.member.outbound.given.progress import Progress
from mftgit.member.outbound.ownership.own import Ownership
from mftgit.member.outbound.ownership.storage import Storage
from mftgit.member.outbound.places.connections import Connections, Secrets
from mftgit.member.outbound.places.limits import Limits
from mftgit.member.outbound.places.opening import connect
from mftgit.member.outbound.runs.line import Line
from mftgit.model.events.event import EventName, Fact
from mftgit.model.locations.location import LocalLocation, Location
from mftgit.model.names import LocationName, MemberName

Record = Callable[..., None]
"""(event, revision=, epoch=, facts= or each=): write an event down, or one for each of some facts."""


class Equipping:
    """What all runs of this member have in common. ``lock`` guards the lines that are handed in."""

    def __init__(
        self,
        *,
        lock: threading.Lock,
        member: MemberName,
        files_root: Path,
        secrets_dir: Path,
        commands_dir: Path,
        clock: Clock,
        record: Record,
        storage: Storage,
        progress: Progress,
    ) -> None:
        self._lock = lock
        self._me = member
        self._files_root = files_root
        self._secrets_dir = secrets_dir
        self._commands_dir = commands_dir
        self._clock = clock
        self._storage = storage
        self._progress = progress
        self._limits = Limits(clock=clock)
        self.connections = Connections(clock=clock)
        self.record = record

    def equip(self, line: Line, ownership: Ownership) -> RunContext:
        """Return what a run of ``line`` gets, which begins now under ``ownership``."""
        basis = line.basis

        def record(event: EventName, /, *facts: Mapping[str, Fact]) -> None:
            self.record(
                event,
                revision=basis.revision,
                epoch=ownership.epoch,
                each=[{"transfer": line.name, **one} for one in facts],
            )

        def opening(location: Location, *, make: bool, wait: bool) -> Endpoint:
            opened = self._open(location, basis.generation.secrets, make=make, wait=wait)
            with self._lock:
                line.opened.append(opened)
            return opened

        def open_endpoint(location: Location, make: bool) -> Endpoint:  # noqa: FBT001  see OpenEndpoint
            return opening(location, make=make, wait=True)

        def open_more(location: Location) -> Endpoint | None:
            try:
                return opening(location, make=False, wait=False)
            except MftgitError as error:
                logger.info("no further connection", location=location.name, reason=str(error))
                return None

        return RunContext(
            ownership=ownership,
            member=self._me,
            revision=basis.revision,
            generation=basis.generation,
            state=line.state,
            clock=self._clock,
            open_endpoint=open_endpoint,
            open_more=open_more,
            record=record,
            moved=self._moved(line, ownership),
            run_program=programs(
                line.transfer,
                folder=self._commands_dir,
                member=self._me,
                revision=basis.revision,
                ownership=ownership,
                clock=self._clock,
            ),
            give_back=self.connections.give_back,
            admit_source=self._admit_source,
            memory=line.memory,
            secrets=SecretsHere(folder=self._secrets_dir, values=basis.generation.secrets),
            progress=self._progress,
            stopping=line.stopping,
            unwanted=lambda: not line.wanted,
            stopped_by=lambda: line.stopped_by,
        )

    def _admit_source(self, location: Location, path: str) -> None:
        """See that claims are fenced there, as far as this machine can tell."""
        if isinstance(location, LocalLocation):
            self._storage.admit_source(self._files_root / location.path / path)

    def _moved(self, line: Line, ownership: Ownership) -> Callable[[LocationName, int], None]:
        """Return what keeps a run within the limits of its transfer and of its locations."""
        if line.transfer is None:  # which sends nothing
            return lambda _to, _size_bytes: None
        locations = line.basis.generation.locations
        wait = line.stopping.wait
        return self._limits.between(line.transfer, locations, ownership=ownership, wait=wait)

    def _open(self, location: Location, secrets: Secrets, *, make: bool, wait: bool) -> Endpoint:
        if isinstance(location, LocalLocation):
            return open_local(location, files_root=self._files_root, make=make)

        def connecting() -> RemoteEndpoint:
            return connect(
                location, secrets_dir=self._secrets_dir, secrets=secrets, clock=self._clock
            )

        return self.connections.lend(location, secrets, connecting, wait=wait)
