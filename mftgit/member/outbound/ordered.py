"""Do with transfers what operators order: run, stop, pause, resume, move."""

from collections.abc import Callable
from typing import Final

from mftgit.adapters.clock import Clock, rfc3339
from mftgit.errors import MftgitError
from mftgit.member.outbound.given.progress import Progress
from mftgit.member.outbound.owning import Owning
from mftgit.member.outbound.places.in_time import InTime
from mftgit.member.outbound.records.moves import Moves
from mftgit.member.outbound.records.pauses import Pauses
from mftgit.member.outbound.runs.equip import Record
from mftgit.member.outbound.runs.line import Line, Look
from mftgit.member.outbound.runs.lines import Lines
from mftgit.member.outbound.runs.runs import Runs
from mftgit.model.configuration.config import Ownership
from mftgit.model.events.event import EventName
from mftgit.model.members.orders import Order, Verb
from mftgit.model.names import MemberName, TransferName
from mftgit.model.ownership.view import FREE
from mftgit.model.transfers.failover import Health
from mftgit.model.transfers.move import Move
from mftgit.model.transfers.pause import Pause
from mftgit.model.transfers.under_way import describe_rest

_STORAGE_S: Final = 5.0
"""So long the members' storage is waited for."""

_GOES_ON: Final = "what is left at its source is taken by its next look, unless it is paused"


class OrderRefusedError(MftgitError):
    """It cannot be done here, or not now; nothing was done. The message is for who ordered it."""


