"""Runs in a pool of threads: one at a time for each transfer, on what it began with, from the firing to the outcome."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from loguru import logger

from mftgit.adapters.clock import Clock
from mftgit.errors import MftgitError
from mftgit.member.outbound.given.context import FAILED_RUNS, THE_RUN, RunContext
from mftgit.member.outbound.ownership.own import Ownership
from mftgit.member.outbound.records.pauses import Pauses
from mftgit.member.outbound.runs.attempts import recall
from mftgit.member.outbound.runs.equip import Equipping
from mftgit.member.outbound.runs.line import Line, Look
from mftgit.member.outbound.runs.noted import note_run, note_success, note_waiting, tidy_ledger
from mftgit.member.outbound.runs.run import end_begun, has_work, refuse, run_once
from mftgit.member.outbound.runs.successes import Followed, Successes
from mftgit.member.outbound.runs.tally import RunOutcome
from mftgit.model.events.event import EventName
from mftgit.model.names import TransferName
from mftgit.model.transfers.firing import Firing, firing_facts
from mftgit.model.transfers.run import RunState

PARALLEL_RUNS = 8
"""How many transfers of one member run at the same time."""

DRAIN_S = 25.0
"""How long a stopping member waits for its runs; less than what service managers wait before they kill."""

_LOOK_S = 0.2
ABORT_S = 5.0
"""How long it then waits for those whose connections it has cut."""


class Runs:
    """The pool. ``lock`` guards the lines that are handed in; ``finished(line, outcome)`` is told of each run's end."""

    def __init__(
        self,
        *,
        lock: threading.Lock,
        equipping: Equipping,
        clock: Clock,
        finished: Callable[[Line, RunOutcome | None], None],
        successes: Successes,
        listen: Callable[[Line], None],
        pauses: Pauses,
        align: Callable[[TransferName, float], None],
    ) -> None:
        self._lock = lock
        self._idle = threading.Condition(lock)
        self._equipping = equipping
        self._clock = clock
        self._finished = finished
        self._successes = successes
        self._listen = listen
        self._pauses = pauses
        self._align = align
        self._pool = ThreadPoolExecutor(PARALLEL_RUNS, "run")
        self._stopping = False

    def submit(self, line: Line, look: Look) -> bool:
        """Run the transfer if it is ours, or after the run that is under way; tell whether it is ours."""
        with self._lock:
            if self._stopping or not line.wanted or line.leaving:
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

    def end_early(self, line: Line, by: str) -> bool:
        """Let a run end, as the operator ``by`` wants, and no other follow; tell if one goes on.

        It ends in the middle of a large file. A firing that came meanwhile is run all the same.
        """
        with self._lock:
            if not line.running or not line.is_ours or line.transfer is None:
                return False
            line.stopped_by = by
            line.again = Look.DUE if line.again is Look.DUE else None
            line.stopping.set()
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
        self._equipping.connections.close()

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
            context = self._equipping.equip(line, ownership)
            recall(context)
            self._listen(line)
            if self._is_held(line, context):
                return
            outcome = self._go(line, context, look)
        except Exception:  # noqa: BLE001  one transfer must not end the others
            logger.opt(exception=True).error("a run failed unexpectedly", transfer=line.name)
            note_run(line, None, self._clock)
        finally:
            with self._lock:
                line.running = False
                line.runs += 1
                line.opened = []
                if line.stopped_by is not None:
                    line.stopped_by = None
                    if line.wanted and not self._stopping:
                        line.stopping = threading.Event()
                self._finished(line, outcome)
                again, line.again = line.again, None  # unless nothing may follow here
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
            note_run(line, outcome, self._clock)
            note_waiting(line, context)
            return outcome
        context = replace(context, firing=firing)
        number = self._follows(line, context, look)
        if number is not None or self._is_due(line, context, look):
            outcome = self._carry_out(line, context, look, follows=number is not None)
            note_run(line, outcome, self._clock, firing)
            tidy_ledger(line, context, outcome)
        elif context.memory.is_quiet(self._clock.boottime()):
            line.failing, line.reason = False, None  # what failed is not there any more
        note_waiting(line, context)
        note_success(line, context, self._successes, outcome, number)
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
        memory.failed(THE_RUN, None, now)
        memory.failed(FAILED_RUNS, None, now)
        failed = RunOutcome(outcome=RunState.FAILED, files=0, size_bytes=0, errors=(str(error),))
        context.record(EventName.RUN_STARTED, firing_facts(None))
        facts = {"outcome": failed.outcome.value, "files": 0, "size_bytes": 0, **firing_facts(None)}
        context.record(EventName.RUN_FAILED, {**facts, "errors": [str(error)]})
        note_run(line, failed, self._clock)
        note_waiting(line, context)

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

    @staticmethod
    def _is_due(line: Line, context: RunContext, look: Look) -> bool:
        if look is Look.FIRED:
            return True
        try:
            return has_work(line.transfer, context, fresh=_takes_fresh(line, look))
        except MftgitError:
            return True  # the run says by its events what is wrong, and the next one waits longer


def _takes_fresh(line: Line, look: Look) -> bool:
    """Tell whether new files are taken; one that follows another takes them for a success of that one alone."""
    return look is not Look.BEGUN and not (look is Look.FOUND and line.follows is not None)


def _was_given_up(line: Line, context: RunContext, look: Look) -> bool:
    """Tell whether the owner before has failed so often on a schedule that this one is to try before its time."""
    if look is not Look.TAKEN or line.transfer is None:
        return False
    return line.transfer.failover.is_due(context.memory.count(THE_RUN))
