"""Sessions and leases in a folder that the members share: NFS, SMB, or a local disk for members on one machine.

A session is a folder. Its sign of life is a chain of files, `beat-1`, `beat-2`, …, each made by ``link(2)``, which
has one winner on every POSIX file system. The owner makes the next one to renew. Whoever has seen none for long enough
makes the next one itself: then the owner cannot go on, and knows. So one name decides whether a session goes on or has
ended, and no point in time is ever read from a file. `told.json` is what the owner tells: its ttl, its standing,
and what it holds. A lease is a folder, too: `mftgit.adapters.shared_epochs`.

What a listing says may be old where the storage keeps copies (NFS). So a name is decided on by making it, and listed
again after that: a client sees its own change and what was there before it.
"""

import math
import re
import secrets
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mftgit.adapters.clock import Clock, rfc3339
from mftgit.adapters.coordinator import (
    CoordinatorUnavailableError,
    Session,
    SessionLostError,
    Wish,
)
from mftgit.adapters.durable import names_in, sync_folder, write_file
from mftgit.adapters.shared_epochs import Epochs, Last, Proofs, link_once, read, storage
from mftgit.errors import MftgitError
from mftgit.model.lease import Observation
from mftgit.model.names import NAME_PATTERN, Epoch, MemberName, TransferName, is_name
from mftgit.model.session import Told, format_told, parse_told, see_sessions
from mftgit.model.standing import Handover, Standing
from mftgit.model.view import Sight, View

