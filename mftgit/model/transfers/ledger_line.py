"""What is written down of one delivery that is done, and which of it may be dropped once it is old."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any, Final

from mftgit.model.names import Epoch, LocationName, MemberName, Revision, TransferName
from mftgit.model.transfers.claim import ClaimId, unique_name

LEDGER_DAYS: Final = 400
"""For how many days a line is kept where ``retention.ledger_days`` says nothing: a year, and what an audit takes."""

_HEAD: Final = "dropped"
_MAY_LACK: Final = ("source_bytes", "archived", "source_sha256", "duplicate_of")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One delivery: ``path`` below the source became ``final`` at ``destination``, which older lines do not name.

    ``skipped``: the destination had the name already, and the transfer says to leave it there. ``started_at`` and
    ``ended_at`` are RFC 3339 with milliseconds, by the wall clock of ``member``; they order nothing. Size and digest
    are those of what was delivered; ``source_bytes`` and ``source_sha256`` are those at the source where the transfer
    changes content. ``duplicate_of`` is the delivery of the same content for whose sake this one was ``skipped``.
    ``archived`` is the name in the source's location that it was to have in an archive, see `archive_names`.
    """

    id: ClaimId
    transfer: TransferName
    member: MemberName
    epoch: Epoch
    revision: Revision | None
    path: str
    destination: LocationName | None = None
    final: str
    size_bytes: int
    mtime_ns: int
    sha256: str
    started_at: str
    ended_at: str
    skipped: bool = False
    source_bytes: int | None = None

    @property
    def read_bytes(self) -> int:
        """Return the size of the file at its source."""
        return self.size_bytes if self.source_bytes is None else self.source_bytes

    archived: str | None = None
    source_sha256: str | None = None
    duplicate_of: ClaimId | None = None

    @property
    def read_sha256(self) -> str:
        """Return the digest of the file at its source; empty where nothing was read."""
        return self.sha256 if self.source_sha256 is None else self.source_sha256

    @property
    def took_s(self) -> float | None:
        """Return for how many seconds it was under way; None where the times tell nothing, as after a clock was set."""
        started, ended = parse_moment(self.started_at), parse_moment(self.ended_at)
        if started is None or ended is None or ended < started:
            return None
        return (ended - started).total_seconds()

    @property
    def bytes_per_s(self) -> float | None:
        """Return how fast it was, from the first step to the last; None where that is not known."""
        took_s = self.took_s
        return None if not took_s or self.skipped else self.size_bytes / took_s

    @property
    def archive_names(self) -> tuple[str, ...]:
        """Return under which names it may lie in the archive: the second where the first was taken then."""
        return () if self.archived is None else (self.archived, unique_name(self.archived, self.id))

    @property
    def mark(self) -> bytes:
        """See `file_mark`."""
        return file_mark(self.path, self.read_bytes, self.mtime_ns)


_NAMES: Final = tuple(sorted(Line.__slots__))
_values: Final = attrgetter(*_NAMES)


def file_mark(path: str, size_bytes: int, mtime_ns: int) -> bytes:
    """Return 16 bytes that stand for this very file at its source: path, size and time of change."""
    text = f"{size_bytes} {mtime_ns} {path}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).digest()


def format_line(line: Line) -> bytes:
    """Return ``line`` as one line of JSON, with its end."""
    told = zip(_NAMES, _values(line), strict=True)
    given = {name: value for name, value in told if value is not None or name not in _MAY_LACK}
    return json.dumps(given).encode() + b"\n"


def parse_line(content: bytes) -> Line | None:
    """Return what `format_line` gave ``content`` for, also by an older version; None for what is no whole line."""
    try:
        value: Any = json.loads(content)
        revision, destination = value["revision"], value.get("destination")
        source_bytes = value.get("source_bytes")
        archived, source_sha256 = value.get("archived"), value.get("source_sha256")
        duplicate_of = value.get("duplicate_of")
        return Line(
            id=ClaimId(str(value["id"])),
            transfer=TransferName(str(value["transfer"])),
            member=MemberName(str(value["member"])),
            epoch=Epoch(int(value["epoch"])),
            revision=None if revision is None else Revision(str(revision)),
            path=str(value["path"]),
            destination=None if destination is None else LocationName(str(destination)),
            final=str(value["final"]),
            size_bytes=int(value["size_bytes"]),
            mtime_ns=int(value["mtime_ns"]),
            sha256=str(value["sha256"]),
            started_at=str(value["started_at"]),
            ended_at=str(value["ended_at"]),
            skipped=bool(value["skipped"]),
            source_bytes=None if source_bytes is None else int(source_bytes),
            archived=None if archived is None else str(archived),
            source_sha256=None if source_sha256 is None else str(source_sha256),
            duplicate_of=None if duplicate_of is None else ClaimId(str(duplicate_of)),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


def format_head(dropped: int, at: str) -> bytes:
    """Return the first line of a file out of which ``dropped`` deliveries were dropped, the last ones at ``at``."""
    return json.dumps({"at": at, _HEAD: dropped}, sort_keys=True).encode() + b"\n"


def parse_head(content: bytes) -> int | None:
    """Return how many deliveries were dropped by what `format_head` gave; None for any other line."""
    if f'"{_HEAD}"'.encode() not in content:  # lines are many, and heads few
        return None
    try:
        value: Any = json.loads(content)
        return int(value[_HEAD])
    except (ValueError, KeyError, TypeError, OverflowError):
        return None


def parse_moment(text: str) -> datetime | None:
    """Return the moment that an RFC 3339 text with a zone tells; None where it tells none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return None if moment.tzinfo is None else moment.astimezone(UTC)


def is_old(line: Line, now: datetime, *, days: int) -> bool:
    """Tell whether ``line`` ended more than ``days`` before ``now``; one whose time cannot be read never did."""
    ended = parse_moment(line.ended_at)
    return ended is not None and now - ended > timedelta(days=days)
