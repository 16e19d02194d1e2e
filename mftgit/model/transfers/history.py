"""Which deliveries of the ledger somebody asks for, and how each is told to scripts."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from mftgit.model.transfers.ledger_line import Line, parse_moment
from mftgit.model.transfers.pattern import matches

CLOCKS_DIFFER: Final = timedelta(days=1)
"""By less than this, lines of one transfer are out of order: they were written by the clocks of several members."""

_SPAN: Final = re.compile(r"(\d{1,9})([smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Deliveries that ended from ``since`` on and before ``until``, of a path below the source that ``glob`` matches.

    What is None is not asked about. ``skipped`` asks for those only that the destination had already.
    """

    since: datetime | None = None
    until: datetime | None = None
    glob: str | None = None
    skipped: bool = False

    def wants(self, line: Line) -> bool:
        """Tell whether ``line`` is asked for; one whose time cannot be read is, unless a time is asked about."""
        if self.skipped and not line.skipped:
            return False
        if self.glob is not None and not matches(line.path, self.glob, hidden=True):
            return False
        if self.since is None and self.until is None:
            return True
        ended = parse_moment(line.ended_at)
        return (
            ended is not None
            and (self.since is None or self.since <= ended)
            and (self.until is None or ended < self.until)
        )

    def is_over_at(self, line: Line) -> bool:
        """Tell whether nothing is asked for that is older than ``line``."""
        ended = parse_moment(line.ended_at)
        return self.since is not None and ended is not None and ended < self.since - CLOCKS_DIFFER


def parse_when(text: str, now: datetime) -> datetime:
    """Return the moment that ``text`` names: ISO 8601, in UTC without a zone, or how long ago: 90m, 12h, 7d, 2w.

    Raises:
        ValueError: it names none.
    """
    try:
        if span := _SPAN.fullmatch(text.strip()):
            return now - timedelta(**{_UNITS[span[2]]: int(span[1])})
        moment = datetime.fromisoformat(text.strip())
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is no time: expected ISO 8601 (2026-11-28, 2026-11-28T08:00, in UTC unless it has a zone), "
            "or how long ago it was (90m, 12h, 7d, 2w)"
        ) from None


def tell_line(line: Line) -> dict[str, Any]:
    """Return the shape that ``transfer history --json`` documents."""
    rate = line.bytes_per_s
    return {
        "id": line.id,
        "transfer": line.transfer,
        "path": line.path,
        "bytes": line.size_bytes,
        "source_bytes": line.read_bytes,
        "duplicate_of": line.duplicate_of,
        "mtime_ns": line.mtime_ns,
        "sha256": line.sha256 or None,
        "destination": {"location": line.destination, "path": line.final},
        "skipped": line.skipped,
        "revision": line.revision,
        "member": line.member,
        "epoch": line.epoch,
        "started_at": line.started_at,
        "ended_at": line.ended_at,
        "seconds": line.took_s,
        "bytes_per_s": None if rate is None else round(rate),
    }
