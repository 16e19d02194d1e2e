"""How much lies in an account's home, held against its quota."""

import os
import stat
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from mftgit.adapters.clock import Clock
from mftgit.adapters.home.contract import HomeError, Refusal
from mftgit.adapters.home.walk import below
from mftgit.model.inbound.account import Account, Quota
from mftgit.model.inbound.account_path import MAX_DEPTH, Parts
from mftgit.model.names import AccountName

MAX_COUNTED: Final = 1_000_000
"""How many files and folders are counted; a home with a quota takes no more than that."""

_FRESH_S: Final = 30.0
_PATIENCE: Final = 20  # times as long as the last count took


class Usage:
    """What is in a home, kept up by what the sessions of this process do; safe for threads."""

    def __init__(self, quota: Quota) -> None:
        self.quota = quota
        self.size_bytes = 0
        self.files = 0
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
        """Count what was removed, or was not written after all."""
        with self._lock:
            self.size_bytes = max(0, self.size_bytes - size_bytes)
            self.files = max(0, self.files - files)

    def found(self, size_bytes: int, files: int) -> None:
        """Note what was counted."""
        with self._lock:
            self.size_bytes, self.files = size_bytes, files


@dataclass(slots=True)
class _Counted:
    usage: Usage
    good_until_s: float = 0.0
    lock: Lock = field(default_factory=Lock)


class Usages:
    """The homes of the accounts with a quota; safe for threads.

    What other processes and members write is seen when a home is counted anew: at most every 30 s, and seldom enough
    that a twentieth of the time goes into counting.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._known: dict[tuple[AccountName, str, Quota], _Counted] = {}

    def of(self, account: Account, home: str) -> Usage:
        """Return what is in ``home``; counted now where that is too long ago.

        Raises:
            HomeError: the storage cannot be reached.
        """
        key = account.name, home, account.quota
        with self._lock:
            counted = self._known.setdefault(key, _Counted(Usage(account.quota)))
        if account.quota != Quota():
            with counted.lock:
                begun_s = self._clock.boottime()
                if begun_s >= counted.good_until_s:
                    counted.usage.found(*count(home))
                    ended_s = self._clock.boottime()
                    counted.good_until_s = ended_s + max(_FRESH_S, _PATIENCE * (ended_s - begun_s))
        return counted.usage


def count(root: str) -> tuple[int, int]:
    """Return the bytes of the files below ``root``, and how many files and folders there are.

    Raises:
        HomeError: the storage cannot be reached, or there is more than can be counted.
    """
    size_bytes = files = 0
    waiting: list[Parts] = [()]
    while waiting:
        parts = waiting.pop()
        try:
            with below(root, parts) as folder, os.scandir(folder) as entries:
                for entry in entries:
                    files += 1
                    if files > MAX_COUNTED:
                        raise HomeError(
                            Refusal.OVER_QUOTA,
                            f"the home has a quota and more than {MAX_COUNTED:,} files: remove some",
                        )
                    if entry.is_dir(follow_symlinks=False):
                        _require_depth(parts)
                        waiting.append((*parts, entry.name))
                    else:
                        size_bytes += _size_bytes(entry)
        except OSError:
            continue  # it was moved or removed meanwhile
    return size_bytes, files


def _require_depth(parts: Parts) -> None:
    if len(parts) > 2 * MAX_DEPTH:  # renames can get folders deeper than a path may be
        raise HomeError(Refusal.OVER_QUOTA, "the home has a quota, and folders too deep to count")


def _size_bytes(entry: "os.DirEntry[str]") -> int:
    try:
        found = entry.stat(follow_symlinks=False)
    except OSError:
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def _require(then: int, limit: int | None, more: int, what: str) -> None:
    if limit is not None and more and then > limit:
        raise HomeError(Refusal.OVER_QUOTA, f"the quota of {limit:,} {what} is used up")
