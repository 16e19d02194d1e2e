"""Learn from load balancers whom they forward, and believe nobody else."""

import socket
from collections.abc import Callable, Collection
from typing import Final

from mftgit.errors import MftgitError
from mftgit.model.inbound.proxy_header import MAX_BYTES, extent, read_header
from mftgit.model.inbound.visitor import Visitor


class NotForwardedError(MftgitError):
    """A load balancer did not say whom it forwards."""


_LEAST_S: Final = 0.001


def visitor_of(
    sock: socket.socket,
    peer: Visitor,
    *,
    proxies: Collection[str],
    patience_s: float,
    monotonic: Callable[[], float],
) -> Visitor:
    """Return who is at the other end of ``sock``, a connection from ``peer``: whom a load balancer forwards.

    ``proxies`` are the networks of load balancers. Nothing is read from others, and nothing beyond the header. A
    balancer that speaks for itself, as for a look at our health, is the visitor itself.

    Raises:
        NotForwardedError: ``peer`` is a load balancer, and its header did not come whole within ``patience_s``.
    """
    if not peer.is_from(proxies):
        return peer
    try:
        told = read_header(_take(sock, monotonic() + patience_s, monotonic))
    except ValueError as error:
        raise NotForwardedError(f"{peer.source} is a load balancer, but sent {error}") from None
    except OSError:
        raise NotForwardedError(
            f"{peer.source} is a load balancer, but sent no whole header of the PROXY protocol within {patience_s:g} s"
        ) from None
    return peer if told is None else told


def _take(sock: socket.socket, until: float, monotonic: Callable[[], float]) -> bytes:
    """Return the header; raises ValueError where there is another beginning, OSError where it does not come."""
    taken = b""
    while True:
        sock.settimeout(max(_LEAST_S, until - monotonic()))
        seen = taken + sock.recv(MAX_BYTES - len(taken), socket.MSG_PEEK)
        if seen == taken:
            raise ConnectionResetError
        length = extent(seen)
        # What was looked at and is the header's is taken, so that the next look waits for more.
        end = len(seen) if length is None else min(length, len(seen))
        taken += sock.recv(end - len(taken))
        if len(taken) == length:
            return taken
        if monotonic() >= until:
            raise TimeoutError
