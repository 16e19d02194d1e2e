"""One connection of a client: logged in, and then nothing but sessions of ``sftp``.

paramiko's own answers to messages are replaced where an outsider could make them wait, grow or loop: extensions of
any count, channels and global requests that nobody takes, data beyond the window.
"""

import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final

import paramiko
from loguru import logger
from paramiko.common import (
    MSG_CHANNEL_CLOSE,
    MSG_CHANNEL_DATA,
    MSG_CHANNEL_EOF,
    MSG_CHANNEL_EXTENDED_DATA,
    MSG_CHANNEL_FAILURE,
    MSG_CHANNEL_OPEN,
    MSG_CHANNEL_OPEN_FAILURE,
    MSG_CHANNEL_OPEN_SUCCESS,
    MSG_CHANNEL_REQUEST,
    MSG_CHANNEL_SUCCESS,
    MSG_CHANNEL_WINDOW_ADJUST,
    MSG_EXT_INFO,
    MSG_GLOBAL_REQUEST,
    MSG_REQUEST_FAILURE,
    MSG_REQUEST_SUCCESS,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_FAILED_RESOURCE_SHORTAGE,
    cMSG_CHANNEL_OPEN_FAILURE,
    cMSG_CHANNEL_OPEN_SUCCESS,
    cMSG_DISCONNECT,
    cMSG_REQUEST_FAILURE,
    cMSG_REQUEST_SUCCESS,
)
from paramiko.ssh_exception import IncompatiblePeer

from mftgit.adapters.ssh_reception import Doorkeeper, Reception, Serve, Session
from mftgit.adapters.ssh_server_channel import ServedChannel, pass_over
from mftgit.adapters.ssh_server_exchange import ServerExchange, Terms
from mftgit.adapters.ssh_server_keys import PROVE
from mftgit.adapters.ssh_server_login import LoginTalk
from mftgit.model.names import AccountName
from mftgit.model.service import ServiceLimits
from mftgit.model.visitor import Visitor

_CHANNELS: Final = 10
_FURTHER_WINDOW_BYTES: Final = 256 << 10
"""What a client may send ahead on each channel but the first; together it is what it can make us keep."""

_SEEN: Final = 1024
"""How many channels are remembered that were closed, for messages to them may still come."""

_KEEPALIVE_S: Final = 60
_BY_APPLICATION: Final = 11
"""RFC 4253, 11.1."""

_GOODBYE_S: Final = 0.05
"""One that takes nothing is not waited for: many may have to be told."""

_GONE: Final = (OSError, EOFError, paramiko.SSHException)
"""What a stream raises whose client has gone."""


