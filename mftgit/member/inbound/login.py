"""Who is let in, and by what: keys, certificates, passwords and one-time codes of a service's accounts."""

from typing import Protocol

from mftgit.adapters.clock import Clock
from mftgit.adapters.ssh_reception import Answer, Question, Shown
from mftgit.model.account import Factor
from mftgit.model.login_steps import Flaw, Method
from mftgit.model.names import AccountName
from mftgit.model.serving import Serving
from mftgit.model.visitor import Visitor


class Codes(Protocol):
    """Knows which one-time codes were used."""

    def take(self, account: AccountName, step: int) -> bool:
        """Take the code of ``step`` (RFC 6238: 30 seconds of Unix time); False where it or a later one was taken."""


class TakenCodes:
    """Knows the codes that were used in this process."""

    def take(self, account: AccountName, step: int) -> bool:
        """See `Codes.take`."""
        raise NotImplementedError


class Passwords:
    """Checks passwords, ``at_once`` at a time: argon2 takes much memory. One for each process, over all revisions."""

    def __init__(self, *, at_once: int = 2) -> None:
        raise NotImplementedError


class Logins:
    """Everything that is needed to let the accounts of ``serving`` in; shared by all connections of a process."""

    def __init__(
        self, serving: Serving, *, clock: Clock, passwords: Passwords, codes: Codes
    ) -> None:
        raise NotImplementedError

    def doorkeeper(self, visitor: Visitor) -> "AccountDoorkeeper":
        """Return the `Doorkeeper` of one connection."""
        raise NotImplementedError


class AccountDoorkeeper:
    """Decides over one connection; see `mftgit.adapters.ssh_reception.Doorkeeper`."""

    def offered(self) -> tuple[Method, ...]:
        """See `Doorkeeper.offered`."""
        raise NotImplementedError

    def weigh(self, account: str, shown: Shown) -> Flaw | None:
        """See `Doorkeeper.weigh`."""
        raise NotImplementedError

    def signed(self, account: str, shown: Shown) -> Answer:
        """See `Doorkeeper.signed`."""
        raise NotImplementedError

    def forged(self, account: str) -> Answer:
        """See `Doorkeeper.forged`."""
        raise NotImplementedError

    def password(self, account: str, password: str) -> Answer:
        """See `Doorkeeper.password`."""
        raise NotImplementedError

    def converse(self, account: str) -> Question | Answer:
        """See `Doorkeeper.converse`."""
        raise NotImplementedError

    def answered(self, account: str, answer: str) -> Question | Answer:
        """See `Doorkeeper.answered`."""
        raise NotImplementedError

    @property
    def account(self) -> AccountName | None:
        """See `Doorkeeper.account`."""
        raise NotImplementedError

    @property
    def passed(self) -> frozenset[Factor]:
        """See `Doorkeeper.passed`."""
        raise NotImplementedError
