"""What a run is given, and what a member remembers of a transfer between its runs."""

import random
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Final, Protocol, Self

from mftgit.adapters.clock import Clock, SystemClock
from mftgit.adapters.endpoint.contract import Endpoint
from mftgit.adapters.location_secrets import SecretsHere
from mftgit.errors import ConfigError, MftgitError
from mftgit.member.outbound.given.programs import RunProgram, no_program
from mftgit.member.outbound.given.progress import Progress
from mftgit.member.outbound.given.turns import Turns
from mftgit.member.outbound.ownership.own import Ownership
from mftgit.member.outbound.places.fenced import FencedEndpoint
from mftgit.member.outbound.records.ledger import Ledger
from mftgit.model.configuration.config import Generation
from mftgit.model.events.event import EventName, Fact
from mftgit.model.locations.location import LocalLocation, Location
from mftgit.model.names import Epoch, LocationName, MemberName, Revision
from mftgit.model.transfers.claim import ClaimId, make_id
from mftgit.model.transfers.failures import Failure, Mark
from mftgit.model.transfers.firing import Firing
from mftgit.model.transfers.intent import Place
from mftgit.model.transfers.retry import Retry
from mftgit.model.transfers.run import SoFar
from mftgit.model.transfers.selection import Sighting
from mftgit.model.transfers.status import Waiting


class PlaceUnknownError(ConfigError):
    """A delivery was begun by another member at a place that this one has no name for."""


class RecordEvent(Protocol):
    """Writes down events of one name, together."""

    def __call__(self, event: EventName, /, *facts: Mapping[str, Fact]) -> None:
        """Write one down for each of ``facts``; raises MftgitError."""


OpenEndpoint = Callable[[Location, bool], Endpoint]
"""(location, make): open it; with ``make`` a folder of this machine that is missing is made."""

FORGOTTEN_S: Final = 2 * 86_400.0
"""So long after it might have been tried again a failure counts no more; longer than a day, for what runs daily."""

FEW_FAILURES: Final = 1000

THE_RUN: Final = ""
AWAY: Final = "/"
FAILED_RUNS: Final = "//"
"""What failures of a run as a whole, and of reaching the destination, and all runs that failed are remembered by.

No path and no id is so.
"""

_NO_FILES: Final = (THE_RUN, AWAY, FAILED_RUNS)
_NEVER_WAIT: Final = (AWAY, FAILED_RUNS)

Fence = tuple[Epoch, Location | None, str, bool]


