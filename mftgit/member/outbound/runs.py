"""Runs in a pool of threads: one at a time for each transfer, on what it began with, from the firing to the outcome."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from loguru import logger

from mftgit.adapters.clock import Clock, rfc3339
from mftgit.adapters.endpoint import Endpoint, RemoteEndpoint
from mftgit.adapters.local import open_local
from mftgit.adapters.location_secrets import SecretsHere
from mftgit.errors import MftgitError
from mftgit.member.outbound.attempts import recall
from mftgit.member.outbound.connections import Connections, Secrets
from mftgit.member.outbound.context import THE_RUN, RunContext
from mftgit.member.outbound.limits import Limits
from mftgit.member.outbound.line import Line, Look
from mftgit.member.outbound.opening import connect
from mftgit.member.outbound.own import Ownership
from mftgit.member.outbound.pauses import Pauses
from mftgit.member.outbound.programs import programs
from mftgit.member.outbound.progress import Progress
from mftgit.member.outbound.retention import tidy
from mftgit.member.outbound.run import end_begun, has_work, refuse, run_once
from mftgit.member.outbound.storage import Storage
from mftgit.member.outbound.successes import Followed, Successes
from mftgit.member.outbound.tally import RunOutcome
from mftgit.model.events import EventName, Fact
from mftgit.model.firing import Firing, firing_facts
from mftgit.model.location import LocalLocation, Location
from mftgit.model.names import LocationName, MemberName, TransferName
from mftgit.model.run import RunState
from mftgit.model.transfer_status import MAX_REASON, LastRun

PARALLEL_RUNS = 8
"""How many transfers of one member run at the same time."""

DRAIN_S = 25.0
"""How long a stopping member waits for its runs; less than what service managers wait before they kill."""

_LOOK_S = 0.2
ABORT_S = 5.0
"""How long it then waits for those whose connections it has cut."""

UNEXPECTED = "a fault in mftgit: the log has it"
"""Why a run failed, where nothing foresaw it."""

Record = Callable[..., None]
"""(event, revision=, epoch=, facts= or each=): write an event down, or one for each of some facts."""


class Runs:
    """The pool. ``lock`` guards the lines that are handed in; ``finished(line, outcome)`` is told of each run's end."""

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
        finished: Callable[[Line, RunOutcome | None], None],
        successes: Successes,
        listen: Callable[[Line], None],
        pauses: Pauses,
        storage: Storage,
        progress: Progress,
        align: Callable[[TransferName, float], None],
    ) -> None:
        self._lock = lock
        self._idle = threading.Condition(lock)
        self._me = member
        self._files_root = files_root
        self._secrets_dir = secrets_dir
        self._commands_dir = commands_dir
        self._clock = clock
        self._record = record
        self._finished = finished
        self._successes = successes
        self._listen = listen
        self._pauses = pauses
        self._storage = storage
        self._progress = progress
        self._align = align
        self.connections = Connections(clock=clock)
        self._limits = Limits(clock=clock)
        self._pool = ThreadPoolExecutor(PARALLEL_RUNS, "run")
        self._stopping = False

    def submit(self, line: Line, look: Look) -> bool:
        """Run the transfer if it is ours, or after the run that is under way; tell whether it is ours."""
        with self._lock:
            if self._stopping or not line.wanted:
                return True
            ownership = line.ownership
            if ownership is None or not ownership.valid():
                return False
            if line.running:
                if look is not Look.FOUND:
                    line.again = max(look, line.again or look)
                return True
            line.running = True
        self._pool.submit(self._run, line, ownership, look)
        return True

    def drain(self, lines: list[Line]) -> None:
        """Finish the files at hand, cut off what takes too long, and end.

        A run that is cut off has lost its ownership, so that it has no effect any more. One that lost it before, as
        where the storage hangs, has none either, and is not waited for.
        """
        with self._lock:
            self._stopping = True
            for line in lines:
                line.stopping.set()
            self._wait(lambda: any(line.running and line.is_ours for line in lines), DRAIN_S)
            self._cut_off([line for line in lines if line.running])
            self._wait(lambda: any(line.running for line in lines), ABORT_S)
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.connections.close()

    def _wait(self, some_run: Callable[[], bool], timeout_s: float) -> None:
        """Wait until ``some_run`` is no longer so; the lock is held. An ownership that runs out tells nobody."""
        until = self._clock.boottime() + timeout_s
        while some_run() and (left_s := until - self._clock.boottime()) > 0:
            self._idle.wait(min(left_s, _LOOK_S))

    def _cut_off(self, lines: list[Line]) -> None:
        """Take the ownership from runs and close their connections; the lock is held."""
        for line in lines:
            if line.ownership is not None:
                line.ownership.lose()
            for endpoint in line.opened:
                endpoint.close()
            logger.warning("a run was cut off, for the next owner to go on", transfer=line.name)

    def _run(self, line: Line, ownership: Ownership, look: Look) -> None:
        outcome: RunOutcome | None = None
        try:
            context = self._context(line, ownership)
            recall(context)
            self._listen(line)
            if self._is_held(line, context):
                return
            outcome = self._go(line, context, look)
        except Exception:  # noqa: BLE001  one transfer must not end the others
            logger.opt(exception=True).error("a run failed unexpectedly", transfer=line.name)
            self._note(line, None)
        finally:
            with self._lock:
                line.running = False
                line.runs += 1
                line.opened = []
                again, line.again = line.again, None
                self._finished(line, outcome)
                self._idle.notify_all()
        if again is not None:
            self.submit(line, again)

    def _go(self, line: Line, context: RunContext, look: Look) -> RunOutcome | None:
        """Run the transfer where that is due; return how it ended, None where it was not."""
        outcome: RunOutcome | None = None
        try:
            look, firing = self._fires(line, context, look)
        except MftgitError as error:
            line.firings.forget()
            outcome = refuse(error, context)
            self._note(line, outcome)
            self._note_waiting(line, context)
            return outcome
        context = replace(context, firing=firing)
        number = self._follows(line, context, look)
        if number is not None or self._is_due(line, context, look):
            outcome = self._carry_out(line, context, look, follows=number is not None)
            self._note(line, outcome, firing)
            self._tidy(line, context, outcome)
        elif context.memory.is_quiet(self._clock.boottime()):
            line.failing, line.reason = False, None  # what failed is not there any more
        self._note_waiting(line, context)
        self._note_success(line, context, outcome, number)
        return outcome

    def _is_held(self, line: Line, context: RunContext) -> bool:
        """Tell whether nothing may begin: it is paused, or nobody can tell. A former transfer comes to its end."""
        if line.transfer is None:
            return False
        try:
            pause = self._pauses.read(line.name)
        except MftgitError as error:
            self._fail(line, context, error)
            return True
        if pause is not None:
            line.pause = pause  # that it is over is for the status to find, which goes on with what was stopped
            self._pass_over(line, context)
        return pause is not None

    def _pass_over(self, line: Line, context: RunContext) -> None:
        """Have no owner make up for a firing that came due while the transfer was paused."""
        if line.transfer is None:
            return
        try:
            firing = line.firings.due(line.transfer.trigger, context, taken=True)
            if firing is not None:
                line.firings.pass_over(firing)
        except MftgitError as error:
            logger.warning("a firing was not noted", transfer=line.name, reason=str(error))

    def _fires(self, line: Line, context: RunContext, look: Look) -> tuple[Look, Firing | None]:
        """Return what is to be done for ``look``, and the firing that it is for, which counts as run from now on.

        Raises:
            MftgitError: whether one is due cannot be told, or not be written down; none may begin.
        """
        if look < Look.DUE or line.transfer is None:
            return look, None
        firings = line.firings
        firing = firings.due(line.transfer.trigger, context, taken=look is Look.TAKEN)
        if firing is not None:
            firings.begin(firing)
        next_in_s = firings.next_in_s(context)
        if next_in_s is not None:
            self._align(line.key, next_in_s)
        if firing is not None or look is Look.FIRED or _was_given_up(line, context, look):
            return Look.FIRED, firing
        return Look.FOUND if line.watches else Look.BEGUN, None

    def _fail(self, line: Line, context: RunContext, error: MftgitError) -> None:
        """Tell of a run that did not come about, and not again at every look."""
        memory, now = context.memory, self._clock.boottime()
        if memory.is_put_off("", None, now):
            return
        memory.failed("", None, now)
        failed = RunOutcome(outcome=RunState.FAILED, files=0, size_bytes=0, errors=(str(error),))
        context.record(EventName.RUN_STARTED, firing_facts(None))
        facts = {"outcome": failed.outcome.value, "files": 0, "size_bytes": 0, **firing_facts(None)}
        context.record(EventName.RUN_FAILED, {**facts, "errors": [str(error)]})
        self._note(line, failed)
        self._note_waiting(line, context)

    @staticmethod
    def _carry_out(line: Line, context: RunContext, look: Look, *, follows: bool) -> RunOutcome:
        if line.transfer is None:
            return end_begun(context)
        return run_once(
            line.transfer,
            context,
            fresh=follows or _takes_fresh(line, look),
            settled=look is Look.SETTLED,
        )

    def _follows(self, line: Line, context: RunContext, look: Look) -> int | None:
        """Return the success of another transfer that the run is to be for, None where there is none.

        While a run that failed as a whole waits for its next try, there is none.
        """
        put_off = context.memory.is_put_off("", None, self._clock.boottime())
        if look is not Look.FOUND or line.follows is None or put_off:
            return None
        try:
            return Followed(line.state, self._successes).news(line.follows)
        except MftgitError as error:
            logger.debug("no success looked for", transfer=line.name, reason=str(error))
            return None

    def _note_success(
        self, line: Line, context: RunContext, outcome: RunOutcome | None, number: int | None
    ) -> None:
        """Write down for which success a run was, and that it was one, for those that run after it.

        A success is that no file failed and none is left over to the next run. It is looked at after each look, so that
        what a member did not come to write down is written by the next one. A run that ended because its owner did is
        gone on with by the next owner, and is not noted.
        """
        how = None if outcome is None else outcome.outcome
        if not context.ownership.valid() or how is RunState.ENDED:
            return
        try:
            if number is not None and line.follows is not None and how is not RunState.FAILED:
                Followed(line.state, self._successes).note(line.follows, number)
            delivered = context.memory.ledger.delivered
            if delivered > line.told_delivered and _is_good(outcome, context, self._clock):
                self._successes.tell(line.name, line.key, delivered)
                line.told_delivered = delivered
        except MftgitError as error:
            logger.warning("a success was not noted", transfer=line.name, reason=str(error))

    @staticmethod
    def _tidy(line: Line, context: RunContext, outcome: RunOutcome) -> None:
        """Let go of what is old in the ledger; where that fails, the next look after an hour does it."""
        if line.transfer is None or outcome.outcome is RunState.ENDED or line.stopping.is_set():
            return
        try:
            tidy(line.transfer, context)
        except MftgitError as error:
            logger.warning("the ledger was not tidied", transfer=line.name, reason=str(error))

    @staticmethod
    def _is_due(line: Line, context: RunContext, look: Look) -> bool:
        if look is Look.FIRED:
            return True
        try:
            return has_work(line.transfer, context, fresh=_takes_fresh(line, look))
        except MftgitError:
            return True  # the run says by its events what is wrong, and the next one waits longer

    def _context(self, line: Line, ownership: Ownership) -> RunContext:
        basis = line.basis

        def record(event: EventName, /, *facts: Mapping[str, Fact]) -> None:
            self._record(
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

    def _note_waiting(self, line: Line, context: RunContext) -> None:
        """Say what waits after this look, and when what failed is tried again, unless that is the next firing."""
        memory, now, transfer = context.memory, self._clock.boottime(), line.transfer
        line.waiting = memory.waiting(now, transfer.source.stable_s if transfer else 0.0)
        retry_in_s = None if line.on_schedule else memory.retry_in_s(now)
        line.retry_at = (
            None
            if retry_in_s is None
            else rfc3339(self._clock.now() + timedelta(seconds=retry_in_s))
        )

    def _note(self, line: Line, outcome: RunOutcome | None, firing: Firing | None = None) -> None:
        errors = (UNEXPECTED,) if outcome is None else outcome.errors
        line.reason = errors[0][:MAX_REASON] if errors else None
        if outcome is not None and outcome.outcome is RunState.IDLE:
            line.failing = False
            return
        line.failing = outcome is None or outcome.outcome is RunState.FAILED
        line.last_run = LastRun(
            outcome=RunState.FAILED.value if outcome is None else outcome.outcome.value,
            at=rfc3339(self._clock.now()),
            files=0 if outcome is None else outcome.files,
            size_bytes=0 if outcome is None else outcome.size_bytes,
            due_at=None if firing is None else rfc3339(firing.due_at),
            caught_up=firing is not None and firing.caught_up,
        )


def _takes_fresh(line: Line, look: Look) -> bool:
    """Tell whether new files are taken; one that follows another takes them for a success of that one alone."""
    return look is not Look.BEGUN and not (look is Look.FOUND and line.follows is not None)


def _was_given_up(line: Line, context: RunContext, look: Look) -> bool:
    """Tell whether the owner before has failed so often on a schedule that this one is to try before its time."""
    if look is not Look.TAKEN or line.transfer is None:
        return False
    return line.transfer.failover.is_due(context.memory.count(THE_RUN))


def _is_good(outcome: RunOutcome | None, context: RunContext, clock: Clock) -> bool:
    """Tell whether all that the run took is delivered, and it left nothing to be gone on with at once.

    Files of earlier runs that wait for their next try do not count. A run that found nothing says so of those before
    it only where no file waits because it failed.
    """
    if outcome is not None and outcome.again_in_s is not None:
        return False
    if outcome is not None and outcome.outcome is RunState.SUCCEEDED:
        return True
    idle = outcome is None or outcome.outcome is RunState.IDLE
    return idle and context.memory.is_quiet(clock.boottime())
