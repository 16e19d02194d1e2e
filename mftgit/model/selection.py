"""Which files of a listing a transfer takes, and since when each of them has not changed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mftgit.model.config import Transfer


def is_selected(path: str, transfer: Transfer) -> bool:
    """Tell whether ``transfer`` takes the file at ``path`` below its source.

    One ``include`` has to match and no ``exclude``. Hidden files, files in hidden folders and files that end in the
    transfer's temporary suffix are taken only by an ``include`` that names them (``.*``, ``*.part``).
    """
    suffix = transfer.destination.temporary_suffix
    return any(
        matches(path, glob, hidden=False) and (glob.endswith(suffix) or not path.endswith(suffix))
        for glob in transfer.source.include
    ) and not any(matches(path, glob, hidden=True) for glob in transfer.source.exclude)


def matches(path: str, glob: str, *, hidden: bool) -> bool:
    """Tell whether ``glob`` matches ``path``, upper and lower case told apart.

    ``*`` and ``?`` stay within one part of the path, ``[…]`` is one of these characters, ``[!…]`` none of them, and
    ``**`` as a whole part is any number of parts. As in a ``.gitignore``, a glob without ``/`` is for the file's own
    name in whatever folder, and one with ``/`` for the whole path.

    Args:
        path: parts with ``/`` between them.
        glob: the pattern.
        hidden: whether wildcards match a dot at the beginning of a part, as they do not in a shell.
    """
    parts = glob.strip("/").split("/") if "/" in glob else ["**", glob]
    return _parts_match(path.split("/"), parts, hidden=hidden)


def _parts_match(names: list[str], globs: list[str], *, hidden: bool) -> bool:
    """Match part by part; only the last ``**`` is ever reconsidered, so that no pattern is slow."""
    at, glob_at = 0, 0
    retry: tuple[int, int] | None = None
    while at < len(names):
        if glob_at < len(globs) and globs[glob_at] == "**":
            retry = (at, glob_at)
            glob_at += 1
        elif glob_at < len(globs) and _part_matches(names[at], globs[glob_at], hidden=hidden):
            at, glob_at = at + 1, glob_at + 1
        elif retry is not None and (hidden or not names[retry[0]].startswith(".")):
            retry = (retry[0] + 1, retry[1])
            at, glob_at = retry[0], retry[1] + 1
        else:
            return False
    return all(glob == "**" for glob in globs[glob_at:])


def _part_matches(name: str, glob: str, *, hidden: bool) -> bool:
    if name.startswith(".") and not hidden and not glob.startswith("."):
        return False
    return fnmatchcase(name, glob)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A file as it was listed, and since when, by the looking member's own clock, it has looked so."""

    size_bytes: int
    mtime_ns: int
    since: float

    def is_stable(self, now: float, stable_s: float) -> bool:
        """Tell whether the file has not changed for ``stable_s``; 0 takes a file at first sight."""
        return now - self.since >= stable_s


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
        if known is None or (known.size_bytes, known.mtime_ns) != (size_bytes, mtime_ns):
            known = Sighting(size_bytes=size_bytes, mtime_ns=mtime_ns, since=now)
        after[path] = known
    return after
