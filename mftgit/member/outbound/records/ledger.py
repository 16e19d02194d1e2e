"""The ledger: one line for each file that was taken to its destination, or skipped for good.

Each epoch appends to a file of its own, so that each has one writer. Two epochs may both write down the same
delivery, when a successor ends what its predecessor began; its id tells that it is one. What is old is dropped by
`mftgit.member.outbound.runs.retention`; a file that was written anew for that begins with a head, which says how many
deliveries it had besides.

In memory is what the next run needs, and no more as the years go by: the ids of the last deliveries, and the marks
of files, where they are asked for. An id that is not among these is looked for on the disk.
"""

import json
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import BinaryIO, Final

from mftgit.adapters.durable import names_in, sync_folder
from mftgit.member.outbound.records.intents import StateUnavailableError
from mftgit.model.names import Epoch
from mftgit.model.transfers.claim import ClaimId
from mftgit.model.transfers.ledger_line import (
    Line,
    file_mark,
    format_line,
    parse_head,
    parse_line,
    parse_moment,
)

__all__ = ["REMEMBERED", "Ledger", "Line", "epoch_files"]

REMEMBERED: Final = 10_000
"""So many ids are kept in memory; two lines of one delivery are closer to each other than that."""

_SHA256_DIGITS: Final = 64
_SIGN_BYTES: Final = 96
"""By so many of its first bytes a file is known again; each way of writing it anew changes them."""


def epoch_files(folder: Path) -> list[tuple[Epoch, Path]]:
    """Return the files of a ledger's ``folder``, the oldest epoch first; raises OSError."""
    found = [path for path in names_in(folder) if path.suffix == ".jsonl" and path.stem.isdecimal()]
    return sorted((Epoch(int(path.stem)), path) for path in found)


class _RewrittenError(Exception):
    """A file is not the one that was read before."""


