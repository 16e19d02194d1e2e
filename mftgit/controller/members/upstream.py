"""The controller's own member gets its revisions and reports in the same process."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from mftgit.adapters.git.store import GitStore
from mftgit.adapters.registry.registry import Registry
from mftgit.adapters.state_folder import Bootstrap
from mftgit.errors import MftgitError, TransientError
from mftgit.model.events.event import Event
from mftgit.model.inbound.account_use import UseNews, UseTold
from mftgit.model.inbound.bans import BanNews
from mftgit.model.inbound.sessions_told import SessionsTold
from mftgit.model.members.incarnation import Shown
from mftgit.model.members.messages import Head, Hint, MemberStatus
from mftgit.model.members.passed_orders import OrderNews
from mftgit.model.members.recovery import KeptBundle
from mftgit.model.names import REVIEWS, Revision


class NothingPublishedError(TransientError):
    """The repository has no published revision yet."""


class RepositoryBrokenError(MftgitError):
    """The hosted repository is broken; it is the truth, so that only a person replaces it."""


class LocalUpstream:
    """What ``mftgit.member.upstream.Upstream`` promises, without a network."""

    def __init__(
        self,
        registry: Registry,
        store: GitStore,
        *,
        head_for: Callable[[Head], Head],
        heard: Callable[[], None],
        report: Callable[[MemberStatus], None],
        reported: Callable[[list[Event]], None],
        bans: Callable[[int], BanNews],
        orders: Callable[[int], OrderNews],
        sessions: Callable[[SessionsTold], None],
        uses: Callable[[UseTold], UseNews],
    ) -> None:
        """Read the head from ``registry`` and revisions from the hosted ``store``.

        ``head_for`` adds the member's turn. ``heard`` is called whenever the member asks, ``report`` with what it
        says of itself, ``reported`` with its events. ``bans`` tells what changed after a number,
        ``orders`` what was ordered. ``sessions`` is called with who is logged in, ``uses`` with how
        accounts are in use.
        """
        self._head_for = head_for
        self._heard = heard
        self._report = report
        self._registry = registry
        self._store = store
        self._reported = reported
        self._bans = bans
        self._orders = orders
        self._sessions = sessions
        self._uses = uses
        self._news = threading.Condition()
        self._hints: set[Hint] = set(Hint)
        self._closed = False

    def notify(self, hint: Hint = Hint.HEAD) -> None:
        """Wake the waiting member; callable from any thread."""
        with self._news:
            self._hints.add(hint)
            self._news.notify()

    def head(self, known: Head | None, shown: Shown | None = None) -> Head | None:
        """See `Upstream.head`; in this process nobody else is followed."""
        del shown
        self._heard()
        found = self._registry.head()
        head = None if found is None else self._head_for(found)
        return None if head == known else head

    def wait(self) -> Iterator[Hint]:
        """See `Upstream.wait`."""
        while not self._closed:
            with self._news:
                self._news.wait_for(lambda: self._hints or self._closed)
                hints, self._hints = self._hints, set()
            yield from hints

    def fetch(self, tip: Revision | None = None) -> Revision:
        """See `Upstream.fetch`; the objects are here already."""
        del tip
        head = self._store.head()
        if head is None:
            raise NothingPublishedError("nothing is published yet: push to main")
        return head

    def reviews(self) -> Revision | None:
        """See `Upstream.reviews`; the objects are here already."""
        return self._store.head(REVIEWS)

    def renew(self, anchor: Revision | None) -> Revision:
        """See `Upstream.renew`; the hosted repository is never replaced by itself."""
        del anchor
        raise repository_broken(self._store.path)

    def send_events(self, events: list[Event]) -> int:
        """See `Upstream.send_events`; the controller's own events are in the one store from the start."""
        self._reported(events)
        return max((each.seq for each in events), default=0)

    def send_status(self, status: MemberStatus) -> None:
        """See `Upstream.send_status`."""
        self._report(status)

    def bans(self, after: int) -> BanNews:
        """See `Upstream.bans`."""
        return self._bans(after)

    def orders(self, after: int) -> OrderNews:
        """See `Upstream.orders`."""
        return self._orders(after)

    def recovery(self, after: int) -> KeptBundle | None:
        """See `Upstream.recovery`; what is made here is kept here."""
        del after
        return None

    def send_sessions(self, told: SessionsTold) -> None:
        """See `Upstream.send_sessions`."""
        self._sessions(told)

    def exchange_uses(self, told: UseTold) -> UseNews:
        """See `Upstream.exchange_uses`."""
        return self._uses(told)

    def moved(self, bootstrap: Bootstrap) -> None:
        """See `Upstream.moved`; in this process there is no line."""

    def close(self) -> None:
        """See `Upstream.close`."""
        with self._news:
            self._closed = True
            self._news.notify()


def repository_broken(path: Path) -> RepositoryBrokenError:
    """Return the error that tells a person what to do about the hosted repository at ``path``."""
    return RepositoryBrokenError(
        f"{path} is broken, and it is the cluster's own copy, which is not replaced by itself: stop the controller "
        "and put a clone in its place (docs/how-to/operate.md: Restore the repository from a clone)"
    )
