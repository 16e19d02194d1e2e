"""Take in the sources that other members banned, as the controller tells them."""

from collections.abc import Callable
from typing import Protocol

from mftgit.member.watch import Watch
from mftgit.model.inbound.bans import BanNews


class Barrier(Protocol):
    """What keeps banned sources out of this member's services, but for networks that a service exempts."""

    def ban(self, source: str, seconds: float, by: str) -> None:
        """Keep the network ``source`` out for at least so many seconds from now on; ``by`` is who banned it."""

    def lift(self, source: str) -> None:
        """Let ``source`` in again."""


class BanWatch(Watch):
    """Asks what changed. While the controller is away, what is known goes on."""

    def __init__(self, ask: Callable[[int], BanNews], barrier: Barrier) -> None:
        """``ask`` as `Upstream.bans`; nothing is asked yet."""
        super().__init__(self.look, name="bans")
        self._ask = ask
        self._barrier = barrier
        self._known = 0

    def look(self) -> None:
        """Ask once, and take in what changed; raises MftgitError."""
        more = True
        while more and not self.stopping:
            news = self._ask(self._known)
            if news.number < self._known:  # the controller's records are not those of before
                self._known = 0
                continue
            for each in news.bans:
                if each.left_s > 0:
                    self._barrier.ban(each.source, each.left_s, each.by)
                else:
                    self._barrier.lift(each.source)
            more = news.more and news.number > self._known
            self._known = news.number
