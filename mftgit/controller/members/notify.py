"""Tell waiting members what may be news: server-sent events, a hint and never the truth."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field

from mftgit.controller.members.presence import Presence
from mftgit.model.access import Kind, Principal
from mftgit.model.members.messages import Hint
from mftgit.model.names import MemberName

SIGN_OF_LIFE_S = 10.0
"""How often a waiting member is sent a comment, so that both sides notice a dead line.

That it is taken says nothing of the member's life, whose signs are its own requests; that the line ends does.
"""


@dataclass(eq=False)
class _Waiting:
    """One subscriber, and what it has yet to be told."""

    who: Principal
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    hints: set[Hint] = field(default_factory=set)


class Notifier:
    """Wakes every subscriber of the one asyncio loop that serves them."""

    def __init__(self, presence: Presence, *, is_member: Callable[[MemberName], bool]) -> None:
        """Nobody waits yet. Who is no member any more is told nothing from the next comment on."""
        self._presence = presence
        self._is_member = is_member
        self._waiting: set[_Waiting] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def notify(
        self, members: Collection[str] | None = None, *, hint: Hint | None = Hint.HEAD
    ) -> None:
        """Wake the subscribers that are among ``members``, without these all; callable from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake, members, hint)

    def close(self) -> None:
        """End every subscription."""
        self._closed = True
        self.notify(hint=None)

    async def subscribe(self, principal: Principal) -> AsyncIterator[bytes]:
        """Give the lines of a text/event-stream until the client or the server goes."""
        member = MemberName(principal.name) if principal.kind is Kind.MEMBER else None
        self._loop = asyncio.get_running_loop()
        waiting = _Waiting(who=principal)
        self._waiting.add(waiting)
        if member is not None:
            self._presence.opened(member)
        try:
            yield b"retry: 1000\n\n"
            while not self._closed and (member is None or self._is_member(member)):
                try:
                    async with asyncio.timeout(SIGN_OF_LIFE_S):
                        await waiting.woken.wait()
                except TimeoutError:
                    yield b":\n\n"
                    continue
                waiting.woken.clear()
                while waiting.hints:
                    yield b"event: %b\ndata: moved\n\n" % waiting.hints.pop().value.encode()
        finally:
            self._waiting.discard(waiting)
            if member is not None and not self._closed:
                self._presence.ended(member)

    def _wake(self, members: Collection[str] | None, hint: Hint | None) -> None:
        for each in self._waiting:
            who = each.who
            if members is None or (who.kind is Kind.MEMBER and who.name in members):
                if hint is not None:
                    each.hints.add(hint)
                each.woken.set()
