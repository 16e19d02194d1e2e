"""A member's outbound side: which transfers it has, which it owns, and when each of them runs."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from loguru import logger

from mftgit.adapters.clock import Clock, SystemClock, rfc3339
from mftgit.adapters.content.pgp_home import sweep
from mftgit.adapters.location_secrets import SecretsHere
from mftgit.adapters.scheduler import MadeTrigger, Scheduler
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.errors import MftgitError
from mftgit.member.outbound.firing.notices import Notices
from mftgit.member.outbound.given.progress import Progress
from mftgit.member.outbound.needs import require
from mftgit.member.outbound.news import News
from mftgit.member.outbound.ordered import Ordered
from mftgit.member.outbound.ownership import coordination
from mftgit.member.outbound.ownership.storage import STATE, Storage
from mftgit.member.outbound.owning import Owning
from mftgit.member.outbound.places.connections import SWEEP_S
from mftgit.member.outbound.records.leftover import LOOK_S
from mftgit.member.outbound.records.moves import Moves
from mftgit.member.outbound.records.pauses import Pauses
from mftgit.member.outbound.runs.equip import Equipping, Record
from mftgit.member.outbound.runs.former import Former
from mftgit.member.outbound.runs.line import (
    Basis,
    Line,
    Look,
)
from mftgit.member.outbound.runs.lines import Lines
from mftgit.member.outbound.runs.runs import Runs
from mftgit.member.outbound.runs.successes import Successes
from mftgit.member.outbound.runs.tally import RunOutcome
from mftgit.member.outbound.status import Statuses
from mftgit.model.configuration.config import Generation, Ownership
from mftgit.model.configuration.plan import Plan
from mftgit.model.names import MemberName, Revision, TransferName
from mftgit.model.ownership.standing import Standing
from mftgit.model.ownership.storage import StorageStatus
from mftgit.model.transfers.status import TransferStatus
from mftgit.model.transfers.triggers import IntervalTrigger, WatchTrigger

_FORMER, _PROBE, _SWEEP = ".leftovers", ".probe", ".connections"  # no transfer is called so
_PROBE_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A generation of which everything is built that can fail."""

    plan: Plan
    generation: Generation
    triggers: Mapping[TransferName, MadeTrigger]


