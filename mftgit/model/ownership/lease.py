"""When an owner has to stop, and when somebody else may begin: the arithmetic of a lease.

Every number is a duration on one machine's own clock. Two machines' clocks are never compared; all that is
assumed of them is that each runs right to within `CLOCK_RATE_ERROR`.
"""

from dataclasses import dataclass
from typing import Final

CLOCK_RATE_ERROR: Final = 0.01
"""How wrong a clock's rate may be (1 %). A quartz clock is off by less than 0.02 %, a slewed one by 0.05 %."""

DEFAULT_TTL_S: Final = 10.0
"""The ttl where cluster.yaml says none, in seconds."""

MAX_TTL_S: Final = 300.0
"""The longest ttl that cluster.yaml takes, in seconds; what a damaged file tells is not waited for longer than this."""

_SHORTEST_LOOK_S: Final = 0.1
_LOOK_FOR_EACH_S: Final = 0.05


def drain_s(ttl_s: float) -> float:
    """Return how long before the lease ends an effect may begin at the latest, in seconds.

    One second or a tenth of the ttl, whichever is more; with a ttl below four seconds a quarter of it, because
    a whole second would leave an owner hardly any time to own.
    """
    return min(max(1.0, ttl_s / 10), ttl_s / 4)


def deadline(sent_at: float, ttl_s: float) -> float:
    """Return when the owner stops, on its own clock, for a session that it asked for at ``sent_at``."""
    return sent_at + ttl_s * (1 - 4 * CLOCK_RATE_ERROR) - drain_s(ttl_s)


def wait_s(ttl_s: float) -> float:
    """Return how long a watcher has to see a session silent, on its own clock, before it may end it: one ttl.

    All of the allowance for clocks is the owner's (`deadline`), so that a takeover costs one ttl and no more.
    """
    return ttl_s


def renew_every_s(ttl_s: float) -> float:
    """Return how often an owner renews: two renewals may fail before the third one is too late."""
    return ttl_s / 3


def watch_every_s(ttl_s: float, others: int = 0) -> float:
    """Return how often the sessions of ``others`` are looked at: the fewer there are, the oftener.

    So few members see a change in a tenth of a second, and many do not ask the storage thousands of times a second.
    """
    return min(max(_SHORTEST_LOOK_S, _LOOK_FOR_EACH_S * others), max(_SHORTEST_LOOK_S, ttl_s / 10))


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What a watcher saw of a session, and since when, by its own clock, it has seen nothing else.

    ``beat`` is the number of the last sign of life; only whether it changes counts. None: it gave none yet.
    """

    beat: int | None
    since: float

    def seen(self, beat: int | None, now: float) -> "Observation":
        """Return the observation after another look at ``now``."""
        return self if beat == self.beat else Observation(beat=beat, since=now)

    def has_run_out(self, now: float, ttl_s: float) -> bool:
        """Tell whether the owner was silent for so long that its deadline has passed on any clock."""
        return now >= self.runs_out_at(ttl_s)

    def runs_out_at(self, ttl_s: float) -> float:
        """Return from when on `has_run_out` is so, if the owner stays silent."""
        return self.since + wait_s(ttl_s)
