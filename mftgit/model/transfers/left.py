"""What was left at a place that was away when it was to be removed, and when that is tried again."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from mftgit.model.transfers.intent import Intent, format_intents, parse_intents

KEPT: Final = timedelta(days=30)
"""For so long it is tried: a partner that was away for longer has cleared its disk, or is none any more."""

_FIRST_S: Final = 60.0
_LONGEST_S: Final = 3600.0
_DOUBLINGS: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """The files ``names`` at the destination of ``intent``, as it was written down; ``since`` is the time of day."""

    intent: Intent
    names: tuple[str, ...]
    since: str

    def is_given_up(self, now: datetime) -> bool:
        """Tell whether it is not tried any more."""
        try:
            return now - datetime.fromisoformat(self.since) > KEPT
        except (ValueError, TypeError):
            return True


def wait_s(tries: int) -> float:
    """Return how long it is waited after so many tries that came to nothing: from a minute to an hour."""
    return min(_LONGEST_S, _FIRST_S * (1 << min(max(0, tries - 1), _DOUBLINGS)))


def format_left(intent: Intent, names: Sequence[str], since: str) -> bytes:
    """Return it as two lines of JSON, the second one the record of the delivery."""
    told = json.dumps({"names": list(names), "since": since})
    return f"{told}\n".encode() + format_intents([intent])


def parse_left(content: bytes) -> Left:
    """Return what `format_left` gave ``content`` for.

    Raises:
        ValueError: it did not.
    """
    head, _, record = content.partition(b"\n")
    try:
        told = json.loads(head)
        names = tuple(map(str, told["names"]))
        since = str(told["since"])
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"not a record of what was left: {error}") from error
    return Left(intent=parse_intents(record)[0], names=names, since=since)
