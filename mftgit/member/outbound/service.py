"""A member's outbound side: which transfers it has, which it owns, and when each of them runs."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from loguru import logger

from mftgit.adapters.clock import Clock, SystemClock, find_zone, rfc3339
from mftgit.adapters.location_secrets import SecretsHere
from mftgit.adapters.pgp_home import sweep
from mftgit.adapters.scheduler import MadeTrigger, Scheduler
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.errors import MftgitError
from mftgit.member.outbound import coordination
from mftgit.member.outbound.connections import SWEEP_S
from mftgit.member.outbound.content import Changing
from mftgit.member.outbound.in_time import InTime
from mftgit.member.outbound.intents import highest_epoch
from mftgit.member.outbound.keep import Callbacks, Keeper, Taken
from mftgit.member.outbound.leftover import LOOK_S, find_leftovers, key_of, keys_of
from mftgit.member.outbound.line import (
    Basis,
    Line,
    Look,
    count,
    describe,
    fresh_memory,
    to_be_counted,
)
from mftgit.member.outbound.moves import Moves
from mftgit.member.outbound.notices import Notices
from mftgit.member.outbound.opening import prepare
from mftgit.member.outbound.own import Ownership
from mftgit.member.outbound.pauses import Pauses
from mftgit.member.outbound.programs import check_programs
from mftgit.member.outbound.progress import Progress
from mftgit.member.outbound.runs import Record, Runs
from mftgit.member.outbound.storage import STATE, Admitted, Storage
from mftgit.member.outbound.successes import Successes
from mftgit.member.outbound.tally import RunOutcome
from mftgit.model.config import Generation, Transfer
from mftgit.model.config import Ownership as OwnedBy
from mftgit.model.events import EventName
from mftgit.model.failover import Health, Sign
from mftgit.model.firing import schedule_of
from mftgit.model.move import Answer, Move, answer
from mftgit.model.names import Epoch, MemberName, Revision, TransferName
from mftgit.model.pause import Pause
from mftgit.model.plan import Plan
from mftgit.model.spread import Want
from mftgit.model.standing import MAX_WHY, Standing
from mftgit.model.storage import StorageStatus
from mftgit.model.transfer_status import TransferStatus
from mftgit.model.triggers import IntervalTrigger, WatchTrigger, calendar_of
from mftgit.model.view import FREE

_LEFTOVERS, _PROBE, _SWEEP = ".leftovers", ".probe", ".connections"  # no transfer is called so
_PROBE_S = 10.0
_SHARED_S = 1.0
_SAME_S = 0.05


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
        self._is_ancestor = is_ancestor
        self._me: MemberName = bootstrap.name
        self._shared = Path(bootstrap.files_root) / STATE
        self._record = record
        self._clock: Clock = clock or SystemClock()
        self._scheduler = Scheduler(clock=self._clock)
        self._lock = threading.Lock()
        self._lines: dict[TransferName, Line] = {}  # by key
        self._owned: dict[TransferName, Ownership] = {}  # by key; may outlive its line for a moment
        self._keeper: Keeper | None = None
        self._ttl_s = 0.0
        self._way: coordination.Way | None = None
        self._here = coordination.Here(
            member=self._me,
            shared=self._shared,
            clock=self._clock,
            remembered=lambda key: highest_epoch(self._shared / "transfers" / key),
        )
        self._basis: Basis | None = None
        self._seen = InTime[dict[TransferName, Pause | None]]("shared-state", within_s=_SHARED_S)
        self._pauses = Pauses(self._shared)
        self._moves = Moves(self._shared)
        self._renewed_at: tuple[float, str] | None = None
        self._storage = Storage(
            self._shared, member=self._me, known=folder.storage_id, clock=self._clock
        )
        self.progress = Progress(clock=self._clock)
        self._stopping = False
        self._draining = False
        self._secrets_dir = folder.secrets
        self._commands_dir = folder.commands
        self._runs = Runs(
            lock=self._lock,
            member=self._me,
            files_root=Path(bootstrap.files_root),
            secrets_dir=self._secrets_dir,
            commands_dir=folder.commands,
            clock=self._clock,
            record=record,
            finished=self._finished,
            successes=Successes(self._shared / "succeeded"),
            listen=self._listen,
            pauses=self._pauses,
            storage=self._storage,
            progress=self.progress,
            align=self._scheduler.align,
        )
        self._notices = Notices(
            files_root=Path(bootstrap.files_root),
            scheduler=self._scheduler,
            clock=self._clock,
            look=self._notice,
        )

    def start(self) -> None:
        """Begin to schedule; there is nothing to run before the first plan."""
        sweep()  # keys that a process before this one had no time to remove
        self._scheduler.start()
        sweeps = self._scheduler.make(IntervalTrigger(every_s=SWEEP_S))
        self._scheduler.put(_SWEEP, sweeps, self._runs.connections.sweep)

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
        for job in changed if fresh else ():
            check_programs(job.transfer, folder=self._commands_dir)
        for location in {
            each for job in changed for each in (job.source, job.destination, job.fallback) if each
        }:
            if fresh:
                prepare(location, secrets_dir=self._secrets_dir, secrets=generation.secrets)
        for job in changed if fresh else ():
            here = SecretsHere(folder=self._secrets_dir, values=generation.secrets)
            with Changing(job.transfer, here).ready():
                pass
        if fresh and (way := self._find_way(generation)) != self._way:
            coordination.try_out(way, self._here)
        return Prepared(plan=plan, generation=generation, triggers=triggers)

    def apply(self, prepared: "Prepared", *, revision: Revision) -> None:
        """Start, change and stop what the plan says; runs under way end on what they began with."""
        if self._stopping:  # what begins now would never be stopped; the next start does it
            return
        plan, generation = prepared.plan, prepared.generation
        self._coordinate(self._find_way(generation))
        since = None if self._basis is None else self._clock.now()
        basis = self._basis = Basis(revision=revision, generation=generation)
        for name in plan.stop:
            self._unwant(name)
        changed = [job.transfer for job in (*plan.start, *plan.change)]
        for transfer in changed:
            self._put(transfer, basis, since)
        with self._lock:
            for line in self._lines.values():
                line.basis = basis
                # Also what no plan goes by has changed.
                if line.transfer is not None and line.wanted:
                    line.transfer = generation.transfers.get(line.name, line.transfer)
        self._tell_keeper()
        for transfer in changed:
            key = self._key(transfer)
            trigger = prepared.triggers[transfer.name]
            self._notices.forget(key)
            self._scheduler.put(key, trigger, lambda key=key: self._fire(key))  # type: ignore[misc]
        looks = self._scheduler.make(WatchTrigger(every_s=LOOK_S))
        self._scheduler.put(_LEFTOVERS, looks, self._look_for_leftovers)

    def stand_down(self) -> None:
        """Stop every transfer, and end nothing of former ones, until the next plan."""
        with self._lock:
            self._basis = None
            names = {line.name for line in self._lines.values()}
        self._scheduler.remove(_LEFTOVERS)
        for name in names:
            self._unwant(name)
        self._tell_keeper()

    def drain(self, *, on: bool) -> None:
        """Begin no run and give each lease back when its run has ended; or, with ``on`` false, take part again."""
        with self._lock:
            if self._draining == on:
                return
            self._draining = on
            idle = [line.key for line in self._lines.values() if not line.running]
        self._tell_keeper()
        if on and self._keeper is not None:
            self._keeper.ended(*idle)

    @property
    def drained(self) -> bool:
        """Tell whether nothing runs here and no lease is held."""
        with self._lock:
            return not self._owned and not any(line.running for line in self._lines.values())

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
        status, keeper = self._storage.status, self._keeper
        if status == StorageStatus():
            return None
        return replace(status, sees=() if keeper is None else tuple(sorted(keeper.sight.members)))

    def standings(self) -> dict[MemberName, Standing]:
        """Return which members live, and how they stand, as of the last look."""
        return {} if self._keeper is None else dict(self._keeper.sight.members)

    @property
    def renewed_at(self) -> str | None:
        """Return when the last renewal of the session that succeeded was asked for, RFC 3339; None without one."""
        ago_s = None if self._keeper is None else self._keeper.renewed_s_ago
        if ago_s is None:
            return None
        sent_at = self._clock.boottime() - ago_s
        if self._renewed_at is None or sent_at - self._renewed_at[0] > _SAME_S:
            self._renewed_at = sent_at, rfc3339(self._clock.now() - timedelta(seconds=ago_s))
        return self._renewed_at[1]

    def status(self) -> list[TransferStatus]:
        """Return how each transfer is, by name. Storage that hangs is not waited for; what it told last counts."""
        with self._lock:
            lines = [line for _, line in sorted(self._lines.items()) if line.wanted]
        last = self._seen.last or {}
        self._seen.ask(lambda: self._look_at_shared(lines, last))
        keeper, found = self._keeper, self._seen.last or {}
        for line in lines:
            if line.key in found:
                self._take_note_of_pause(line, found[line.key])
        return [
            replace(
                describe(line, FREE if keeper is None else keeper.view(line.key), me=self._me),
                under_way=self.progress.under_way(line.name),
            )
            for line in lines
        ]

    def run_now(self, name: TransferName) -> bool:
        """Run a transfer at once, what failed a while ago too, or after the run under way; tell whether it is ours."""
        with self._lock:
            lines = [
                line
                for line in self._lines.values()
                if line.name == name and line.wanted and not self._draining
            ]
            for line in lines:
                line.health = Health()
                if line.is_ours:
                    line.memory.forget_failures()
        return any(self._runs.submit(line, Look.FIRED) for line in lines)

    def next_firings(self) -> dict[TransferName, str]:
        """Return when each transfer on a schedule fires next, RFC 3339, whoever will own it then."""
        due = self._scheduler.next_firings()
        with self._lock:
            lines = [line for line in self._lines.values() if line.wanted and line.on_schedule]
        return {line.name: rfc3339(due[line.key]) for line in lines if line.key in due}

    def _look_at_shared(
        self, lines: list[Line], last: Mapping[TransferName, Pause | None]
    ) -> dict[TransferName, Pause | None]:
        """Read which transfers are paused, by key, and count what was delivered. It may hang."""
        try:
            paused = self._pauses.all()
        except MftgitError as error:
            logger.debug("pauses not read", error=str(error))
            return dict(last)
        self._look_for_moves(lines)
        for line in to_be_counted(lines):
            count(line, self._clock.boottime())
        return {line.key: paused.get(line.name) for line in lines}

    def _look_for_moves(self, lines: list[Line]) -> None:
        """Do what operators have left word of. It may hang."""
        try:
            moves = self._moves.all()
        except MftgitError as error:
            logger.debug("words of operators not read", error=str(error))
            return
        for line in lines if moves else ():
            if line.name in moves and line.transfer is not None:
                self._answer(line, moves[line.name])

    def _answer(self, line: Line, move: Move) -> None:
        keeper = self._keeper
        if keeper is None:
            return
        members, want = keeper.sight.members, self._want(line)
        match answer(move, line.key, want, members, me=self._me, mine=line.is_ours):
            case Answer.MAKE_READY:
                keeper.come_back(line.key)
            case Answer.MOVE:
                if self._moves.take(line.name):
                    keeper.move(line.key, move.to)
            case Answer.DROP:
                self._moves.take(line.name)
            case Answer.WAIT:
                pass

    def stop(self) -> None:
        """Finish the files at hand, give the leases back, and end."""
        self._stopping = True
        self._notices.stop()
        self._scheduler.stop()
        with self._lock:
            lines = list(self._lines.values())
        self._runs.drain(lines)
        if self._keeper is not None:
            self._keeper.ended(*(line.key for line in lines if not line.running))
            self._keeper.stop()

    def _take_note_of_pause(self, line: Line, pause: Pause | None) -> None:
        """Let a run that is under way end after the file at hand, or let the transfer go on where it was stopped."""
        with self._lock:
            before, line.pause = line.pause, pause
            if pause is not None:
                if line.running and line.transfer is not None:
                    line.stopping.set()
                return
            if before is None or self._stopping or not line.wanted:
                return
            line.stopping = threading.Event()
            off = line.transfer is not None and self._is_day_off(line.transfer)
        self._runs.submit(line, Look.BEGUN if line.on_schedule or off else Look.FOUND)

    # Plans

    def _find_way(self, generation: Generation) -> coordination.Way:
        here = SecretsHere(folder=self._secrets_dir, values=generation.secrets)
        return coordination.find_way(generation.cluster, here)

    def _coordinate(self, way: coordination.Way) -> None:
        """Coordinate by ``way`` from now on; another one than before gives every lease back first."""
        if way == self._way:
            return
        if self._keeper is not None:
            with self._lock:  # what runs loses its lease, and stops before its next effect
                idle = [line.key for line in self._lines.values() if not line.running]
            self._keeper.ended(*idle)
            self._keeper.stop()
            self._keeper = None
        keeper = Keeper(
            Admitted(coordination.make(way, self._here), self._storage),
            member=self._me,
            ttl_s=way.ttl_s,
            clock=self._clock,
            tell=Callbacks(taken=self._taken, lost=self._lost, asked_back=self._asked_back),
        )
        keeper.start()  # last of all: what fails here is done anew by the next plan
        self._keeper, self._ttl_s, self._way = keeper, way.ttl_s, way

    def _key(self, transfer: Transfer) -> TransferName:
        return key_of(transfer.name, transfer.ownership, self._me)

    def _put(self, transfer: Transfer, basis: Basis, since: datetime | None) -> None:
        """Have a line for ``transfer`` as it is now, and none under the key of another kind of ownership.

        ``since`` is when its schedule begins, where that is new here; see `Firings`.
        """
        key = self._key(transfer)
        self._unwant(transfer.name, but=key)
        with self._lock:
            line = self._lines.get(key)
            if line is None:
                self._add(transfer.name, transfer, key=key, basis=basis)
                self._lines[key].firings.since = since
                return
            if not line.wanted or schedule_of(line.trigger) != schedule_of(transfer.trigger):
                line.firings.since = since
            line.transfer, line.wanted, line.name = transfer, True, transfer.name
            line.memory = fresh_memory(transfer, line.state)
            if line.is_ours:
                line.memory.forget_failures()  # what failed may be mended now
            line.health = Health()
            if line.stopping.is_set():
                line.stopping = threading.Event()

    def _add(
        self, name: TransferName, transfer: Transfer | None, *, key: TransferName, basis: Basis
    ) -> None:
        """Add a line; the lock is held."""
        state = self._shared / "transfers" / key
        line = Line(name, transfer, key=key, state=state, basis=basis)
        line.ownership = self._owned.get(key)
        self._lines[key] = line

    def _unwant(self, name: TransferName, *, but: TransferName | None = None) -> None:
        """Stop every line of the transfer ``name``, except under the key ``but``."""
        with self._lock:
            known = keys_of(name, self._me)
            keys = [key for key in known if key != but and key in self._lines]
            for key in keys:
                self._stop_line(self._lines[key])
        for key in keys:
            self._scheduler.remove(key)
            self._notices.forget(key)

    def _stop_line(self, line: Line) -> None:
        """Let its run come to an end and the line go; the lock is held."""
        line.wanted = False
        line.stopping.set()
        if not line.running:
            self._forget(line)

    def _forget(self, line: Line) -> None:
        """Give the lease of a transfer back that is no longer here; the lock is held."""
        if self._lines.get(line.key) is line:
            self._lines.pop(line.key)
        if self._keeper is not None:
            self._keeper.ended(line.key)

    def _tell_keeper(self) -> None:
        if self._keeper is None:
            return
        with self._lock:
            draining = self._draining or self._basis is None  # who stands down takes nothing
            wanted = {
                line.key: self._want(line)
                for line in self._lines.values()
                if line.wanted and not draining
            }
        self._keeper.want(wanted, draining=draining)

    def _want(self, line: Line) -> Want:
        """Say who may have a transfer; a former one anybody who finds something of it."""
        transfer = line.transfer
        if transfer is None:
            return Want()
        if transfer.ownership is OwnedBy.EACH:
            return Want(eligible=frozenset({self._me}))
        eligible = line.basis.generation.eligible(transfer)
        return Want(eligible=eligible, prefer=transfer.prefer)

    def _asked_back(self, key: TransferName) -> None:
        """Begin no run of a transfer that another member is to have, and give it back when none goes on."""
        with self._lock:
            line = self._lines.get(key)
            if line is not None and line.running:
                line.leaving = True
                line.again = None
                return
        if self._keeper is not None:
            self._keeper.ended(key)

    # Former transfers

    def _look_for_leftovers(self) -> None:
        """Take on what former transfers have left under way, and let go of what is ended."""
        basis = self._basis
        if basis is None:
            return
        with self._lock:
            active = {key for key, line in self._lines.items() if line.transfer is not None}
        found = dict(
            find_leftovers(
                self._shared / "transfers", basis.generation, knows=self._knows, active=active
            )
        )
        with self._lock:
            if self._basis is not basis:
                return
            former = {key: line for key, line in self._lines.items() if line.transfer is None}
            for key, line in former.items():
                if key not in found and not line.running:
                    self._stop_line(line)
            fresh = {key: name for key, name in found.items() if key not in self._lines}
            for key, name in fresh.items():
                self._add(name, None, key=key, basis=basis)
        for name in fresh.values():
            logger.warning("files of a former transfer are under way", transfer=name)
        self._tell_keeper()
        for key in former.keys() & found.keys():
            self._fire(key)

    def _knows(self, revision: Revision) -> bool:
        basis = self._basis
        try:
            return basis is not None and self._is_ancestor(revision, basis.revision)
        except MftgitError:
            return False

    # Ownership

    def _taken(self, taken: Mapping[TransferName, Taken]) -> None:
        gone: list[TransferName] = []  # that were stopped while their leases were being taken
        ours: list[tuple[Line, Epoch, str]] = []
        with self._lock:
            for key, each in taken.items():
                self._owned[key] = each.ownership
                line = self._lines.get(key)
                if line is None or self._draining:
                    gone.append(key)
                    continue
                line.ownership, line.leaving = each.ownership, False
                line.since, line.moved = rfc3339(self._clock.now()), each.why[:MAX_WHY]
                ours.append((line, each.ownership.epoch, each.why))
        if gone and self._keeper is not None:
            self._keeper.ended(*gone)
        for line, epoch, why in ours:
            logger.info("transfer is ours", transfer=line.name, epoch=epoch, reason=why)
        try:
            self._tell_of_owners(EventName.OWNERSHIP_TAKEN, ours)
        finally:
            for line, _, _ in ours:
                self._runs.submit(line, self._at_takeover(line))

    def _at_takeover(self, line: Line) -> Look:
        """Say what to do at once: what a predecessor began, and what it would have done but for its end."""
        if line.on_schedule:
            return Look.TAKEN
        if line.transfer is not None and self._is_day_off(line.transfer):
            return Look.BEGUN
        return Look.FOUND

    def _lost(self, lost: Mapping[TransferName, str]) -> None:
        left: list[tuple[Line, Epoch, str]] = []
        with self._lock:
            for key, reason in lost.items():
                ownership, line = self._owned.pop(key, None), self._lines.get(key)
                if line is not None and ownership is not None:
                    line.end_ownership()
                    left.append((line, ownership.epoch, reason))
        self._tell_of_owners(EventName.OWNERSHIP_LOST, left)
        for line, _, reason in left:
            logger.info("transfer is not ours any more", transfer=line.name, reason=reason)

    def _tell_of_owners(self, event: EventName, told: list[tuple[Line, Epoch, str]]) -> None:
        """Record what became of ownerships, each with why: at once what has revision and epoch in common."""
        alike: dict[tuple[Revision, Epoch], list[dict[str, str]]] = {}
        for line, epoch, reason in told:
            facts = {"transfer": line.name, "reason": reason}
            alike.setdefault((line.basis.revision, epoch), []).append(facts)
        for (revision, epoch), each in alike.items():
            self._record(event, revision=revision, epoch=epoch, each=each)

    # Runs

    def _fire(self, key: TransferName) -> None:
        line = self._lines.get(key)
        if line is None or self._draining:
            return
        if line.transfer is not None and self._is_day_off(line.transfer):
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
        if line is None or self._draining or not line.watches or line.transfer is None:
            return
        if not self._is_day_off(line.transfer):
            self._runs.submit(line, Look.NOTICED)

    def _is_day_off(self, transfer: Transfer) -> bool:
        """Tell whether the calendar of the trigger says that nothing runs today."""
        basis, name = self._basis, calendar_of(transfer.trigger)
        if basis is None or name is None:
            return False
        calendar = basis.generation.cluster.calendars.get(name)
        return calendar is not None and calendar.is_off(self._clock.now(), find_zone)

    def _finished(self, line: Line, outcome: RunOutcome | None) -> None:
        """Take note of a run's end; the lock is held."""
        if not line.wanted:
            self._forget(line)
        elif (self._draining or line.leaving) and self._keeper is not None:
            line.again = None
            self._keeper.ended(line.key)
            return
        if outcome is None or self._keeper is None:
            return
        if outcome.superseded_by is not None:
            self._keeper.surpass(line.key, outcome.superseded_by)
        self._note_health(line, outcome, self._keeper)
        if outcome.again_in_s is not None and line.wanted and not self._stopping:
            self._scheduler.once(
                line.key, outcome.again_in_s, lambda: self._runs.submit(line, Look.SETTLED)
            )

    @staticmethod
    def _note_health(line: Line, outcome: RunOutcome, keeper: Keeper) -> None:
        """Give a transfer up that another member may be able to do; one that nobody can do stays where it is."""
        line.health = line.health.after(outcome.sign)
        if line.transfer is None or outcome.sign is not Sign.UNABLE:
            return
        rules, health = line.transfer.failover, line.health
        if rules.is_due(health.failures):
            rest_s = rules.rest_s(health.given_up)
            keeper.failed(line.key, outcome.unable, cool_down_s=rest_s)
