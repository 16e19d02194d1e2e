"""Drop what is old out of a transfer's ledger: by its owner, and at most once a day.

A file of the ledger is written anew without what is old, and takes the place of the other in one step; its head says
how many deliveries were dropped, so that the count stays right wherever this ends. An earlier owner that wakes may
append to its own file at any moment: what it wrote meanwhile is carried over, before the rename and again after it.

What a source that is kept still holds is never dropped, however old, or it would be sent again; nor is a delivery
whose record is still there, or whose file is to be removed from an archive one day.
"""

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO, Final

from loguru import logger

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.durable import names_in, sync_folder, write_file
from mftgit.member.outbound.given.context import Endpoints, RunContext
from mftgit.member.outbound.records.intents import StateUnavailableError, recorded
from mftgit.member.outbound.records.ledger import REMEMBERED, epoch_files
from mftgit.member.outbound.runs.archive import clean, still_archived
from mftgit.model.configuration.config import AfterSuccess, Transfer
from mftgit.model.transfers.ledger_line import (
    Line,
    file_mark,
    format_head,
    is_old,
    parse_head,
    parse_line,
    parse_moment,
)

EVERY: Final = timedelta(days=1)
"""How often a transfer's ledger is gone through at most, by whichever owner."""

LOOK_S: Final = 3600.0
"""How often one member asks whether that is due."""

_MARK: Final = "tidied"
_FRESH: Final = ".tidy"


def tidy(transfer: Transfer, context: RunContext) -> int:
    """Drop the old lines of the ledger of ``transfer`` where that is due; return how many were dropped.

    Raises:
        OwnershipEndedError: another member has taken over; the ledger is whole.
        MftgitError: the source or the members' storage does not answer; the ledger is whole.
    """
    memory, now = context.memory, context.clock.boottime()
    if memory.tidied_at is not None and now - memory.tidied_at < LOOK_S:
        return 0
    memory.tidied_at = now
    folder = context.state / "ledger"
    try:
        if not folder.is_dir() or not _is_due(folder, context):
            return 0
        clean(transfer, context)
        dropped = _Tidying(context, folder, _needed(transfer, context)).go()
        write_file(folder / _MARK, rfc3339(context.clock.now()).encode())
    except OSError as error:
        raise StateUnavailableError(f"the ledger {folder} cannot be tidied: {error}") from error
    if dropped:
        logger.info("old lines of the ledger were dropped", transfer=transfer.name, lines=dropped)
    return dropped


def _is_due(folder: Path, context: RunContext) -> bool:
    try:
        before = parse_moment((folder / _MARK).read_text(encoding="ascii", errors="replace"))
    except FileNotFoundError:
        return True
    # A clock that was wrong, or is, must not put it off for years.
    return before is None or abs(context.clock.now() - before) >= EVERY


def _needed(transfer: Transfer, context: RunContext) -> Callable[[Line], bool]:
    """Return what tells of a line that it has to stay, however old it is."""
    under_way = recorded(context.state)
    if transfer.after_success is not AfterSuccess.KEEP:
        left = still_archived(transfer, context)
        return lambda line: line.id in under_way or left(line)
    source = transfer.source
    with Endpoints(context) as endpoints:
        there = endpoints.at(context.generation.locations[source.location], make=False)
        listed = {
            file_mark(entry.path, entry.size_bytes, entry.mtime_ns)
            for entry in there.list_files(source.path, recursive=source.recursive)
        }
    # An empty folder may be one over which nothing is mounted just now.
    return lambda line: not listed or line.id in under_way or line.mark in listed


class _Tidying:
    """One pass over all files of a ledger, the oldest epoch first."""

    def __init__(
        self, context: RunContext, folder: Path, is_needed: Callable[[Line], bool]
    ) -> None:
        self._folder = folder
        self._is_needed = is_needed
        self._ownership = context.ownership
        self._days = context.generation.cluster.ledger_days
        self._now = context.clock.now()
        self._counted: dict[str, None] = {}

    def go(self) -> int:
        for left in names_in(self._folder):
            if left.name[0] != "." or not left.name.endswith(_FRESH):
                continue
            left.unlink(missing_ok=True)  # of an owner that has ended; one that wakes fails there
        files = [each for each in epoch_files(self._folder) if each[0] <= self._ownership.epoch]
        return sum(self._go_through(path) for _, path in files)

    def _go_through(self, path: Path) -> int:
        with path.open("rb") as stream:
            if not any(self._is_dropped(line) for _, line in _lines(stream)):
                return 0
            stream.seek(0)
            fresh = path.with_name(f".{path.name}.{self._ownership.epoch}{_FRESH}")
            try:
                return self._write_anew(path, stream, fresh)
            finally:
                fresh.unlink(missing_ok=True)

    def _write_anew(self, path: Path, stream: BinaryIO, fresh: Path) -> int:
        dropped, deliveries = self._count(stream)
        stream.seek(0)
        with fresh.open("xb") as target:
            target.write(format_head(deliveries, rfc3339(self._now)))
            for content, line in _lines(stream):
                if line is not None and not self._is_dropped(line):
                    target.write(content)
            target.flush()
            os.fsync(target.fileno())
        self._ownership.check()
        fresh.replace(path)
        _carry_over(stream, path)
        sync_folder(self._folder)
        return dropped

    def _count(self, stream: BinaryIO) -> tuple[int, int]:
        """Return how many lines are dropped, and how many deliveries they and an earlier head stand for."""
        dropped, deliveries = 0, 0
        for content, line in _lines(stream):
            deliveries += parse_head(content) or 0
            if line is None or not self._is_dropped(line):
                continue
            dropped += 1
            if line.id not in self._counted:
                deliveries += not line.skipped
            self._counted[line.id] = None
            while len(self._counted) > REMEMBERED:
                del self._counted[next(iter(self._counted))]
        return dropped, deliveries

    def _is_dropped(self, line: Line | None) -> bool:
        if line is None:
            return False
        return is_old(line, self._now, days=self._days) and not self._is_needed(line)


def _lines(stream: BinaryIO) -> Iterator[tuple[bytes, Line | None]]:
    """Give the whole lines from where ``stream`` stands, which it stands behind afterwards."""
    while content := stream.readline():
        if not content.endswith(b"\n"):
            stream.seek(-len(content), os.SEEK_CUR)
            return
        yield content, parse_line(content)


def _carry_over(stream: BinaryIO, path: Path) -> None:
    """Append to ``path`` what came into the file that it has replaced after that was read."""
    late = b"".join(content for content, line in _lines(stream) if line is not None)
    if late:
        with path.open("ab") as target:
            target.write(late)
            target.flush()
            os.fsync(target.fileno())
