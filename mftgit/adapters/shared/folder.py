"""Sessions and leases in a folder that the members share: NFS, SMB, or a local disk for members on one machine.

A session is a folder. Its sign of life is a chain of files, `beat-1`, `beat-2`, …, each made by ``link(2)``, which
has one winner on every POSIX file system. The owner makes the next one to renew. Whoever has seen none for long enough
makes the next one itself: then the owner cannot go on, and knows. So one name decides whether a session goes on or has
ended, and no point in time is ever read from a file. `told.json` is what the owner tells: its ttl, its standing,
and what it holds. What others tell is in `mftgit.adapters.shared.sessions`. A lease is a folder, too:
`mftgit.adapters.shared.epochs`.
"""

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
from mftgit.adapters.shared.epochs import Epochs, Last, Proofs, link_once, storage
from mftgit.adapters.shared.sessions import TOLD, Others, beat_name
from mftgit.errors import MftgitError
from mftgit.model.names import Epoch, MemberName, TransferName
from mftgit.model.ownership.session import Told, format_told, see_sessions
from mftgit.model.ownership.standing import Handover, Standing
from mftgit.model.ownership.view import Sight, View

_OWN: Final = "own"
_KEPT_BEATS: Final = 20


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
        self._others = Others(self._sessions, member=member, ttl_s=ttl_s, clock=clock)
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
            write_file(fresh / TOLD, format_told(told))
            write_file(fresh / _OWN, name.encode())
            sent_at = self._clock.boottime()
            link_once(fresh / _OWN, fresh / beat_name(1))
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
                goes_on = link_once(place / _OWN, place / beat_name(mine.beat + 1))
            except FileNotFoundError as error:
                raise SessionLostError(f"the folder of the session is gone: {place}") from error
            if not goes_on:
                raise SessionLostError(
                    "another member has ended the session, because it was silent"
                )
            sync_folder(place)
            mine.beat += 1
            if mine.beat > _KEPT_BEATS:
                (place / beat_name(mine.beat - _KEPT_BEATS)).unlink(missing_ok=True)
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

    def hang_up(self) -> None:
        """See `Coordinator.hang_up`: nothing is kept open."""

    # Leases

    def look(self) -> Sight:
        """See `Coordinator.look`."""
        if self._mine is not None and self._mine.untold:
            self._free_untold(self._mine)
        changed = self._others.look(but=None if self._mine is None else self._mine.id)
        if changed or self._sight is None:
            own = [] if self._mine is None else [self._mine.told]
            self._sight = see_sessions([*self._others.living, *own], self._others.over)
            self._remember(self._sight)
        return self._sight

    def due_in_s(self) -> float:
        """See `Coordinator.due_in_s`."""
        return self._others.due_in_s()

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
                write_file(self._sessions / mine.id / TOLD, format_told(told))
            except FileNotFoundError as error:
                raise SessionLostError("the folder of the session is gone") from error
        mine.told = told
        self._sight = None

    def _remember(self, sight: Sight) -> None:
        for key, view in sight.views.items():
            epoch = max(view.epoch, view.handover.epoch if view.handover else 0)
            self._highest[key] = max(epoch, self._highest.get(key, 0))

    # Epochs

    def _is_free(self, key: TransferName, last: Last, mine: _Mine) -> bool:
        """Tell whether the session that has the last epoch has ended, or has given the lease back."""
        if not last.epoch or last.holder == mine.id:
            return True  # given back, or to be raised
        return self._others.has_let_go(key, last)

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
