"""The sessions of the other members in the shared folder: what they tell, and how one that is silent is ended.

What a listing says may be old where the storage keeps copies (NFS). So a name is decided on by making it, and listed
again after that: a client sees its own change and what was there before it.
"""

import math
import re
import secrets
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mftgit.adapters.clock import Clock
from mftgit.adapters.durable import names_in, sync_folder
from mftgit.adapters.shared.epochs import Last, link_once, read, storage
from mftgit.model.names import NAME_PATTERN, MemberName, TransferName, is_name
from mftgit.model.ownership.lease import Observation
from mftgit.model.ownership.session import Told, parse_told

TOLD: Final = "told.json"
"""What the owner of a session tells, in its folder."""

_BEAT: Final = re.compile(r"beat-(\d{12,})")
_SESSION: Final = re.compile(rf"{NAME_PATTERN}\.[0-9a-f]{{1,32}}")
_ENDED: Final = "ended"
_KEPT_TTLS: Final = 10.0


def beat_name(beat: int) -> str:
    """Return the name of a sign of life."""
    return f"beat-{beat:012d}"


@dataclass(slots=True, kw_only=True)
class _Seen:
    """A session as this member sees it; ``over_since`` is when it was seen to have ended, by `Clock.boottime`."""

    observation: Observation
    raw: bytes = b""
    told: Told
    over_since: float | None = None


class Others:
    """The sessions in ``folder`` but for this member's own, as it has seen them; for one thread."""

    def __init__(self, folder: Path, *, member: MemberName, ttl_s: float, clock: Clock) -> None:
        self._folder = folder
        self._member = member
        self._ttl_s = ttl_s
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def look(self, *, but: str | None) -> bool:
        """Look at all again, ``but`` our own session; tell whether anything has changed."""
        with storage("the sessions"):
            names = (path.name for path in names_in(self._folder))
            there = {name for name in names if not name.startswith(".")}
            changed = [self._observe(name, there) for name in (there | self._seen.keys()) - {but}]
        return any(changed)

    @property
    def living(self) -> list[Told]:
        """Return what the sessions that live tell, the latest sign of life last."""
        seen = sorted(self._seen.values(), key=lambda each: each.observation.since)
        return [each.told for each in seen if each.over_since is None]

    @property
    def over(self) -> list[Told]:
        """Return what those told that have ended, as far as they are not swept yet."""
        return [each.told for each in self._seen.values() if each.over_since is not None]

    def due_in_s(self) -> float:
        """Return in how many seconds one will have been silent for too long; infinite where there is none."""
        living = [each for each in self._seen.values() if each.over_since is None]
        due = (each.observation.runs_out_at(self._ttl_of(each)) for each in living)
        return min(due, default=math.inf) - self._clock.boottime()

    def has_let_go(self, key: TransferName, last: Last) -> bool:
        """Tell whether the session that has the last epoch has ended, or has given the lease back."""
        if last.holder not in self._seen:
            with storage("the sessions"):
                self._observe(last.holder, set())
            return False
        seen = self._seen[last.holder]
        given = seen.told.standing.handovers.get(key)
        return seen.over_since is not None or (given is not None and given.epoch >= last.epoch)

    def _observe(self, name: str, there: set[str]) -> bool:
        """Look at a session again, and end it where it was silent for too long; tell whether anything has changed."""
        now, seen = self._clock.boottime(), self._seen.get(name)
        if seen is not None and seen.over_since is not None:
            return self._sweep(name, seen.over_since, now, is_there=name in there)
        place = self._session(name)
        beat, ended = (None, False) if place is None else _signs(place)
        raw = b"" if place is None else read(place / TOLD)
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
        return self._folder / name if _SESSION.fullmatch(name) else None

    def _end(self, name: str, seen: _Seen) -> bool:
        """Make the next sign of life of a silent session, so that its owner cannot; tell whether that ended it."""
        place, following = self._session(name), (seen.observation.beat or 0) + 1
        if place is None or not place.is_dir():
            return True
        own = place / f".{self._member}.{secrets.token_hex(8)}"
        try:
            own.touch()
            if not link_once(own, place / beat_name(following)):
                return False
            sync_folder(place)
            highest, _ = _signs(place)
            if highest != following:  # we were frozen, and it has gone on long since
                (place / beat_name(following)).unlink(missing_ok=True)
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


def _member_of(session: str) -> MemberName | None:
    name = session.rpartition(".")[0]
    return MemberName(name) if is_name(name) else None


def _signs(place: Path) -> tuple[int | None, bool]:
    """Return the last sign of life of a session, and whether it was ended by another."""
    names = [path.name for path in names_in(place)]
    beats = [int(found[1]) for found in map(_BEAT.fullmatch, names) if found]
    return max(beats, default=None), _ENDED in names
