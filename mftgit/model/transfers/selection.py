"""Which files of a listing a transfer takes, in which order, and since when each of them has not changed."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from heapq import nlargest, nsmallest

from mftgit.model.configuration.config import Source, Transfer
from mftgit.model.transfers.pattern import ends_in, matches
from mftgit.model.transfers.source import Order


def is_selected(path: str, transfer: Transfer) -> bool:
    """Tell whether ``transfer`` takes the file at ``path`` below its source, going by its name alone.

    It has to lie in one of the folders that are looked into, one ``include`` has to match and no ``exclude``. Hidden
    files, files in hidden folders and files that end in the transfer's temporary suffix are taken only by an
    ``include`` that names them (``.*``, ``*.part``), markers and checksum files never.
    """
    source, suffix = transfer.source, transfer.destination.temporary_suffix
    if source.marker is not None and source.marker.is_marker(path):
        return False
    if source.checksum is not None and source.checksum.is_checksum(path):
        return False
    return (
        path.count("/") <= deepest(source)
        and any(
            matches(path, pattern, hidden=False)
            and (not path.endswith(suffix) or ends_in(pattern, suffix))
            for pattern in source.include
        )
        and not any(matches(path, pattern, hidden=True) for pattern in source.exclude)
    )


def deepest(source: Source) -> float:
    """Return how many folders deep files are taken."""
    if not source.recursive:
        return 0
    return float("inf") if source.depth is None else source.depth


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A file as it was listed, and since when, by the looking member's own clock, it has looked so."""

    size_bytes: int
    mtime_ns: int
    since: float

    @property
    def mark(self) -> tuple[int, int]:
        """Return what changes when the file does."""
        return self.size_bytes, self.mtime_ns

    def is_stable(self, now: float, stable_s: float) -> bool:
        """Tell whether the file has not changed for ``stable_s``; 0 takes a file at first sight."""
        return now - self.since >= stable_s

    def fits(self, source: Source, now_ns: int) -> bool:
        """Tell whether size and age are what ``source`` takes.

        ``now_ns`` is the looking member's wall clock, nanoseconds since 1970, and the age what has passed by it since
        the time of change that the endpoint tells. So where the endpoint's clock is behind, files look older by that
        much, and where it is ahead, younger; one that was changed in the future is 0 s old.
        """
        age_s = max(0, now_ns - self.mtime_ns) / 1e9
        return (
            source.min_size_bytes <= self.size_bytes
            and (source.max_size_bytes is None or self.size_bytes <= source.max_size_bytes)
            and source.min_age_s <= age_s
            and (source.max_age_s is None or age_s <= source.max_age_s)
        )


def look(
    before: Mapping[str, Sighting], listing: Iterable[tuple[str, int, int]], now: float
) -> dict[str, Sighting]:
    """Return what is known, by path, after one more listing of (path, size, time of change).

    A file's time of change only counts as a mark that changes: producers preserve it, and clocks differ. What is not
    listed any more is forgotten.
    """
    after: dict[str, Sighting] = {}
    for path, size_bytes, mtime_ns in listing:
        known = before.get(path)
        if known is None or known.mark != (size_bytes, mtime_ns):
            known = Sighting(size_bytes=size_bytes, mtime_ns=mtime_ns, since=now)
        after[path] = known
    return after


def in_order(paths: list[str], seen: Mapping[str, Sighting], source: Source) -> list[str]:
    """Return those of ``paths`` that a run takes, in its order: the whole order, whatever the listing's was."""
    key = _KEYS[source.order]

    def by(path: str) -> tuple[int, str]:
        return key(seen[path]), path

    if source.at_most is not None and source.at_most < len(paths):
        first = nlargest if source.descending else nsmallest
        return first(source.at_most, paths, key=by)
    return sorted(paths, key=by, reverse=source.descending)


_KEYS: Mapping[Order, Callable[[Sighting], int]] = {
    Order.NAME: lambda _: 0,
    Order.TIME: lambda seen: seen.mtime_ns,
    Order.SIZE: lambda seen: seen.size_bytes,
}