@dataclass(slots=True, kw_only=True)
class Memory:
    """What one member remembers of one transfer between runs; losing it costs time and no file.

    ``strange_markers`` are those at the source that no delivery of the ledger belongs to.

    ``adopted`` is the epoch and the source that the fence stands for; None when it has to be raised again.
    ``recalled`` is the epoch for which the failures of earlier owners were read, unless they are to count ``anew``;
    ``changed`` tells that they are not written down as they are. See `attempts`.
    ``undeleted`` are delivered files whose source was not dealt with for sure, because the other side refused it.
    ``left_until`` is the boottime until which what was left behind is not tried again, after so many ``left_tries``.
    ``so_far`` is what a run has come to whose next part follows.
    ``tidied_at`` is the boottime at which it was last asked whether the ledger has to be tidied.

    The caller makes one per transfer and hands it to every run; it is used by one thread at a time.
    """

    ledger: Ledger
    sightings: dict[str, Sighting] = field(default_factory=dict)
    adopted: Fence | None = None
    failures: dict[str, Failure] = field(default_factory=dict)
    counter: int = 0
    strange_markers: set[str] = field(default_factory=set)
    undeleted: set[ClaimId] = field(default_factory=set)
    left_until: float = 0.0
    left_tries: int = 0
    so_far: SoFar | None = None
    tidied_at: float | None = None
    retry: Retry = field(default_factory=Retry)
    chance: Callable[[], float] = random.random
    forget_at: int = FEW_FAILURES
    recalled: Epoch | None = None
    anew: bool = False
    changed: bool = False

    def failed(
        self, what: str, mark: Mark | None, now: float, *, for_ever: bool = False
    ) -> Failure:
        """Remember that ``what`` (a path, an id, `THE_RUN`, …) failed; ``mark`` tells when it is another one.

        ``for_ever``: it is not given up, however often that was.
        """
        known = self.failures.get(what)
        count = 1 if known is None or known.mark != mark else known.count + 1
        self._forget(now)
        until = now + self.retry.wait_s(count, self.chance())
        spent = self.retry.is_spent(count) and not for_ever and what not in _NO_FILES
        self.failures.pop(what, None)  # the latest is the last one
        failure = Failure(count=count, mark=mark, until=until, spent=spent)
        self.failures[what], self.changed = failure, True
        return failure

    def failed_as(self, what: str, path: str, mark: Mark) -> None:
        """Let the failures of ``what`` be those of the file ``path``, while it has ``mark``."""
        known = self.failures.get(what)
        if known is not None:
            self.failures[path] = replace(known, mark=mark)
            self.changed = True

    def _forget(self, now: float) -> None:
        """Let go of old failures, when there have come to be twice as many as were left the last time."""
        if len(self.failures) < self.forget_at:
            return
        self.failures = {
            key: each for key, each in self.failures.items() if now < each.until + FORGOTTEN_S
        }
        self.forget_at = max(FEW_FAILURES, 2 * len(self.failures))

    def is_spent(self, what: str, mark: Mark | None) -> bool:
        """Tell whether ``what`` failed so often in a row that it is given up, and has not changed since."""
        known = self.failures.get(what)
        return known is not None and known.mark == mark and known.spent

    def count(self, what: str) -> int:
        """Return how often in a row ``what`` failed."""
        known = self.failures.get(what)
        return 0 if known is None else known.count

    def succeeded(self, what: str) -> None:
        """Forget the failures of ``what``."""
        if self.failures.pop(what, None) is not None:
            self.changed = True

    def forget_failures(self) -> None:
        """Count all failures anew, those also that are written down, but for how many runs have failed."""
        runs = self.failures.get(FAILED_RUNS)
        self.failures = {} if runs is None else {FAILED_RUNS: runs}
        self.anew, self.changed, self.recalled = True, True, None

    def recovered(self, now: float) -> int:
        """Return how many runs failed before one that went well, if that was the end of it; 0 while something waits."""
        if not self.is_quiet(now):
            return 0
        count = self.count(FAILED_RUNS)
        self.succeeded(FAILED_RUNS)
        return count

    def is_quiet(self, now: float) -> bool:
        """Tell whether nothing waits because it failed."""
        return not any(
            now < each.until for what, each in self.failures.items() if what not in _NEVER_WAIT
        )

    def waiting(self, now: float, stable_s: float) -> Waiting:
        """Return what waits, as of the last listing."""
        failed = sum(
            what not in _NO_FILES and now < each.until for what, each in self.failures.items()
        )
        seen = self.sightings.values()
        return Waiting(
            too_fresh=sum(not each.is_stable(now, stable_s) for each in seen),
            failed=failed,
        )

    def retry_in_s(self, now: float) -> float | None:
        """Return in how many seconds the first of what failed may be tried again; None where nothing waits so."""
        waits = (
            each.until - now
            for what, each in self.failures.items()
            if what not in _NEVER_WAIT and now < each.until and not each.spent
        )
        return min(waits, default=None)

    def is_put_off(self, what: str, mark: Mark | None, now: float) -> bool:
        """Tell whether ``what`` failed and has neither changed nor waited for long enough since."""
        known = self.failures.get(what)
        return known is not None and known.mark == mark and now < known.until


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What a run of a transfer is given.

    ``generation`` is the one that the run ends on. ``state`` is the transfer's folder on storage that the members share
    (``FILES_ROOT/.mftgit/transfers/KEY``), one for each key of a lease. ``open_endpoint`` gives an endpoint for the run
    alone, ``open_more`` another one of the same location where that can be had without waiting, and ``give_back`` takes
    it when the run is done with it. ``record`` writes an event. ``run_program`` runs what the transfer names for before
    and after. ``firing`` is what the run is for, where a schedule fired.
    ``progress`` is told of bytes that are moved, and ``moved`` (to where, how many) waits where they are too
    many. ``admit_source`` raises MftgitError where claims in that folder would not be fenced. ``stopping`` ends a run
    after the file at hand; a scheduled one that is stopped so is gone on with later, unless ``unwanted``, or ended by
    an operator, whom ``stopped_by`` names: that ends it in the middle of a large file.
    ``secrets`` are for what is done to content. ``nonce`` makes ids that are never given twice.
    """

    ownership: Ownership
    member: MemberName
    revision: Revision | None
    generation: Generation
    state: Path
    clock: Clock
    open_endpoint: OpenEndpoint
    open_more: Callable[[Location], Endpoint | None] = lambda _location: None
    record: RecordEvent
    moved: Callable[[LocationName, int], None] = lambda _to, _size_bytes: None
    admit_source: Callable[[Location, str], None] = lambda _location, _path: None
    give_back: Callable[[Endpoint], None] = lambda endpoint: endpoint.close()
    memory: Memory
    progress: Progress = field(default_factory=lambda: Progress(clock=SystemClock()))
    run_program: RunProgram = no_program
    firing: Firing | None = None
    stopping: Event = field(default_factory=Event)
    unwanted: Callable[[], bool] = lambda: False
    stopped_by: Callable[[], str | None] = lambda: None
    secrets: SecretsHere = field(default_factory=lambda: SecretsHere(folder=Path()))
    nonce: Callable[[], str] = lambda: secrets.token_hex(6)

    @property
    def area(self) -> str:
        """Return the name of the folder of claims at the source: the key of the lease, by which epochs are counted."""
        return self.state.name

    def make_id(self) -> ClaimId:
        """Return an id that was never given before."""
        self.memory.counter += 1
        claim = make_id(self.ownership.epoch, self.memory.counter, self.nonce())
        self.memory.ledger.begun(claim)
        return claim


class Endpoints:
    """The endpoints of one run: each location is opened when it is first needed and closed at the end.

    What they do to files is fenced: the ownership is asked before every effect. Up to ``parallel`` endpoints of one
    location work side by side. ``turns`` are those of the lots that are under way together.
    """

    def __init__(self, context: RunContext) -> None:
        self._open = context.open_endpoint
        self._generation = context.generation
        self._ownership = context.ownership
        self._give_back = context.give_back
        self._opened: list[Endpoint] = []
        self.turns = Turns()
        self._found: dict[Location, tuple[FencedEndpoint, bool]] = {}
        self._open_more = context.open_more
        self._more: dict[Location, list[Endpoint]] = {}
        self.parallel = 1
        self._lost: dict[Location, MftgitError] = {}

    def at(self, location: Location, *, make: bool = True) -> FencedEndpoint:
        """Return the endpoint of ``location``; raises what opening it raises.

        Without ``make`` no folder is made, so that what is found missing there was missing before.
        """
        endpoint, made = self._found.get(location, (None, False))
        if location in self._lost:  # whoever asks next would wait for it as long
            raise self._lost[location]
        if endpoint is None or (make and not made):
            try:
                opened = self._open(location, make)
            except MftgitError as error:
                error.location = location.name
                if not isinstance(location, LocalLocation):
                    self._lost[location] = error
                raise
            self._opened.append(opened)
            is_local = isinstance(location, LocalLocation)
            endpoint = FencedEndpoint(
                opened,
                self._ownership,
                location.name,
                more=lambda: self._further(location),
                aside=self.turns.aside,
                spreads=not is_local,  # a local folder is brought to the disk once for all of them
            )
            self._found[location] = endpoint, make or not is_local
        return endpoint

    def _further(self, location: Location) -> list[Endpoint]:
        """Return further endpoints of ``location``, as many as may be had now; one that is lost is not made anew."""
        if location not in self._more:
            self._more[location] = []
            while len(self._more[location]) < self.parallel - 1:
                opened = self._open_more(location)
                if opened is None:
                    break
                self._opened.append(opened)
                self._more[location].append(opened)
        return self._more[location]

    def reached(self, location: Location) -> bool:
        """Tell whether it was opened."""
        return location in self._found

    def find(self, place: Place, *, writer: MemberName) -> Location:
        """Return where this member finds what ``writer`` wrote down.

        Raises:
            PlaceUnknownError: it cannot tell.
        """
        found = place.find(self._generation, writer=writer)
        if found is None:
            raise PlaceUnknownError(
                f"{writer} began it at a place of the location {place.location.name} that is not in this revision, "
                f"and differs between members: bring the location back as it was, or let {writer} end it"
            )
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for endpoint in self._opened:
            self._give_back(endpoint)
