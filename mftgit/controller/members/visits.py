"""Who is logged in at the services of members: asked for while somebody looks, and told by nobody otherwise."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mftgit.adapters.clock import Clock
from mftgit.model.inbound.sessions_told import SessionsTold
from mftgit.model.names import MemberName

ASK_EVERY_S: Final = 3.0
"""How often members are asked at most, however many look."""

FRESH_S: Final = 30.0
"""What a member has said longer ago is not shown any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One session at a member; ``told`` is as ``mftgit session list --json`` documents it."""

    member: MemberName
    told: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return the shape that the API documents."""
        return {"member": self.member, **self.told}


class Visits:
    """What members said last. For any thread."""

    def __init__(self, *, ask: Callable[[], None], clock: Clock) -> None:
        """``ask`` has every member that listens say who is logged in."""
        self._ask = ask
        self._clock = clock
        self._lock = threading.Condition()
        self._asked_at = float("-inf")
        self._told: dict[MemberName, tuple[float, SessionsTold]] = {}
        self._changes = 0

    def take(self, member: MemberName, told: SessionsTold) -> None:
        """Keep what a member says."""
        with self._lock:
            before = self._told.get(member)
            self._told[member] = self._clock.boottime(), told
            if before is None or before[1] != told:
                self._changes += 1
            self._lock.notify_all()

    def watch(self) -> int:
        """Say that somebody looks; return a number that rises with what is told."""
        with self._lock:
            now = self._clock.boottime()
            due = now - self._asked_at >= ASK_EVERY_S
            self._asked_at = now if due else self._asked_at
            changes = self._changes
        if due:
            self._ask()
        return changes

    def all(
        self, members: Sequence[MemberName], *, within_s: float = 0.0
    ) -> tuple[list[Visit], list[MemberName]]:
        """Return the sessions of ``members``, and which of them have not said anything of late.

        What is asked for now is waited for, up to ``within_s``.
        """
        self.watch()
        with self._lock:
            asked_at = self._asked_at
            self._lock.wait_for(
                lambda: all(self._said_at(each) >= asked_at for each in members), within_s
            )
            fresh_from = self._clock.boottime() - FRESH_S
            heard = [each for each in members if self._said_at(each) >= fresh_from]
            visits = [
                Visit(member=each, told=one)
                for each in heard
                for one in self._told[each][1].sessions
            ]
        return visits, [each for each in members if each not in heard]

    def more(self, members: Sequence[MemberName]) -> int:
        """Return how many sessions ``members`` have beyond those that they tell."""
        with self._lock:
            return sum(self._told[each][1].more for each in members if each in self._told)

    def _said_at(self, member: MemberName) -> float:
        return self._told[member][0] if member in self._told else float("-inf")
