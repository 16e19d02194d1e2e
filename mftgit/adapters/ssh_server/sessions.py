"""The channels of one connection, and the sessions of ``sftp`` on them, each with a thread for what takes long."""

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

import paramiko
from loguru import logger
from paramiko.common import (
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_FAILED_RESOURCE_SHORTAGE,
    cMSG_CHANNEL_OPEN_FAILURE,
    cMSG_CHANNEL_OPEN_SUCCESS,
)

from mftgit.adapters.ssh_server.channel import ServedChannel
from mftgit.adapters.ssh_server.exchange import ServerExchange
from mftgit.adapters.ssh_server.message import message
from mftgit.adapters.ssh_server.stream import ServedStream

_CHANNELS: Final = 10
_FURTHER_WINDOW_BYTES: Final = 256 << 10
"""What a client may send ahead on each channel but the first; together it is what it can make us keep."""

_GONE: Final = (OSError, EOFError, paramiko.SSHException)
"""What a stream raises whose client has gone."""


class Sessions:
    """See the module. Channels are opened, and let go of, by the thread that reads.

    ``serve`` serves one session, and ``ended`` is called after each, by the session's thread; ``call`` has the thread
    that reads come by in rounds. ``touch`` is called when the client asked or took something.
    """

    def __init__(
        self,
        line: ServerExchange,
        *,
        serve: Callable[[ServedStream], None],
        ended: Callable[[], None],
        call: Callable[[], None],
        touch: Callable[[], None],
    ) -> None:
        """Serve none yet."""
        self._line = line
        self._serve = serve
        self._ended = ended
        self._call = call
        self._touch = touch
        self._open: dict[int, ServedChannel] = {}
        self._threads: dict[int, threading.Thread] = {}

    @property
    def served(self) -> int:
        """How many are being served."""
        return len(self._threads)

    @property
    def has_channel(self) -> bool:
        """Whether a channel is open."""
        return bool(self._open)

    def open(self, asked: paramiko.Message) -> None:
        """Open a session's channel (RFC 4254, 5.1), or refuse to: nothing is forwarded."""
        kind = asked.get_string()
        theirs, window_bytes, packet_bytes = (asked.get_int() for _ in range(3))
        if kind != b"session":
            self._refuse(theirs, OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED)
        elif len(self._open) >= _CHANNELS:
            self._refuse(theirs, OPEN_FAILED_RESOURCE_SHORTAGE)
        else:
            channel = self._line.add_channel(
                partial(self._make, theirs, window_bytes, packet_bytes)
            )
            window = channel.in_window_size, channel.in_max_packet_size
            self._line.answer(message(cMSG_CHANNEL_OPEN_SUCCESS, theirs, channel.chanid, *window))

    def _make(
        self, theirs: int, window_bytes: int, packet_bytes: int, number: int
    ) -> ServedChannel:
        ahead_bytes = _FURTHER_WINDOW_BYTES if self._open else self._line.default_window_size
        channel = ServedChannel(
            number, ahead_bytes=ahead_bytes, touch=self._touch, serve=self._begin
        )
        channel.join(self._line, theirs, window_bytes, packet_bytes)
        if self._line.packetizer.in_rounds:
            channel.stream.begin_rounds(self._call)
        self._open[number] = channel
        return channel

    def _refuse(self, theirs: int, code: int) -> None:
        self._line.answer(message(cMSG_CHANNEL_OPEN_FAILURE, theirs, code, "", ""))

    def go_on(self) -> None:
        """Let sessions answer what has come."""
        for channel in tuple(self._open.values()):
            channel.stream.go_on()

    def let_go(self, number: int) -> None:
        """Let go of a channel that was closed; of one that is being served, when that ends."""
        if number not in self._threads:
            self._open.pop(number, None)

    def _begin(self, channel: ServedChannel) -> None:
        """Serve a session, in a thread of its own."""
        thread = threading.Thread(target=self._run, args=(channel,), name="sftp", daemon=True)
        self._threads[channel.chanid] = thread
        try:
            thread.start()
        except RuntimeError:  # there are too many already
            del self._threads[channel.chanid]
            raise

    def _run(self, channel: ServedChannel) -> None:
        status = 1
        try:
            self._serve(channel.stream)
            status = 0
        except _GONE:
            pass
        except Exception:
            logger.exception("a client's session ended by a defect")
        with suppress(*_GONE):
            channel.send_exit_status(status)
        with suppress(*_GONE):
            channel.close()
        self._open.pop(channel.chanid, None)
        del self._threads[channel.chanid]
        self._ended()
