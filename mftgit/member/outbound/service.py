"""A member's outbound side: which transfers it has, which it owns, and when each of them runs."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from loguru import logger

from mftgit.adapters.clock import Clock, SystemClock, rfc3339
from mftgit.adapters.endpoint import Endpoint
from mftgit.adapters.local import open_local
from mftgit.adapters.scheduler import Scheduler
from mftgit.adapters.sftp import connect
from mftgit.adapters.shared_folder import SharedFolderCoordinator
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.errors import MftgitError
from mftgit.member.outbound.context import RunContext
from mftgit.member.outbound.line import Line, Look, describe
from mftgit.member.outbound.own import Keeper, Ownership
from mftgit.member.outbound.run import RunOutcome, has_work, run_once
from mftgit.model.config import Generation, LocalLocation, Location, Transfer, WatchTrigger
from mftgit.model.config import Ownership as OwnershipKind
from mftgit.model.events import EventName, Fact
from mftgit.model.lease import preference_delay_s
from mftgit.model.messages import LastRun, TransferStatus
from mftgit.model.names import MemberName, Revision, TransferName
from mftgit.model.plan import Job, Plan
from mftgit.model.run import RunState

PARALLEL_RUNS = 8
"""How many transfers of one member run at the same time."""

DRAIN_S = 25.0
"""How long a stopping member waits for its runs; less than what service managers wait before they kill."""

STATE = ".mftgit"
"""Below the files root: leases, intents and ledgers, which the members share."""

CATCH_UP_TTLS = 2.0
"""A firing that came so many ttl before this member took the transfer is caught up: its owner was gone by then."""


Record = Callable[..., None]
"""(event, revision=, epoch=, facts=): write an event down."""


class Outbound:
    """Carries out plans, and tells how its transfers are."""

    def __init__(self, *, folder: StateFolder, bootstrap: Bootstrap, record: Record) -> None:
        """Work on the files root and with the secrets of this member; ``record`` writes events."""
        self._me: MemberName = bootstrap.name
        self._files_root = Path(bootstrap.files_root)
        self._secrets = folder.secrets
        self._record = record
        self._clock: Clock = SystemClock()
        self._scheduler = Scheduler()
        self._pool = ThreadPoolExecutor(PARALLEL_RUNS, "run")
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._lines: dict[TransferName, Line] = {}
        self._owned: dict[TransferName, Ownership] = {}  # by key; may outlive its line for a moment
        self._keeper: Keeper | None = None
        self._coordinator: SharedFolderCoordinator | None = None
        self._ttl_s = 0.0
        self._stopping = False

    def start(self) -> None:
        """Begin to schedule; there is nothing to run before the first plan."""
        self._scheduler.start()

    def apply(self, plan: Plan, *, generation: Generation, revision: Revision) -> None:
        """Start, change and stop what ``plan`` says; runs under way end on what they began with."""
        self._use_ttl(generation.cluster.lease_ttl_s)
        for name in plan.stop:
            self._unwant(name)
        for job in (*plan.start, *plan.change):
            self._put(job, revision)
        with self._lock:
            for line in self._lines.values():
                line.revision = revision
        self._tell_keeper()
        for job in (*plan.start, *plan.change):
            name = job.transfer.name
            self._scheduler.put(name, job.transfer.trigger, lambda name=name: self._fire(name))  # type: ignore[misc]

    def status(self) -> list[TransferStatus]:
        """Return how each transfer is, by name."""
        with self._lock:
            lines = sorted(self._lines.items())
        return [
            describe(name, line, me=self._me, coordinator=self._coordinator)
            for name, line in lines
            if line.wanted
        ]

    def stop(self) -> None:
        """Finish the files at hand, give the leases back, and end."""
        self._stopping = True
        self._scheduler.stop()
        with self._lock:
            for line in self._lines.values():
                line.stopping.set()
            self._idle.wait_for(
                lambda: not any(line.running for line in self._lines.values()), timeout=DRAIN_S
            )
            finished = [line.key for line in self._lines.values() if not line.running]
        if self._keeper is not None:
            for key in finished:
                self._keeper.ended(key)
            self._keeper.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)

    # Plans

    def _use_ttl(self, ttl_s: float) -> None:
        """Hold leases with ``ttl_s`` from now on; another value gives every lease back first."""
        if ttl_s == self._ttl_s:
            return
        if self._keeper is not None:
            with self._lock:  # what runs loses its lease, and stops before its next effect
                idle = [line.key for line in self._lines.values() if not line.running]
            for key in idle:
                self._keeper.ended(key)
            self._keeper.stop()
        self._ttl_s = ttl_s
        self._coordinator = SharedFolderCoordinator(
            self._files_root / STATE / "leases", member=self._me, ttl_s=ttl_s, clock=self._clock
        )
        self._keeper = Keeper(
            self._coordinator,
            member=self._me,
            ttl_s=ttl_s,
            clock=self._clock,
            taken=self._taken,
            lost=self._lost,
        )
        self._keeper.start()

    def _put(self, job: Job, revision: Revision) -> None:
        name = job.transfer.name
        with self._lock:
            key, line = self._key(job.transfer), self._lines.get(name)
            if line is not None and line.key == key:
                line.job, line.wanted = job, True
                if line.stopping.is_set():
                    line.stopping = threading.Event()
                return
            if line is not None:
                line.wanted = False
                if not line.running:
                    self._forget(name, line)
            state = self._files_root / STATE / "transfers" / key
            line = Line(job, key=key, state=state, revision=revision)
            line.ownership = self._owned.get(key)
            self._lines[name] = line

    def _unwant(self, name: TransferName) -> None:
        self._scheduler.remove(name)
        with self._lock:
            line = self._lines[name]
            line.wanted = False
            line.stopping.set()
            if not line.running:
                self._forget(name, line)

    def _forget(self, name: TransferName, line: Line) -> None:
        """Give the lease of a transfer back that is no longer here; the lock is held."""
        if self._lines.get(name) is line:
            self._lines.pop(name)
        if self._keeper is not None:
            self._keeper.ended(line.key)

    def _key(self, transfer: Transfer) -> TransferName:
        """Return what the transfer is owned under: by one of all members, or by each for itself."""
        if transfer.ownership is OwnershipKind.SINGLE:
            return transfer.name
        return TransferName(f"{transfer.name}.{self._me}")

    def _tell_keeper(self) -> None:
        if self._keeper is None:
            return
        with self._lock:
            wanted = {
                line.key: preference_delay_s(line.job.transfer.prefer, self._me, ttl_s=self._ttl_s)
                for line in self._lines.values()
                if line.wanted
            }
        self._keeper.want(wanted)

    # Ownership

    def _taken(self, key: TransferName, ownership: Ownership) -> None:
        with self._lock:
            self._owned[key] = ownership
            line = self._by_key(key)
            if line is None:  # it was stopped while its lease was being taken
                if self._keeper is not None:
                    self._keeper.ended(key)
                return
            line.ownership = ownership
        name = line.job.transfer.name
        self._record(
            EventName.OWNERSHIP_TAKEN,
            revision=line.revision,
            epoch=ownership.epoch,
            facts={"transfer": name},
        )
        logger.info("transfer is ours", transfer=name, epoch=ownership.epoch)
        self._submit(name, self._at_takeover(line))

    def _at_takeover(self, line: Line) -> Look:
        """Say what to do at once: what a predecessor began, and what it would have done but for its end."""
        if isinstance(line.job.transfer.trigger, WatchTrigger):
            return Look.FOUND
        fired_at, line.fired_at = line.fired_at, None
        missed_s = CATCH_UP_TTLS * self._ttl_s
        missed = fired_at is not None and self._clock.boottime() - fired_at <= missed_s
        return Look.FIRED if missed else Look.BEGUN

    def _lost(self, key: TransferName, reason: str) -> None:
        with self._lock:
            ownership = self._owned.pop(key, None)
            line = self._by_key(key)
            if line is None or ownership is None:
                return
            line.ownership = None
        facts = {"transfer": line.job.transfer.name, "reason": reason}
        self._record(
            EventName.OWNERSHIP_LOST, revision=line.revision, epoch=ownership.epoch, facts=facts
        )
        logger.info("transfer is not ours any more", **facts)

    def _by_key(self, key: TransferName) -> Line | None:
        """Return the line that is owned under ``key``; the lock is held."""
        return next((line for line in self._lines.values() if line.key == key), None)

    # Runs

    def _fire(self, name: TransferName) -> None:
        line = self._lines.get(name)
        if line is None:
            return
        watches = isinstance(line.job.transfer.trigger, WatchTrigger)
        if not self._submit(name, Look.FOUND if watches else Look.FIRED):
            line.fired_at = self._clock.boottime()

    def _submit(self, name: TransferName, look: Look) -> bool:
        """Run the transfer in the pool if it is ours, or after the run that is under way; tell whether it is ours."""
        with self._lock:
            line = self._lines.get(name)
            if line is None or self._stopping or not line.wanted:
                return True
            ownership = line.ownership
            if ownership is None or not ownership.valid():
                return False
            if line.running:
                line.again = look if look is not Look.FOUND else line.again
                return True
            line.running = True
        self._pool.submit(self._run, name, line, ownership, look)
        return True

    def _run(self, name: TransferName, line: Line, ownership: Ownership, look: Look) -> None:
        job = line.job
        try:
            context = self._context(line, job, ownership)
            if self._is_due(job.transfer, context, look):
                outcome = run_once(job.transfer, context, fresh=look is not Look.BEGUN)
                self._note(line, outcome)
        except Exception:  # noqa: BLE001  one transfer must not end the others
            logger.opt(exception=True).error("a run failed unexpectedly", transfer=name)
            self._note(line, None)
        finally:
            with self._lock:
                line.running = False
                again, line.again = line.again, None
                if not line.wanted:
                    self._forget(name, line)
                self._idle.notify_all()
        if again is not None:
            self._submit(name, again)

    @staticmethod
    def _is_due(transfer: Transfer, context: RunContext, look: Look) -> bool:
        if look is Look.FIRED:
            return True
        try:
            return has_work(transfer, context, fresh=look is Look.FOUND)
        except MftgitError:
            return True  # the run says by its events what is wrong, and the next one waits longer

    def _context(self, line: Line, job: Job, ownership: Ownership) -> RunContext:
        locations = {each.name: each for each in (job.source, job.destination)}
        revision = line.revision  # a run ends on what it began with

        def record(event: EventName, facts: Mapping[str, Fact]) -> None:
            self._record(
                event,
                revision=revision,
                epoch=ownership.epoch,
                facts={"transfer": job.transfer.name, **facts},
            )

        return RunContext(
            ownership=ownership,
            member=self._me,
            revision=revision,
            state=line.state,
            clock=self._clock,
            open_endpoint=lambda location: self._open(locations[location]),
            record=record,
            memory=line.memory,
            stopping=line.stopping,
        )

    def _open(self, location: Location) -> Endpoint:
        if isinstance(location, LocalLocation):
            return open_local(location, files_root=self._files_root)
        return connect(location, secrets_dir=self._secrets)

    def _note(self, line: Line, outcome: RunOutcome | None) -> None:
        if outcome is not None and outcome.outcome is RunState.IDLE:
            line.failing = False
            return
        line.failing = outcome is None or outcome.outcome is RunState.FAILED
        line.last_run = LastRun(
            outcome=RunState.FAILED.value if outcome is None else outcome.outcome.value,
            at=rfc3339(self._clock.now()),
            files=0 if outcome is None else outcome.files,
            size_bytes=0 if outcome is None else outcome.size_bytes,
        )