_BEAT: Final = re.compile(r"beat-(\d{12,})")
_SESSION: Final = re.compile(rf"{NAME_PATTERN}\.[0-9a-f]{{1,32}}")
_ENDED, _TOLD, _OWN = "ended", "told.json", "own"
_KEPT_BEATS: Final = 20
_KEPT_TTLS: Final = 10.0


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
    proofs: Proofs
    handovers: dict[TransferName, Handover] = field(default_factory=dict)
    untold: dict[TransferName, float] = field(default_factory=dict)
    """Keys whose epoch may be this session's, although nobody was told; since when, by `Clock.boottime`."""


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
        self._sessions = folder / "sessions"
        self._epochs = Epochs(folder / "leases", remembered=remembered)
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
        with storage("the session"):
            for left in names_in(self._sessions):  # by a process that was killed right here
                if left.name.startswith(f".{self._member}."):
                    shutil.rmtree(left, ignore_errors=True)
            fresh, place = self._sessions / f".{name}", self._sessions / name
            fresh.mkdir(parents=True)
            write_file(fresh / _TOLD, format_told(told))
            write_file(fresh / _OWN, name.encode())
            sent_at = self._clock.boottime()
            link_once(fresh / _OWN, fresh / _beat_name(1))
            sync_folder(fresh)
            fresh.rename(place)  # whole: NFS remembers for half a minute what it looked for in vain
            sync_folder(self._sessions)
        proofs = Proofs(folder=place, session=name)
        self._mine = _Mine(id=name, beat=1, told=told, proofs=proofs)
        self._sight = None
        return Session(id=name, sent_at=sent_at, ttl_s=self._ttl_s)

    def renew(self, session: Session) -> Session:
        """See `Coordinator.renew`."""
        mine, place = self._of(session), self._sessions / session.id
        with storage("the session"):
            sent_at = self._clock.boottime()
            try:
                goes_on = link_once(place / _OWN, place / _beat_name(mine.beat + 1))
            except FileNotFoundError as error:
                raise SessionLostError(f"the folder of the session is gone: {place}") from error
            if not goes_on:
                raise SessionLostError(
                    "another member has ended the session, because it was silent"
                )
            sync_folder(place)
            mine.beat += 1
            if mine.beat > _KEPT_BEATS:
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
        if self._mine is not None and self._mine.untold:
            self._free_untold(self._mine)
        with storage("the sessions"):
            names = (path.name for path in names_in(self._sessions))
            there = {name for name in names if not name.startswith(".")}
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

    def due_in_s(self) -> float:
        """See `Coordinator.due_in_s`."""
        living = [each for each in self._seen.values() if each.over_since is None]
        due = (each.observation.runs_out_at(self._ttl_of(each)) for each in living)
        return min(due, default=math.inf) - self._clock.boottime()

    def take(
        self, session: Session, wishes: Mapping[TransferName, Wish]
    ) -> Mapping[TransferName, Epoch]:
        """See `Coordinator.take`."""
        mine = self._of(session)
        found = self._epochs.last(wishes)
        there = {key: last for key, last in found.items() if isinstance(last, Last)}
        taken = {k: last.epoch for k, last in there.items() if _has_it(k, last, wishes[k], mine)}
        free = {
            key: self._next(key, last, wishes[key])
            for key, last in there.items()
            if key not in taken and self._is_free(key, last, mine)
        }
        mine.untold.update(dict.fromkeys([*free, *taken], self._clock.boottime()))
        made = self._epochs.make(free, mine.proofs)
        taken |= {key: free[key] for key, done in made.items() if done is True}
        for key, done in made.items():
            if done is False:
                mine.untold.pop(key, None)
        if not taken:
            _raise_first(*found.values(), *made.values())
            return {}
        for key in taken:
            mine.handovers.pop(key, None)
        since = rfc3339(self._clock.now())
        told = {
            key: View(owner=self._member, epoch=Epoch(epoch), why=wishes[key].why, since=since)
            for key, epoch in taken.items()
        }
        self._say(mine, holds={**mine.told.holds, **told})
        for key in taken:
            mine.untold.pop(key, None)
        return {key: view.epoch for key, view in told.items()}

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

    def _free_untold(self, mine: _Mine) -> None:
        """Give back what was taken without a word and is not asked for any more: else it is free for nobody."""
        now = self._clock.boottime()
        old = [key for key, since in mine.untold.items() if now - since >= self._ttl_s]
        found = self._epochs.last(old) if old else {}
        there = {key: last for key, last in found.items() if isinstance(last, Last)}
        ours = {
            key: Handover(epoch=Epoch(last.epoch), why="it was taken, but could not be told")
            for key, last in there.items()
            if last.holder == mine.id and key not in mine.told.holds and key not in mine.handovers
        }
        try:
            if ours:
                mine.handovers.update(ours)
                self._say(mine)
        except CoordinatorUnavailableError:
            for key in ours:
                del mine.handovers[key]
            return
        for key in there:
            del mine.untold[key]

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
        with storage("the session"):
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
        raw = b"" if place is None else read(place / _TOLD)
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
            silent = seen.observation.has_run_out(now, self._ttl_of(seen))
            ended = silent and self._end(name, seen)
        if ended:
            seen.over_since = now
        return fresh or news or ended

    def _ttl_of(self, seen: _Seen) -> float:
        return max(self._ttl_s, seen.told.ttl_s)

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
            if not link_once(own, place / _beat_name(following)):
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
            gone = place.with_name(f".{name}")
            shutil.rmtree(gone, ignore_errors=True)  # by one that was killed right here
            with suppress(OSError):
                place.rename(gone)  # at once: an owner that wakes finds none of it, to go on by
                shutil.rmtree(gone, ignore_errors=True)
        else:
            del self._seen[name]
        return False

    def _remember(self, sight: Sight) -> None:
        for key, view in sight.views.items():
            epoch = max(view.epoch, view.handover.epoch if view.handover else 0)
            self._highest[key] = max(epoch, self._highest.get(key, 0))

    # Epochs

    def _is_free(self, key: TransferName, last: Last, mine: _Mine) -> bool:
        """Tell whether the session that has the last epoch has ended, or has given the lease back."""
        if not last.epoch or last.holder == mine.id:
            return True  # given back, or to be raised
        if last.holder not in self._seen:
            with storage("the sessions"):
                self._observe(last.holder, set())
            return False
        seen = self._seen[last.holder]
        given = seen.told.standing.handovers.get(key)
        return seen.over_since is not None or (given is not None and given.epoch >= last.epoch)

    def _next(self, key: TransferName, last: Last, wish: Wish) -> int:
        known = last.epoch or self._highest.get(key, 0) or last.traced
        return max(known, wish.above) + 1


def _has_it(key: TransferName, last: Last, wish: Wish, mine: _Mine) -> bool:
    """Tell whether our session has what is wished for already."""
    return last.holder == mine.id and key not in mine.handovers and last.epoch > wish.above


def _raise_first(*results: object) -> None:
    for each in results:
        if isinstance(each, MftgitError):
            raise each


def _member_of(session: str) -> MemberName | None:
    name = session.rpartition(".")[0]
    return MemberName(name) if is_name(name) else None


def _beat_name(beat: int) -> str:
    return f"beat-{beat:012d}"


def _signs(place: Path) -> tuple[int | None, bool]:
    """Return the last sign of life of a session, and whether it was ended by another."""
    names = [path.name for path in names_in(place)]
    beats = [int(found[1]) for found in map(_BEAT.fullmatch, names) if found]
    return max(beats, default=None), _ENDED in names
