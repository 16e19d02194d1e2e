"""A jump host: a connection to one SSH server that carries another one's (RFC 4254, 7.2)."""

import errno
from dataclasses import dataclass

import paramiko

from mftgit.adapters.sftp.transport import hang_up
from mftgit.model.locations.hop import Hop


@dataclass(frozen=True, slots=True, kw_only=True)
class ThroughJump:
    """A connection to the jump host ``hop``, where we are logged in."""

    transport: paramiko.Transport
    hop: Hop

    def dial(self, server: Hop) -> "ForwardedSocket":
        """Have the jump host connect to ``server``.

        Raises:
            SSHException: it did not, and says why; or it is lost.
        """
        try:
            channel = self.transport.open_channel(
                "direct-tcpip",
                (server.host, server.port),
                ("127.0.0.1", 0),
                timeout=server.connect_s,
            )
        except paramiko.SSHException as error:
            raise paramiko.SSHException(
                f"the {self.hop.name} does not lead there: {error}"
            ) from error
        return ForwardedSocket(channel, patience_s=server.timeout_s)

    def close(self) -> None:
        """End the connection and its thread, and so all that it carries."""
        hang_up(self.transport)


class ForwardedSocket:
    """What paramiko needs of a socket, over a channel of the jump host.

    A peer that takes nothing for ``patience_s`` is given up, which the kernel does for a socket.
    """

    def __init__(self, channel: paramiko.Channel, *, patience_s: float) -> None:
        self._channel = channel
        self._patience_s = patience_s
        self._poll_s = 0.0
        self._waited_s = 0.0

    @property
    def _closed(self) -> bool:
        """Whether it is closed: paramiko looks at this private attribute of sockets."""
        return self._channel.closed

    def settimeout(self, seconds: float) -> None:
        """Set how long `recv` and `send` wait before they raise `TimeoutError`."""
        self._poll_s = seconds
        self._channel.settimeout(seconds)

    def recv(self, length: int) -> bytes:
        """Return what has come, nothing at the end."""
        return self._channel.recv(length)

    def send(self, data: bytes) -> int:
        """Send some of ``data`` and return how much.

        Raises:
            TimeoutError: it took nothing for as long as `settimeout` says.
            OSError: it took nothing for ``patience_s``.
        """
        try:
            sent = self._channel.send(data)
        except TimeoutError:
            self._waited_s += self._poll_s
            if self._waited_s >= self._patience_s:
                raise OSError(errno.EPIPE, "it takes nothing any more") from None
            raise
        self._waited_s = 0.0
        return sent

    def shutdown(self, _how: int) -> None:
        """End both directions."""
        self._channel.close()

    def close(self) -> None:
        """Close the channel; the jump host hangs up on the server."""
        self._channel.close()
