"""The epochs of leases in the shared folder, of many keys side by side: what a lease is on disk.

A lease is a folder. Whoever makes ``epoch-N`` in it, by ``link(2)``, has epoch N, and the file names the session that
it lasts as long as. That file is one of the session's own under a further name, so that nothing has to be written and
flushed for each lease but its folder. What is flushed at the same time costs the storage little more.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

from mftgit.adapters.coordinator import CoordinatorUnavailableError
from mftgit.adapters.durable import read_replaced, sync_folder, write_file
from mftgit.adapters.endpoint.one_by_one import each
from mftgit.adapters.endpoint.side_by_side import side_by_side
from mftgit.errors import MftgitError
from mftgit.model.names import Epoch, TransferName

_EPOCH: Final = re.compile(r"epoch-(\d{12,})")
_KEPT: Final = 5
_LONGEST_KEY: Final = 200
_LARGEST_BYTES: Final = 64 * 1024 * 1024
_LINKS: Final = 500
"""So many names a file gets at the most; NTFS takes 1,024 (Microsoft, "Hard links and junctions")."""
_AT_ONCE: Final = 16

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Last:
    """The highest epoch of a key, and which session has it; 0 where the key has none. ``traced``: as others tell."""

    epoch: int
    holder: str = ""
    traced: int = 0


@dataclass(slots=True, kw_only=True)
class Proofs:
    """Files that name the session in whose folder they are, with as many names as a file may have."""

    folder: Path
    session: str
    made: int = 0
    links: int = _LINKS

    def next(self, count: int) -> Path:
        """Return a file that can be given ``count`` further names, no more than a file may have; raises OSError."""
        if self.links + count > _LINKS:
            write_file(self.folder / f"proof-{self.made + 1}", self.session.encode())
            self.made, self.links = self.made + 1, 0
        self.links += count
        return self.folder / f"proof-{self.made}"


class Epochs:
    """The leases in ``folder``. One thread calls this; what it does to several keys it does at the same time.

    ``remembered`` tells from other traces the highest epoch that a key ever had; for any thread.
    """

    def __init__(self, folder: Path, *, remembered: Callable[[TransferName], Epoch]) -> None:
        self._folder = folder
        self._remembered = remembered

    def last(self, keys: Iterable[TransferName]) -> dict[TransferName, Last | MftgitError]:
        """Return what each key's folder tells, or CoordinatorUnavailableError."""
        return _of_each(self._last, list(keys))

    def make(
        self, epochs: Mapping[TransferName, int], proofs: Proofs
    ) -> dict[TransferName, bool | MftgitError]:
        """Make an epoch of each key for the session of ``proofs``; tell whether it is that one's, and the highest.

        The value is CoordinatorUnavailableError where that is not known.
        """
        made: dict[TransferName, bool | MftgitError] = {}
        keys = list(epochs)
        for start in range(0, len(keys), _LINKS):
            some = keys[start : start + _LINKS]
            with storage("the session"):
                proof = proofs.next(len(some))
            made |= _of_each(lambda key, own=proof: self._make(key, epochs[key], own), some)  # type: ignore[misc]
        return made

    def _last(self, key: TransferName) -> Last:
        place = self._place(key)
        with storage(f"the lease {key}"):
            epoch = _highest(place)
            if not epoch:
                return Last(epoch=0, traced=self._remembered(key))
            holder = read(place / _name(epoch)).decode("utf-8", "replace")
            return Last(epoch=epoch, holder=holder)

    def _make(self, key: TransferName, epoch: int, proof: Path) -> bool:
        place = self._place(key)
        with storage(f"the lease {key}"):
            try:
                ours = link_once(proof, place / _name(epoch))
            except FileNotFoundError:
                place.mkdir(parents=True, exist_ok=True)
                ours = link_once(proof, place / _name(epoch))
            if not ours:
                return False
            sync_folder(place)
            numbers = _numbers(place)
            for old in numbers:  # the last few stay for people to look at
                if old <= epoch - _KEPT:
                    (place / _name(old)).unlink(missing_ok=True)
            return max(numbers, default=0) == epoch

    def _place(self, key: TransferName) -> Path:
        """Return the folder of ``key``; no key, whatever is in it, names one elsewhere."""
        name = quote(key, safe="", errors="surrogatepass")
        if len(name) > _LONGEST_KEY:
            name = f"{name[:100]}%{hashlib.sha256(name.encode()).hexdigest()}"
        return self._folder / f"lease-{name}"


def link_once(own: Path, name: Path) -> bool:
    """Give ``own`` the further name ``name``, and tell whether it has it; raises OSError.

    The reply of ``link`` may be lost on NFS although the link was made, so it is not asked; the file is.
    """
    try:
        os.link(own, name)
    except FileNotFoundError:
        raise
    except OSError:
        if not (name.exists() and name.samefile(own)):
            if not name.exists():
                raise
            return False
    return True


def read(path: Path) -> bytes:
    """Return what a file holds, up to a bound that no file of ours comes near; nothing where it is not there."""
    try:
        return read_replaced(path, most_bytes=_LARGEST_BYTES)
    except FileNotFoundError:
        return b""


@contextmanager
def storage(what: str) -> Iterator[None]:
    """Let errors of the storage be told as those of the coordinator."""
    try:
        yield
    except OSError as error:
        raise CoordinatorUnavailableError(
            f"the shared folder of {what} does not answer: {error}; "
            "see that it is mounted and writable on this member"
        ) from error


def _of_each(
    call: Callable[[TransferName], T], keys: list[TransferName]
) -> dict[TransferName, T | MftgitError]:
    few = len(keys) < 2  # noqa: PLR2004  more than one
    found = each(call, keys) if few else side_by_side(call, keys, at_once=_AT_ONCE)
    return dict(zip(keys, found, strict=True))


def _name(epoch: int) -> str:
    return f"epoch-{epoch:012d}"


def _numbers(place: Path) -> list[int]:
    try:
        return [int(found[1]) for found in map(_EPOCH.fullmatch, os.listdir(place)) if found]  # noqa: PTH208  thousands
    except FileNotFoundError:
        return []


def _highest(place: Path) -> int:
    return max(_numbers(place), default=0)
