"""Which one-time codes were used: one opens once, and never after a later one (RFC 6238, 5.2)."""

from collections.abc import Mapping
from typing import Final

from mftgit.model.inbound.totp import SLACK_STEPS
from mftgit.model.names import AccountName

KEPT_STEPS: Final = 10
"""So long a used code is kept in mind: five minutes, of which its account could use it for one and a half."""

MOST_CODES: Final = 100_000
"""Of so many accounts, used codes are kept in mind; where there are more, none is taken."""

_AHEAD_STEPS: Final = (
    2 * SLACK_STEPS
)  # of a member whose clock is ahead, for a client whose clock is, too


class UsedCodes:
    """The last code of each account, by its time step; one thread at a time. ``now`` is the time step that it is."""

    def __init__(self, *, most: int = MOST_CODES) -> None:
        """None was used."""
        self._most = most
        self._last: dict[AccountName, int] = {}
        self._tidied_at = 0

    def take(self, account: AccountName, step: int, *, now: int) -> bool:
        """Take the code of ``step``; False where it or a later one was used."""
        self._tidy(now)
        if step <= self._last.get(account, -1) or len(self._last) >= self._most:
            return False
        self._last[account] = step
        return True

    def learn(self, account: AccountName, step: int, *, now: int) -> None:
        """Take note of a code that was used elsewhere; of one that could not be of ``now``, or long before, none is."""
        is_near = now - KEPT_STEPS <= step <= now + _AHEAD_STEPS
        if is_near and len(self._last) < self._most:
            self._last[account] = max(step, self._last.get(account, step))

    def recent(self, *, now: int) -> Mapping[AccountName, int]:
        """Return those that are kept in mind."""
        self._tidy(now)
        return dict(self._last)

    def _tidy(self, now: int) -> None:
        if now != self._tidied_at:
            self._tidied_at = now
            self._last = {
                account: step for account, step in self._last.items() if step >= now - KEPT_STEPS
            }
