"""Select the files that a run takes: list the source once, and see to the markers of what was taken."""

from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from typing import Final

from mftgit.adapters.endpoint.contract import FileEntry, FileMissingError
from mftgit.errors import MftgitError
from mftgit.member.outbound.given.context import Endpoints, RunContext
from mftgit.member.outbound.places.fenced import FencedEndpoint
from mftgit.member.outbound.taking.begun import Begun
from mftgit.model.configuration.config import AfterSuccess, Transfer
from mftgit.model.transfers.claim import join
from mftgit.model.transfers.selection import Sighting, in_order, is_selected, look

MOST_IN_A_BATCH: Final = 10_000
"""So many files may be one batch: their records are written down together, and are in memory all at once."""


class BatchTooLargeError(MftgitError):
    """There are more files than can be delivered all at once or not at all."""


class Selection:
    """What one run takes of its source, and what it leaves to the next one.

    Of each file that is selected by its name, path, size and times are held, and nothing else of the listing but the
    names of markers and checksum files.
    """

    def __init__(self, transfer: Transfer, context: RunContext, endpoints: Endpoints) -> None:
        self._transfer = transfer
        self._source = transfer.source
        self._keeps = transfer.after_success is AfterSuccess.KEEP
        self._stays = not transfer.claims
        self._context = context
        self._endpoints = endpoints
        self._now_ns = 0
        self._passed: set[str] = set()
        self._more = False
        self._markers: set[str] = set()
        self._checksums: set[str] = set()
        self._done: set[str] = set()

    def fresh(self, passed: set[str]) -> Iterator[tuple[str, tuple[int, int]]]:
        """Give path and mark of the files that can be taken now but for ``passed``, in order; list the source once."""
        self._passed = passed
        memory, clock = self._context.memory, self._context.clock
        listing = self._listing()  # may take long: the clocks are read after it
        now, self._now_ns = clock.boottime(), int(clock.now().timestamp() * 1e9)
        memory.sightings = look(memory.sightings, listing, now)
        del listing
        able = [path for path, seen in memory.sightings.items() if self._is_due(path, seen, now)]
        chosen = in_order(able, memory.sightings, self._source)
        self._more = len(chosen) < len(able)
        del able
        for path in chosen:
            yield path, memory.sightings[path].mark

    def batch(self, passed: set[str], *, waits: bool) -> list[tuple[str, tuple[int, int]]]:
        """Give those of `fresh` that are one batch; nothing while it ``waits`` for an earlier one, or is not whole.

        That is while a file is too fresh or waits because it failed, or they are too few.

        Raises:
            BatchTooLargeError: they are too many to be taken at once.
        """
        memory, batch = self._context.memory, self._transfer.batch
        files = list(islice(self.fresh(passed), MOST_IN_A_BATCH + 1))
        if len(files) > MOST_IN_A_BATCH:
            raise BatchTooLargeError(
                f"{self._source.location} has more than {MOST_IN_A_BATCH} files for one batch of "
                f"{self._transfer.name}: say how many are one by source.at_most, or take batch out"
            )
        now = self._context.clock.boottime()
        waits = waits or any(
            memory.is_put_off(path, seen.mark, now) for path, seen in memory.sightings.items()
        )
        is_whole = not waits and not self._is_too_fresh()
        if is_whole and batch is not None and len(files) >= batch.at_least:
            return files
        self._more = False  # what waits is not there for the asking
        return []

    def done(self, path: str) -> None:
        """Take note that the file was dealt with."""
        self._done.add(path)

    def has_work(self, begun: Begun) -> bool:
        """Tell whether a run would take a file, or remove a marker; nothing is changed."""
        under_way: set[str] = set()
        lists_them = self._source.marker is not None or self._transfer.claims_by_record
        if lists_them and self._context.memory.adopted is not None:
            under_way = begun.under_way()
        batch = self._transfer.batch
        fresh = (
            self.fresh(under_way)
            if batch is None
            else iter(self.batch(under_way, waits=bool(under_way)))
        )
        return any(True for _ in fresh) or bool(self.spent_markers())

    def again_in_s(self, *, settled: bool) -> float | None:
        """Return in how many seconds the run is to be gone on with, None where that is not needed.

        At once where there are more files than one run takes. Otherwise after ``stable_s``, where the last listing held
        files that have not been seen for long enough, unless that has been waited for (``settled``).
        """
        if self._more:
            return 0.0
        return self._source.stable_s if not settled and self._is_too_fresh() else None

    def spent_markers(self) -> list[str]:
        """Return the markers, below the source, that have nothing to stand for any more; to be asked after `fresh`.

        That is one of which every file that is there was dealt with, in this run, or, where it is kept, in an earlier
        one. Where none is there, it is one that a crash has left behind: its file is in the ledger, is not under way,
        and is not there at a second look either, since a listing may tell of a name and not of one that is older.
        """
        marker = self._source.marker
        if marker is None:
            return []
        waiting: set[str] = set()
        spent: set[str] = set()
        for path, seen in self._context.memory.sightings.items():
            done = path in self._done or self._is_kept_already(path, seen)
            (spent if done else waiting).add(marker.of(path))
        waiting.update(map(marker.of, self._passed - self._done))
        spent |= {marker.of(path) for path in self._done}
        left = self._markers - waiting - spent
        return sorted(((spent - waiting) & self._markers) | self._left_behind(left))

    def remove_markers(self) -> None:
        """Remove what `spent_markers` gives; one that is gone is fine.

        Where files are taken away, one that is there again is a newer one that came meanwhile, with its marker.

        Raises:
            MftgitError: one cannot be removed; the next run tries again.
        """
        marker, spent = self._source.marker, self.spent_markers()
        if spent and marker is not None and self._transfer.after_success is not AfterSuccess.KEEP:
            files = {
                each.path for each in self._entries() if is_selected(each.path, self._transfer)
            }
            there = {marker.of(path) for path in files - self._markers}
            spent = [path for path in spent if path not in there]
        for path in spent:
            with suppress(FileMissingError):
                self._endpoint().remove(join(self._source.path, path))

    def _endpoint(self) -> FencedEndpoint:
        return self._endpoints.at(self._context.generation.locations[self._source.location])

    def _listing(self) -> list[tuple[str, int, int]]:
        marker, checksum, selected = self._source.marker, self._source.checksum, []
        for entry in self._entries():
            if marker is not None and marker.is_marker(entry.path):
                self._markers.add(entry.path)
            elif checksum is not None and checksum.is_checksum(entry.path):
                self._checksums.add(entry.path)
            elif is_selected(entry.path, self._transfer):
                selected.append((entry.path, entry.size_bytes, entry.mtime_ns))
        return selected

    def _entries(self) -> Iterator[FileEntry]:
        source = self._source
        return self._endpoint().list_files(
            source.path, recursive=source.recursive, depth=source.depth
        )

    def _is_due(self, path: str, seen: Sighting, now: float) -> bool:
        source, memory = self._source, self._context.memory
        return (
            path not in self._passed
            and seen.is_stable(now, source.stable_s)
            and self._is_wanted(path, seen)
            and not memory.is_put_off(path, seen.mark, now)
            and not (self._stays and memory.is_spent(path, seen.mark))
            and not self._is_kept_already(path, seen)
        )

    def _is_wanted(self, path: str, seen: Sighting) -> bool:
        """Tell whether size, age and marker are as they have to be, and the checksum file is there."""
        marker, checksum = self._source.marker, self._source.checksum
        if marker is not None and marker.of(path) not in self._markers:
            return False
        if checksum is not None and checksum.required and checksum.of(path) not in self._checksums:
            return False
        return seen.fits(self._source, self._now_ns)

    def _is_kept_already(self, path: str, seen: Sighting) -> bool:
        return self._keeps and self._context.memory.ledger.contains(path, *seen.mark)

    def _is_too_fresh(self) -> bool:
        now, stable_s = self._context.clock.boottime(), self._source.stable_s
        return any(
            not seen.is_stable(now, stable_s) and self._is_wanted(path, seen)
            for path, seen in self._context.memory.sightings.items()
        )

    def _left_behind(self, markers: set[str]) -> set[str]:
        marker = self._source.marker
        if not markers or marker is None:
            return set()
        strangers = self._context.memory.strange_markers
        strangers &= self._markers
        if not markers - strangers:
            return set()
        lines = self._context.memory.ledger.lines()
        delivered = {mark for line in lines if (mark := marker.of(line.path)) in markers}
        strangers |= markers - delivered
        markers = delivered
        if markers:
            there = {each.path for each in self._entries()} - self._markers
            markers -= set(map(marker.of, there))
        return markers
