"""Run what the record says, have it prove itself, and go back where it does not: ACTIVATE, CONFIRM, ROLLBACK."""

from collections.abc import Callable

from loguru import logger

from mftgit.adapters.clock import Clock, boot_id
from mftgit.errors import ConfigError, MftgitError
from mftgit.member.confirm import Confirmation, Time
from mftgit.member.journal import MAX_REASON, Journal
from mftgit.member.judge import Judge
from mftgit.member.move import Move
from mftgit.member.probes import Probes
from mftgit.member.running import Ready, Running
from mftgit.member.verify import RefusedError
from mftgit.model.configuration.config import Generation
from mftgit.model.events.event import EventName
from mftgit.model.members import activation
from mftgit.model.members.record import Record, Stage
from mftgit.model.names import Revision


class Activation:
    """The record's active revision, from the swap to its confirmation or its end. One thread calls."""

    def __init__(
        self,
        *,
        journal: Journal,
        judge: Judge,
        running: Running,
        probes: Probes,
        move: Move,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        """Nothing runs yet; ``wake`` is called when `carry_on` is due at once."""
        self._journal = journal
        self._judge = judge
        self._running = running
        self._probes = probes
        self._move = move
        self._clock = clock
        self._wake = wake
        self._confirmation: Confirmation | None = None
        self._good: tuple[Revision, Generation] | None = None  # so that a way back needs no store
        self._begun = False
        self._given_up: str | None = None  # the reason, until that is written down

    @property
    def due_in_s(self) -> float | None:
        """Return when `carry_on` is due for the end of a confirmation, None for none."""
        if self._confirmation is None:
            return None
        return self._confirmation.time.left_s

    def _begin(self) -> None:
        """Count the start before anything runs; what has ended the process too often does not start again."""
        if self._begun:
            return
        try:
            self._count()
        except MftgitError:
            self._run_meanwhile()
            raise
        self._begun = True

    def _count(self) -> None:
        record = activation.started(self._journal.record)
        if activation.ended_too_often(record):
            times = activation.MAX_STARTS
            self._fail(record, f"the process ended {times} times before it was confirmed")
        elif record != self._journal.record:
            self._journal.keep(record)

    def end(self) -> None:
        """Note that the process ends in order."""
        self._end_confirmation()
        if activation.is_unconfirmed(self._journal.record):
            self._journal.keep(activation.stopped(self._journal.record))

    def carry_on(self) -> None:
        """Do what the record says is due; raises whatever keeps it from that, and is to be called again."""
        self._begin()
        match self._journal.record.stage:
            case Stage.ROLLING_BACK:
                self._go_back()
            case Stage.SAFE_MODE:
                self._recover()
            case Stage.ACTIVATING | Stage.CONFIRMING:
                self._carry_on_unconfirmed()
            case _:
                self._run_good()
        self._running.tell()

    def activate(self, ready: Ready) -> None:
        """Swap to what the record has just decided for; from here on it has to prove itself."""
        self._end_confirmation()
        self._begun, self._given_up = True, None
        try:
            self._running.swap(ready)
        except Exception as error:  # noqa: BLE001  whatever it is, the one before did not have it
            self._give_up(f"it could not be applied: {_told(error)}")
        else:
            self._prove()
        self._running.tell()

    def stop_all(self) -> None:
        """Run nothing from now on."""
        self._end_confirmation()
        self._running.stop_all(self._journal.record.active)
        self._running.tell()

    # What is good

    def _run_good(self) -> None:
        """See that the active revision runs and can be read again; look whether it answers after a way back."""
        record = self._journal.record
        if record.active is None:
            return
        if self._running.revision != record.active:
            self._swap_to(record.active, fresh=False)
            logger.info("runs the last known good revision", revision=record.active)
        else:
            self._judge.check(record.active, record.anchor)
        if self._confirmation is not None:
            self._prove_good(self._confirmation)
        self._move.follow(self._running.generation, seq=record.floor)

    def _swap_to(self, revision: Revision, *, fresh: bool) -> None:
        record = self._journal.record
        if self._good is not None and self._good[0] == revision:
            generation = self._good[1]
        else:
            generation = self._judge.load(revision, record.anchor)
        self._running.swap(self._running.prepare(revision, generation, fresh=fresh))
        if record.lkg == revision:
            self._good = (revision, generation)

    # Confirm

    def _carry_on_unconfirmed(self) -> None:
        active = self._journal.record.active
        if self._given_up is not None:
            self._give_up(self._given_up)
            return
        if active is not None and self._running.revision != active:  # after a restart
            try:
                self._swap_to(active, fresh=True)
            except Exception as error:
                if not _is_its_own(error):
                    self._run_meanwhile()
                    raise
                self._give_up(_told(error))
                return
        if self._journal.record.stage is Stage.ACTIVATING:
            self._prove()
        else:
            self._confirm()

    def _run_meanwhile(self) -> None:
        """Run the last known good revision while what the record says cannot run, or must not."""
        record = self._journal.record
        if not activation.is_unconfirmed(record) or self._running.revision == record.lkg:
            return
        self._end_confirmation()
        if record.lkg is None:
            self._running.stop_all(record.attempted)
        else:
            self._swap_to(record.lkg, fresh=False)
        logger.warning("runs the last known good revision meanwhile", revision=record.lkg)

    def _prove(self) -> None:
        """Give the active revision its time, and write down until when."""
        until = self._clock.boottime() + self._within_s
        record = activation.confirming(self._journal.record, until=until, boot_id=boot_id())
        self._journal.keep(record)
        self._ask(until)

    def _confirm(self) -> None:
        """See whether what runs has proved itself by now."""
        confirmation = self._confirmation or self._ask(self._until(self._journal.record))
        verdict = confirmation.look()
        if verdict is None:
            return
        if not verdict.good:
            self._give_up(f"not confirmed within {self._within_s:g} s: {verdict}")
            return
        record = self._journal.record
        grown = record.active is None or self._judge.has_grown(record.active, record.anchor)
        generation = self._running.generation
        version = generation.cluster.policy_version if generation else 0
        confirmed = activation.confirmed(record, grown=grown, policy_version=version)
        self._journal.settle(confirmed, EventName.REVISION_ACTIVATED)
        self._end_confirmation()
        if record.active is not None and generation is not None:
            self._good = (record.active, generation)
        logger.info("revision is active", revision=record.active)
        self._move.follow(self._running.generation, seq=record.floor)

    def _until(self, record: Record) -> float:
        """Return when the time is over that began before a restart; in another boot it begins anew."""
        if record.until is not None and record.boot_id == boot_id():
            return record.until
        return self._clock.boottime() + self._within_s

    def _ask(self, until: float) -> Confirmation:
        self._end_confirmation()
        record = self._journal.record
        time = Time(until=until, clock=self._clock)
        probes = self._probes.of(
            self._running.revision,
            self._running.generation,
            seq=record.floor if activation.is_unconfirmed(record) else None,
            time=time,
        )
        self._confirmation = Confirmation(probes, time=time, passed=self._wake)
        return self._confirmation

    @property
    def _within_s(self) -> float:
        generation = self._running.generation
        return 0.0 if generation is None else generation.cluster.confirm_s

    def _end_confirmation(self) -> None:
        if self._confirmation is not None:
            self._confirmation.end()
            self._confirmation = None

    # Roll back

    def _give_up(self, reason: str) -> None:
        """Go back to the last known good revision, and set this one apart; the former also on a full disk."""
        self._given_up = reason
        try:
            self._fail(self._journal.record, reason)
        except MftgitError:
            self._run_meanwhile()
            raise
        self._given_up = None
        self._go_back()

    def _fail(self, record: Record, reason: str) -> None:
        checker = self._judge.checker
        self._journal.keep(activation.failed(record, reason=reason[:MAX_REASON], checker=checker))
        self._end_confirmation()
        logger.critical("revision is rolled back", revision=record.attempted, reason=reason)

    def _go_back(self) -> None:
        record = self._journal.record
        self._end_confirmation()
        try:
            if record.lkg is None:
                self._running.stop_all(record.attempted)
            elif self._running.revision != record.lkg:
                self._swap_to(record.lkg, fresh=False)
        except Exception as error:
            self._strand(_told(error))
            raise
        self._journal.settle(activation.returned(record), EventName.REVISION_ROLLED_BACK)
        logger.warning("runs the last known good revision again", revision=record.lkg)
        if record.lkg is not None:
            self._prove_anew()

    def _prove_anew(self) -> Confirmation:
        return self._ask(self._clock.boottime() + self._within_s)

    def _prove_good(self, confirmation: Confirmation) -> None:
        verdict = confirmation.look()
        if verdict is None:
            return
        if not verdict.good and self._journal.record.stage is Stage.ROLLED_BACK:
            self._strand(str(verdict))
        elif not verdict.good:  # what came meanwhile is told in its stead
            logger.critical("the last known good revision fails too", reason=str(verdict))
        self._end_confirmation()

    def _strand(self, why: str) -> None:
        record = self._journal.record
        reason = f"{record.reason}; the last known good revision fails too: {why}"[:MAX_REASON]
        self._journal.settle(
            activation.stranded(record, reason=reason), EventName.REVISION_ROLLED_BACK
        )
        running = self._running.revision
        logger.critical("safe mode: what runs is kept running", revision=running, reason=reason)

    def _recover(self) -> None:
        """Leave safe mode as soon as the last known good revision runs and answers."""
        record = self._journal.record
        if record.lkg is not None and self._running.revision != record.lkg:
            self._swap_to(record.lkg, fresh=False)
        confirmation = self._confirmation or self._prove_anew()
        verdict = confirmation.look()
        if verdict is None:
            return
        self._end_confirmation()
        if verdict.good:
            self._journal.keep(activation.returned(record))
            logger.warning("safe mode is over", revision=record.lkg)


def _is_its_own(error: Exception) -> bool:
    """Tell whether ``error`` is a fault of the revision, and not of the machine, where it may be otherwise later."""
    if isinstance(error, MftgitError | OSError):
        return isinstance(error, ConfigError | RefusedError)
    return True


def _told(error: Exception) -> str:
    """Return ``error`` for a person; one that is not ours is a fault, and the log has it whole."""
    if not isinstance(error, MftgitError | OSError):
        logger.opt(exception=error).error("unexpected failure of a revision")
    return str(error) or type(error).__name__
