"""Where a member's configuration comes from and its reports go to."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Protocol, TypeVar

from loguru import logger

from mftgit.adapters.channel import Channel, ControllerRefusedError
from mftgit.adapters.clock import rfc3339
from mftgit.adapters.git.fetch import RemoteLacksError
from mftgit.adapters.git.objects import StoreError
from mftgit.adapters.git.store import FETCHED_REVIEWS, GitStore
from mftgit.adapters.member_key import FileProver
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.errors import MftgitError, RemovedError
from mftgit.member.fetch import check_lineage
from mftgit.model.events.event import Event
from mftgit.model.inbound.account_use import UseNews, UseTold
from mftgit.model.inbound.bans import BanNews
from mftgit.model.inbound.sessions_told import SessionsTold
from mftgit.model.members.incarnation import Shown
from mftgit.model.members.messages import NOT_PROVED, Head, Hint, MemberStatus
from mftgit.model.members.passed_orders import OrderNews
from mftgit.model.members.recovery import KeptBundle
from mftgit.model.names import REVIEWS, MemberName, Revision

_T = TypeVar("_T")
_MAX_REVIEWS_BYTES = 256 << 20  # packed; a record takes some 700 bytes


class Upstream(Protocol):
    """The controller, as a member sees it: over the network on a node, in the process on the controller."""

    def head(self, known: Head | None, shown: Shown | None = None) -> Head | None:
        """Return the head pointer, None when it is still ``known``; ``shown`` tells who was followed last.

        Raises:
            RemovedError: this member is not of the cluster, as the controller says. Nothing else means that.
            MftgitError: any other trouble.
        """

    def wait(self) -> Iterator[Hint]:
        """Give each of `Hint` at first, then what may be news again; end or raise TransientError when cut off."""

    def fetch(self, tip: Revision | None = None) -> Revision:
        """Bring the published branch into the member's store and return its tip; raises MftgitError.

        With ``tip``, where it stood a moment ago, it may be fetched up to there only.
        """

    def reviews(self) -> Revision | None:
        """Bring what people said of proposals into the member's store and return its tip, None where there is nothing.

        Raises:
            MftgitError: it could not be had.
        """

    def renew(self, anchor: Revision | None) -> Revision:
        """Put a fresh copy of the published branch in the stead of the member's broken store; return its tip.

        Raises:
            DivergedError: the fresh one does not hold ``anchor``; the broken one stays.
            MftgitError: no fresh one could be had; the broken one stays.
        """

    def send_events(self, events: list[Event]) -> int:
        """Report events and return the number up to which they are kept; raises as `Channel.send_events`."""

    def send_status(self, status: MemberStatus) -> None:
        """Report how this member is; raises MftgitError."""

    def bans(self, after: int) -> BanNews:
        """Return what bans have changed after the change with the number ``after``; raises MftgitError."""

    def orders(self, after: int) -> OrderNews:
        """Return the orders for this member that it has not taken; those up to ``after`` it has. Raises MftgitError."""

    def recovery(self, after: int) -> KeptBundle | None:
        """Return the newest recovery bundle to keep, if its number is above ``after``; raises MftgitError."""

    def send_sessions(self, told: SessionsTold) -> None:
        """Tell who is logged in here; raises MftgitError."""

    def exchange_uses(self, told: UseTold) -> UseNews:
        """Tell how accounts are in use here, and return what is to be learned of the others; raises MftgitError."""

    def moved(self, bootstrap: Bootstrap) -> None:
        """Talk to the controller as ``bootstrap`` and the authorities' file say from now on."""

    def close(self) -> None:
        """Let go; a ``wait`` under way ends."""


