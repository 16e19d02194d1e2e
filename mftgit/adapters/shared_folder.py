"""Sessions and leases in a folder that the members share: NFS, SMB, or a local disk for members on one machine.

A session is a folder. Its sign of life is a chain of files, `beat-1`, `beat-2`, …, each made by ``link(2)``, which
has one winner on every POSIX file system. The owner makes the next one to renew. Whoever has seen none for long enough
makes the next one itself: then the owner cannot go on, and knows. So one name decides whether a session goes on or has
ended, and no point in time is ever read from a file. `told.json` is what the owner tells: its ttl, its standing,
and what it holds. A lease is a folder, too: whoever makes ``epoch-N`` in it, by ``link`` again, has epoch N, and the
file names the session that it lasts as long as.

What a listing says may be old where the storage keeps copies (NFS). So a name is decided on by making it, and listed
again after that: a client sees its own change and what was there before it.
"""

import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

from mftgit.adapters.clock import Clock, rfc3339
from mftgit.adapters.coordinator import (
    CoordinatorUnavailableError,
    Session,
    SessionLostError,
    Wish,
)
from mftgit.adapters.durable import names_in, read_replaced, sync_folder, write_file
from mftgit.model.lease import Observation
from mftgit.model.names import NAME_PATTERN, Epoch, MemberName, TransferName, is_name
from mftgit.model.session import Told, format_told, parse_told, see_sessions
from mftgit.model.standing import Handover, Standing
from mftgit.model.view import Sight, View

_EPOCH: Final = re.compile(r"epoch-(\d{12,})")
_BEAT: Final = re.compile(r"beat-(\d{12,})")
_SESSION: Final = re.compile(rf"{NAME_PATTERN}\.[0-9a-f]{{1,32}}")
_ENDED, _TOLD, _OWN = "ended", "told.json", "own"
_KEPT_BEATS: Final = 20
_KEPT_EPOCHS: Final = 5
_KEPT_TTLS: Final = 10.0
_LONGEST_KEY: Final = 200
_LARGEST_BYTES: Final = 64 * 1024 * 1024


@dataclass(slots=True, kw_only=True)
class _Seen:
    """A session as this member sees it; ``over_since`` is when it was seen to have ended, by `Clock.boottime`."""

    observation: Observation
    raw: bytes = b""
    told: Told
    over_since: float | None = None


@dataclass(slots=True, kw_only=True)
class _Mine:
    """This member's session; ``beat`` is for the thread that renews, ``told`` for the other one."""

    id: str
    beat: int
    told: Told
    handovers: dict[TransferName, Handover] = field(default_factory=dict)


