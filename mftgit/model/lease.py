"""When an owner has to stop, and when somebody else may begin: the arithmetic of a lease.

Every number is a duration on one machine's own clock. Two machines' clocks are never compared; all that is
assumed of them is that each runs right to within `CLOCK_RATE_ERROR`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mftgit.model.names import MemberName

CLOCK_RATE_ERROR: Final = 0.01
"""How wrong a clock's rate may be (1 %). A quartz clock is off by less than 0.02 %, a slewed one by 0.05 %."""

MAX_TTL_S: Final = 300.0
"""The longest ttl that cluster.yaml takes, in seconds; what a damaged file tells is not waited for longer than this."""


def drain_s(ttl_s: float) -> float:
    """Return how long before the lease ends an effect may begin at the latest, in seconds.

    One second or a tenth of the ttl, whichever is more; with a ttl below four seconds a quarter of it, because
    a whole second would leave an owner hardly any time to own.
    """
    return min(max(1.0, ttl_s / 10), ttl_s / 4)


def deadline(sent_at: float, ttl_s: float) -> float:
    """Return when the owner stops, on its own clock, for a grant that it asked for at ``sent_at``."""
    return sent_at + ttl_s * (1 - 2 * CLOCK_RATE_ERROR) - drain_s(ttl_s)


def wait_s(ttl_s: float) -> float:
    """Return how long a watcher has to see a lease unchanged, on its own clock, before it may take it."""
    return ttl_s * (1 + 2 * CLOCK_RATE_ERROR)


def renew_every_s(ttl_s: float) -> float:
    """Return how often an owner renews: two renewals may fail before the third one is too late."""
    return ttl_s / 3


def watch_every_s(ttl_s: float) -> float:
    """Return how often the lease of somebody else is looked at."""
    return max(0.1, ttl_s / 10)


def preference_delay_s(prefer: Sequence[MemberName], member: MemberName, *, ttl_s: float) -> float:
    """Return how long ``member`` leaves a free lease to those that are preferred to it.

    Half a ttl for each of them, which is five looks of theirs; two ttl at the most. This only decides who takes a
    lease that is free: a less preferred owner keeps what it has.
    """
    before = prefer.index(member) if member in prefer else len(prefer)
    return min(before * ttl_s / 2, 2 * ttl_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a watcher saw of a lease, and since when, by its own clock, it has seen nothing else.

    ``beat`` is what the owner last wrote; only whether it changes counts. None: it wrote nothing yet.
    """

    epoch: int
    beat: str | None
    since: float

    def seen(self, epoch: int, beat: str | None, now: float) -> "Observation":
        """Return the observation after another look at ``now``."""
        if (epoch, beat) == (self.epoch, self.beat):
            return self
        return Observation(epoch=epoch, beat=beat, since=now)

    def has_run_out(self, now: float, ttl_s: float) -> bool:
        """Tell whether the owner was silent for so long that its deadline has passed on any clock."""
        return now - self.since >= wait_s(ttl_s)
