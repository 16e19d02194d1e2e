"""A client's channel: it carries the subsystem ``sftp``, or nothing."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import paramiko
from paramiko.common import cMSG_CHANNEL_FAILURE, cMSG_CHANNEL_SUCCESS

from mftgit.adapters.ssh_server.exchange import ServerExchange
from mftgit.adapters.ssh_server.message import message as made
from mftgit.adapters.ssh_server.stream import ServedStream


class ServedChannel(paramiko.Channel):
    """A channel that keeps its client to a window of ``ahead_bytes``.

    ``touch`` is called when the client asks for something, or takes it; ``serve`` when it asks for ``sftp``.
    """

    if TYPE_CHECKING:  # what paramiko's types do not tell
        _window_adjust: Callable[[paramiko.Message], None]
        _set_transport: Callable[[paramiko.Transport], None]
        _set_window: Callable[[int, int], None]
        _set_remote_channel: Callable[[int, int, int], None]
        in_window_size: int
        in_max_packet_size: int
        transport: ServerExchange

    def __init__(
        self,
        number: int,
        *,
        ahead_bytes: int,
        touch: Callable[[], None],
        serve: Callable[["ServedChannel"], None],
    ) -> None:
        super().__init__(number)
        self._serve = serve
        self._ahead_bytes = ahead_bytes
        self.is_served = False
        self._touch = touch
        self._unread_bytes = 0

    def join(
        self, transport: ServerExchange, theirs: int, window_bytes: int, packet_bytes: int
    ) -> None:
        """Be opened, as number ``theirs`` of the client, which takes so much at once."""
        self._set_transport(transport)
        self._set_window(self._ahead_bytes, transport.default_max_packet_size)
        self._set_remote_channel(theirs, window_bytes, packet_bytes)
        self.stream = ServedStream(self)

    def heard(self, message: paramiko.Message) -> None:
        """Take data (RFC 4254, 5.2); more than the window has ends the connection."""
        piece = message.get_binary()
        if not piece:
            return  # it would be taken for the end
        self._touch()
        with self.lock:
            self._unread_bytes += len(piece)
            if self._unread_bytes > self.in_window_size:
                raise paramiko.SSHException("more than the window has")
        self.in_buffer.feed(piece)

    def took(self, message: paramiko.Message) -> None:
        """Take an adjustment of the window: the client has taken what was sent."""
        self._touch()
        self._window_adjust(message)

    def requested(self, message: paramiko.Message) -> None:
        """Answer a request (RFC 4254, 6): anything but ``sftp`` is refused, environment variables among it."""
        kind, wants_reply = message.get_string(), message.get_boolean()
        begins = (
            kind == b"subsystem"
            and message.get_string() == b"sftp"
            and not self.is_served
            and not self.closed
        )
        self.is_served = self.is_served or begins
        if wants_reply:
            reply = cMSG_CHANNEL_SUCCESS if begins else cMSG_CHANNEL_FAILURE
            self.transport.answer(made(reply, self.remote_chanid))
        if begins:
            self._serve(self)

    def _check_add_window(self, n: int) -> int:
        """See paramiko; ``n`` bytes were read."""
        with self.lock:
            self._unread_bytes -= n
        more: int = super()._check_add_window(n)  # type: ignore[misc]
        return more

    def _log(self, level: int, msg: str, *args: object) -> None:
        """Write nothing that an outsider causes."""


def pass_over(_channel: paramiko.Channel, _message: paramiko.Message) -> None:
    """Do nothing about a message that no client has a reason for."""
