"""A line between a site and its destination that breaks in the middle of a large file."""

from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Lock
from typing import Any

from outbound_site import TARGET, Site, Watched

from mftgit.adapters.endpoint.contract import EndpointLostError
from mftgit.errors import MftgitError
from mftgit.model.locations.location import Location


class Line:
    """Between a site and its destination: it breaks after so many bytes of a try, and tells how many each try sent."""

    def __init__(self, there: Site, *, cut_at: int, error: MftgitError | None = None) -> None:
        self.cut_at: int | None = cut_at
        self.sent: list[int] = []
        self.begun = Barrier(1)  # of those that have to be on their way before one is cut
        self._lock = Lock()
        self._there = there
        self._error = error or EndpointLostError("cut")
        there.open = self.open  # type: ignore[method-assign]

    def open(self, location: Location, make: bool = False) -> Watched:  # noqa: FBT001, FBT002
        folder = self._there.root / location.path
        if make:
            folder.mkdir(exist_ok=True)
        consumer = self._there.consumer if location.name == TARGET else None
        return _Breaking(folder, consumer, self._there.after, self)

    def carries(self, chunks: Iterator[bytes], first: int) -> Iterator[bytes]:
        with self._lock:
            at = len(self.sent)
            self.sent.append(0)
        if self.cut_at is not None:
            self.begun.wait()
        for chunk in chunks:
            if self.cut_at is not None and first + self.sent[at] + len(chunk) > self.cut_at:
                self.cut_at = None
                raise self._error
            self.sent[at] += len(chunk)
            yield chunk


class _Breaking(Watched):
    def __init__(self, root: Path, consumer: Any, after: Any, line: Line) -> None:
        super().__init__(root, consumer, after)
        self._line = line

    def write(self, path: str, chunks: Any, *, on_chunk: Any, resume_at: int | None = None) -> int:
        chunks = self._line.carries(chunks, resume_at or 0)
        return super().write(path, chunks, on_chunk=on_chunk, resume_at=resume_at)