class Outbound:
    """Carries out plans, and tells how its transfers are."""

    def __init__(
        self,
        *,
        folder: StateFolder,
        bootstrap: Bootstrap,
        record: Record,
        is_ancestor: Callable[[Revision, Revision], bool],
        clock: Clock | None = None,
    ) -> None:
        """Work on the files root and with the secrets of this member.

        ``record`` writes events; ``is_ancestor(one, other)`` tells whether a revision is another or came before it,
        and raises MftgitError for one that is not here. ``clock`` is the machine's unless another one is given.
        """
        self._me: MemberName = bootstrap.name
        self._shared = Path(bootstrap.files_root) / STATE
        self._clock: Clock = clock or SystemClock()
        self._scheduler = Scheduler(clock=self._clock)
        transfers = self._shared / "transfers"
        self._lines = Lines(member=self._me, transfers=transfers, gone=self._gone)
        pauses, moves = Pauses(self._shared), Moves(self._shared)
        self._storage = Storage(
            self._shared, member=self._me, known=folder.storage_id, clock=self._clock
        )
        self._owning = Owning(
            self._lines,
            member=self._me,
            cluster_id=bootstrap.cluster_id,
            shared=self._shared,
            storage=self._storage,
            moves=moves,
            clock=self._clock,
            record=record,
            ours=self._begin,
        )
        self._former = Former(
            self._lines,
            transfers=transfers,
            is_ancestor=is_ancestor,
            changed=self._owning.tell,
            fire=self._fire,
        )
        self.progress = Progress(clock=self._clock)
        self._secrets_dir = folder.secrets
        self._commands_dir = folder.commands
        self._equipping = Equipping(
            lock=self._lines.lock,
            member=self._me,
            files_root=Path(bootstrap.files_root),
            secrets_dir=self._secrets_dir,
            commands_dir=self._commands_dir,
            clock=self._clock,
            record=record,
            storage=self._storage,
            progress=self.progress,
        )
        self._runs = Runs(
            lock=self._lines.lock,
            equipping=self._equipping,
            clock=self._clock,
            finished=self._finished,
            successes=Successes(self._shared / "succeeded"),
            listen=self._listen,
            pauses=pauses,
            align=self._scheduler.align,
        )
        self.ordered = Ordered(
            self._lines,
            member=self._me,
            runs=self._runs,
            owning=self._owning,
            pauses=pauses,
            moves=moves,
            progress=self.progress,
            record=record,
            clock=self._clock,
        )
        self._statuses = Statuses(
            self._lines,
            member=self._me,
            owning=self._owning,
            pauses=pauses,
            progress=self.progress,
            clock=self._clock,
            submit=self._runs.submit,
            next_firings=self.next_firings,
        )
        self._notices = Notices(
            files_root=Path(bootstrap.files_root),
            scheduler=self._scheduler,
            clock=self._clock,
            look=self._notice,
        )
        self._news = News(
            self._shared,
            files_root=Path(bootstrap.files_root),
            lines=self._lines,
            look=self._hear_of_upload,
        )

    def start(self) -> None:
        """Begin to schedule; there is nothing to run before the first plan."""
        sweep()  # keys that a process before this one had no time to remove
        self._scheduler.start()
        sweeps = self._scheduler.make(IntervalTrigger(every_s=SWEEP_S))
        self._scheduler.put(_SWEEP, sweeps, self._equipping.connections.sweep)
        self._news.start()

    def prepare(self, plan: Plan, generation: Generation, *, fresh: bool) -> "Prepared":
        """Build everything of ``generation`` that can fail; what runs is not touched.

        ``fresh``: it was never run here, so that a password, key or program that is missing is a fault of it. What has
        run before starts without, and its runs tell what they lack.

        Raises:
            ConfigError: it cannot run on this machine as it is.
            MftgitError: something of this machine is in the way.
        """
        changed = (*plan.start, *plan.change)
        try:
            triggers = {
                job.transfer.name: self._scheduler.make(job.transfer.trigger) for job in changed
            }
        except OSError as error:
            raise MftgitError(f"a schedule cannot be made: {error.strerror or error}") from error
        if fresh:
            require(
                changed,
                generation.secrets,
                secrets_dir=self._secrets_dir,
                commands_dir=self._commands_dir,
            )
            self._owning.try_out(self._find_way(generation))
        return Prepared(plan=plan, generation=generation, triggers=triggers)

    def apply(self, prepared: "Prepared", *, revision: Revision) -> None:
        """Start, change and stop what the plan says; runs under way end on what they began with."""
        if self._lines.stopping:  # what begins now would never be stopped; the next start does it
            return
        plan, generation = prepared.plan, prepared.generation
        lines = self._lines
        self._owning.coordinate(self._find_way(generation))
        since = None if lines.basis is None else self._clock.now()
        basis = lines.basis = Basis(revision=revision, generation=generation)
        for name in plan.stop:
            self._unwant(name)
        changed = [job.transfer for job in (*plan.start, *plan.change)]
        for transfer in changed:
            self._unwant(transfer.name, but=lines.key(transfer))  # as where it is owned otherwise
            lines.put(transfer, basis, since)
        lines.go_by(basis)
        self._owning.tell()
        for transfer in changed:
            key = lines.key(transfer)
            trigger = prepared.triggers[transfer.name]
            self._notices.forget(key)
            self._scheduler.put(key, trigger, lambda key=key: self._fire(key))  # type: ignore[misc]
        self._news.follow(expects=bool(generation.services))
        looks = self._scheduler.make(WatchTrigger(every_s=LOOK_S))
        self._scheduler.put(_FORMER, looks, self._former.look)

    def stand_down(self) -> None:
        """Stop every transfer, and end nothing of former ones, until the next plan."""
        with self._lines.lock:
            self._lines.basis = None
            names = {line.name for line in self._lines.values()}
        self._scheduler.remove(_FORMER)
        for name in names:
            self._unwant(name)
        self._owning.tell()

    def drain(self, *, on: bool) -> None:
        """Begin no run and give each lease back when its run has ended; or, with ``on`` false, take part again."""
        self._owning.drain(on=on)

    @property
    def drained(self) -> bool:
        """Tell whether nothing runs here and no lease is held."""
        with self._lines.lock:
            return not self._lines.owned and not any(line.running for line in self._lines.values())

    def check_scheduler(self) -> None:
        """Return once the scheduler has called something; raises MftgitError when it does not in time."""
        called = threading.Event()
        self._scheduler.once(_PROBE, 0.0, called.set)
        if not called.wait(_PROBE_S):
            raise MftgitError(f"the scheduler has called nothing for {_PROBE_S:g} s")

    def check_storage(self) -> None:
        """See that the members' storage can be shared safely; raises MftgitError. It may hang. See `Storage.admit`."""
        self._storage.admit()

    @property
    def storage(self) -> StorageStatus | None:
        """Return how the members' storage is; None where nothing was to be owned on it yet."""
        status = self._storage.status
        if status == StorageStatus():
            return None
        return replace(status, sees=tuple(sorted(self.standings())))

    def standings(self) -> dict[MemberName, Standing]:
        """See `Owning.standings`."""
        return self._owning.standings()

    @property
    def renewed_at(self) -> str | None:
        """See `Owning.renewed_at`."""
        return self._owning.renewed_at

    def status(self) -> list[TransferStatus]:
        """See `Statuses.all`."""
        return self._statuses.all()

    def run_now(self, name: TransferName) -> bool:
        """See `Ordered.run_now`."""
        return self.ordered.run_now(name)

    def noticed(self, file: str) -> None:
        """Have watched sources looked at that ``file`` is in, by whoever owns them; at once done, from any thread.

        ``file`` is an absolute path of this machine, and what is there is whole.
        """
        self._news.noticed(file)

    def next_firings(self) -> dict[TransferName, str]:
        """Return when each transfer on a schedule fires next, RFC 3339, whoever will own it then."""
        due = self._scheduler.next_firings()
        with self._lines.lock:
            lines = [line for line in self._lines.values() if line.wanted and line.on_schedule]
        return {line.name: rfc3339(due[line.key]) for line in lines if line.key in due}

    def stop(self) -> None:
        """Finish the files at hand, give the leases back, and end."""
        self._lines.stopping = True
        self._notices.stop()
        self._news.stop()
        self._scheduler.stop()
        with self._lines.lock:
            lines = list(self._lines.values())
        self._runs.drain(lines)
        self._owning.stop()

    # Plans

    def _find_way(self, generation: Generation) -> coordination.Way:
        here = SecretsHere(folder=self._secrets_dir, values=generation.secrets)
        return coordination.find_way(generation.cluster, here)

    def _unwant(self, name: TransferName, *, but: TransferName | None = None) -> None:
        """Stop every line of the transfer ``name``, except under the key ``but``."""
        for key in self._lines.unwant(name, but=but):
            self._scheduler.remove(key)
            self._notices.forget(key)

    def _gone(self, key: TransferName) -> None:
        self._owning.give_back(key)

    # Runs

    def _begin(self, line: Line) -> None:
        """Do at once, at a takeover, what a predecessor began, and what it would have done but for its end."""
        look = Look.FOUND
        if line.on_schedule:
            look = Look.TAKEN
        elif line.is_day_off(self._clock.now()):
            look = Look.BEGUN
        self._runs.submit(line, look)

    def _fire(self, key: TransferName) -> None:
        line = self._lines.get(key)
        if line is None or self._owning.draining:
            return
        if line.is_day_off(self._clock.now()):
            logger.debug("nothing runs today, by its calendar", transfer=line.name)
            if line.watches:
                self._runs.submit(line, Look.BEGUN)
            return
        self._runs.submit(line, Look.DUE if line.on_schedule else Look.FOUND)

    def _listen(self, line: Line) -> None:
        """Listen to the folder of a transfer that is about to be looked at: so nothing comes between."""
        if line.transfer is not None and line.wanted:
            self._notices.keep(line.key, line.transfer, line.basis.generation)

    def _notice(self, key: TransferName) -> None:
        """Look at once, because there is news of a folder."""
        line = self._lines.get(key)
        if line is None or self._owning.draining or not line.watches or line.transfer is None:
            return
        if not line.is_day_off(self._clock.now()):
            self._runs.submit(line, Look.NOTICED)

    def _hear_of_upload(self, key: TransferName) -> bool:
        """Look at once, because a file was uploaded; tell whether nobody else is to."""
        line = self._lines.get(key)
        if line is None or line.transfer is None or line.is_day_off(self._clock.now()):
            return True
        ending = self._lines.stopping or self._owning.draining
        if ending or not self._runs.submit(line, Look.NOTICED):
            return line.transfer.ownership is Ownership.EACH
        self._notices.settle(key, line.transfer.source.stable_s)
        return True

    def _finished(self, line: Line, outcome: RunOutcome | None) -> None:
        """Take note of a run's end; the lock is held."""
        goes_on = self._owning.finished(line, outcome)
        again_in_s = None if outcome is None else outcome.again_in_s
        if again_in_s is not None and goes_on and not self._lines.stopping:
            self._scheduler.once(
                line.key, again_in_s, lambda: self._runs.submit(line, Look.SETTLED)
            )
