"""Where a member's configuration comes from and its reports go to."""

from collections.abc import Iterator
from typing import Protocol

from mftgit.adapters.channel import Channel, Headers
from mftgit.adapters.git_store import GitStore
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.model.events import Event
from mftgit.model.messages import Head, MemberStatus
from mftgit.model.names import MemberName, Revision


class Upstream(Protocol):
    """The controller, as a member sees it: over the network on a node, in the process on the controller."""

    def head(self, known: Head | None) -> Head | None:
        """Return the head pointer, None when it is still ``known``; raises MftgitError."""

    def wait(self) -> Iterator[None]:
        """Give None each time the head may have moved; end or raise TransientError when cut off."""

    def fetch(self) -> Revision:
        """Bring the published branch into the member's store and return its tip; raises MftgitError."""

    def send_events(self, events: list[Event]) -> int:
        """Report events and return the number up to which they are kept; raises MftgitError."""

    def send_status(self, status: MemberStatus) -> None:
        """Report how this member is; raises MftgitError."""

    def close(self) -> None:
        """Let go; a ``wait`` under way ends."""


class RemoteUpstream:
    """A node's controller, over HTTPS."""

    def __init__(self, folder: StateFolder, bootstrap: Bootstrap, *, headers: Headers) -> None:
        """Open the node's own store in ``folder``; ``headers`` prove who it is."""
        self.store = GitStore.create(folder.store)
        self.store.sweep()
        self._name: MemberName = bootstrap.name
        self._ca_file = folder.ca_file
        self._headers = headers
        self._git_url = clone_url(bootstrap.controller_url)
        self._channel = Channel(bootstrap.controller_url, ca_file=folder.ca_file, headers=headers)

    def head(self, known: Head | None) -> Head | None:
        """See `Upstream.head`."""
        return self._channel.head(known)

    def wait(self) -> Iterator[None]:
        """See `Upstream.wait`."""
        return self._channel.wait()

    def fetch(self) -> Revision:
        """See `Upstream.fetch`."""
        return self.store.fetch(self._git_url, ca_file=self._ca_file, headers=self._headers)

    def send_events(self, events: list[Event]) -> int:
        """See `Upstream.send_events`."""
        return self._channel.send_events(self._name, events)

    def send_status(self, status: MemberStatus) -> None:
        """See `Upstream.send_status`."""
        self._channel.send_status(status)

    def close(self) -> None:
        """See `Upstream.close`."""
        self._channel.close()
        self.store.close()


def clone_url(controller_url: str) -> str:
    """Return where the configuration repository is cloned from."""
    return f"{controller_url.rstrip('/')}/config.git"
