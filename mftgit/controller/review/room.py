"""How much is written down of one proposal, and of what one operator says, at the most."""

import math
import threading
from collections.abc import Callable
from datetime import datetime

from mftgit.adapters.git.review_log import KeptReviews
from mftgit.model.review.record import (
    MAX_ROUND,
    MAX_ROUND_TEXT,
)
from mftgit.model.review.review import this_round
from mftgit.model.review.share import MAX_A_DAY, Shares


class Room:
    """The room that is left; ``kept`` is what was said. For any thread."""

    def __init__(self, kept: KeptReviews, *, now: Callable[[], datetime]) -> None:
        self._kept = kept
        self._now = now
        self._shares: Shares | None = None
        self._counting = threading.Lock()  # of the shares

    def full(self, name: str, by: str) -> str | None:
        """Return why no more is written down of a proposal, or of what ``by`` says; None as long as there is room."""
        said = this_round(self._kept.entries(), name)
        if len(said) < MAX_ROUND and sum(len(each.record.text) for each in said) < MAX_ROUND_TEXT:
            return self.much(by)
        return (
            f"{MAX_ROUND:,} things, or {MAX_ROUND_TEXT:,} characters, were said of change/{name}: "
            "close it, and propose it under another name"
        )

    def much(self, by: str) -> str | None:
        """Return that ``by`` has said so much of all proposals that no more is written down for now, else None."""
        with self._counting:
            waits_s = self._known_shares().full_for_s(by, self._now().timestamp())
        if not waits_s:
            return None
        return (
            f"{by} has said and proposed {MAX_A_DAY:,} things in the last 24 hours, the most for one operator: "
            f"go on in {math.ceil(waits_s / 60):,} minutes"
        )

    def noted(self, by: str) -> None:
        """Take note that ``by`` has said something."""
        with self._counting:
            self._known_shares().note(by, self._now().timestamp())

    def _known_shares(self) -> Shares:
        if self._shares is None:
            self._shares = Shares(self._kept.entries())
        return self._shares