class Ordered:
    """Orders about the transfers of one member, which may be of any thread, one at a time."""

    def __init__(
        self,
        lines: Lines,
        *,
        member: MemberName,
        runs: Runs,
        owning: Owning,
        pauses: Pauses,
        moves: Moves,
        progress: Progress,
        record: Record,
        clock: Clock,
    ) -> None:
        self._lines = lines
        self._me = member
        self._runs = runs
        self._owning = owning
        self._pauses = pauses
        self._moves = moves
        self._progress = progress
        self._record = record
        self._clock = clock
        self._storage = InTime[MftgitError | None]("ordered", within_s=_STORAGE_S)

    def carry_out(self, order: Order) -> str | None:
        """Carry out an order about a transfer, and return what is to be said of it.

        Raises:
            OrderRefusedError: it was not.
        """
        name, by = order.transfer, order.by
        match order.verb:
            case Verb.RUN_TRANSFER if name is not None:
                return self.run(name)
            case Verb.STOP_RUN if name is not None:
                return self.stop(name, by)
            case Verb.PAUSE_TRANSFER if name is not None:
                return self.pause(name, by)
            case Verb.RESUME_TRANSFER if name is not None:
                return self.resume(name, by)
            case Verb.MOVE_TRANSFER if name is not None and order.to is not None:
                return self.move(name, order.to, by)
            case _:
                raise OrderRefusedError(f"{order.verb.value} is no order about a transfer")

    def run(self, name: TransferName) -> str:
        """Run a transfer at once, what failed a while ago too, or after the run under way."""
        lines = self._here(name)
        for line in lines:
            if line.pause is not None:
                raise OrderRefusedError(f"{name} is {line.pause}: resume it first")
        if not self.run_now(name):
            raise OrderRefusedError(self._why_not_ours(name))
        return "it runs"

    def run_now(self, name: TransferName) -> bool:
        """Do the same, paused or not, and tell whether it is ours."""
        with self._lines.lock:
            lines = [
                line
                for line in self._lines.values()
                if line.name == name and line.wanted and not self._owning.draining
            ]
            for line in lines:
                line.health = Health()
                if line.is_ours:
                    line.memory.forget_failures()
        submitted = [self._runs.submit(line, Look.FIRED) for line in lines]  # each of them
        return any(submitted)

    def stop(self, name: TransferName, by: str) -> str:
        """End the run under way, in the middle of a large file; the rest, of that too, is for the next one."""
        lines = self._here(name)
        ended = [self._runs.end_early(line, by) for line in lines]  # each of them
        if not any(ended):
            ours = any(line.is_ours for line in lines)
            raise OrderRefusedError(
                f"no run of {name} is under way" if ours else self._why_not_ours(name)
            )
        ways = self._progress.under_way(name)
        at_hand = f" in the middle of {describe_rest(ways[0])}" if ways else " at once"
        more = f"; {_GOES_ON}" if any(line.watches for line in lines) else ""
        return f"its run ends{at_hand}{more}"

    def pause(self, name: TransferName, by: str) -> str:
        """Let a transfer begin nothing more, on all members that share the storage."""
        self._here(name)

        def step() -> bool:
            if self._pauses.read(name) is not None:
                return False
            # Written down before it is done: rather twice than never.
            self._record(EventName.TRANSFER_PAUSED, facts={"transfer": name, "by": by})
            wanted = Pause(by=by, member=self._me, at=rfc3339(self._clock.now()))
            self._pauses.begin(name, wanted)
            return True

        return "it begins nothing more" if self._on_storage(step) else "it was paused already"

    def resume(self, name: TransferName, by: str) -> str:
        """Let a transfer go on."""
        self._here(name)

        def step() -> bool:
            if self._pauses.read(name) is None:
                return False
            self._record(EventName.TRANSFER_RESUMED, facts={"transfer": name, "by": by})
            self._pauses.end(name)
            return True

        return "it goes on" if self._on_storage(step) else "it was not paused"

    def move(self, name: TransferName, to: MemberName, by: str) -> str:
        """Leave word for the owner that the transfer is to go to another member."""
        for line in self._here(name):
            self._check_move(line, to)

        def step() -> bool:
            facts = {"transfer": name, "to": to, "by": by}
            self._record(EventName.TRANSFER_MOVE_ORDERED, facts=facts)
            move = Move(to=to, by=by, member=self._me, at=rfc3339(self._clock.now()))
            self._moves.leave(name, move)
            return True

        self._on_storage(step)
        return f"word is left for its owner: it goes to {to} when its run has ended"

    # What keeps an order from being carried out

    def _here(self, name: TransferName) -> list[Line]:
        with self._lines.lock:
            found = [line for line in self._lines.values() if line.name == name and line.wanted]
        if not any(line.transfer is not None for line in found):
            raise OrderRefusedError(
                f"{self._me} has no transfer {name}, or only ends what it began"
            )
        return found

    def _why_not_ours(self, name: TransferName) -> str:
        if self._owning.draining:
            return f"{self._me} is drained"
        views = self._owning.views
        owners = {views.get(line.key, FREE).owner for line in self._here(name)} - {None, self._me}
        if owners:
            return f"{name} has moved: {owners.pop()} owns it, not {self._me}"
        return f"nobody owns {name} just now: try again in some seconds"

    def _check_move(self, line: Line, to: MemberName) -> None:
        transfer, there = line.transfer, self._owning.standings().get(to)
        if transfer is None:
            return
        if transfer.ownership is Ownership.EACH:
            raise OrderRefusedError(f"every member runs {line.name} for itself: nothing moves")
        eligible = line.basis.generation.eligible(transfer)
        if eligible is not None and to not in eligible:
            raise OrderRefusedError(f"{to} may not own {line.name}: its active_on leaves it out")
        if there is None or there.draining:
            why = "is drained" if there is not None else "is not there, or not at this storage"
            raise OrderRefusedError(f"{to} {why}")
        view = self._owning.views.get(line.key, FREE)
        if to == (self._me if line.is_ours else view.owner):
            raise OrderRefusedError(f"{to} owns {line.name} already")

    def _on_storage(self, step: Callable[[], bool]) -> bool:
        """Do ``step`` on the members' storage, which may hang, and return what it returns."""
        done: list[bool] = []

        def attempt() -> MftgitError | None:
            try:
                done.append(step())
            except MftgitError as error:
                return error
            return None

        if not self._storage.ask(attempt):
            raise OrderRefusedError(
                f"the members' storage has not answered for {_STORAGE_S:g} s: it may still be done, look"
            )
        if not done:
            raise OrderRefusedError(str(self._storage.last or "a fault in mftgit: the log has it"))
        return done[0]
