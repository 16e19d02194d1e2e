"""When a mail about events goes out: soon for what is new, seldom for more of the same, and never too often."""

from collections.abc import Iterable
from typing import Any, Final

MOST_TOLD: Final = 2000
"""So many kinds of events are remembered as told."""

_HOUR_S: Final = 3600.0


class Pace:
    """What was told when. The caller hands in the wall clock (seconds since 1970), as it has to outlive restarts."""

    def __init__(self, *, settle_s: float, digest_s: float, at_most_per_hour: int) -> None:
        """Nothing was told yet."""
        self._settle_s = settle_s
        self._digest_s = digest_s
        self._most = at_most_per_hour
        self._told: dict[str, float] = {}
        self._mails: list[float] = []

    def due_in_s(self, sort: str, now: float) -> float:
        """Return in how many seconds a mail is due for an event of ``sort`` that came just now."""
        again_at = self._told.get(sort, 0.0) + self._digest_s
        due = now + self._settle_s if again_at <= now else again_at
        return max(due, self._allowed_at(now)) - now

    def _allowed_at(self, now: float) -> float:
        """Return from when on another mail may be sent."""
        if len(self._mails) < self._most:
            return now
        return self._mails[-self._most] + _HOUR_S

    def held_back_s(self, now: float) -> float:
        """Return for how long no mail may be sent, 0 where one may."""
        return max(0.0, self._allowed_at(now) - now)

    def sent(self, sorts: Iterable[str], now: float) -> None:
        """Take note that a mail told of events of these sorts."""
        self._told.update(dict.fromkeys(sorts, now))
        lasting = sorted(
            (each for each in self._told.items() if each[1] + self._digest_s > now),
            key=lambda each: each[1],
        )
        self._told = dict(lasting[-MOST_TOLD:])
        self._mails = [*(each for each in self._mails if each + _HOUR_S > now), now][-self._most :]

    def as_json(self) -> dict[str, Any]:
        """Return what is kept, for `resume`."""
        return {"told": self._told, "mails": self._mails}

    def resume(self, value: Any, now: float) -> None:
        """Go on from what `as_json` gave; a clock that was put back makes nothing wait for longer than it may."""
        match value:
            case {"told": dict(told), "mails": list(mails)}:
                self._told = {str(sort): min(float(at), now) for sort, at in told.items()}
                self._mails = sorted(min(float(at), now) for at in mails)[-self._most :]
            case _:
                pass
