"""What ownership needs of the service that decides who owns what."""

from dataclasses import dataclass
from typing import Protocol

from mftgit.errors import MftgitError, TransientError
from mftgit.model.names import Epoch, MemberName


class LeaseLostError(MftgitError):
    """Somebody else holds a higher epoch: stand down at once."""


class CoordinatorUnavailableError(TransientError):
    """The coordinator's storage does not answer; what is held is valid until its own deadline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A lease that was given: ``sent_at`` is `Clock.boottime` just before the request left."""

    key: str
    epoch: Epoch
    sent_at: float
    ttl_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Who owns a key, as far as the coordinator says; ``owner`` is None when it is free or released."""

    owner: MemberName | None
    epoch: Epoch


class Coordinator(Protocol):
    """Leases by key. No wall clock is ever compared: an observer times *changes* by its own clock."""

    def try_acquire(self, key: str, *, above: Epoch = Epoch(0)) -> Grant | None:  # noqa: B008  a number
        """Take the lease when it is free or has run out, under an epoch higher than ``above``; None when it is held.

        Raises:
            CoordinatorUnavailableError: nothing is known; nothing was taken that would be used.
        """

    def renew(self, grant: Grant) -> Grant:
        """Prolong ``grant`` and prove that it is still ours.

        Raises:
            LeaseLostError: a higher epoch exists.
            CoordinatorUnavailableError: not known; ask again before the deadline.
        """

    def observe(self, key: str) -> View:
        """Tell who owns ``key`` now."""

    def release(self, grant: Grant) -> None:
        """Give the lease back, once every effect under it has ended; the next member may take it at once."""
