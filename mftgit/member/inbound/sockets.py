"""The sockets that a member listens on: bound before anything is changed, and kept as long as they are wanted."""

from collections.abc import Collection
from socket import socket

from mftgit.adapters.listening import close_listening, listen_on
from mftgit.errors import ConfigError
from mftgit.model.inbound.service import Listen


class Sockets:
    """Those in use, and those that were bound for what is prepared. One thread at a time."""

    def __init__(self) -> None:
        """Listen on nothing."""
        self._used: dict[Listen, socket] = {}
        self._offered: dict[Listen, socket] = {}

    def try_out(self, wanted: Listen) -> None:
        """Listen there, unless that has to wait until one of ours is closed, which has the same port.

        Raises:
            ConfigError: it cannot be had.
        """
        try:
            self.get(wanted)
        except ConfigError:
            if not any(each.port == wanted.port for each in self._used):
                raise

    def get(self, wanted: Listen) -> socket:
        """Return the socket that listens there; it is made where there is none.

        Raises:
            ConfigError: it cannot be had.
        """
        found = self._used.get(wanted) or self._offered.get(wanted)
        if found is None:
            found = self._offered[wanted] = listen_on(wanted)
        return found

    def take_back(self, but: Collection[Listen] = ()) -> None:
        """Stop listening where that was never kept, except on ``but``."""
        for each in self._offered.keys() - set(but):
            close_listening(self._offered.pop(each))

    def keep(self, wanted: Collection[Listen]) -> None:
        """Listen on ``wanted``, as far as they were asked for, and on nothing else."""
        self._used |= self._offered
        self._offered = {}
        for each in self._used.keys() - set(wanted):
            close_listening(self._used.pop(each))
