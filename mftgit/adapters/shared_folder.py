"""Leases in a folder that the members share: NFS, SMB, or a local disk for members on one machine.

A key is a folder. Whoever creates ``epoch-N`` in it owns epoch N; the file is made by ``link(2)``, which has one winner
on every POSIX file system, and never changes. The owner alone rewrites ``beat-N``. Watchers time, each by its own
clock, for how long the highest epoch and its beat have not changed; no point in time is ever read from a file. A beat
tells its owner's ttl, because a change of the ttl does not reach every member at the same moment: a watcher waits for
the longer of the owner's and its own.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from mftgit.adapters.clock import Clock
from mftgit.adapters.coordinator import CoordinatorUnavailableError, Grant, LeaseLostError, View
from mftgit.adapters.durable import write_file
from mftgit.model.lease import MAX_TTL_S, Observation, wait_s
from mftgit.model.names import Epoch, MemberName, is_name

_EPOCH: Final = re.compile(r"epoch-(\d{12,})")
_BEAT: Final = re.compile(r"beat-(\d{12,})")
_TOLD_TTL: Final = re.compile(r"ttl_s=(\d{1,6}\.\d{3})\Z")
_KEPT_EPOCHS: Final = 5
_LONGEST_KEY: Final = 200
_RELEASED: Final = "released"
_LINKED: Final = 2  # links of a file that has its own name and the epoch's


@dataclass(slots=True, kw_only=True)
class _Taking:
    """An epoch that this member created, and that does not count yet.

    ``before`` is what was last seen of the epoch below; ``counts_from`` is None until that was looked at again.
    """

    epoch: int
    before: Observation
    counts_from: float | None = None


class SharedFolderCoordinator:
    """`Coordinator` over files in ``folder``, which is made when missing.

    Taking a lease is Dekker's way: raise one's flag, then look at the other's. The owner writes its beat and then
    looks for a higher epoch; the taker creates the higher epoch and then looks at the beat again. One of the two
    sees the other. A taker that sees a fresh beat does not give its epoch up, because the old owner will stand down
    for it, and to mark it released would let a third member begin while the old owner's grant is valid still. It keeps
    the epoch alive and waits until the deadline that the beat stands for has passed (`wait_s`); only then does
    `try_acquire` return the grant. If it dies meanwhile, its epoch runs out like any other.

    Where a lease's folder was removed, whoever saw it before goes on above the epochs that it saw, and waits as for an
    owner that went silent in that moment, because there may be one. Whoever did not see it goes by ``remembered``,
    which tells from other traces the highest epoch that a key ever had.

    One thread calls `try_acquire`, `renew` and `release`; `observe` is for any thread.
    """

    def __init__(
        self,
        folder: Path,
        *,
        member: MemberName,
        ttl_s: float,
        clock: Clock,
        remembered: Callable[[str], Epoch] = lambda _key: Epoch(0),
    ) -> None:
        self._folder = folder
        self._remembered = remembered
        self._member = member
        self._ttl_s = ttl_s
        self._clock = clock
        self._seen: dict[str, Observation] = {}
        self._taking: dict[str, _Taking] = {}
        self._highest: dict[str, int] = {}
        self._beats = 0

    def try_acquire(self, key: str, *, above: Epoch = Epoch(0)) -> Grant | None:  # noqa: B008  a number
        """See `Coordinator.try_acquire`.

        None also while a lease that was just taken does not count yet; ask again soon.
        """
        with _storage(key):
            place = self._place(key)
            if key not in self._taking:
                seen = self._look(key, place)
                known = self._highest[key] or self._remembered(key)
                epoch = max(known, above) + 1
                if not self._is_free(key, seen) or not self._create(place, epoch):
                    return None
                self._taking[key] = _Taking(epoch=epoch, before=seen)
            return self._finish(key, place)

    def renew(self, grant: Grant) -> Grant:
        """See `Coordinator.renew`."""
        with _storage(grant.key):
            place = self._place(grant.key)
            sent_at = self._clock.boottime()
            self._beat(place, grant.epoch)
            if (highest := _highest(place)) != grant.epoch:
                raise LeaseLostError(
                    f"the lease {grant.key} has gone from epoch {grant.epoch} to {highest}: stand down"
                )
        return Grant(key=grant.key, epoch=grant.epoch, sent_at=sent_at, ttl_s=self._ttl_s)

    def observe(self, key: str) -> View:
        """See `Coordinator.observe`; an owner whose silence this object has watched for long enough is None too."""
        with _storage(key):
            place = self._place(key)
            seen = self._look(key, place)
            free = self._is_free(key, seen)
            owner = None if free else _read(place / _epoch_name(seen.epoch))
        known = owner is not None and is_name(owner)  # a disk that was full may have left it empty
        return View(owner=MemberName(str(owner)) if known else None, epoch=Epoch(seen.epoch))

    def release(self, grant: Grant) -> None:
        """See `Coordinator.release`."""
        with _storage(grant.key):
            write_file(self._place(grant.key) / _beat_name(grant.epoch), _RELEASED.encode())

    def _finish(self, key: str, place: Path) -> Grant | None:
        """Keep the epoch that is being taken alive, and return its grant once the one below is over for sure."""
        taking = self._taking[key]
        sent_at = self._clock.boottime()
        self._beat(place, taking.epoch)
        if _highest(place) != taking.epoch:
            del self._taking[key]
            return None
        if taking.counts_from is None:
            beat = _read(place / _beat_name(taking.before.epoch))
            over = beat in {taking.before.beat, _RELEASED}
            taking.counts_from = self._clock.boottime() + (
                0 if over else wait_s(self._longer(beat))
            )
        if self._clock.boottime() < taking.counts_from:
            return None
        del self._taking[key]
        _sweep(place, taking.epoch)
        return Grant(key=key, epoch=Epoch(taking.epoch), sent_at=sent_at, ttl_s=self._ttl_s)

    def _place(self, key: str) -> Path:
        """Return the folder of ``key``, made when missing; no key, whatever is in it, names one elsewhere."""
        name = quote(key, safe="", errors="surrogatepass")
        if len(name) > _LONGEST_KEY:
            name = f"{name[:100]}%{hashlib.sha256(name.encode()).hexdigest()}"
        place = self._folder / f"lease-{name}"
        place.mkdir(parents=True, exist_ok=True)
        return place

    def _look(self, key: str, place: Path) -> Observation:
        epoch = _highest(place)
        beat = _read(place / _beat_name(epoch))
        now = self._clock.boottime()
        known = self._seen.get(key, Observation(epoch=epoch, beat=beat, since=now))
        self._seen[key] = known.seen(epoch, beat, now)
        self._highest[key] = max(epoch, self._highest.get(key, 0))
        return self._seen[key]

    def _is_free(self, key: str, seen: Observation) -> bool:
        return (
            self._highest[key] == 0
            or seen.beat == _RELEASED
            or seen.has_run_out(self._clock.boottime(), self._longer(seen.beat))
        )

    def _longer(self, beat: str | None) -> float:
        """Return this member's ttl or the one that ``beat`` tells, whichever is longer, in seconds."""
        told = _TOLD_TTL.search(beat or "")
        return max(self._ttl_s, min(float(told[1]), MAX_TTL_S)) if told else self._ttl_s

    def _create(self, place: Path, epoch: int) -> bool:
        """Create the file of ``epoch`` and tell whether this member did it.

        The reply of ``link`` may be lost on NFS although the link was made, so it is not asked; the number of links is.
        """
        unique = place / f".{self._member}.{secrets.token_hex(8)}"
        try:
            with unique.open("x", encoding="utf-8") as stream:
                stream.write(self._member)
                stream.flush()
                os.fsync(stream.fileno())
            try:
                os.link(unique, place / _epoch_name(epoch))
            except FileExistsError:
                return unique.stat().st_nlink == _LINKED
            except OSError:
                if unique.stat().st_nlink != _LINKED:
                    raise
            return unique.stat().st_nlink == _LINKED
        finally:
            unique.unlink(missing_ok=True)

    def _beat(self, place: Path, epoch: int) -> None:
        self._beats += 1
        beat = f"{self._member} {self._beats} ttl_s={self._ttl_s:.3f}"
        write_file(place / _beat_name(epoch), beat.encode())


def _epoch_name(epoch: int) -> str:
    return f"epoch-{epoch:012d}"


def _beat_name(epoch: int) -> str:
    return f"beat-{epoch:012d}"


def _numbers(place: Path, kind: re.Pattern[str]) -> Iterator[int]:
    for path in place.iterdir():
        if found := kind.fullmatch(path.name):
            yield int(found[1])


def _highest(place: Path) -> int:
    return max(_numbers(place, _EPOCH), default=0)


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _sweep(place: Path, epoch: int) -> None:
    """Remove what is left of epochs long past; the last few stay for people to look at."""
    for kind, name in ((_EPOCH, _epoch_name), (_BEAT, _beat_name)):
        for old in _numbers(place, kind):
            if old <= epoch - _KEPT_EPOCHS:
                (place / name(old)).unlink(missing_ok=True)


@contextmanager
def _storage(key: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CoordinatorUnavailableError(
            f"the shared folder of the lease {key} does not answer: {error}; "
            "see that it is mounted and writable on this member"
        ) from error
