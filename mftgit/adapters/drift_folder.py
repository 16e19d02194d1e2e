"""Where what was found in the copy of the active revision goes: `drift/STAMP/files`, and `changes.diff` beside it."""

import difflib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, unique
from typing import Final, Self

from mftgit.adapters.folders import enter
from mftgit.model.printable import printable
from mftgit.model.rules.tree import Entry

DRIFT: Final = "drift"
KEPT: Final = 20
MAX_FILES: Final = 1_000
MAX_BYTES: Final = 64 << 20
"""So much of one drift is kept; what is beyond is put right all the same."""

_MAX_COMPARED_BYTES: Final = 64 << 10
_MAX_COMPARED_LINES: Final = 2_000  # difflib takes the square of it
_MAX_DIFF_BYTES: Final = 4 << 20
_STAMP: Final = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z")
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@unique
class Deviation(Enum):
    """How a file is otherwise: its content, its absence, or that it is no file, or something else is in its way."""

    EDITED = "edited"
    REMOVED = "removed"
    REPLACED = "replaced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """What was found and put right; ``saved`` is where it lies below the state folder, None where there was nothing."""

    deviations: tuple[tuple[str, Deviation], ...]
    saved: str | None
    not_kept: int = 0


class DriftFolder:
    """Takes what is found, one look at a time; what nobody did makes no folder."""

    def __init__(self, top: int, stamp: str) -> None:
        """Keep it below the state folder that ``top`` is open at, in `drift` under ``stamp``."""
        self._top, self._stamp = top, stamp
        self._found: list[tuple[str, Deviation]] = []
        self._diff: list[str] = []
        self._diff_bytes = self._bytes = self._files = self._not_kept = 0
        self._at: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._at is not None:
            os.close(self._at)
            self._at = None

    def note(self, path: str, deviation: Deviation, lines: Iterator[str] | None = None) -> None:
        """Write down that ``path`` was otherwise."""
        self._found.append((path, deviation))
        for line in (f"{printable(path)}: {deviation.value}\n", *(lines or ())):
            self._diff_bytes += len(line.encode("utf-8", "surrogateescape"))
            if self._diff_bytes > _MAX_DIFF_BYTES:
                return
            self._diff.append(line)

    def take(
        self, at: int, name: str, path: str, status: os.stat_result, wanted: Entry | None
    ) -> None:
        """Move ``name``, whatever it is, out of the folder ``at``; beyond the bounds it is removed."""
        is_file = stat.S_ISREG(status.st_mode)
        deviation = Deviation.EDITED if is_file else Deviation.REPLACED
        self.note(path, deviation, _compare(at, name, status, path, wanted))
        files, size_bytes = _weigh(at, name, status, MAX_FILES - self._files)
        if self._files + files > MAX_FILES or self._bytes + size_bytes > MAX_BYTES:
            self._not_kept += 1
            _remove(at, name, status)
            return
        self._files += files
        self._bytes += size_bytes
        self._move(at, name, path)

    def close(self) -> Drift | None:
        """End the look: write the differences down, let go of the oldest, and return what was found."""
        if not self._found:
            return None
        place = self._place()
        descriptor = os.open(
            "changes.diff",
            os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC,
            0o600,
            dir_fd=place,
        )
        with os.fdopen(descriptor, "wb") as stream:
            stream.write("".join(self._diff).encode("utf-8", "surrogateescape"))
            stream.flush()
            os.fsync(stream.fileno())
        os.fsync(place)
        self._prune()
        return Drift(
            deviations=tuple(self._found),
            saved=f"{DRIFT}/{self._stamp}",
            not_kept=self._not_kept,
        )

    def _place(self) -> int:
        if self._at is None:
            above = enter(self._top, DRIFT, make=True)
            try:
                self._at = enter(above, self._stamp, make=True)
            finally:
                os.close(above)
        return self._at

    def _move(self, at: int, name: str, path: str) -> None:
        folder = os.dup(self._place())
        try:
            for part in ("files", *path.split("/")[:-1]):
                below = enter(folder, part, make=True)
                os.close(folder)
                folder = below
            os.rename(name, path.rpartition("/")[2], src_dir_fd=at, dst_dir_fd=folder)
            os.fsync(folder)
            os.fsync(at)
        finally:
            os.close(folder)

    def _prune(self) -> None:
        above = enter(self._top, DRIFT, make=True)
        try:
            stamps = sorted(
                name
                for name in os.listdir(above)  # noqa: PTH208  of a descriptor
                if _STAMP.fullmatch(name)
            )
            for name in stamps[:-KEPT]:
                with suppress(OSError):  # the next time
                    shutil.rmtree(name, dir_fd=above)
        finally:
            os.close(above)


def _compare(
    at: int, name: str, status: os.stat_result, path: str, wanted: Entry | None
) -> Iterator[str]:
    """Give what a file differs in, as far as that is text of a bearable size."""
    if stat.S_ISLNK(status.st_mode):
        yield f"a link to {printable(os.fsdecode(os.readlink(name, dir_fd=at)))}\n"
        return
    if wanted is None or not stat.S_ISREG(status.st_mode):
        return
    sizes = (wanted.size_bytes, status.st_size)
    if max(sizes) > _MAX_COMPARED_BYTES:
        yield f"{sizes[0]:,} bytes became {sizes[1]:,}, too many to compare\n"
        return
    try:
        with os.fdopen(os.open(name, _READ, dir_fd=at), "rb") as stream:
            found = stream.read(_MAX_COMPARED_BYTES)
    except PermissionError:
        return
    lines = difflib.unified_diff(
        _lines(wanted.load()), _lines(found), f"a/{path}", f"b/{path}", lineterm=""
    )
    for line in lines:
        yield printable(line) + "\n"


def _lines(content: bytes) -> list[str]:
    return content.decode("utf-8", "replace").splitlines()[:_MAX_COMPARED_LINES]


def _weigh(at: int, name: str, status: os.stat_result, most: int) -> tuple[int, int]:
    """Return how many files and bytes ``name`` is; of a folder no more than ``most`` are counted, and one."""
    if not stat.S_ISDIR(status.st_mode):
        return 1, status.st_size if stat.S_ISREG(status.st_mode) else 0
    files, size_bytes = 1, 0
    for _, folders, names, folder in os.fwalk(name, dir_fd=at):
        for each in (*folders, *names):
            files += 1
            if files > most:
                return files, size_bytes
            with suppress(FileNotFoundError):
                size_bytes += os.stat(each, dir_fd=folder, follow_symlinks=False).st_size
    return files, size_bytes


def _remove(at: int, name: str, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        shutil.rmtree(name, dir_fd=at)
    else:
        os.unlink(name, dir_fd=at)
