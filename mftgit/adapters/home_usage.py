"""How much lies in an account's home, held against its quota."""

from threading import Lock

from mftgit.adapters.home import HomeError, Refusal
from mftgit.model.account import Quota


class Usage:
    """What is in a home, kept up by what the sessions of this process do; safe for threads."""

    def __init__(self, quota: Quota, *, size_bytes: int = 0, files: int = 0) -> None:
        self.quota = quota
        self.size_bytes = size_bytes
        self.files = files
        self._lock = Lock()

    def take(self, *, size_bytes: int = 0, files: int = 0) -> None:
        """Count what is about to be written.

        Raises:
            HomeError: it is more than the quota leaves.
        """
        with self._lock:
            _require(self.size_bytes + size_bytes, self.quota.size_bytes, size_bytes, "bytes")
            _require(self.files + files, self.quota.files, files, "files and folders")
            self.size_bytes += size_bytes
            self.files += files

    def give_back(self, *, size_bytes: int = 0, files: int = 0) -> None:
        """Count what was removed."""
        with self._lock:
            self.size_bytes = max(0, self.size_bytes - size_bytes)
            self.files = max(0, self.files - files)


def _require(then: int, limit: int | None, more: int, what: str) -> None:
    if limit is not None and more and then > limit:
        raise HomeError(Refusal.OVER_QUOTA, f"the quota of {limit:,} {what} is used up")
