"""A TCP connection to a server outside the cluster, with or without TLS, each step of which ends in time."""

import socket
import ssl
from contextlib import suppress

from mftgit.adapters.clock import Clock
from mftgit.adapters.handlers.target import TargetError

_PIECE_BYTES = 65_536


class Dialled:
    """One connection. ``within`` begins a step of ``timeout_s``; what follows has to be done in that."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        context: ssl.SSLContext | None,
        timeout_s: float,
        clock: Clock,
    ) -> None:
        """Connect, and check the server's certificate where there is a ``context``.

        Raises:
            TargetError: nobody is there in time, or somebody else.
        """
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._clock = clock
        self._timeout_s = timeout_s
        self.used_at = clock.boottime()
        self.within()
        try:
            self.socket: socket.socket = socket.create_connection((host, port), timeout_s)
        except OSError as error:
            raise TargetError(f"{self.address} cannot be reached: {error}") from error
        if context is not None:
            self._secure(context, host)

    def _secure(self, context: ssl.SSLContext, host: str) -> None:
        plain = self.socket
        try:
            plain.settimeout(self._left_s())
            self.socket = context.wrap_socket(plain, server_hostname=host)
        except ssl.SSLCertVerificationError as error:
            plain.close()
            raise TargetError(
                f"{self.address} shows a certificate that is not taken: {error.verify_message}"
            ) from error
        except OSError as error:
            plain.close()
            raise TargetError(f"{self.address} does not speak TLS: {error}") from error

    def within(self) -> None:
        """Begin a step."""
        self._until = self._clock.boottime() + self._timeout_s

    def _left_s(self) -> float:
        left_s = self._until - self._clock.boottime()
        if left_s <= 0:
            raise TimeoutError("timed out")
        return left_s

    def send(self, data: bytes) -> None:
        """Send all of ``data``; raises TargetError."""
        try:
            for at in range(0, len(data), _PIECE_BYTES):
                self.socket.settimeout(self._left_s())
                self.socket.sendall(data[at : at + _PIECE_BYTES])
        except OSError as error:
            raise TargetError(f"{self.address} takes nothing any more: {error}") from error
        self.used_at = self._clock.boottime()

    def receive(self) -> bytes:
        """Return what comes next, nothing at the end; raises TargetError."""
        try:
            self.socket.settimeout(self._left_s())
            return self.socket.recv(_PIECE_BYTES)
        except OSError as error:
            raise TargetError(f"{self.address} does not answer: {error}") from error

    def is_open(self) -> bool:
        """Tell whether the other side has not ended it, as far as that can be seen without waiting.

        What it said without being asked is passed over.
        """
        return self._unasked() != b""

    def is_quiet(self) -> bool:
        """Tell whether it is open, and the other side has said nothing that could pass for its next answer."""
        return self._unasked() is None

    def _unasked(self) -> bytes | None:
        """Return what came without being asked for, nothing at the end, and None where nothing came."""
        try:
            self.socket.settimeout(0.0)
            return self.socket.recv(_PIECE_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        except OSError:
            return b""

    def end(self) -> None:
        """End it, whoever waits for it; another thread closes it."""
        with suppress(OSError):
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close it, and say so by TLS (RFC 8446, 6.1), without waiting for an answer."""
        if isinstance(self.socket, ssl.SSLSocket):
            with suppress(OSError, ValueError):
                self.socket.settimeout(0.0)
                self.socket.unwrap()
        with suppress(OSError):
            self.socket.close()
