"""What ownership needs of the service that decides who owns what.

A member has one *session*: one heartbeat, however many transfers it owns. A *lease* gives one key, a transfer, to one
session, under an epoch that only rises. It lasts until it is given back or its session ends, and is never renewed by
itself. No wall clock is ever compared: whoever watches a session times, by its own clock, for how long it is silent.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from mftgit.errors import MftgitError, TransientError
from mftgit.model.names import Epoch, TransferName
from mftgit.model.ownership.standing import Handover, Standing
from mftgit.model.ownership.view import Sight


class SessionLostError(MftgitError):
    """The session has ended, and others may own what it held: stand down with all of it at once."""


class CoordinatorUnavailableError(TransientError):
    """The coordinator does not answer, or cannot say for sure; what is held is valid until its own deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """This member's session as of its last renewal: ``sent_at`` is `Clock.boottime` just before that request left.

    What is held under it is valid until `mftgit.model.ownership.lease.deadline` of both, and not a moment longer.
    """

    id: str
    sent_at: float
    ttl_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A lease that is to be taken, under an epoch above ``above``; ``why`` as in `mftgit.model.ownership.view.View`."""

    why: str
    above: Epoch = Epoch(0)  # noqa: RUF009  a number


class Coordinator(Protocol):
    """Sessions and leases. One thread calls `renew`; one other calls everything else, of this object.

    Whatever raises CoordinatorUnavailableError may be called again; what it may have done meanwhile harms nothing.
    """

    def open(self, standing: Standing) -> Session:
        """Begin a session of this member, beside those that it may have had before, and tell ``standing`` in it.

        Raises:
            CoordinatorUnavailableError: nothing is known of a session; one that came about ends by itself.
        """

    def renew(self, session: Session) -> Session:
        """Prolong ``session``, and prove that it had not ended before the request was sent.

        Raises:
            SessionLostError: it has ended, or somebody has ended it because it was silent.
            CoordinatorUnavailableError: not known; ask again before the deadline.
        """

    def tell(self, session: Session, standing: Standing) -> None:
        """Let the others see ``standing`` instead of what was told before. Handovers are the coordinator's to add.

        Raises:
            SessionLostError, CoordinatorUnavailableError
        """

    def look(self) -> Sight:
        """Tell who lives and who owns what; the very object of the look before while nothing has changed.

        It costs little then: it is asked several times a second. A session that was silent for the longer of its own
        and this member's ttl is ended by this, for everybody.

        Raises:
            SessionLostError: what this member holds is not its own any more, although nobody ended its session.
            CoordinatorUnavailableError
        """

    def due_in_s(self) -> float:
        """Return in how many seconds a look may find that a session has ended, because it has gone silent.

        Not above 0 where one may find it now; infinite where none is known of, or it is not known.
        """

    def take(
        self, session: Session, wishes: Mapping[TransferName, Wish]
    ) -> Mapping[TransferName, Epoch]:
        """Take those keys that are free, each for ``session``; return them with their epochs.

        Of those who race for a key one wins. A key that ``session`` has already, as after a lost reply, is returned
        again. What was taken before an error is returned, and the error is raised where that is nothing.

        Raises:
            SessionLostError, CoordinatorUnavailableError
        """

    def give_back(self, session: Session, leases: Mapping[TransferName, Handover]) -> None:
        """Give leases of ``session`` back, once every effect under them has ended; others may take them at once.

        Raises:
            SessionLostError, CoordinatorUnavailableError: they are not given back, or it is not known.
        """

    def close(self, session: Session, why: str) -> None:
        """End ``session``, once every effect under its leases has ended; others may take all of them at once.

        Raises:
            CoordinatorUnavailableError: it ends when it was silent for long enough.
        """

    def hang_up(self) -> None:
        """Let go of the connections to the service, once nothing is asked any more; for any thread."""
