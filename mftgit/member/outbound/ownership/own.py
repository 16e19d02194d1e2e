"""What it is to own a transfer: an epoch of it, for as long as the session lasts that it was taken in."""

from mftgit.adapters.clock import Clock
from mftgit.adapters.coordinator import Session
from mftgit.errors import MftgitError
from mftgit.model.names import Epoch
from mftgit.model.ownership.lease import deadline


class OwnershipEndedError(MftgitError):
    """The transfer is not ours any more: stop at once, without another effect."""


class SupersededError(OwnershipEndedError):
    """The storage holds the folder of a higher epoch than this ownership's.

    A successor has taken over; or the leases were lost and began anew below what the storage remembers.
    """

    def __init__(self, epoch: Epoch, *, by: Epoch) -> None:
        super().__init__(f"epoch {by} has taken over from epoch {epoch}")
        self.by = by


class Term:
    """How long this member's session lasts, by its own clock. `valid` is for any thread."""

    def __init__(self, session: Session, *, clock: Clock) -> None:
        self._clock = clock
        self._lost: str | None = None
        self.prolong(session)

    @property
    def why_over(self) -> str:
        """Return why it does not last."""
        return self._lost or "the session could not be renewed in time"

    @property
    def session(self) -> Session:
        """Return the session as of its last renewal."""
        return self._session

    @property
    def deadline(self) -> float:
        """Return when everything that is owned ends, by `Clock.boottime`, unless the session is renewed."""
        return self._deadline

    def valid(self) -> bool:
        """Tell whether the session lasts; takes no lock and does no I/O."""
        return self._lost is None and self._clock.boottime() < self._deadline

    def prolong(self, session: Session) -> None:
        """Go on until the deadline of ``session``; one that is lost stays lost."""
        self._session = session
        self._deadline = deadline(session.sent_at, session.ttl_s)

    def lose(self, why: str) -> None:
        """End now, for good."""
        self._lost = self._lost or why


class Ownership:
    """One epoch of one transfer. `valid` is for any thread."""

    def __init__(self, epoch: Epoch, term: Term) -> None:
        self._epoch = epoch
        self._term = term
        self._lost = False

    @property
    def epoch(self) -> Epoch:
        """Return the epoch; it never changes."""
        return self._epoch

    def valid(self) -> bool:
        """Tell whether an effect may begin now; takes no lock and does no I/O."""
        return not self._lost and self._term.valid()

    def check(self) -> None:
        """Do nothing while the ownership is valid; asked right before every effect.

        Raises:
            OwnershipEndedError: it is not.
        """
        if not self.valid():
            raise OwnershipEndedError(f"the ownership of epoch {self._epoch} has ended")

    def lose(self) -> None:
        """End now, for good."""
        self._lost = True
