"""Keep the leases of a set of transfers, in a thread of its own: take, watch, hand over and give back."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import Final

from loguru import logger

from mftgit.adapters.clock import Clock
from mftgit.adapters.coordinator import Coordinator, SessionLostError, Wish
from mftgit.errors import TransientError
from mftgit.member.outbound.ownership.heartbeat import Heartbeat
from mftgit.member.outbound.ownership.own import Ownership, Term
from mftgit.member.outbound.ownership.prospects import Prospects
from mftgit.model.names import Epoch, MemberName, TransferName
from mftgit.model.ownership.lease import watch_every_s
from mftgit.model.ownership.spread import Want
from mftgit.model.ownership.standing import Handover, Standing
from mftgit.model.ownership.view import FREE, Sight, View

NO_LONGER_WANTED: Final = "given back"
_STOP_S: Final = 5.0
_AT_ONCE: Final = 1000
_MEMBERS_EVERY_TTLS: Final = 0.1
"""How often it is looked who lives, where nothing is waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """An ownership that has begun, and why."""

    ownership: Ownership
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Callbacks:
    """Who is told; from the keeper's thread, so they should only pass the word on.

    ``taken`` and ``lost``, which is told why, are told of each name once per epoch and in this order, and of all
    together that were taken or lost at one time. ``asked_back(name)``: begin no run any more, and call `Keeper.ended`
    when none goes on.
    """

    taken: Callable[[Mapping[TransferName, Taken]], None]
    lost: Callable[[Mapping[TransferName, str]], None]
    asked_back: Callable[[TransferName], None]


