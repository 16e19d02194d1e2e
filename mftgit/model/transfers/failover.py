"""When an owner that cannot do a transfer gives it up: ``failover`` of a transfer, and how a member fares with it."""

from dataclasses import dataclass, replace
from enum import Enum, unique
from typing import Final

LONGEST_REST_S: Final = 86_400.0
"""However often a member gave a transfer up, after so many seconds it is one that may have it again."""

_DOUBLINGS: Final = 16


@unique
class Sign(Enum):
    """What a run says of its member: that it can do the transfer, that it alone may be unable to, or nothing."""

    ABLE = "able"
    UNABLE = "unable"
    NEITHER = "neither"


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How one member fares with one transfer.

    ``failures`` are runs in a row, since it took the transfer, that it may be alone in being unable to do.
    ``given_up`` is how often it has lost the transfer so since a run of its own went well.
    """

    failures: int = 0
    given_up: int = 0

    def after(self, sign: Sign) -> "Health":
        """Return it after another run."""
        if sign is Sign.UNABLE:
            return replace(self, failures=self.failures + 1)
        return Health() if sign is Sign.ABLE else self


@dataclass(frozen=True, slots=True, kw_only=True)
class Failover:
    """After ``after_failures`` such runs in a row the owner gives the transfer up; never, where that is 0.

    It leaves it to others for ``cool_down_s`` then, and twice as long each further time, until a run of its own goes
    well: where nobody can do it, it goes round ever more seldom.
    """

    after_failures: int = 3
    cool_down_s: float = 300.0

    def is_due(self, failures: int) -> bool:
        """Tell whether a member that failed so often in a row is to give the transfer up."""
        return 0 < self.after_failures <= failures

    def rest_s(self, given_up: int) -> float:
        """Return for how long a member leaves it to others that gave it up so often before, in seconds."""
        return min(self.cool_down_s * 2.0 ** min(given_up, _DOUBLINGS), LONGEST_REST_S)

    def lost(self, health: Health) -> Health:
        """Return ``health`` once the transfer is not the member's any more, for whatever reason."""
        given_up = health.given_up + self.is_due(health.failures)
        return Health(given_up=given_up)
