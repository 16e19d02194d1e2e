"""What an SSH server asks of those who know the accounts, and what it gives them: the contract of `server`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import Protocol

from mftgit.adapters.ssh_server.stream import ServedStream
from mftgit.model.inbound.account import Factor
from mftgit.model.inbound.login_steps import Flaw, Method
from mftgit.model.inbound.visitor import Visitor
from mftgit.model.keys.ssh_user_key import Shown
from mftgit.model.names import AccountName


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

    def weigh(self, account: str, shown: Shown) -> Flaw | None:
        """Return why a signature by the key ``shown`` would be of no use; None where it would be of use."""

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

    @property
    def passed(self) -> frozenset[Factor]:
        """What was proved."""


class Reception(Protocol):
    """What is done about one connection's fate; called by the connection's own threads, which wait for it."""

    def failed(self, account: str, flaw: Flaw) -> float | None:
        """Take down that a try failed; return by how many seconds the answer is to be delayed, None to hang up.

        ``account`` is as the client said it. Keys that were refused are one try for the whole connection, told when
        it ends, for honest clients try all that they have.
        """

    def logged_in(self, account: AccountName, factors: frozenset[Factor], client: str) -> bool:
        """Take down that ``account`` is in by ``factors``; False where it may not: it has too many connections.

        ``client`` is what its software calls itself, printable and short.
        """

    def ended(self, reason: str) -> None:
        """Take down that the connection has ended, once, whatever came before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A client's ``sftp`` subsystem; ``stream`` ends when the client or `Connection.end` ends it.

    What the client sends and takes shows that it is not idle. ``work`` says so where it waits long for an answer.
    """

    account: AccountName
    visitor: Visitor
    stream: ServedStream
    work: Callable[[], None] = field(default=lambda: None)


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