class SharedFolderCoordinator:
    """`Coordinator` over ``folder``, which is made when missing.

    Where a lease's folder was removed, its epochs go on above those that this object saw, and above ``remembered``,
    which tells from other traces the highest epoch that a key ever had. A session whose folder was removed is one that
    has gone silent.
    """

    def __init__(
        self,
        folder: Path,
        *,
        member: MemberName,
        ttl_s: float,
        clock: Clock,
        remembered: Callable[[TransferName], Epoch] = lambda _key: Epoch(0),
    ) -> None:
        self._sessions, self._leases = folder / "sessions", folder / "leases"
        self._remembered = remembered
        self._member = member
        self._ttl_s = ttl_s
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._mine: _Mine | None = None
        self._sight: Sight | None = None
        self._highest: dict[TransferName, int] = {}

    # Sessions

    def open(self, standing: Standing) -> Session:
        """See `Coordinator.open`."""
        name = f"{self._member}.{secrets.token_hex(8)}"
        told = Told(member=self._member, ttl_s=self._ttl_s, standing=standing)
        with _storage("the session"):
            place = self._sessions / name
            place.mkdir(parents=True)
            write_file(place / _TOLD, format_told(told))
            write_file(place / _OWN, name.encode())
            sent_at = self._clock.boottime()
            if not _link(place / _OWN, place / _beat_name(1)):
                raise CoordinatorUnavailableError("a session was ended before it had begun")
            sync_folder(place)
            sync_folder(self._sessions)
        self._mine = _Mine(id=name, beat=1, told=told)
        self._sight = None
        return Session(id=name, sent_at=sent_at, ttl_s=self._ttl_s)

    def renew(self, session: Session) -> Session:
        """See `Coordinator.renew`."""
        mine, place = self._of(session), self._sessions / session.id
        with _storage("the session"):
            sent_at = self._clock.boottime()
            try:
                goes_on = _link(place / _OWN, place / _beat_name(mine.beat + 1))
            except FileNotFoundError as error:
                raise SessionLostError(f"the folder of the session is gone: {place}") from error
            if not goes_on:
                raise SessionLostError(
                    "another member has ended the session, because it was silent"
                )
            sync_folder(place)
            mine.beat += 1
            (place / _beat_name(mine.beat - _KEPT_BEATS)).unlink(missing_ok=True)
        return Session(id=session.id, sent_at=sent_at, ttl_s=self._ttl_s)

    def tell(self, session: Session, standing: Standing) -> None:
        """See `Coordinator.tell`."""
        mine = self._of(session)
        self._say(mine, standing=standing)

    def close(self, session: Session, why: str) -> None:
        """See `Coordinator.close`."""
        mine = self._of(session)
        for key, view in mine.told.holds.items():
            mine.handovers[key] = Handover(epoch=view.epoch, why=why)
        with suppress(SessionLostError):
            self._say(mine, holds={}, closed=True)
        self._mine = None

    # Leases

    def look(self) -> Sight:
        """See `Coordinator.look`."""
        with _storage("the sessions"):
            there = {path.name for path in names_in(self._sessions)}
            changed = [self._observe(name, there) for name in there | self._seen.keys()]
        if any(changed) or self._sight is None:
            seen = sorted(self._seen.values(), key=lambda each: each.observation.since)
            living = [each.told for each in seen if each.over_since is None]
            if self._mine is not None:
                living.append(self._mine.told)
            over = [each.told for each in seen if each.over_since is not None]
            self._sight = see_sessions(living, over)
            self._remember(self._sight)
        return self._sight

    def take(
        self, session: Session, wishes: Mapping[TransferName, Wish]
    ) -> Mapping[TransferName, Epoch]:
        """See `Coordinator.take`."""
        mine, taken = self._of(session), dict[TransferName, View]()
        since = rfc3339(self._clock.now())
        try:
            for key, wish in wishes.items():
                with _storage(f"the lease {key}"):
                    epoch = self._take(key, wish, mine)
                if epoch is not None:
                    taken[key] = View(owner=self._member, epoch=epoch, why=wish.why, since=since)
        except CoordinatorUnavailableError:
            if not taken:
                raise
        if taken:
            self._say(mine, holds={**mine.told.holds, **taken})
        return {key: view.epoch for key, view in taken.items()}

    def give_back(self, session: Session, leases: Mapping[TransferName, Handover]) -> None:
        """See `Coordinator.give_back`."""
        mine = self._of(session)
        holds = {key: view for key, view in mine.told.holds.items() if key not in leases}
        before = dict(mine.handovers)
        mine.handovers.update(leases)
        try:
            self._say(mine, holds=holds)
        except BaseException:
            mine.handovers = before
            raise

    def _of(self, session: Session) -> _Mine:
        mine = self._mine
        if mine is None or mine.id != session.id:
            raise SessionLostError("the session was ended here")
        return mine

    def _say(
        self,
        mine: _Mine,
        *,
        standing: Standing | None = None,
        holds: Mapping[TransferName, View] | None = None,
        closed: bool = False,
    ) -> None:
        """Tell the others, and remember it as told once it is written."""
        known = self._sight.views if self._sight is not None else {}
        for key, handover in list(mine.handovers.items()):
            if key in known and known[key].owner is not None and known[key].epoch > handover.epoch:
                del mine.handovers[key]
        now = mine.told.standing if standing is None else standing
        told = Told(
            member=self._member,
            ttl_s=self._ttl_s,
            closed=closed,
            standing=Standing(
                draining=now.draining, aside=now.aside, handovers=dict(mine.handovers)
            ),
            holds=mine.told.holds if holds is None else holds,
        )
        with _storage("the session"):
            try:
                write_file(self._sessions / mine.id / _TOLD, format_told(told))
            except FileNotFoundError as error:
                raise SessionLostError("the folder of the session is gone") from error
        mine.told = told
        self._sight = None

    # What others tell

    def _observe(self, name: str, there: set[str]) -> bool:
        """Look at a session again, and end it where it was silent for too long; tell whether anything has changed."""
        now, seen = self._clock.boottime(), self._seen.get(name)
        if seen is not None and seen.over_since is not None:
            return self._sweep(name, seen.over_since, now, is_there=name in there)
        if self._mine is not None and name == self._mine.id:
            return False
        place = self._session(name)
        beat, ended = (None, False) if place is None else _signs(place)
        raw = b"" if place is None else _read(place / _TOLD)
        fresh = seen is None
        if seen is None:
            told = parse_told(raw, member=_member_of(name), ttl_s=self._ttl_s)
            seen = _Seen(observation=Observation(beat=beat, since=now), raw=raw, told=told)
            self._seen[name] = seen
        seen.observation = seen.observation.seen(beat, now)
        news = bool(raw) and raw != seen.raw
        if news:
            seen.raw = raw
            seen.told = parse_told(raw, member=_member_of(name), ttl_s=self._ttl_s)
        ended = ended or seen.told.closed
        if not ended:
            ttl_s = max(self._ttl_s, seen.told.ttl_s)
            ended = seen.observation.has_run_out(now, ttl_s) and self._end(name, seen)
        if ended:
            seen.over_since = now
        return fresh or news or ended

    def _session(self, name: str) -> Path | None:
        """Return the folder of a session; None for what the file of an epoch says without naming one."""
        return self._sessions / name if _SESSION.fullmatch(name) else None

    def _end(self, name: str, seen: _Seen) -> bool:
        """Make the next sign of life of a silent session, so that its owner cannot; tell whether that ended it."""
        place, following = self._session(name), (seen.observation.beat or 0) + 1
        if place is None or not place.is_dir():
            return True
        own = place / f".{self._member}.{secrets.token_hex(8)}"
        try:
            own.touch()
            if not _link(own, place / _beat_name(following)):
                return False
            sync_folder(place)
            highest, _ = _signs(place)
            if highest != following:  # we were frozen, and it has gone on long since
                (place / _beat_name(following)).unlink(missing_ok=True)
                return False
            (place / _ENDED).touch()
            sync_folder(place)
        except FileNotFoundError:
            return not place.is_dir()
        finally:
            with suppress(OSError):
                own.unlink(missing_ok=True)
        return True

    def _sweep(self, name: str, over_since: float, now: float, *, is_there: bool) -> bool:
        """Remove what is left of a session that ended long ago."""
        if now - over_since < _KEPT_TTLS * self._ttl_s:
            return False
        place = self._session(name)
        if is_there and place is not None:
            shutil.rmtree(place, ignore_errors=True)
        else:
            del self._seen[name]
        return False

    def _remember(self, sight: Sight) -> None:
        for key, view in sight.views.items():
            epoch = max(view.epoch, view.handover.epoch if view.handover else 0)
            self._highest[key] = max(epoch, self._highest.get(key, 0))

    # Epochs

    def _take(self, key: TransferName, wish: Wish, mine: _Mine) -> Epoch | None:
        place = self._place(key)
        last = _highest(place)
        if last:
            holder = _read(place / _epoch_name(last)).decode("utf-8", "replace")
            if holder == mine.id and key not in mine.handovers and last > wish.above:
                return Epoch(last)
            if not self._has_let_go(holder, key, last, mine):
                return None
        known = last or self._highest.get(key, 0) or self._remembered(key)
        epoch = max(known, wish.above) + 1
        if not self._create(place, epoch, mine.id):
            return None
        mine.handovers.pop(key, None)
        _sweep_epochs(place, epoch)
        return Epoch(epoch)

    def _has_let_go(self, holder: str, key: TransferName, epoch: int, mine: _Mine) -> bool:
        """Tell whether the session that has ``epoch`` of a lease has ended, or has given the lease back."""
        if holder == mine.id:
            return True  # given back, or to be raised
        if holder not in self._seen:
            self._observe(holder, set())
            return False
        seen = self._seen[holder]
        given = seen.told.standing.handovers.get(key)
        return seen.over_since is not None or (given is not None and given.epoch >= epoch)

    def _create(self, place: Path, epoch: int, session: str) -> bool:
        """Make the file of ``epoch``, and tell whether it is ours, and the highest."""
        unique = place / f".{self._member}.{secrets.token_hex(8)}"
        try:
            with unique.open("x", encoding="utf-8") as stream:
                stream.write(session)
                stream.flush()
                os.fsync(stream.fileno())
            if not _link(unique, place / _epoch_name(epoch)):
                return False
            sync_folder(place)
            return _highest(place) == epoch
        finally:
            unique.unlink(missing_ok=True)

    def _place(self, key: TransferName) -> Path:
        """Return the folder of ``key``, made when missing; no key, whatever is in it, names one elsewhere."""
        name = quote(key, safe="", errors="surrogatepass")
        if len(name) > _LONGEST_KEY:
            name = f"{name[:100]}%{hashlib.sha256(name.encode()).hexdigest()}"
        place = self._leases / f"lease-{name}"
        place.mkdir(parents=True, exist_ok=True)
        return place