class ServerTransport(ServerExchange):
    """See the module; ``touched_at`` is when the client asked or took something for the last time."""

    if TYPE_CHECKING:  # what paramiko's types do not tell
        _channels: Any
        channels_seen: dict[int, bool]
        _next_channel: Callable[[], int]
        _handler_table: dict[int, Callable[[paramiko.Message], None]]
        auth_handler: LoginTalk  # type: ignore[assignment]

    _channel_handler_table: ClassVar[Mapping[int, Callable[..., None]]] = {
        MSG_CHANNEL_DATA: ServedChannel.heard,
        MSG_CHANNEL_WINDOW_ADJUST: ServedChannel.took,
        MSG_CHANNEL_REQUEST: ServedChannel.requested,
        MSG_CHANNEL_EOF: paramiko.Channel._handle_eof,  # type: ignore[attr-defined]  # noqa: SLF001
        MSG_CHANNEL_CLOSE: paramiko.Channel._handle_close,  # type: ignore[attr-defined]  # noqa: SLF001
        **dict.fromkeys(
            (MSG_CHANNEL_EXTENDED_DATA, MSG_CHANNEL_SUCCESS, MSG_CHANNEL_FAILURE),
            pass_over,
        ),
    }

    def __init__(
        self,
        sock: socket.socket,
        terms: Terms,
        *,
        visitor: Visitor,
        doorkeeper: Doorkeeper,
        reception: Reception,
        serve: Serve,
        limits: ServiceLimits,
        banner: str | None,
        monotonic: Callable[[], float],
    ) -> None:
        super().__init__(sock, terms)
        self.name = "ssh"
        self.visitor = visitor
        self._keys = terms.keys
        self._limits = limits
        self._reception = reception
        self._serve = serve
        self._monotonic = monotonic
        self._doorkeeper = doorkeeper
        self._talk = LoginTalk(
            self,
            doorkeeper=doorkeeper,
            reception=reception,
            attempts=limits.attempts,
            banner=banner,
        )
        self._handler_table.update(
            {
                MSG_GLOBAL_REQUEST: self._request,
                MSG_CHANNEL_OPEN: self._open,
                **dict.fromkeys(
                    (
                        MSG_EXT_INFO,
                        MSG_REQUEST_SUCCESS,
                        MSG_REQUEST_FAILURE,
                        MSG_CHANNEL_OPEN_SUCCESS,
                        MSG_CHANNEL_OPEN_FAILURE,
                    ),
                    _pass_over,
                ),
            }
        )
        self._open_channels: dict[int, ServedChannel] = {}
        self._threads: dict[int, threading.Thread] = {}
        self._fate = threading.Lock()
        self._has_read_all = False
        self._ending = threading.Event()
        self._over = threading.Event()
        self._reason = ""
        self.began_at = self.touched_at = monotonic()
        self.packetizer.before_waiting = self._go_on

    @property
    def account(self) -> AccountName | None:
        """See `Connection.account`."""
        return self._doorkeeper.account if self._talk.is_authenticated() else None

    @property
    def sessions(self) -> int:
        """See `Connection.sessions`."""
        return len(self._threads)

    def touch(self) -> None:
        """Take down that the client is not idle."""
        self.touched_at = self._monotonic()

    def _work(self) -> None:
        """Take down that the client waits for an answer; raises EOFError where it will get none."""
        self.touch()
        if self._ending.is_set():
            raise EOFError("the connection is ending")

    def late(self, now: float) -> str | None:
        """Return why the connection is to be ended, if it is late at anything at ``now``."""
        if not self._talk.is_authenticated():
            return "no login in time" if now >= self.began_at + self._limits.login_s else None
        return "idle for too long" if now >= self.touched_at + self._limits.idle_s else None

    def begin(self) -> None:
        """Speak with the client, in a thread of its own."""
        self.start_server(event=threading.Event(), server=paramiko.ServerInterface())

    def run(self) -> None:
        """See paramiko; then what comes after the end."""
        try:
            super().run()
        finally:
            self._has_read_all = True
            self._ending.set()
            self._after()

    def _parse_newkeys(self, m: paramiko.Message) -> None:
        """See paramiko, whose own login is not used."""
        self.auth_handler = self._talk
        super()._parse_newkeys(m)

    def pause(self, seconds: float) -> bool:
        """See `Line.pause`."""
        return not self._ending.wait(seconds)

    def end(self, reason: str, code: int = _BY_APPLICATION) -> None:
        """See `Connection.end`."""
        if self._ending.is_set():
            return
        self._reason = reason
        self._ending.set()
        with suppress(Exception):  # whatever it is, the line is given up
            self._say_goodbye(reason, code)
        self.active = False  # nothing more is done of what has come already
        # Only the thread that reads closes the socket: its number could be another's by then.
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)

    def wait(self, timeout_s: float | None = None) -> bool:
        """See `Connection.wait`."""
        return self._over.wait(timeout_s)

    def let_in(self) -> None:
        """See `Line.let_in`."""
        self.packetizer.know()
        self.touch()
        self.set_keepalive(_KEEPALIVE_S)
        self.answer(self._keys.announcement())

    def serve(self, channel: ServedChannel) -> None:
        """Serve a session, in a thread of its own."""
        thread = threading.Thread(target=self._session, args=(channel,), name="sftp", daemon=True)
        self._threads[channel.chanid] = thread
        try:
            thread.start()
        except RuntimeError:  # there are too many already
            del self._threads[channel.chanid]
            raise

    def _session(self, channel: ServedChannel) -> None:
        status = 1
        try:
            self._serve(
                Session(
                    account=self._who(),
                    visitor=self.visitor,
                    stream=channel.stream,
                    work=self._work,
                )
            )
            status = 0
        except _GONE:
            pass
        except Exception:
            logger.exception("a client's session ended by a defect")
        with suppress(*_GONE):
            channel.send_exit_status(status)
        with suppress(*_GONE):
            channel.close()
        with self._fate:
            self._open_channels.pop(channel.chanid, None)
            del self._threads[channel.chanid]
        self._after()

    def _go_on(self) -> None:
        """Let sessions answer what has come, by the thread that reads."""
        for channel in tuple(self._open_channels.values()):
            channel.stream.go_on()

    def _who(self) -> AccountName:
        account = self._doorkeeper.account
        if account is None:
            raise AssertionError("a session of nobody")
        return account

    def _after(self) -> None:
        """Take down the end, once: after the thread that reads, and after the last session."""
        with self._fate:
            if self._over.is_set() or self._threads or not self._has_read_all:
                return
            self._over.set()
        try:
            self._talk.leave()
            self._reception.ended(self._reason or _reason(self.saved_exception))
        except Exception:
            logger.exception("a connection's end was not taken down")

    def _request(self, message: paramiko.Message) -> None:
        """Answer a global request (RFC 4254, 4): there is a proof of host keys, and nothing else."""
        kind, wants_reply = message.get_string(), message.get_boolean()
        proofs = None
        if kind == PROVE.encode():
            proofs = self._keys.prove(
                message.get_remainder(), session_id=self.session_id, algorithm=self.host_key_type
            )
        if not wants_reply:
            return
        reply = _begin(cMSG_REQUEST_FAILURE if proofs is None else cMSG_REQUEST_SUCCESS)
        for proof in proofs or ():
            reply.add_string(proof)
        self.answer(reply)

    def _open(self, message: paramiko.Message) -> None:
        """Open a session's channel (RFC 4254, 5.1), or refuse to: nothing is forwarded."""
        kind = message.get_string()
        theirs, window_bytes, packet_bytes = (message.get_int() for _ in range(3))
        if kind != b"session":
            self._refuse(theirs, OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED)
        elif len(self._open_channels) >= _CHANNELS:
            self._refuse(theirs, OPEN_FAILED_RESOURCE_SHORTAGE)
        else:
            channel = self._make(theirs, window_bytes, packet_bytes)
            reply = _begin(cMSG_CHANNEL_OPEN_SUCCESS)
            for number in (
                theirs,
                channel.chanid,
                channel.in_window_size,
                channel.in_max_packet_size,
            ):
                reply.add_int(number)
            self.answer(reply)

    def _make(self, theirs: int, window_bytes: int, packet_bytes: int) -> ServedChannel:
        with self.lock:
            number = self._next_channel()
            ahead_bytes = _FURTHER_WINDOW_BYTES if self._open_channels else self.default_window_size
            channel = ServedChannel(number, ahead_bytes=ahead_bytes, touch=self.touch)
            self._open_channels[number] = channel
            self._channels.put(number, channel)
            self.channels_seen[number] = True
            if len(self.channels_seen) > _SEEN:
                del self.channels_seen[next(iter(self.channels_seen))]
            channel.join(self, theirs, window_bytes, packet_bytes)
        return channel

    def _refuse(self, theirs: int, code: int) -> None:
        reply = _begin(cMSG_CHANNEL_OPEN_FAILURE)
        reply.add_int(theirs)
        reply.add_int(code)
        reply.add_string("")
        reply.add_string("")
        self.answer(reply)

    def _unlink_channel(self, chanid: int) -> None:
        """See paramiko; one that is being served is let go of when that ends."""
        super()._unlink_channel(chanid)  # type: ignore[misc]
        if chanid not in self._threads:
            self._open_channels.pop(chanid, None)

    def _say_goodbye(self, reason: str, code: int) -> None:
        message = _begin(cMSG_DISCONNECT)
        message.add_int(code)
        message.add_string(reason)
        message.add_string("")
        self.packetizer.send_at_once(message, _GOODBYE_S)


def _begin(kind: bytes) -> paramiko.Message:
    message = paramiko.Message()
    message.add_byte(kind)
    return message


def _pass_over(_message: paramiko.Message) -> None:
    """Do nothing about a message that a client has no reason for, or that nobody waits for."""


def _reason(error: BaseException | None) -> str:
    """Return in words that no outsider chooses by what a connection ended."""
    reasons = {
        type(None): "the client left",
        EOFError: "the client hung up",
        IncompatiblePeer: "no algorithm in common",
        OSError: "the connection was lost",
    }
    return next(
        (words for kind, words in reasons.items() if isinstance(error, kind)),
        "a breach of the protocol",
    )
