"""One connection of a client: logged in, and then nothing but sessions of ``sftp``.

paramiko's own answers to messages are replaced where an outsider could make them wait, grow or loop: extensions of
any count, channels and global requests that nobody takes, data beyond the window.
"""

import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, Final

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
    cMSG_DISCONNECT,
)
from paramiko.ssh_exception import IncompatiblePeer

from mftgit.adapters.ssh_server.channel import ServedChannel, pass_over
from mftgit.adapters.ssh_server.exchange import LeftError, ServerExchange
from mftgit.adapters.ssh_server.login import LoginTalk
from mftgit.adapters.ssh_server.message import message
from mftgit.adapters.ssh_server.reception import Doorkeeper, Reception, Serve, Session
from mftgit.adapters.ssh_server.rounds import Rounds
from mftgit.adapters.ssh_server.sessions import Sessions
from mftgit.adapters.ssh_server.stream import ServedStream
from mftgit.adapters.ssh_server.terms import Terms
from mftgit.adapters.ssh_server.turns import Turns
from mftgit.model.inbound.service import ServiceLimits
from mftgit.model.inbound.visitor import Visitor
from mftgit.model.names import AccountName

_KEEPALIVE_S: Final = 60
_BY_APPLICATION: Final = 11
"""RFC 4253, 11.1."""

_GOODBYE_S: Final = 0.05
"""One that takes nothing is not waited for: many may have to be told."""


class ServerTransport(ServerExchange):
    """See the module; ``touched_at`` is when the client asked or took something for the last time."""

    if TYPE_CHECKING:  # what paramiko's types do not tell
        auth_handler: LoginTalk

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
        rounds: Rounds,
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
        self._sessions = Sessions(
            self,
            serve=self._serve_session,
            ended=self._after,
            call=self._come_again,
            touch=self.touch,
        )
        self._turns = Turns(
            self,
            self._sessions,
            rounds,
            is_logged_in=self._talk.is_authenticated,
            concluded=self._conclude,
            monotonic=monotonic,
        )
        self._handler_table.update(
            {
                MSG_GLOBAL_REQUEST: self._request,
                MSG_CHANNEL_OPEN: self._sessions.open,
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
        self._fate = threading.Lock()
        self._has_read_all = False
        self._ending = threading.Event()
        self._over = threading.Event()
        self._reason = ""
        self.began_at = self.touched_at = monotonic()
        self.packetizer.before_waiting = self._sessions.go_on

    @property
    def account(self) -> AccountName | None:
        """See `Connection.account`."""
        return self._doorkeeper.account if self._talk.is_authenticated() else None

    @property
    def sessions(self) -> int:
        """See `Connection.sessions`."""
        return self._sessions.served

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
        """See paramiko."""
        self._turns.run()

    def _conclude(self, error: Exception) -> None:
        """Let go of all, because of ``error``; by the thread that reads."""
        self.saved_exception = error
        try:
            self.give_up()
        finally:
            self._has_read_all = True
            self._ending.set()
            self._after()

    def _parse_newkeys(self, m: paramiko.Message) -> None:
        """See paramiko, whose own login is not used."""
        self.auth_handler = self._talk
        super()._parse_newkeys(m)
        if self.packetizer.in_rounds and not self.packetizer.can_be_shared:
            raise paramiko.SSHException("a cipher of another kind than before")

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
            goodbye = message(cMSG_DISCONNECT, code, reason, "")
            self.packetizer.send_at_once(goodbye, _GOODBYE_S)
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

    def _come_again(self) -> None:
        self._turns.call()

    def _serve_session(self, stream: ServedStream) -> None:
        self._serve(
            Session(account=self._who(), visitor=self.visitor, stream=stream, work=self._work)
        )

    def _who(self) -> AccountName:
        account = self._doorkeeper.account
        if account is None:
            raise AssertionError("a session of nobody")
        return account

    def _after(self) -> None:
        """Take down the end, once: after the thread that reads, and after the last session."""
        with self._fate:
            if self._over.is_set() or self._sessions.served or not self._has_read_all:
                return
            self._over.set()
        try:
            self._talk.leave()
            self._reception.ended(self._reason or _reason(self.saved_exception))
        except Exception:
            logger.exception("a connection's end was not taken down")

    def _request(self, asked: paramiko.Message) -> None:
        reply = self._keys.answer(asked, session_id=self.session_id, algorithm=self.host_key_type)
        if reply is not None:
            self.answer(reply)

    def _unlink_channel(self, chanid: int) -> None:
        """See paramiko."""
        super()._unlink_channel(chanid)  # type: ignore[misc]
        self._sessions.let_go(chanid)


def _pass_over(_message: paramiko.Message) -> None:
    """Do nothing about a message that a client has no reason for, or that nobody waits for."""


def _reason(error: BaseException | None) -> str:
    """Return in words that no outsider chooses by what a connection ended."""
    reasons = {
        LeftError: "the client left",
        EOFError: "the client hung up",
        IncompatiblePeer: "no algorithm in common",
        OSError: "the connection was lost",
    }
    return next(
        (words for kind, words in reasons.items() if isinstance(error, kind)),
        "a breach of the protocol",
    )
