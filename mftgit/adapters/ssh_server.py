"""Connections of SSH clients, in paramiko's server mode: keys exchanged, logged in, and ``sftp`` sessions served.

Nothing else is served: no shell, no command, no forwarding.
"""

import socket
from collections.abc import Sequence

from mftgit.adapters.ssh_reception import Connection, Doorkeeper, Reception, Serve
from mftgit.model.algorithms import Algorithms
from mftgit.model.service import ServiceLimits
from mftgit.model.visitor import Visitor


class SshServer:
    """Speaks with clients as one service says; connections go on as they began when another one takes its place.

    ``host_keys`` are OpenSSH private keys.
    """

    def __init__(
        self,
        *,
        host_keys: Sequence[str],
        algorithms: Algorithms,
        limits: ServiceLimits,
        banner: str | None,
    ) -> None:
        """Raises `ConfigError` where a host key is none, or no algorithm is left."""
        raise NotImplementedError

    def receive(
        self,
        sock: socket.socket,
        visitor: Visitor,
        *,
        doorkeeper: Doorkeeper,
        reception: Reception,
        serve: Serve,
    ) -> Connection:
        """Begin to speak with the client at the other end of ``sock``, and return at once."""
        raise NotImplementedError

    def close(self) -> None:
        """End all connections that it received."""
        raise NotImplementedError
