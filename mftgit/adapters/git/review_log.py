"""What was said of proposals, as the commits of `REVIEWS` in a repository: read once each, and appended to."""

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Final, Protocol

from loguru import logger

from mftgit.adapters.git.commit import make_commit
from mftgit.adapters.git.objects import StoreBusyError
from mftgit.adapters.git.store import GitStore
from mftgit.model.names import REVIEWS, Revision
from mftgit.model.review.record import Entry, Record, format_record, read_link
from mftgit.model.revisions.push import RefUpdate

MAX_RECORDS: Final = 100_000
"""So many are read at most, the newest; each takes about a kilobyte of memory."""

_TRIES: Final = 20


class Commits(Protocol):
    """Where the chain is; a bare repository, or a person's clone."""

    def raw_commit(self, revision: Revision) -> bytes:
        """Return a commit byte for byte; raises StoreError."""


class ReviewLog:
    """Reads the chain; what it has read is kept. Any thread may call it."""

    def __init__(self, commits: Commits) -> None:
        self._commits = commits
        self._read: tuple[Revision | None, tuple[Entry, ...]] = (None, ())
        self._lock = threading.Lock()

    def entries(self, tip: Revision | None) -> tuple[Entry, ...]:
        """Return the records up to ``tip``, the oldest first. What is no record ends the chain there, and is told.

        Raises:
            StoreError: a commit is missing or broken.
        """
        with self._lock:
            known, before = self._read
            fresh: list[Entry] = []
            at = tip
            while at is not None and at != known and len(fresh) < MAX_RECORDS:
                try:
                    entry, at = read_link(at, self._commits.raw_commit(at))
                except ValueError as error:
                    logger.bind(error=str(error)).error("the log of reviews is damaged", commit=at)
                    at = None
                else:
                    fresh.append(entry)
            kept = before if at == known and known is not None else ()
            found = (*kept, *reversed(fresh))[-MAX_RECORDS:]
            self._read = (tip, found)
        return found


class KeptReviews:
    """The controller's own chain."""

    def __init__(self, store: GitStore, *, now: Callable[[], datetime]) -> None:
        self._store = store
        self._log = ReviewLog(store)
        self._now = now

    def entries(self) -> tuple[Entry, ...]:
        """Return every record, the oldest first; raises StoreError."""
        return self._log.entries(self._store.head(REVIEWS))

    def append(self, record: Record) -> Entry:
        """Write ``record`` down at the end.

        Raises:
            StoreBusyError: others wrote all the time.
            StoreError: the repository is broken.
        """
        for _ in range(_TRIES):
            parent = self._store.head(REVIEWS)
            commit, objects = make_commit(
                {},
                parent=parent,
                message=format_record(record),
                author=f"{record.by} <{record.by}@mftgit.invalid>",
                now=self._now(),
            )
            revision = Revision(commit.id.decode())
            with self._store.quarantine() as quarantine:
                quarantine.add(objects)
                if self._store.move([RefUpdate(ref=REVIEWS, old=parent, new=revision)], quarantine):
                    return read_link(revision, commit.as_raw_string())[0]
        raise StoreBusyError(f"{REVIEWS} moves all the time; try again")
