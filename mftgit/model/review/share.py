"""How much of the log of reviews one operator may fill: whoever clones it has all of it, for ever."""

from collections import deque
from collections.abc import Iterable
from typing import Final

from mftgit.model.review.record import Entry, Said

DAY_S: Final = 86_400
MAX_A_DAY: Final = 2_000
"""So many records of one operator in a day: more than a person says, or a program proposes that is in its senses."""

COUNTED: Final = frozenset({Said.PROPOSE, Said.APPROVE, Said.REQUEST_CHANGES, Said.COMMENT})
"""What counts; the rest follows on these, or is for an emergency."""


class Shares:
    """When each operator had something written down in the last day. The caller keeps threads apart."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        """Begin with what ``entries`` say, which is all there is to know after a restart."""
        self._at_s: dict[str, deque[float]] = {}
        for each in entries:
            if each.record.said in COUNTED:
                self.note(each.record.by, each.at_s)

    def note(self, by: str, at_s: float) -> None:
        """Take note that ``by`` had something written down at ``at_s``, POSIX time."""
        self._at_s.setdefault(by, deque(maxlen=MAX_A_DAY)).append(at_s)

    def full_for_s(self, by: str, now_s: float) -> float:
        """Return for how many seconds nothing more of ``by`` is taken, 0 where there is room."""
        times = self._at_s.get(by, deque())
        while times and not now_s - DAY_S < times[0] <= now_s:
            times.popleft()
        return 0.0 if len(times) < MAX_A_DAY else times[0] + DAY_S - now_s