class RemoteUpstream:
    """A node's controller, over HTTPS."""

    def __init__(
        self, folder: StateFolder, bootstrap: Bootstrap, *, now: Callable[[], datetime]
    ) -> None:
        """Open the node's own store in ``folder``, broken or not; the key there proves who it is."""
        self.store = GitStore.copy_at(folder.store)
        with suppress(StoreError):  # shows at its use, and is mended then
            self.store.sweep()
        self._name: MemberName = bootstrap.name
        self._now = now
        self._prover = FileProver(folder, bootstrap, now=now)
        self._removed = False
        self._ca_file = folder.ca_file
        self._folder = folder
        self._channel = self._channel_to(bootstrap)

    def head(self, known: Head | None, shown: Shown | None = None) -> Head | None:
        """See `Upstream.head`. Once removed, it is asked first whether that still holds: a proof would be refused."""
        self._follow_folder()
        if self._removed and not self._is_member():
            raise self._not_of_the_cluster()
        try:
            head = self._proven(lambda: self._channel.head(known, shown))
        except ControllerRefusedError as error:
            if error.status != NOT_PROVED or self._is_member():
                raise
            self._removed = True
            raise self._not_of_the_cluster() from error
        self._removed = False
        return head

    def wait(self) -> Iterator[Hint]:
        """See `Upstream.wait`."""
        self._only_a_member()
        channel = self._channel
        for hint in channel.wait():
            yield hint
            if (
                channel is not self._channel
            ):  # moved meanwhile: the other line is the one to listen to
                return

    def fetch(self, tip: Revision | None = None) -> Revision:
        """See `Upstream.fetch`."""
        return self._fetch_into(self.store, tip)

    def reviews(self) -> Revision | None:
        """See `Upstream.reviews`."""
        channel = self._channel
        try:
            return self.store.fetch(
                clone_url(channel.url),
                ca_file=self._ca_file,
                headers=self._prover.headers,
                ref=REVIEWS,
                into=FETCHED_REVIEWS,
                max_bytes=_MAX_REVIEWS_BYTES,
                connections=channel.connections,
            )
        except RemoteLacksError:
            return None

    def renew(self, anchor: Revision | None) -> Revision:
        """See `Upstream.renew`."""

        def fill(fresh: GitStore) -> Revision:
            tip = self._fetch_into(fresh)
            check_lineage(fresh, anchor=anchor, tip=tip)
            return tip

        return self.store.renew(fill)

    def send_events(self, events: list[Event]) -> int:
        """See `Upstream.send_events`."""
        self._only_a_member()
        return self._proven(
            lambda: self._channel.send_events(self._name, events, sent_at=rfc3339(self._now()))
        )

    def send_status(self, status: MemberStatus) -> None:
        """See `Upstream.send_status`."""
        self._only_a_member()
        self._proven(lambda: self._channel.send_status(status))

    def bans(self, after: int) -> BanNews:
        """See `Upstream.bans`."""
        self._only_a_member()
        return self._proven(lambda: self._channel.bans(after))

    def orders(self, after: int) -> OrderNews:
        """See `Upstream.orders`."""
        self._only_a_member()
        return self._proven(lambda: self._channel.orders(self._name, after))

    def recovery(self, after: int) -> KeptBundle | None:
        """See `Upstream.recovery`."""
        self._only_a_member()
        return self._proven(lambda: self._channel.recovery(after))

    def send_sessions(self, told: SessionsTold) -> None:
        """See `Upstream.send_sessions`."""
        self._only_a_member()
        self._proven(lambda: self._channel.send_sessions(self._name, told))

    def exchange_uses(self, told: UseTold) -> UseNews:
        """See `Upstream.exchange_uses`."""
        self._only_a_member()
        return self._proven(lambda: self._channel.exchange_uses(self._name, told))

    def moved(self, bootstrap: Bootstrap) -> None:
        """See `Upstream.moved`; requests under way come to their end on the line before."""
        before, self._channel = self._channel, self._channel_to(bootstrap)
        before.close()

    def close(self) -> None:
        """See `Upstream.close`."""
        self._channel.close()
        self.store.close()

    def _fetch_into(self, store: GitStore, tip: Revision | None = None) -> Revision:
        channel = self._channel
        return store.fetch(
            clone_url(channel.url),
            ca_file=self._ca_file,
            headers=self._prover.headers,
            tip=tip,
            connections=channel.connections,
        )

    def _follow_folder(self) -> None:
        """Go over to another line that was written into the folder: `mftgit member follow`, and `join --again`."""
        try:
            bootstrap = self._folder.read_bootstrap()
            line = (bootstrap.controller_url, self._ca_file.read_bytes())
        except (MftgitError, OSError):
            return  # damage shows elsewhere; the line that is open goes on
        if line != self._line:
            logger.info("the controller is reached by another line", url=bootstrap.controller_url)
            self.moved(bootstrap)

    def _channel_to(self, bootstrap: Bootstrap) -> Channel:
        url = bootstrap.controller_url
        self._line = (url, self._ca_file.read_bytes() if self._ca_file.exists() else b"")
        return Channel(url, ca_file=self._ca_file, headers=self._prover.headers)

    def _proven(self, call: Callable[[], _T]) -> _T:
        """Ask once more if the key was changed, and the one before ended, between the proof and its judgement."""
        key = self._prover.public_key
        try:
            return call()
        except ControllerRefusedError as error:
            if error.status != NOT_PROVED or self._prover.public_key == key:
                raise
        return call()

    def _is_member(self) -> bool:
        return self._channel.is_member(self._name, self._prover.public_key)

    def _only_a_member(self) -> None:
        if self._removed:
            raise self._not_of_the_cluster()

    def _not_of_the_cluster(self) -> RemovedError:
        return RemovedError(f"{self._channel.url}: {self._name} is not a member of this cluster")


def clone_url(controller_url: str) -> str:
    """Return where the configuration repository is cloned from."""
    return f"{controller_url.rstrip('/')}/config.git"
