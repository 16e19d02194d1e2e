"""The ledger: one line for each file that was taken to its destination, or skipped for good.

Each epoch appends to a file of its own, so that each has one writer. Two epochs may both write down the same
delivery, when a successor ends what its predecessor began; its id tells that it is one.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from mftgit.adapters.durable import sync_folder
from mftgit.member.outbound.intents import StateUnavailableError
from mftgit.model.claim import ClaimId
from mftgit.model.names import Epoch, MemberName, Revision, TransferName


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One delivery. ``skipped``: the destination had the name already, and the transfer says to leave it there."""

    id: ClaimId
    transfer: TransferName
    member: MemberName
    epoch: Epoch
    revision: Revision | None
    path: str
    final: str
    size_bytes: int
    mtime_ns: int
    sha256: str
    started_at: str
    ended_at: str
    skipped: bool = False

    def as_json(self) -> dict[str, object]:
        """Return the fields by name."""
        return {name: getattr(self, name) for name in self.__slots__}


class Ledger:
    """The ledger below ``state``, read as far as it has grown since the last look; for any thread."""

    def __init__(self, state: Path) -> None:
        self._folder = state / "ledger"
        self._lock = Lock()
        self._read_to: dict[str, int] = {}
        self._ids: set[str] = set()
        self._delivered: set[str] = set()
        self._files: set[tuple[str, int, int]] = set()

    def refresh(self) -> None:
        """Read what was appended since the last time, by whichever member.

        Raises:
            StateUnavailableError: the storage does not answer.
        """
        try:
            if self._folder.is_dir():
                with self._lock:
                    for path in sorted(self._folder.glob("*.jsonl")):
                        self._read_on(path)
        except OSError as error:
            raise StateUnavailableError(
                f"the ledger {self._folder} cannot be read: {error}"
            ) from error

    @property
    def delivered(self) -> int:
        """Return how many files were delivered by all epochs, as of the last `refresh` or `append`."""
        return len(self._delivered)

    def has(self, claim: ClaimId) -> bool:
        """Tell whether this claim is written down."""
        return claim in self._ids

    def contains(self, path: str, size_bytes: int, mtime_ns: int) -> bool:
        """Tell whether this very file is written down, for sources that are kept as they are."""
        return (path, size_bytes, mtime_ns) in self._files

    def paths(self) -> set[str]:
        """Return the paths of all files that are written down."""
        with self._lock:
            return {path for path, _, _ in self._files}

    def append(self, lines: Sequence[Line]) -> None:
        """Write ``lines`` of one epoch down, and make them last. One that a full disk cut short is closed off first.

        Raises:
            StateUnavailableError: not written, or not wholly; a reader ignores a line that is not whole.
        """
        if not lines:
            return
        path = self._folder / f"{lines[0].epoch}.jsonl"
        written = [json.dumps(line.as_json(), sort_keys=True).encode() + b"\n" for line in lines]
        content = b"".join(written)
        try:
            fresh = not path.exists()
            self._folder.mkdir(parents=True, exist_ok=True)
            _append(path, content)
            if fresh:
                sync_folder(self._folder)
        except OSError as error:
            raise StateUnavailableError(f"the ledger {path} cannot be written: {error}") from error
        with self._lock:
            for line in written:
                self._note(line)

    def _read_on(self, path: Path) -> None:
        """Take in the whole lines after what was read of ``path`` before."""
        with path.open("rb") as stream:
            stream.seek(self._read_to.get(path.name, 0))
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                self._note(line)
                self._read_to[path.name] = self._read_to.get(path.name, 0) + len(line)

    def _note(self, content: bytes) -> None:
        try:
            line = json.loads(content)
            claim, file = (
                str(line["id"]),
                (str(line["path"]), int(line["size_bytes"]), int(line["mtime_ns"])),
            )
            skipped = bool(line["skipped"])
        except (ValueError, KeyError, TypeError):
            return  # torn
        self._ids.add(claim)
        self._files.add(file)
        if not skipped:
            self._delivered.add(claim)


def _append(path: Path, content: bytes) -> None:
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