class Ledger:
    """The ledger below ``state``, read as far as it has grown since the last look; for any thread."""

    def __init__(self, state: Path, *, keeps: bool = False) -> None:
        """Read nothing yet; ``keeps``: it will be asked which files it `contains`, so that it need not read twice."""
        self._folder = state / "ledger"
        self._keeps = keeps
        self._compares = False
        self._lock = Lock()
        self._known_new: dict[
            ClaimId, None
        ] = {}  # in the order in which they came, as all of these
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._read_to: dict[str, int] = {}
        self._signs: dict[str, bytes] = {}
        self._recent: dict[ClaimId, None] = {}
        self._has_let_go = False
        self._files: set[bytes] = set()
        self._contents: dict[bytes, tuple[float, ClaimId]] = {}
        self._delivered = 0

    def refresh(self) -> None:
        """Read what was appended since the last time, by whichever member.

        Raises:
            StateUnavailableError: the storage does not answer.
        """
        with self._lock:
            self._refresh()

    @property
    def delivered(self) -> int:
        """Return how many files were delivered by all epochs, as of the last `refresh` or `append`."""
        return self._delivered

    def begun(self, claim: ClaimId) -> None:
        """Take note of an id that was just made, so that it is not looked for."""
        with self._lock:
            _remember(self._known_new, claim)

    def has(self, claim: ClaimId) -> bool:
        """Tell whether this claim is written down.

        Raises:
            StateUnavailableError: it is not among the last ones, and the storage does not answer.
        """
        with self._lock:
            if claim in self._recent:
                return True
            if claim in self._known_new or not self._has_let_go:
                return False
            found = self._is_on_disk(claim)
            if not found:
                _remember(self._known_new, claim)
            return found

    def contains(self, path: str, size_bytes: int, mtime_ns: int) -> bool:
        """Tell whether this very file is written down, for sources that are kept as they are.

        Raises:
            StateUnavailableError: nobody asked before, and the storage does not answer.
        """
        with self._lock:
            if not self._keeps:
                self._keeps = True
                self._begin_anew()
                self._refresh()
            return file_mark(path, size_bytes, mtime_ns) in self._files

    def delivery_of(self, sha256: str, since: datetime) -> ClaimId | None:
        """Return the last delivery, none that was skipped, of a source with this digest that ended after ``since``.

        Raises:
            StateUnavailableError: nobody asked before, and the storage does not answer.
        """
        with self._lock:
            if not self._compares:
                self._compares = True
                self._begin_anew()
                self._refresh()
            found = self._contents.get(bytes.fromhex(sha256))
        return None if found is None or found[0] < since.timestamp() else found[1]

    def lines(self) -> Iterator[Line]:
        """Give what is written down, out of the files on the disk, the oldest epoch first; a line may come twice.

        Raises:
            StateUnavailableError: the storage does not answer.
        """
        try:
            for _, file in epoch_files(self._folder):
                with file.open("rb") as stream:
                    for content in stream:
                        if (line := parse_line(content)) is not None:
                            yield line
        except OSError as error:
            raise StateUnavailableError(
                f"the ledger {self._folder} cannot be read: {error}"
            ) from error

    def append(self, lines: Sequence[Line]) -> None:
        """Write ``lines``, all of one epoch, down in one write, and make them last by one flush.

        A line that a full disk cut short is closed off first.

        Raises:
            StateUnavailableError: not written, or not wholly; a reader ignores a line that is not whole.
            ValueError: they are of several epochs.
        """
        epochs = {line.epoch for line in lines}
        if len(epochs) > 1:
            raise ValueError(f"lines of the epochs {sorted(epochs)} belong into different files")
        for epoch in epochs:
            path = self._folder / f"{epoch}.jsonl"
            with self._lock:
                try:
                    fresh = not path.exists()
                    self._folder.mkdir(parents=True, exist_ok=True)
                    start, end = _append(path, b"".join(map(format_line, lines)))
                    if fresh:
                        sync_folder(self._folder)
                except OSError as error:
                    raise StateUnavailableError(
                        f"the ledger {path} cannot be written: {error}"
                    ) from error
                if self._knows_up_to(start, path.name):
                    for line in lines:
                        self._take_in(line)
                    self._read_to[path.name] = end
                else:
                    self._refresh(path)

    def _knows_up_to(self, place: int, name: str) -> bool:
        """Tell whether a file was read up to that place, and is long enough to be known again."""
        return self._read_to.get(name) == place and len(self._signs[name]) == _SIGN_BYTES

    def _refresh(self, only: Path | None = None) -> None:
        """Read on, in one file or in all; the lock is held."""
        try:
            if not self._folder.is_dir():
                return
            try:
                for path in [only] if only else self._files_now():
                    self._read_on(path)
            except _RewrittenError:
                self._begin_anew()
                for path in self._files_now():
                    self._read_on(path)
        except (OSError, _RewrittenError) as error:
            raise StateUnavailableError(
                f"the ledger {self._folder} cannot be read: {error}"
            ) from error

    def _files_now(self) -> list[Path]:
        files = [path for _, path in epoch_files(self._folder)]
        if self._signs.keys() - {path.name for path in files}:
            raise _RewrittenError("a file is gone")
        return files

    def _read_on(self, path: Path) -> None:
        """Take in the whole lines after what was read of ``path`` before."""
        with path.open("rb") as stream:
            place = self._read_to.get(path.name, 0)
            self._recognize(path.name, stream, place)
            stream.seek(place)
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                self._note(line)
                place += len(line)
                self._read_to[path.name] = place

    def _recognize(self, name: str, stream: BinaryIO, place: int) -> None:
        sign = stream.read(_SIGN_BYTES)
        known = self._signs.get(name, b"")
        if not sign.startswith(known) or os.fstat(stream.fileno()).st_size < place:
            raise _RewrittenError(f"{name} is another file than before")
        self._signs[name] = sign

    def _note(self, content: bytes) -> None:
        self._delivered += parse_head(content) or 0
        line = parse_line(content)
        if line is not None:  # no head, and not torn
            self._take_in(line)

    def _take_in(self, line: Line) -> None:
        if self._keeps:
            self._files.add(line.mark)
        if self._compares and not line.skipped:
            self._note_content(line)
        self._known_new.pop(line.id, None)
        if line.id in self._recent:
            return
        self._has_let_go |= _remember(self._recent, line.id)
        if not line.skipped:
            self._delivered += 1

    def _note_content(self, line: Line) -> None:
        ended = parse_moment(line.ended_at)
        if ended is not None and len(line.read_sha256) == _SHA256_DIGITS:
            self._contents[bytes.fromhex(line.read_sha256)] = (ended.timestamp(), line.id)

    def _is_on_disk(self, claim: ClaimId) -> bool:
        """Look for a claim that memory may have let go of: no epoch before its own can have written it down."""
        first, needle = claim.partition("-")[0], json.dumps(claim).encode()
        lowest = int(first) if first.isdecimal() else 0
        try:
            for epoch, path in epoch_files(self._folder):
                if epoch < lowest:
                    continue
                with path.open("rb") as stream:
                    for content in stream:
                        line = parse_line(content) if needle in content else None
                        if line is not None and line.id == claim:
                            return True
        except OSError as error:
            raise StateUnavailableError(
                f"the ledger {self._folder} cannot be read: {error}"
            ) from error
        return False


def _remember(ids: dict[ClaimId, None], claim: ClaimId) -> bool:
    """Add an id and tell whether the one that has been there for the longest had to go."""
    ids[claim] = None
    if len(ids) <= REMEMBERED:
        return False
    del ids[next(iter(ids))]
    return True


def _append(path: Path, content: bytes) -> tuple[int, int]:
    """Write ``content`` behind what is there, and return from where to where; the first line may be an empty one."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            content = b"\n" + content
        written = os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if written != len(content):
        raise OSError(f"{written} of {len(content)} bytes were written")
    return size, size + written
