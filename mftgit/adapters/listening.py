"""TCP sockets that listen (tcp(7), ipv6(7)) for the services of a member."""

import errno
import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from mftgit.errors import ConfigError
from mftgit.model.inbound.service import Listen

_BACKLOG: Final = 1024
_PAUSE_S: Final = 0.1
_NO_MORE: Final = frozenset({errno.EINVAL, errno.EBADF, errno.ENOTSOCK})

_HINTS: Final = {
    errno.EADDRINUSE: "stop what uses the port (`ss -ltnp` tells), or choose another port",
    errno.EACCES: "ports below 1024 need CAP_NET_BIND_SERVICE, or a port above them",
    errno.EADDRNOTAVAIL: "no interface of this machine has that address",
}


def listen_on(listen: Listen) -> socket.socket:
    """Return a socket that listens on ``listen``; ``::`` takes IPv4 too.

    Raises:
        ConfigError: it cannot; the message says what to do.
    """
    where = f"{listen.address} port {listen.port}"
    try:
        found = socket.getaddrinfo(
            listen.address,
            listen.port,
            type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE | socket.AI_NUMERICHOST,
        )
        made = socket.socket(found[0][0], socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(f"cannot listen on {where}: {error.strerror or error}") from error
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if made.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, listen.address != "::")
        made.bind(found[0][4])
        made.listen(_BACKLOG)
        made.settimeout(0)  # whoever shares it may have been faster
    except OSError as error:
        made.close()
        hint = _HINTS.get(error.errno or 0)
        raise ConfigError(
            f"cannot listen on {where}: {error.strerror or error}{'' if hint is None else f': {hint}'}"
        ) from error
    return made


def close_listening(listening: socket.socket) -> None:
    """Stop listening, also where other processes have the same socket; who was not accepted yet is reset."""
    with suppress(OSError):
        listening.shutdown(socket.SHUT_RDWR)
    listening.close()


class Acceptor:
    """A thread that takes connections from a socket that other processes may share, one after the other.

    ``met`` is called with each, and owns it; it must not wait.
    """

    def __init__(
        self, met: Callable[[socket.socket, str, int], None], courtesy_s: Callable[[], float]
    ) -> None:
        """Take nothing yet. Each is left to the other processes for ``courtesy_s()``."""
        self._met = met
        self._courtesy_s = courtesy_s
        self._lock = threading.Lock()
        self._listening: socket.socket | None = None
        self._wake, self._woken = socket.socketpair()
        self._pause = threading.Event()
        self._thread = threading.Thread(target=self._run, name="accept", daemon=True)
        self._thread.start()

    def take_from(self, listening: socket.socket | None) -> None:
        """Take connections from ``listening``, which is owned from now on, and from no other; None: from none."""
        with self._lock:
            before, self._listening = self._listening, listening
        self._wake.send(b"\0")
        if before is not None:
            before.close()

    def _run(self) -> None:
        while True:
            with self._lock:
                listening = self._listening
            look = select.poll()
            look.register(self._woken, select.POLLIN)
            if listening is not None and listening.fileno() >= 0:
                look.register(listening, select.POLLIN)
            if any(descriptor == self._woken.fileno() for descriptor, _ in look.poll()):
                self._woken.recv(1)
            elif listening is not None:
                if (courtesy_s := self._courtesy_s()) > 0:
                    self._pause.wait(courtesy_s)
                self._accept(listening)

    def _accept(self, listening: socket.socket) -> None:
        try:
            made, address = listening.accept()
        except (BlockingIOError, ConnectionAbortedError, InterruptedError):
            return  # another process was faster, or the client has gone
        except OSError as error:
            if error.errno in _NO_MORE:
                with self._lock:
                    self._listening = None if self._listening is listening else self._listening
                listening.close()
            else:  # no descriptors or no memory just now
                self._pause.wait(_PAUSE_S)
            return
        with suppress(OSError):
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._met(made, address[0], address[1])
