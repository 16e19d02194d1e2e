"""Connections of SSH clients, in paramiko's server mode: keys exchanged, logged in, and ``sftp`` sessions served.

Nothing else is served: no shell, no command, no forwarding.
"""

import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from mftgit.adapters.ssh_server.keys import HostKeys
from mftgit.adapters.ssh_server.reception import Connection, Doorkeeper, Reception, Serve
from mftgit.adapters.ssh_server.rounds import Rounds
from mftgit.adapters.ssh_server.terms import agree
from mftgit.adapters.ssh_server.transport import ServerTransport
from mftgit.model.inbound.service import ServiceLimits
from mftgit.model.inbound.visitor import Visitor
from mftgit.model.keys.algorithms import Algorithms

_LOOK_S: Final = 0.5
_UNHEARD_S: Final = 60
_PROBES: Final = 4


class SshServer:
    """Speaks with clients as one service says; connections go on as they began when another one takes its place.

    ``host_keys`` are OpenSSH private keys. ``monotonic`` gives seconds that never jump.
    """

    def __init__(
        self,
        *,
        host_keys: Sequence[str],
        algorithms: Algorithms,
        limits: ServiceLimits,
        banner: str | None,
        monotonic: Callable[[], float],
    ) -> None:
        """Make ready.

        Raises:
            ConfigError: a host key is none, or no algorithm is left.
        """
        self._terms = agree(algorithms, HostKeys(host_keys, algorithms))
        self._limits = limits
        self._banner = "".join(f"{line}\r\n" for line in (banner or "").splitlines())
        self._monotonic = monotonic
        self._rounds = Rounds(monotonic)
        self._lock = threading.Lock()
        self._connections: set[ServerTransport] = set()
        self._is_watched = False

    def receive(
        self,
        sock: socket.socket,
        visitor: Visitor,
        *,
        doorkeeper: Doorkeeper,
        reception: Reception,
        serve: Serve,
    ) -> Connection:
        """Begin to speak with the client at the other end of ``sock``, and return at once; ``sock`` is closed later."""
        _tune(sock)
        connection = ServerTransport(
            sock,
            self._terms,
            visitor=visitor,
            doorkeeper=doorkeeper,
            reception=reception,
            serve=serve,
            limits=self._limits,
            banner=self._banner,
            rounds=self._rounds,
            monotonic=self._monotonic,
        )
        with self._lock:
            self._connections.add(connection)
            if not self._is_watched:
                self._is_watched = True
                threading.Thread(target=self._watch, name="ssh-times", daemon=True).start()
        try:
            connection.begin()
        except RuntimeError:  # there are too many threads already
            with self._lock:
                self._connections.discard(connection)
            raise
        return connection

    def close(self) -> None:
        """End all connections that it received."""
        with self._lock:
            connections = tuple(self._connections)
        for connection in connections:
            connection.end("the server stops")

    def _watch(self) -> None:
        """End connections that are late, as long as there are any; one thread looks after all of them."""
        pause = threading.Event()
        while True:
            pause.wait(_LOOK_S)
            now = self._monotonic()
            with self._lock:
                self._connections = {each for each in self._connections if not each.wait(0)}
                if not self._connections:
                    self._is_watched = False
                    return
                connections = tuple(self._connections)
            for connection in connections:
                if reason := connection.late(now):
                    connection.end(reason)


def _tune(sock: socket.socket) -> None:
    """Have small packets sent at once, and a peer noticed that has gone (tcp(7))."""
    with suppress(OSError):  # what is no TCP socket, or has gone already
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _UNHEARD_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _UNHEARD_S // _PROBES)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 2 * _UNHEARD_S * 1000)
