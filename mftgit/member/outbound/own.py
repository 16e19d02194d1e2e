"""Own transfers: hold their leases in a thread of its own, and ask before every effect."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event, Lock, Thread
from typing import Final, TypeVar

from loguru import logger

from mftgit.adapters.clock import Clock
from mftgit.adapters.coordinator import Coordinator, Grant, LeaseLostError
from mftgit.errors import MftgitError, TransientError
from mftgit.model.lease import deadline, renew_every_s, watch_every_s
from mftgit.model.names import Epoch, MemberName, TransferName

T = TypeVar("T")


class OwnershipEndedError(MftgitError):
    """The transfer is not ours any more: stop at once, without another effect."""


class SupersededError(OwnershipEndedError):
    """The storage holds the folder of a higher epoch than this ownership's.

    A successor has taken over; or the leases were lost and began anew below what the storage remembers.
    """

    def __init__(self, epoch: Epoch, *, by: Epoch) -> None:
        super().__init__(f"epoch {by} has taken over from epoch {epoch}")
        self.by = by


class Ownership:
    """One epoch of one transfer, for as long as it lasts. `valid` is for any thread."""

    def __init__(self, grant: Grant, *, clock: Clock) -> None:
        self._clock = clock
        self._epoch = grant.epoch
        self._lost = False
        self._deadline = deadline(grant.sent_at, grant.ttl_s)

    @property
    def epoch(self) -> Epoch:
        """Return the epoch; it never changes."""
        return self._epoch

    def valid(self) -> bool:
        """Tell whether an effect may begin now; takes no lock and does no I/O."""
        return not self._lost and self._clock.boottime() < self._deadline

    def check(self) -> None:
        """Do nothing while the ownership is valid; asked right before every effect.

        Raises:
            OwnershipEndedError: it is not.
        """
        if not self.valid():
            raise OwnershipEndedError(f"the ownership of epoch {self._epoch} has ended")

    def prolong(self, grant: Grant) -> None:
        """Go on until the deadline of ``grant``; one that is lost stays lost."""
        self._deadline = deadline(grant.sent_at, grant.ttl_s)

    def lose(self) -> None:
        """End now, for good."""
        self._lost = True


@dataclass(slots=True, kw_only=True)
class _Held:
    grant: Grant
    ownership: Ownership
    renew_at: float


NO_LONGER_WANTED: Final = "given back"
_STOP_S: Final = 5.0
_TOGETHER_S: Final = 0.5


class Keeper:
    """Takes, renews, watches and gives back the leases of a set of transfers, in one thread.

    ``taken(name, ownership)`` and ``lost(name, reason)`` are called from that thread, once each per epoch and in this
    order; they should only pass the word on. An ownership ends by its own deadline even while this thread
    hangs in a storage that does not answer: ``lost`` then comes late, `Ownership.valid` does not.
    """

    def __init__(
        self,
        coordinator: Coordinator,
        *,
        member: MemberName,
        ttl_s: float,
        clock: Clock,
        taken: Callable[[TransferName, Ownership], None],
        lost: Callable[[TransferName, str], None],
    ) -> None:
        self._coordinator = coordinator
        self._member = member
        self._ttl_s = ttl_s
        self._clock = clock
        self._taken = taken
        self._lost = lost
        self._lock = Lock()
        self._wanted: Mapping[TransferName, float] = {}
        self._ended: set[TransferName] = set()
        self._surpassed: set[TransferName] = set()
        self._above: dict[TransferName, Epoch] = {}
        self._held: dict[TransferName, _Held] = {}
        self._free_since: dict[TransferName, float] = {}
        self._not_before: dict[TransferName, float] = {}
        self._unavailable: set[TransferName] = set()  # told already
        self._wake = Event()
        self._stopping = False
        self._given_up = False
        self._thread = Thread(target=self._keep, name="leases", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def want(self, keys: Mapping[TransferName, float]) -> None:
        """Own these transfers and no others, as far as nobody else does.

        The value is how long, in seconds, this member leaves a free lease to those that are preferred to it
        (`mftgit.model.lease.preference_delay_s`). A lease that is held and not wanted any more is kept until
        `ended` is called for it, so that runs in flight can finish.
        """
        with self._lock:
            self._wanted = dict(keys)
            self._ended -= keys.keys()
        self._wake.set()

    def ended(self, name: TransferName) -> None:
        """Say that no run under the ownership of ``name`` goes on, and none will begin: give the lease back.

        Where ``name`` is still wanted, it is left to others for two ttl and then contended for again. Where it is not,
        this holds until it is wanted again, also for a lease that was just being taken.
        """
        with self._lock:
            self._ended.add(name)
        self._wake.set()

    def surpass(self, name: TransferName, epoch: Epoch) -> None:
        """Own ``name`` under an epoch above ``epoch``, which its storage remembers and its lease does not.

        As `ended`, to be called when no run goes on; the lease is contended for again at once.
        """
        with self._lock:
            self._above[name] = max(epoch, self._above.get(name, epoch))
            self._surpassed.add(name)
        self._wake.set()

    def stop(self) -> None:
        """Give back every lease that `ended` was called for, let the others run out, and end the thread.

        Where the storage hangs, every lease is left to run out, and nobody is told of it.
        """
        with self._lock:
            self._wanted = {}
        self._stopping = True
        self._wake.set()
        self._thread.join(_STOP_S)
        if self._thread.is_alive():
            logger.error("the storage of leases hangs; they are left to run out")
            self._given_up = True
            for held in list(self._held.values()):
                held.ownership.lose()

    def _keep(self) -> None:
        while True:
            stopping = self._stopping
            with self._lock:
                wanted, ended = self._wanted, frozenset(self._ended)
                surpassed, self._surpassed = self._surpassed, set()
                self._ended -= wanted.keys()
            self._not_before = {name: at for name, at in self._not_before.items() if name in wanted}
            for name in [name for name in self._held if name in surpassed]:
                self._guarded(name, lambda n=name: self._give_back(n, pause_s=0.0))  # type: ignore[misc]
            for name in [name for name in self._held if name in ended]:
                pause_s = 2 * self._ttl_s if name in wanted else 0.0
                self._guarded(name, lambda n=name, p=pause_s: self._give_back(n, pause_s=p))  # type: ignore[misc]
            if stopping:
                break
            for name in self._due():
                self._guarded(name, lambda n=name: self._renew(n))  # type: ignore[misc]
            for name, delay_s in [each for each in wanted.items() if each[0] not in self._held]:
                self._guarded(name, lambda n=name, d=delay_s: self._contend(n, d))  # type: ignore[misc]
            self._wake.wait(self._pause_s(wanted))
            self._wake.clear()
        for name in list(self._held):
            self._drop(name, "the member stopped before its runs had ended")

    @staticmethod
    def _guarded(name: TransferName, step: Callable[[], None]) -> None:
        """Carry out one step; what nobody foresaw of one lease must not end the others."""
        try:
            step()
        except Exception:
            logger.exception("a step of a lease failed unexpectedly", transfer=name)

    def _pause_s(self, wanted: Mapping[TransferName, float]) -> float:
        """Return how long nothing is due."""
        now = self._clock.boottime()
        due = [held.renew_at - now for held in self._held.values()]
        if any(name not in self._held for name in wanted):
            due.append(watch_every_s(self._ttl_s))
        # Thousands of leases are due at thousands of moments, and each time all are looked at.
        together_s = min(_TOGETHER_S, self._ttl_s / 100)
        return max(together_s, min(due, default=self._ttl_s))

    def _due(self) -> list[TransferName]:
        """Return what has to be renewed by now, or cannot be any more."""
        now = self._clock.boottime()
        return [
            name
            for name, held in self._held.items()
            if held.renew_at <= now or not held.ownership.valid()
        ]

    def _contend(self, name: TransferName, delay_s: float) -> None:
        now = self._clock.boottime()
        if now < self._not_before.get(name, now):
            return
        try:
            if delay_s and not self._waited(name, delay_s, now):
                return
            grant = self._coordinator.try_acquire(name, above=self._above.get(name, Epoch(0)))
        except TransientError as error:
            level = "DEBUG" if name in self._unavailable else "WARNING"
            self._unavailable.add(name)
            logger.log(level, "no lease can be asked for", transfer=name, reason=str(error))
            return
        self._unavailable.discard(name)
        if grant is None:
            return
        self._free_since.pop(name, None)
        ownership = Ownership(grant, clock=self._clock)
        self._held[name] = _Held(
            grant=grant, ownership=ownership, renew_at=grant.sent_at + renew_every_s(self._ttl_s)
        )
        self._tell(self._taken, name, ownership)

    def _waited(self, name: TransferName, delay_s: float, now: float) -> bool:
        """Tell whether the lease was free, or on its way to us, for ``delay_s``."""
        if self._coordinator.observe(name).owner not in {None, self._member}:
            self._free_since.pop(name, None)
            return False
        return now - self._free_since.setdefault(name, now) >= delay_s

    def _renew(self, name: TransferName) -> None:
        held = self._held[name]
        if not held.ownership.valid():
            self._drop(name, "the lease could not be renewed in time")
            return
        if self._clock.boottime() < held.renew_at:
            return
        try:
            held.grant = self._coordinator.renew(held.grant)
        except LeaseLostError as error:
            self._drop(name, str(error))
        except TransientError as error:
            logger.warning("no renewal for {transfer}: {reason}", transfer=name, reason=str(error))
            held.renew_at = self._clock.boottime() + watch_every_s(self._ttl_s)
        else:
            held.ownership.prolong(held.grant)
            held.renew_at = held.grant.sent_at + renew_every_s(self._ttl_s)

    def _give_back(self, name: TransferName, *, pause_s: float) -> None:
        held = self._held[name]
        held.ownership.lose()
        if pause_s:
            self._not_before[name] = self._clock.boottime() + pause_s
        try:
            self._coordinator.release(held.grant)
        except TransientError as error:
            logger.warning("not released {transfer}: {reason}", transfer=name, reason=str(error))
        self._drop(name, NO_LONGER_WANTED)

    def _drop(self, name: TransferName, reason: str) -> None:
        """Stand down; the lease is never renewed again, whatever becomes of it."""
        self._held.pop(name).ownership.lose()
        self._tell(self._lost, name, reason)

    def _tell(
        self, callback: Callable[[TransferName, T], None], name: TransferName, what: T
    ) -> None:
        if self._given_up:
            return
        try:
            callback(name, what)
        except Exception:  # one caller's mistake must not end every lease of this member
            logger.exception("a callback about the lease of {transfer} failed", transfer=name)