class Keeper:
    """Holds a session, and in it the leases that this member is to have (`mftgit.model.ownership.spread`).

    An ownership ends by its own deadline even while this thread hangs in storage that does not answer: ``lost`` then
    comes late, `Ownership.valid` does not.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        *,
        member: MemberName,
        ttl_s: float,
        clock: Clock,
        tell: Callbacks,
    ) -> None:
        """Nothing is taken before `start`."""
        self._coordinator = coordinator
        self._me = member
        self._ttl_s = ttl_s
        self._clock = clock
        self._callbacks = tell
        self._heartbeat = Heartbeat(coordinator, clock=clock)
        # What others ask for, under the lock.
        self._lock = Lock()
        self._wants: Mapping[TransferName, Want] = {}
        self._draining = False
        self._ended: set[TransferName] = set()
        self._surpassed: dict[TransferName, Epoch] = {}
        self._moves: dict[TransferName, MemberName] = {}
        self._failed: dict[TransferName, tuple[str, float]] = {}
        self._back: set[TransferName] = set()
        # What the thread alone knows.
        self._term: Term | None = None
        self._held: dict[TransferName, Ownership] = {}
        self._leaving: dict[TransferName, Handover] = {}
        self._giving: dict[TransferName, Handover] = {}
        self._above: dict[TransferName, Epoch] = {}
        self._aside: dict[TransferName, float] = {}
        self._told = Standing()
        self._prospects = Prospects(member=member, ttl_s=ttl_s)
        self._unavailable = False  # told already
        self._wake = Event()
        self._stopping = False
        self._given_up = False
        self._thread = Thread(target=self._keep, name="leases", daemon=True)

    # For any thread

    def start(self) -> None:
        """Begin."""
        self._heartbeat.start()
        self._thread.start()

    def want(self, keys: Mapping[TransferName, Want], *, draining: bool = False) -> None:
        """Own these transfers and no others, as far as this member is the one for them.

        A lease that is held and not wanted any more is kept until `ended` is called for it, so that runs in flight can
        finish. ``draining``: let the others know that nothing is for this member.
        """
        with self._lock:
            fresh = [key for key in keys if key not in self._wants and key not in self._leaving]
            self._ended.difference_update(fresh)  # what another member is to have is given to it
            self._wants = dict(keys)
            self._draining = draining
        self._wake.set()

    def ended(self, *names: TransferName) -> None:
        """Say that no run under the ownership of ``names`` goes on, and none will begin: give the leases back.

        Where one is not wanted, this holds until it is wanted again, also for a lease that was just being taken.
        """
        with self._lock:
            self._ended.update(names)
        self._wake.set()

    def surpass(self, name: TransferName, epoch: Epoch) -> None:
        """Own ``name`` under an epoch above ``epoch``, which its storage remembers and its lease does not.

        As `ended`, to be called when no run goes on; the lease is contended for again at once.
        """
        with self._lock:
            self._surpassed[name] = max(epoch, self._surpassed.get(name, epoch))
            self._ended.add(name)
        self._wake.set()

    def move(self, name: TransferName, to: MemberName) -> None:
        """Hand ``name`` over to ``to``, where it stays, if it is ours and that member is there and able."""
        with self._lock:
            self._moves[name] = to
        self._wake.set()

    def failed(self, name: TransferName, why: str, *, cool_down_s: float) -> None:
        """Hand ``name`` over to a member that has not failed of late, if there is one, and leave it alone that long."""
        with self._lock:
            self._failed[name] = (why, cool_down_s)
        self._wake.set()

    def come_back(self, name: TransferName) -> None:
        """Stand aside for ``name`` no more; see `failed`."""
        with self._lock:
            self._back.add(name)
        self._wake.set()

    def view(self, name: TransferName) -> View:
        """Return who owns ``name``, as of the last look."""
        return self.sight.views.get(name, FREE)

    @property
    def sight(self) -> Sight:
        """Return what was seen by the last look."""
        return self._prospects.sight

    @property
    def renewed_s_ago(self) -> float | None:
        """Return how long ago the last renewal that succeeded was asked for, in seconds; None without a session."""
        term = self._term
        if term is None or not term.valid():
            return None
        return max(0.0, self._clock.boottime() - term.session.sent_at)

    def stop(self) -> None:
        """Give back every lease that `ended` was called for, let the others run out, and end the threads.

        Where the storage hangs, every lease is left to run out, and nobody is told of it.
        """
        with self._lock:
            self._wants = {}
        self._stopping = True
        self._wake.set()
        self._thread.join(_STOP_S)
        self._heartbeat.stop()
        if self._thread.is_alive():
            logger.error("the storage of leases hangs; they are left to run out")
            self._given_up = True
            if self._term is not None:
                self._term.lose("the member has stopped")

    # The thread

    def _keep(self) -> None:
        while True:
            stopping = self._stopping
            try:
                self._turn(stopping=stopping)
                self._unavailable = False
            except SessionLostError as error:
                self._stand_down(str(error))
            except TransientError as error:
                level = "DEBUG" if self._unavailable else "WARNING"
                self._unavailable = True
                logger.log(level, "no lease can be asked for", reason=str(error))
            except Exception:  # noqa: BLE001  what nobody foresaw must not end the keeper
                logger.opt(exception=True).error("a look at leases failed unexpectedly")
            if stopping:
                break
            self._wake.wait(self._pause_s())
            self._wake.clear()
        self._close()

    def _turn(self, *, stopping: bool) -> None:
        if self._term is not None and not self._term.valid():
            self._stand_down(self._term.why_over)
        with self._lock:
            draining = self._draining
        if self._term is None:
            if stopping or not self._wants:
                return
            self._open(draining=draining)
        self._tell(draining=draining)
        self._give_back()
        if stopping:
            return
        sight, wants, now = self._coordinator.look(), self._wants, self._clock.boottime()
        self._prospects.see(sight, wants, {*self._held, *self._giving}, now)
        self._hand_over(now)  # first: a lease that cannot be asked for holds back no other one
        self._take(now)

    def _pause_s(self) -> float:
        """Return how long nothing is due: longer where there is nothing to wait for."""
        others = max(0, len(self.sight.members) - 1)
        often_s = watch_every_s(self._ttl_s, others)
        waits = self._unavailable or self._prospects.waits
        if not waits and all(name in self._held for name in self._wants):
            often_s = max(often_s, _MEMBERS_EVERY_TTLS * self._ttl_s)
        due_s = self._coordinator.due_in_s()
        return min(often_s, due_s) if due_s > 0 else often_s

    def _session(self) -> Term:
        """Return the term that everything is asked under; raises SessionLostError."""
        if self._term is None or not self._term.valid():
            raise SessionLostError(
                "the session has ended" if self._term is None else self._term.why_over
            )
        return self._term

    def _open(self, *, draining: bool) -> None:
        self._told = self._standing(draining=draining)
        self._term = Term(self._coordinator.open(self._told), clock=self._clock)
        self._heartbeat.begin(self._term)

    def _standing(self, *, draining: bool) -> Standing:
        now = self._clock.boottime()
        with self._lock:
            back, self._back = self._back, set()
        self._aside = {
            name: until for name, until in self._aside.items() if now < until and name not in back
        }
        return Standing(draining=draining, aside=frozenset(self._aside))

    def _tell(self, *, draining: bool) -> None:
        standing = self._standing(draining=draining)
        if standing != self._told:
            self._coordinator.tell(self._session().session, standing)
            self._told = standing

    def _give_back(self) -> None:
        """Give back what is over here; what the coordinator does not take now, it is told again."""
        with self._lock:
            ended = {name: NO_LONGER_WANTED for name in self._ended if name in self._held}
            self._ended -= self._wants.keys()
            surpassed, self._surpassed = self._surpassed, {}
        for name, epoch in surpassed.items():
            self._above[name] = max(epoch, self._above.get(name, epoch))
        for name in ended:
            ownership = self._held[name]
            ownership.lose()
            words = self._leaving.pop(name, None) or self._words(name, ownership, surpassed)
            self._giving[name] = words
            ended[name] = words.why
        try:
            if self._giving:
                self._coordinator.give_back(self._session().session, self._giving)
                self._giving = {}
        finally:
            self._drop(ended)

    def _words(
        self, name: TransferName, ownership: Ownership, surpassed: Collection[TransferName]
    ) -> Handover:
        """Return with what words a lease is given back that nobody has asked back."""
        if name in surpassed:
            why = "the storage remembered a higher epoch"
            return Handover(epoch=ownership.epoch, why=why, to=self._me)
        why = f"{self._me} was drained" if self._told.draining else NO_LONGER_WANTED
        return Handover(epoch=ownership.epoch, why=why)

    def _take(self, now: float) -> None:
        due = self._prospects.due(now)
        for start in range(0, len(due), _AT_ONCE):
            self._take_some(due[start : start + _AT_ONCE], now)

    def _take_some(self, names: Iterable[TransferName], now: float) -> None:
        term = self._session()
        wishes = {
            name: Wish(why=self._prospects.why(name), above=self._above.get(name, Epoch(0)))
            for name in names
        }
        fresh: dict[TransferName, Taken] = {}
        for name, epoch in self._coordinator.take(term.session, wishes).items():
            self._prospects.taken(name, now)
            self._held[name] = Ownership(epoch, term)
            fresh[name] = Taken(ownership=self._held[name], why=wishes[name].why)
        if fresh:
            self._call(lambda: self._callbacks.taken(fresh))

    def _hand_over(self, now: float) -> None:
        """Ask back what another member is to have."""
        with self._lock:
            moves, self._moves = self._moves, {}
            failed, self._failed = self._failed, {}
        for name, to in moves.items():
            if to != self._me and to in self._prospects.able(name):
                self._ask_back(name, f"an operator moved it to {to}", to=to, stays=True)
        for name, (why, cool_down_s) in failed.items():
            if name in self._held and self._prospects.willing_others(name):
                self._aside[name] = now + cool_down_s
                self._ask_back(name, f"{self._me} could not do it: {why}")
        suited = [name for name in self._held if name not in self._leaving]
        for name, to, why in self._prospects.better(suited, now):
            self._ask_back(name, why, to=to)

    def _ask_back(
        self, name: TransferName, why: str, *, to: MemberName | None = None, stays: bool = False
    ) -> None:
        if name not in self._held:
            return
        epoch = self._held[name].epoch
        self._leaving[name] = Handover(epoch=epoch, why=why, to=to, stays=stays)
        self._call(lambda: self._callbacks.asked_back(name))

    def _drop(self, names: Mapping[TransferName, str]) -> None:
        """Stand down from some transfers, each for a reason."""
        for name in names:
            self._held.pop(name).lose()
            self._leaving.pop(name, None)
            self._prospects.lost(name)
        if names:
            self._call(lambda: self._callbacks.lost(names))

    def _stand_down(self, reason: str) -> None:
        """Stand down from everything; the session is never renewed again, whatever becomes of it."""
        if self._term is not None:
            self._term.lose(reason)
        self._term = None
        self._giving = {}
        self._drop(dict.fromkeys(self._held, reason))

    def _close(self) -> None:
        """End the session where nothing goes on under it; else it runs out."""
        term = self._term
        try:
            if term is not None and term.valid() and not self._held:
                self._coordinator.close(term.session, f"{self._me} was stopped")
        except TransientError as error:
            logger.warning("the session was not ended", reason=str(error))
        self._stand_down("the member stopped before its runs had ended")

    def _call(self, callback: Callable[[], None]) -> None:
        if self._given_up:
            return
        try:
            callback()
        except Exception:  # noqa: BLE001  one caller's mistake must not end every lease of this member
            logger.opt(exception=True).error("what was told of a lease failed")
