"""Which transfers this member owns: what it wants, what it is given and loses, and what it gives back."""

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

from loguru import logger

from mftgit.adapters.clock import Clock, rfc3339
from mftgit.errors import MftgitError
from mftgit.member.outbound.ownership import coordination
from mftgit.member.outbound.ownership.keep import Callbacks, Keeper, Taken
from mftgit.member.outbound.ownership.storage import Admitted, Storage
from mftgit.member.outbound.records.intents import highest_epoch
from mftgit.member.outbound.records.moves import Moves
from mftgit.member.outbound.runs.equip import Record
from mftgit.member.outbound.runs.line import Line
from mftgit.member.outbound.runs.lines import Lines
from mftgit.member.outbound.runs.tally import RunOutcome
from mftgit.model.configuration.config import Ownership as OwnedBy
from mftgit.model.events.event import EventName
from mftgit.model.names import Epoch, MemberName, Revision, TransferName
from mftgit.model.ownership.spread import Want
from mftgit.model.ownership.standing import MAX_WHY, Standing
from mftgit.model.ownership.view import View
from mftgit.model.transfers.failover import Sign
from mftgit.model.transfers.move import Answer, Move, answer

_SAME_S: Final = 0.05
"""Two moments that are no further apart are one, read twice."""


class Owning:
    """The ownerships of ``lines``, as the `Keeper` gets and loses them.

    ``ours(line)`` is called in the keeper's thread for each that is ours from now on; ``record`` writes events.
    """

    def __init__(
        self,
        lines: Lines,
        *,
        member: MemberName,
        cluster_id: str,
        shared: Path,
        storage: Storage,
        moves: Moves,
        clock: Clock,
        record: Record,
        ours: Callable[[Line], None],
    ) -> None:
        self._lines = lines
        self._me = member
        self._storage = storage
        self._clock = clock
        self._record = record
        self._ours = ours
        self._here = coordination.Here(
            member=member,
            cluster_id=cluster_id,
            shared=shared,
            clock=clock,
            remembered=lambda key: highest_epoch(shared / "transfers" / key),
        )
        self._moves = moves
        self._way: coordination.Way | None = None
        self._renewed_at: tuple[float, str] | None = None
        self.keeper: Keeper | None = None
        self.draining = False

    # Coordination

    def try_out(self, way: coordination.Way) -> None:
        """See that this member can coordinate by ``way``, unless it does already; raises as `coordination.try_out`."""
        if way != self._way:
            coordination.try_out(way, self._here)

    def coordinate(self, way: coordination.Way) -> None:
        """Coordinate by ``way`` from now on; another one than before gives every lease back first."""
        if way == self._way:
            return
        if self.keeper is not None:
            with self._lines.lock:  # what runs loses its lease, and stops before its next effect
                idle = self._lines.idle()
            self.keeper.ended(*idle)
            self.keeper.stop()
            self.keeper = None
        keeper = Keeper(
            Admitted(coordination.make(way, self._here), self._storage),
            member=self._me,
            ttl_s=way.ttl_s,
            clock=self._clock,
            tell=Callbacks(taken=self._taken, lost=self._lost, asked_back=self._asked_back),
        )
        keeper.start()  # last of all: what fails here is done anew by the next plan
        self.keeper, self._way = keeper, way

    def stop(self) -> None:
        """Give the leases back of which no run goes on, and end."""
        if self.keeper is not None:
            with self._lines.lock:
                idle = self._lines.idle()
            self.keeper.ended(*idle)
            self.keeper.stop()

    # What is wanted

    def tell(self) -> None:
        """Say anew what this member is to have, as the lines are now."""
        if self.keeper is None:
            return
        lines = self._lines
        with lines.lock:
            draining = self.draining or lines.basis is None  # who stands down takes nothing
            wanted = {
                line.key: self._want(line)
                for line in lines.values()
                if line.wanted and not draining
            }
        self.keeper.want(wanted, draining=draining)

    def drain(self, *, on: bool) -> None:
        """Give each lease back when its run has ended, and take none; or, with ``on`` false, take part again."""
        with self._lines.lock:
            if self.draining == on:
                return
            self.draining = on
            idle = self._lines.idle()
        self.tell()
        if on and self.keeper is not None:
            self.keeper.ended(*idle)

    def _want(self, line: Line) -> Want:
        """Say who may have a transfer; a former one anybody who finds something of it."""
        transfer = line.transfer
        if transfer is None:
            return Want()
        if transfer.ownership is OwnedBy.EACH:
            return Want(eligible=frozenset({self._me}))
        eligible = line.basis.generation.eligible(transfer)
        return Want(eligible=eligible, prefer=transfer.prefer)

    # What is known of it

    @property
    def views(self) -> Mapping[TransferName, View]:
        """Return who owns which transfer, by key, as of the last look."""
        return {} if self.keeper is None else self.keeper.sight.views

    def standings(self) -> dict[MemberName, Standing]:
        """Return which members live, and how they stand, as of the last look."""
        return {} if self.keeper is None else dict(self.keeper.sight.members)

    @property
    def renewed_at(self) -> str | None:
        """Return when the last renewal of the session that succeeded was asked for, RFC 3339; None without one."""
        ago_s = None if self.keeper is None else self.keeper.renewed_s_ago
        if ago_s is None:
            return None
        sent_at = self._clock.boottime() - ago_s
        if self._renewed_at is None or sent_at - self._renewed_at[0] > _SAME_S:
            self._renewed_at = sent_at, rfc3339(self._clock.now() - timedelta(seconds=ago_s))
        return self._renewed_at[1]

    # Words of operators

    def look_for_moves(self, lines: Iterable[Line]) -> None:
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
        keeper = self.keeper
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

    # What the keeper tells

    def _taken(self, taken: Mapping[TransferName, Taken]) -> None:
        gone: list[TransferName] = []  # that were stopped while their leases were being taken
        ours: list[tuple[Line, Epoch, str]] = []
        with self._lines.lock:
            for key, each in taken.items():
                self._lines.owned[key] = each.ownership
                line = self._lines.get(key)
                if line is None or self.draining:
                    gone.append(key)
                    continue
                line.ownership, line.leaving = each.ownership, False
                line.since, line.moved = rfc3339(self._clock.now()), each.why[:MAX_WHY]
                ours.append((line, each.ownership.epoch, each.why))
        if gone and self.keeper is not None:
            self.keeper.ended(*gone)
        for line, epoch, why in ours:
            logger.info("transfer is ours", transfer=line.name, epoch=epoch, reason=why)
        try:
            self._tell_of_owners(EventName.OWNERSHIP_TAKEN, ours)
        finally:
            for line, _, _ in ours:
                self._ours(line)

    def _lost(self, lost: Mapping[TransferName, str]) -> None:
        left: list[tuple[Line, Epoch, str]] = []
        with self._lines.lock:
            for key, reason in lost.items():
                ownership, line = self._lines.owned.pop(key, None), self._lines.get(key)
                if line is not None and ownership is not None:
                    line.end_ownership()
                    left.append((line, ownership.epoch, reason))
        self._tell_of_owners(EventName.OWNERSHIP_LOST, left)
        for line, _, reason in left:
            logger.info("transfer is not ours any more", transfer=line.name, reason=reason)

    def _asked_back(self, key: TransferName) -> None:
        """Begin no run of a transfer that another member is to have, and give it back when none goes on."""
        with self._lines.lock:
            line = self._lines.get(key)
            if line is not None:
                line.leaving, line.again = True, None
                if line.running:
                    return
        self.give_back(key)

    def _tell_of_owners(self, event: EventName, told: list[tuple[Line, Epoch, str]]) -> None:
        """Record what became of ownerships, each with why: at once what has a revision in common."""
        alike: dict[Revision, list[tuple[Epoch, dict[str, str]]]] = {}
        for line, epoch, reason in told:
            facts = {"transfer": line.name, "reason": reason}
            alike.setdefault(line.basis.revision, []).append((epoch, facts))
        for revision, some in alike.items():
            self._record(
                event,
                revision=revision,
                epochs=[epoch for epoch, _ in some],
                each=[facts for _, facts in some],
            )

    # After runs

    def give_back(self, key: TransferName) -> None:
        """Give the lease of a transfer back of which no run goes on."""
        if self.keeper is not None:
            self.keeper.ended(key)

    def finished(self, line: Line, outcome: RunOutcome | None) -> bool:
        """Take note of a run's end, and tell whether further ones may follow here; the lock is held."""
        if not line.wanted:
            self._lines.forget(line)
        elif (self.draining or line.leaving) and self.keeper is not None:
            line.again = None
            self.keeper.ended(line.key)
            return False
        if outcome is None or self.keeper is None:
            return False
        if outcome.superseded_by is not None:
            self.keeper.surpass(line.key, outcome.superseded_by)
        _note_health(line, outcome, self.keeper)
        return line.wanted


def _note_health(line: Line, outcome: RunOutcome, keeper: Keeper) -> None:
    """Give a transfer up that another member may be able to do; one that nobody can do stays where it is."""
    line.health = line.health.after(outcome.sign)
    if line.transfer is None or outcome.sign is not Sign.UNABLE:
        return
    rules, health = line.transfer.failover, line.health
    if rules.is_due(health.failures):
        rest_s = rules.rest_s(health.given_up)
        keeper.failed(line.key, outcome.unable, cool_down_s=rest_s)