def _link(own: Path, name: Path) -> bool:
    """Give ``own`` the further name ``name``, and tell whether it has it.

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


def _member_of(session: str) -> MemberName | None:
    name = session.rpartition(".")[0]
    return MemberName(name) if is_name(name) else None


def _epoch_name(epoch: int) -> str:
    return f"epoch-{epoch:012d}"


def _beat_name(beat: int) -> str:
    return f"beat-{beat:012d}"


def _numbers(place: Path, kind: re.Pattern[str]) -> Iterator[int]:
    for path in names_in(place):
        if found := kind.fullmatch(path.name):
            yield int(found[1])


def _highest(place: Path) -> int:
    return max(_numbers(place, _EPOCH), default=0)


def _signs(place: Path) -> tuple[int | None, bool]:
    """Return the last sign of life of a session, and whether it was ended by another."""
    names = [path.name for path in names_in(place)]
    beats = [int(found[1]) for found in map(_BEAT.fullmatch, names) if found]
    return max(beats, default=None), _ENDED in names


def _read(path: Path) -> bytes:
    try:
        return read_replaced(path, most_bytes=_LARGEST_BYTES)
    except FileNotFoundError:
        return b""


def _sweep_epochs(place: Path, epoch: int) -> None:
    """Remove what is left of epochs long past; the last few stay for people to look at."""
    for old in _numbers(place, _EPOCH):
        if old <= epoch - _KEPT_EPOCHS:
            (place / _epoch_name(old)).unlink(missing_ok=True)


@contextmanager
def _storage(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CoordinatorUnavailableError(
            f"the shared folder of {what} does not answer: {error}; "
            "see that it is mounted and writable on this member"
        ) from error
