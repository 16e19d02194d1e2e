"""How many may come in: connections of a service by their source and in all, and sessions of an account."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from enum import Enum, unique
from typing import TypeVar

from mftgit.model.inbound.service import ServiceLimits
from mftgit.model.inbound.serving import Served
from mftgit.model.names import AccountName

T = TypeVar("T")


@unique
class Turned(Enum):
    """Why somebody is turned away: for events and operators, never for the client."""

    FULL = "the service has all the connections that it takes"
    SOURCE_FULL = "its source has all the connections that one may have"
    CROWDED = "too many that have not logged in yet"
    BANNED = "its source is banned"
    CLOSED = "the service takes nobody new"
    GONE = "the account is not here any more"
    CHANGED = "the account was changed meanwhile"
    EXPIRED = "the account has expired"
    BUSY = "the account has all the sessions that it may have"
    BUSY_ELSEWHERE = (
        "the account has all the sessions that it may have, with those at other members"
    )


class Crowd:
    """The connections of one service; one thread at a time."""

    def __init__(self) -> None:
        """Nobody is there."""
        self._sources: Counter[str] = Counter()
        self._strangers: Counter[str] = Counter()
        self.connections = 0

    @property
    def unauthenticated(self) -> int:
        """How many have not logged in."""
        return self._strangers.total()

    def come(self, source: str, limits: ServiceLimits) -> Turned | None:
        """Count one of ``source`` in that has not logged in; or return why not."""
        turned = None
        if self.connections >= limits.connections:
            turned = Turned.FULL
        elif self._sources[source] >= limits.per_source:
            turned = Turned.SOURCE_FULL
        elif self.unauthenticated >= limits.unauthenticated:
            turned = Turned.CROWDED
        if turned is None:
            self._sources[source] += 1
            self._strangers[source] += 1
            self.connections += 1
        return turned

    def crowding(self, source: str) -> str | None:
        """Return the source that has most of those who have not logged in; None where ``source`` has about as many.

        One that holds all there may be shuts nobody else out: one of its own goes where another source comes.
        """
        most, count = max(self._strangers.items(), key=lambda each: each[1], default=("", 0))
        return most if count > self._strangers[source] + 1 else None

    def log_in(self, source: str) -> None:
        """Note that one of ``source`` has logged in."""
        _take_one(self._strangers, source)

    def go(self, source: str, *, logged_in: bool) -> None:
        """Count one of ``source`` out."""
        self.connections -= 1
        if not logged_in:
            _take_one(self._strangers, source)
        _take_one(self._sources, source)


class Sessions:
    """How many sessions each account has on this member, over all services, and on the others, as far as is known.

    One thread at a time.
    """

    def __init__(self) -> None:
        """Nobody has any."""
        self._counts: Counter[AccountName] = Counter()
        self._elsewhere: dict[AccountName, int] = {}
        self._heard_at = float("-inf")

    def begin(self, served: Served, now: datetime, *, heard_since: float) -> Turned | None:
        """Count one more of an account that has proved itself; or return why not.

        Sessions at other members count if something was heard of them since ``heard_since``, as `learn` has it.
        """
        account = served.account
        if has_expired(served, now):
            return Turned.EXPIRED
        own = self._counts[account.name]
        if own >= account.max_sessions:
            return Turned.BUSY
        others = self._elsewhere.get(account.name, 0) if self._heard_at >= heard_since else 0
        if own + others >= account.max_sessions:
            return Turned.BUSY_ELSEWHERE
        self._counts[account.name] += 1
        return None

    def learn(self, counts: Mapping[AccountName, int], *, whole: bool, at: float) -> None:
        """Take in, ``at`` seconds that never jump, how many there are at the other members.

        ``whole``: accounts that are not among them have none there.
        """
        if whole:
            self._elsewhere.clear()
        for account, count in counts.items():
            self._elsewhere[account] = count
            if not count:
                del self._elsewhere[account]
        self._heard_at = at

    def counts(self) -> Mapping[AccountName, int]:
        """Return how many each account has; of the others it has none."""
        return dict(self._counts)

    def end(self, account: AccountName) -> None:
        """Count one less."""
        _take_one(self._counts, account)


def has_expired(served: Served, now: datetime) -> bool:
    """Tell whether an account may not come in any more."""
    expires_at = served.account.expires_at
    return expires_at is not None and expires_at <= now


def _take_one(counts: Counter[T], key: T) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
