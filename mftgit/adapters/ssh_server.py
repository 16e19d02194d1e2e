"""Connections of SSH clients, in paramiko's server mode: keys exchanged, logged in, and ``sftp`` sessions served.

Nothing else is served: no shell, no command, no forwarding.
"""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, unique
from typing import Protocol

from mftgit.adapters.sftp_stream import Stream
from mftgit.model.algorithms import Algorithms
from mftgit.model.login_steps import Flaw, Method
from mftgit.model.names import AccountName
from mftgit.model.service import ServiceLimits
from mftgit.model.ssh_certificate import Certificate
from mftgit.model.ssh_key import PublicKey
from mftgit.model.visitor import Visitor

Shown = PublicKey | Certificate
"""What a client shows of itself by the method ``publickey``; nothing of it is checked but its form."""


@unique
class Verdict(Enum):
    """What came of a try to log in."""

    IN = "in"
    FURTHER = "further"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """``next`` is what may be tried now, ``flaw`` why it was refused, for the events."""

    verdict: Verdict
    next: tuple[Method, ...] = ()
    flaw: Flaw | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to ask a client in a conversation (keyboard-interactive, RFC 4256); the answer is not shown."""

    prompt: str


class Doorkeeper(Protocol):
    """Decides who comes in over one connection, by one thread; ``account`` is what the client says, always the same.

    What it answers and how long it takes must not tell whether there is such an account.
    """

    def offered(self) -> tuple[Method, ...]:
        """Return what may be tried now."""

    def would_take(self, account: str, shown: Shown) -> bool:
        """Tell whether a signature by the key ``shown`` would be of use."""

    def signed(self, account: str, shown: Shown) -> Answer:
        """Decide on a key that made the client's signature."""

    def forged(self, account: str) -> Answer:
        """Decide on a signature that is not by the key that was shown; refused always."""

    def password(self, account: str, password: str) -> Answer:
        """Decide on a password."""

    def converse(self, account: str) -> Question | Answer:
        """Begin a conversation; where one goes on, it is begun anew."""

    def answered(self, account: str, answer: str) -> Question | Answer:
        """Decide on the answer to the last question."""

    @property
    def account(self) -> AccountName | None:
        """Who is in; None before that."""


class Reception(Protocol):
    """What is done about one connection's fate; called by the connection's own threads, which wait for it."""

    def failed(self, account: str, flaw: Flaw) -> float:
        """Take down that a try failed; return by how many seconds the answer is to be delayed."""

    def logged_in(self, account: AccountName) -> bool:
        """Take down that ``account`` is in; False where it may not, because it has too many connections already."""

    def ended(self, reason: str) -> None:
        """Take down that the connection has ended, once, whatever came before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A client's ``sftp`` subsystem; ``stream`` ends when the client or `Connection.end` ends it."""

    account: AccountName
    visitor: Visitor
    stream: Stream


Serve = Callable[[Session], None]
"""Serves a session until it ends, in a thread of its own; what it raises ends the session alone."""


class Connection(Protocol):
    """A connection under way."""

    @property
    def visitor(self) -> Visitor:
        """Who it is with."""

    @property
    def account(self) -> AccountName | None:
        """Who is logged in; None before that."""

    @property
    def sessions(self) -> int:
        """How many sessions are being served."""

    def end(self, reason: str) -> None:
        """Tell the client ``reason`` and hang up, within a second; from any thread, and as often as you like."""

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it has ended, its sessions too; tell whether it has."""


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
