"""How accounts are in use at all members, as these say, and what each of them has yet to learn of the others."""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from mftgit.model.inbound.account_use import KNOWN_S, MOST_TOLD, AccountUse, UseNews
from mftgit.model.inbound.used_codes import UsedCodes
from mftgit.model.names import AccountName, MemberName

MOST_CHANGED: Final = 100_000
"""Of so many accounts it is known when they changed last; who knows less is told all anew."""


@dataclass(slots=True, kw_only=True)
class _Word:
    """What a member said last, at the time ``at``."""

    at: float
    sessions: dict[AccountName, int] = field(default_factory=dict)


class UsesEverywhere:
    """One thread at a time; ``at`` is seconds that never jump, ``step`` the time step that the time is in."""

    def __init__(self, first: int, *, most_changed: int = MOST_CHANGED) -> None:
        """Nothing is known. The numbers of changes begin above ``first``, which is to be another one each time."""
        self._first = self.number = first
        self._most_changed = most_changed
        self._words: dict[MemberName, _Word] = {}
        self._sessions: Counter[AccountName] = Counter()
        self._codes = UsedCodes()
        self._changed: OrderedDict[AccountName, int] = OrderedDict()

    def take(self, member: MemberName, uses: Iterable[AccountUse], *, at: float, step: int) -> bool:
        """Take in all that is in use at ``member``; tell whether a code is among it that was not known."""
        told = {use.account: use for use in uses}
        self._count(member, {name: use.sessions for name, use in told.items() if use.sessions}, at)
        before = self._codes.recent(now=step)
        for name, use in told.items():
            if use.step is not None:
                self._codes.learn(name, use.step, now=step)
        after = self._codes.recent(now=step)
        fresh = [name for name in told if after.get(name) != before.get(name)]
        self._note(fresh)
        return bool(fresh)

    def forget(self, member: MemberName) -> None:
        """Count what is in use at ``member`` no more; its codes are used all the same."""
        self._count(member, {}, 0.0)
        self._words.pop(member, None)

    def expire(self, at: float) -> None:
        """Forget members that have said nothing for too long by the time ``at``."""
        for member in [name for name, word in self._words.items() if word.at < at - KNOWN_S]:
            self.forget(member)

    def news(self, member: MemberName, after: int, *, step: int, limit: int = MOST_TOLD) -> UseNews:
        """Return what ``member`` has yet to learn that knows all changes up to ``after``."""
        whole = not self._first <= after <= self.number
        fresh: list[AccountName] = []
        for name, number in reversed(self._changed.items()):
            if not whole and number <= after:
                break
            fresh.append(name)
        told = list(reversed(fresh))[:limit]
        more = len(told) < len(fresh)
        word = self._words.get(member)
        own: Mapping[AccountName, int] = {} if word is None else word.sessions
        codes = self._codes.recent(now=step)
        return UseNews(
            number=self._changed[told[-1]] if more else self.number,
            whole=whole,
            more=more,
            accounts=tuple(
                AccountUse(
                    account=name,
                    sessions=self._sessions[name] - own.get(name, 0),
                    step=codes.get(name),
                )
                for name in told
            ),
        )

    def _count(self, member: MemberName, sessions: dict[AccountName, int], at: float) -> None:
        word = self._words.setdefault(member, _Word(at=at))
        before, word.sessions, word.at = word.sessions, sessions, at
        changed = [
            name
            for name in before.keys() | sessions.keys()
            if before.get(name, 0) != sessions.get(name, 0)
        ]
        for name in changed:
            self._sessions[name] += sessions.get(name, 0) - before.get(name, 0)
            if not self._sessions[name]:
                del self._sessions[name]
        self._note(changed)

    def _note(self, changed: Iterable[AccountName]) -> None:
        for name in changed:
            self.number += 1
            self._changed[name] = self.number
            self._changed.move_to_end(name)
        while len(self._changed) > self._most_changed:
            _, self._first = self._changed.popitem(last=False)
