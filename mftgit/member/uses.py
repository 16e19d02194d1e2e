"""Tell the controller how accounts are in use here, and take in how they are at the other members."""

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from mftgit.adapters.channel import ControllerRefusedError
from mftgit.member.watch import Watch
from mftgit.model.inbound.account_use import TELL_EVERY_S, AccountUse, UseNews, UseTold, tell_uses
from mftgit.model.members.messages import NOT_FOUND

_GATHER_S: Final = 0.25  # many clients that come and go have it told this often at most


class Accounts(Protocol):
    """How accounts are in use here, and what is known of the others."""

    def uses(self) -> Iterable[AccountUse]:
        """Return how they are in use at this member."""

    def learn_uses(self, uses: Iterable[AccountUse], *, whole: bool) -> None:
        """Take in how they are at the others; ``whole``: what was known of their sessions is over."""


class UseWatch(Watch):
    """Tells what changed at once, and every so often that it is so still. While the controller is away, nothing."""

    def __init__(self, exchange: Callable[[UseTold], UseNews], accounts: Accounts) -> None:
        """``exchange`` as `Upstream.exchange_uses`; nothing is asked yet."""
        super().__init__(self.look, name="uses", every_s=TELL_EVERY_S)
        self._exchange = exchange
        self._accounts = accounts
        self._known = 0

    def look(self) -> None:
        """Tell, and take in what changed; raises MftgitError."""
        try:
            self._tell()
        finally:  # also where a controller that is away refuses at once
            self.rest(_GATHER_S)

    def _tell(self) -> None:
        more = True
        while more and not self.stopping:
            try:
                news = self._exchange(tell_uses(self._known, self._accounts.uses()))
            except ControllerRefusedError as error:
                if error.status != NOT_FOUND:  # a controller of an older version does not know it
                    raise
                break
            self._accounts.learn_uses(news.accounts, whole=news.whole)
            more, self._known = news.more, news.number
