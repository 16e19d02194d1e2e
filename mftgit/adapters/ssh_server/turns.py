"""Who reads a connection: a thread of its own until its client has logged in, and then the one that goes rounds."""

import select
from collections.abc import Callable
from typing import Final

from mftgit.adapters.ssh_server.exchange import ServerExchange
from mftgit.adapters.ssh_server.rounds import Rounds
from mftgit.adapters.ssh_server.sessions import Sessions

_HEAVY_BYTES: Final = 48 << 10
"""Who moves so much in one turn has much to move."""

_TURN_S: Final = 0.01
"""After so long it is another connection's turn: some messages take many times as long as others."""


class Turns:
    """The turns of one connection; what `Attended` asks for.

    ``is_logged_in`` tells whether the client is; ``concluded`` is called with what ended the reading, by
    the thread that read.
    """

    def __init__(
        self,
        line: ServerExchange,
        sessions: Sessions,
        rounds: Rounds,
        *,
        is_logged_in: Callable[[], bool],
        concluded: Callable[[Exception], None],
        monotonic: Callable[[], float],
    ) -> None:
        """Read nothing yet."""
        self._line = line
        self._packets = line.packetizer
        self._sessions = sessions
        self._rounds = rounds
        self._is_logged_in = is_logged_in
        self._monotonic = monotonic
        self.conclude = concluded
        self.is_heavy = False

    def run(self) -> None:
        """Read until the client has logged in and is served in rounds, or until the end."""
        try:
            self._line.greet()
            while not self._can_go_round():
                self._line.read()
        except Exception as error:  # noqa: BLE001  whatever it is, it ends this connection
            self.conclude(error)
            return
        try:
            self._rounds.take(self)
        except RuntimeError as error:  # there are too many threads
            self.conclude(error)

    def _can_go_round(self) -> bool:
        """Tell whether nothing is left that may have to be waited for."""
        return (
            self._is_logged_in()
            and not self._line.in_kex
            and not self._sessions.has_channel  # it might be sending, and wait for the client
            and self._packets.can_be_shared
        )

    def fileno(self) -> int:
        """See `Attended.fileno`."""
        return self._line.sock.fileno()

    def begin_rounds(self, rounds: Rounds) -> None:
        """See `Attended.begin_rounds`."""
        self._packets.begin_rounds(rounds)
        self.go_on(0)

    def call(self) -> None:
        """Have it be this one's turn soon; for any thread."""
        self._rounds.call(self)

    def go_on(self, events: int) -> None:
        """See `Attended.go_on`."""
        packets = self._packets
        try:
            if events & select.EPOLLOUT:
                packets.send_more()
            if events & ~select.EPOLLOUT and (packets.is_full or not packets.has_message()):
                packets.arrive()
            self._read_some()
            if not packets.is_full:
                self._sessions.go_on()
            packets.look_out()
            self.is_heavy = packets.moved_bytes() >= _HEAVY_BYTES
        except Exception as error:  # noqa: BLE001  whatever it is, it ends this connection
            self.conclude(error)

    def _read_some(self) -> None:
        """Read what has come, until it is another one's turn."""
        packets, until_s = self._packets, self._monotonic() + _TURN_S
        while not packets.is_full and packets.has_message():
            self._line.read()
            if self._monotonic() >= until_s:
                self.call()
                return

    def tick(self) -> None:
        """See `Attended.tick`."""
        try:
            self._packets._check_keepalive()  # noqa: SLF001  paramiko's
        except Exception as error:  # noqa: BLE001  whatever it is, it ends this connection
            self.conclude(error)
