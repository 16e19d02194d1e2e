"""A member's outbound side: which transfers it has, which it owns, and when each of them runs."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
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
from mftgit.member.outbound.context import Memory, RunContext
from mftgit.member.outbound.ledger import Ledger
from mftgit.member.outbound.own import Keeper, Ownership
from mftgit.member.outbound.run import RunOutcome, has_work, run_once
from mftgit.model.config import Generation, LocalLocation, Location, Transfer, WatchTrigger
from mftgit.model.config import Ownership as OwnershipKind
from mftgit.model.events import EventName, Fact
from mftgit.model.lease import preference_delay_s
from mftgit.model.messages import LastRun, TransferState, TransferStatus
from mftgit.model.names import Epoch, MemberName, Revision, TransferName
from mftgit.model.plan import Job, Plan
from mftgit.model.run import RunState

PARALLEL_RUNS = 8
"""How many transfers of one member run at the same time."""

DRAIN_S = 25.0
"""How long a stopping member waits for its runs; less than what service managers wait before they kill."""

STATE = ".mftgit"
"""Below the files root: leases, intents and ledgers, which the members share."""

Record = Callable[..., None]
"""(event, revision=, epoch=, facts=): write an event down."""


class _Line:
    """One transfer on this member: its job, its ownership while that lasts, its last run."""

    def __init__(self, job: Job, *, key: TransferName, state: Path, revision: Revision) -> None:
        self.job = job
        self.key = key
        self.state = state
        self.revision = revision
        self.memory = Memory(ledger=Ledger(state))
        self.counted = Ledger(state)  # for the status, whose thread is not the run's
        self.ownership: Ownership | None = None
        self.running = False
        self.wanted = True
        self.last_run: LastRun | None = None
        self.failing = False
        self.stopping = threading.Event()


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
        self._lines: dict[TransferName, _Line] = {}
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
        return [self._status(name, line) for name, line in lines if line.wanted]

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
            for line in self._lines.values():
                if not line.running:  # what runs loses its lease, and stops before its next effect
                    self._keeper.ended(line.key)
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
                line.job, line.wanted, line.stopping = job, True, threading.Event()
                return
            if line is not None:
                line.wanted = False
                if not line.running:
                    self._forget(name, line)
            state = self._files_root / STATE / "transfers" / key
            self._lines[name] = _Line(job, key=key, state=state, revision=revision)

    def _unwant(self, name: TransferName) -> None:
        self._scheduler.remove(name)
        with self._lock:
            line = self._lines[name]
            line.wanted = False
            line.stopping.set()
            if not line.running:
                self._forget(name, line)

    def _forget(self, name: TransferName, line: _Line) -> None:
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
        line = self._by_key(key)
        if line is None:
            return
        line.ownership = ownership
        self._write(line, EventName.OWNERSHIP_TAKEN, {"transfer": line.job.transfer.name})
        logger.info("transfer is ours", transfer=line.job.transfer.name, epoch=ownership.epoch)
        # At once, whatever the trigger: to end what a predecessor began.
        self._submit(line.job.transfer.name, must_run=True)

    def _lost(self, key: TransferName, reason: str) -> None:
        line = self._by_key(key)
        if line is None or line.ownership is None:
            return
        facts = {"transfer": line.job.transfer.name, "reason": reason}
        self._write(line, EventName.OWNERSHIP_LOST, facts)
        logger.info("transfer is not ours any more", **facts)
        line.ownership = None

    def _by_key(self, key: TransferName) -> _Line | None:
        with self._lock:
            return next((line for line in self._lines.values() if line.key == key), None)

    # Runs

    def _fire(self, name: TransferName) -> None:
        line = self._lines.get(name)
        if line is not None:
            self._submit(name, must_run=not isinstance(line.job.transfer.trigger, WatchTrigger))

    def _submit(self, name: TransferName, *, must_run: bool) -> None:
        """Run the transfer in the pool, if it is ours and does not run already."""
        with self._lock:
            line = self._lines.get(name)
            if line is None or line.running or self._stopping or not line.wanted:
                return
            ownership = line.ownership
            if ownership is None or not ownership.valid():
                return
            line.running = True
        self._pool.submit(self._run, name, line, ownership, must_run=must_run)

    def _run(
        self, name: TransferName, line: _Line, ownership: Ownership, *, must_run: bool
    ) -> None:
        job = line.job
        try:
            context = self._context(line, job, ownership)
            if must_run or has_work(job.transfer, context):
                self._note(line, run_once(job.transfer, context))
        except MftgitError as error:
            self._note(line, None, reason=str(error))
        except Exception:  # noqa: BLE001  one transfer must not end the others
            logger.opt(exception=True).error("a run failed unexpectedly", transfer=name)
            self._note(line, None, reason="unexpected failure, see the log")
        finally:
            with self._lock:
                line.running = False
                if not line.wanted:
                    self._forget(name, line)
                self._idle.notify_all()

    def _context(self, line: _Line, job: Job, ownership: Ownership) -> RunContext:
        locations = {each.name: each for each in (job.source, job.destination)}

        def record(event: EventName, facts: Mapping[str, Fact]) -> None:
            self._record(
                event,
                revision=line.revision,
                epoch=ownership.epoch,
                facts={"transfer": job.transfer.name, **facts},
            )

        return RunContext(
            ownership=ownership,
            member=self._me,
            revision=line.revision,
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

    def _note(self, line: _Line, outcome: RunOutcome | None, *, reason: str = "") -> None:
        if outcome is None:
            logger.warning("run failed", transfer=line.job.transfer.name, reason=reason)
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

    def _write(self, line: _Line, event: EventName, facts: Mapping[str, Fact]) -> None:
        epoch: Epoch | None = line.ownership.epoch if line.ownership else None
        self._record(event, revision=line.revision, epoch=epoch, facts=facts)

    # Status

    def _status(self, name: TransferName, line: _Line) -> TransferStatus:
        ownership = line.ownership
        mine = ownership is not None and ownership.valid()
        status = TransferStatus(
            name=name,
            owner=self._me if mine else None,
            epoch=ownership.epoch if ownership is not None and mine else None,
            state=self._state(line, mine=mine),
            last_run=line.last_run,
            delivered=0,
        )
        try:
            line.counted.refresh()
            status = replace(status, delivered=line.counted.delivered)
            if not mine and self._coordinator is not None:
                view = self._coordinator.observe(line.key)
                status = replace(status, owner=view.owner, epoch=view.epoch or None)
        except MftgitError as error:
            logger.debug("shared state not read", transfer=name, error=str(error))
        return status

    def _state(self, line: _Line, *, mine: bool) -> TransferState:
        if line.running:
            return TransferState.RUNNING
        if line.failing:
            return TransferState.FAILING
        return TransferState.IDLE if mine else TransferState.STANDBY
