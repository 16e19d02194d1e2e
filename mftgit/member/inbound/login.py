"""Who is let in, and by what: keys, certificates, passwords and one-time codes of a service's accounts.

Whether an account is unknown, has expired or may not come from where it does, nobody is told who has not proved to be
it; and it takes as long to be refused.
"""

import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from loguru import logger

from mftgit.adapters.clock import Clock
from mftgit.adapters.passwords import PasswordChecker
from mftgit.adapters.ssh.verify import is_certified
from mftgit.adapters.ssh_server.reception import Answer, Question, Verdict
from mftgit.model.inbound.account import Factor
from mftgit.model.inbound.barrier import source_of
from mftgit.model.inbound.login_steps import (
    Flaw,
    Method,
    asked_for,
    is_enough,
    methods,
    offered_to_all,
    useful,
)
from mftgit.model.inbound.password_hash import Cost, cost_of, decoy
from mftgit.model.inbound.serving import Served, Serving
from mftgit.model.inbound.totp import read_key, step_of
from mftgit.model.inbound.visitor import Visitor
from mftgit.model.keys.host_authority import read_authority
from mftgit.model.keys.ssh_key import PublicKey
from mftgit.model.keys.ssh_user_key import Shown, is_for
from mftgit.model.names import AccountName
from mftgit.model.secrets.value import SecretValue

T = TypeVar("T")

_USUAL: Final = Cost(work_kib=196_608, memory_kib=65_536, passes=3, lanes=4)
"""What a password costs to check that `mftgit.adapters.passwords` has hashed."""

_PROMPTS: Final = {Factor.PASSWORD: "Password: ", Factor.TOTP: "One-time code: "}


class Codes(Protocol):
    """Knows which one-time codes were used."""

    def take(self, account: AccountName, step: int) -> bool:
        """Take the code of ``step`` (RFC 6238: 30 seconds of Unix time); False where it or a later one was taken."""


class TakenCodes:
    """Knows the codes that were used in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[AccountName, int] = {}

    def take(self, account: AccountName, step: int) -> bool:
        """See `Codes.take`."""
        with self._lock:
            if step <= self._last.get(account, -1):
                return False
            self._last[account] = step
            return True


@dataclass(slots=True, kw_only=True)
class _Queue:
    """Those of one source whose passwords are to be checked."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    length: int = 0


class Passwords:
    """Checks passwords, ``at_once`` at a time: argon2 takes much memory. One for each process, over all revisions.

    Those of one source are checked one after the other: who guesses on many connections has no one else wait for all
    of them.
    """

    def __init__(self, *, at_once: int = 2) -> None:
        self._checker = PasswordChecker()
        self._turns = threading.BoundedSemaphore(at_once)
        self._lock = threading.Lock()
        self._queues: dict[str, _Queue] = {}

    def check(self, password: str, encoded: str, source: str) -> bool:
        """Tell whether ``password`` is the one of ``encoded``; one that was good lately costs next to nothing."""
        if self._checker.remembers(password, encoded):
            return True
        with self._in_turn(source), self._turns:
            return self._checker.check(password, encoded)

    @contextmanager
    def _in_turn(self, source: str) -> Iterator[None]:
        with self._lock:
            queue = self._queues.setdefault(source, _Queue())
            queue.length += 1
        try:
            with queue.lock:
                yield
        finally:
            with self._lock:
                queue.length -= 1
                if not queue.length:
                    del self._queues[source]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Proofs:
    """What an account proves itself by, read once."""

    served: Served
    keys: frozenset[bytes]
    authorities: tuple[PublicKey, ...]
    principals: frozenset[str]
    password: str | None
    totp: bytes | None


class Logins:
    """Everything that is needed to let the accounts of ``serving`` in; shared by all connections of a process."""

    def __init__(
        self, serving: Serving, *, clock: Clock, passwords: Passwords, codes: Codes
    ) -> None:
        self.service = serving.service.name
        self.clock = clock
        self.passwords = passwords
        self.codes = codes
        self.proofs = {name: _read(served) for name, served in serving.accounts.items()}
        self.first = offered_to_all(
            served.account.login.require for served in serving.accounts.values()
        )
        hashes = (each.password for each in self.proofs.values())
        costliest = max((cost_of(each) for each in hashes if each), default=_USUAL)
        self.decoy = decoy(costliest, salt=secrets.token_bytes(16), digest=secrets.token_bytes(32))

    def doorkeeper(self, visitor: Visitor) -> "AccountDoorkeeper":
        """Return the `Doorkeeper` of one connection."""
        return AccountDoorkeeper(self, visitor)


class AccountDoorkeeper:
    """Decides over one connection; see `mftgit.adapters.ssh_server.reception.Doorkeeper`."""

    def __init__(self, logins: Logins, visitor: Visitor) -> None:
        self._logins = logins
        self._visitor = visitor
        self._passed: frozenset[Factor] = frozenset()
        self._account: AccountName | None = None
        self._name: AccountName | None = None
        self._asked: Factor | None = None

    @property
    def account(self) -> AccountName | None:
        """See `Doorkeeper.account`."""
        return self._account

    @property
    def passed(self) -> frozenset[Factor]:
        """See `Doorkeeper.passed`."""
        return self._passed

    def offered(self) -> tuple[Method, ...]:
        """See `Doorkeeper.offered`."""
        proofs = self._logins.proofs.get(self._name) if self._name else None
        if proofs is None or not self._passed:
            return self._logins.first
        return methods(useful(proofs.served.account.login.require, self._passed))

    def weigh(self, account: str, shown: Shown) -> Flaw | None:
        """See `Doorkeeper.weigh`."""
        proofs, flaw = self._find(account, Factor.KEY)
        if proofs is None or flaw is not None:
            return flaw
        if shown.certificate is None:
            return None if shown.key.blob in proofs.keys else Flaw.KEY
        good = is_for(
            shown.certificate,
            authorities=proofs.authorities,
            principals=proofs.principals,
            visitor=self._visitor,
            now=self._logins.clock.now(),
        )
        return None if good and is_certified(shown.certificate) else Flaw.CERTIFICATE

    def vouched(self, account: AccountName, factors: frozenset[Factor]) -> Answer:
        """Decide on somebody who has proved ``factors`` before; see `mftgit.adapters.web.login.WebDoorkeeper`."""
        flaw = self._barred(account)
        if flaw is not None:
            return self._refuse(flaw)
        answers = [self._pass(account, factor) for factor in factors]
        return answers[-1] if answers else self._refuse(Flaw.UNFIT)

    def signed(self, account: str, shown: Shown) -> Answer:
        """See `Doorkeeper.signed`."""
        flaw = self.weigh(account, shown)
        return self._refuse(flaw) if flaw is not None else self._pass(account, Factor.KEY)

    def forged(self, account: str) -> Answer:
        """See `Doorkeeper.forged`."""
        del account
        return self._refuse(Flaw.SIGNATURE)

    def password(self, account: str, password: str) -> Answer:
        """See `Doorkeeper.password`."""
        self._asked = None
        proofs, flaw = self._find(account, Factor.PASSWORD)
        encoded = proofs.password if proofs is not None and flaw is None else None
        source = source_of(self._visitor.source)
        if not self._logins.passwords.check(password, encoded or self._logins.decoy, source):
            return self._refuse(flaw or Flaw.PASSWORD)
        return self._pass(account, Factor.PASSWORD)

    def converse(self, account: str) -> Question | Answer:
        """See `Doorkeeper.converse`."""
        proofs, _ = self._find(account, Factor.TOTP)
        require = proofs.served.account.login.require if proofs is not None else ()
        self._asked = asked_for(require, self._passed)
        if self._asked is None:
            return self._refuse(Flaw.UNFIT)
        return Question(prompt=_PROMPTS[self._asked])

    def answered(self, account: str, answer: str) -> Question | Answer:
        """See `Doorkeeper.answered`."""
        asked, self._asked = self._asked, None
        if asked is None:
            return self._refuse(Flaw.UNFIT)
        if asked is Factor.TOTP:
            return self._code(account, answer)
        decided = self.password(account, answer)
        if decided.verdict is not Verdict.FURTHER or Method.INTERACTIVE not in decided.next:
            return decided
        return self.converse(account)

    def _code(self, account: str, code: str) -> Answer:
        proofs, flaw = self._find(account, Factor.TOTP)
        if proofs is None or flaw is not None:
            return self._refuse(flaw or Flaw.CODE)
        key = proofs.totp
        now_s = self._logins.clock.now().timestamp()
        step = None if key is None else step_of(key, code, now_s)
        if step is None:
            return self._refuse(Flaw.CODE)
        if not self._logins.codes.take(AccountName(account), step):
            return self._refuse(Flaw.USED_CODE)
        return self._pass(account, Factor.TOTP)

    def _find(self, account: str, factor: Factor) -> tuple[_Proofs | None, Flaw | None]:
        """Return what ``account`` proves itself by, and why proving ``factor`` would not help it."""
        proofs = self._logins.proofs.get(AccountName(account))
        flaw = self._barred(account)
        if proofs is not None and flaw is None:
            useless = factor not in useful(proofs.served.account.login.require, self._passed)
            flaw = Flaw.UNFIT if useless else None
        return proofs, flaw

    def _barred(self, account: str) -> Flaw | None:
        """Return why nobody may come in as ``account``, however it is proved."""
        proofs = self._logins.proofs.get(AccountName(account))
        if proofs is None:
            return Flaw.UNKNOWN
        said = proofs.served.account
        if said.services is not None and self._logins.service not in said.services:
            return Flaw.SERVICE
        if said.expires_at is not None and self._logins.clock.now() >= said.expires_at:
            return Flaw.EXPIRED
        if said.sources and not self._visitor.is_from(said.sources):
            return Flaw.SOURCE
        return None

    def _pass(self, account: str, factor: Factor) -> Answer:
        name = self._name = AccountName(account)
        self._passed |= {factor}
        if is_enough(self._logins.proofs[name].served.account.login.require, self._passed):
            self._account = name
            return Answer(verdict=Verdict.IN)
        return Answer(verdict=Verdict.FURTHER, next=self.offered())

    def _refuse(self, flaw: Flaw) -> Answer:
        return Answer(verdict=Verdict.REFUSED, next=self.offered(), flaw=flaw)


def _read(served: Served) -> _Proofs:
    """Return what an account proves itself by; what cannot be read proves nothing, and is told to operators."""
    account, login = served.account, served.account.login
    keys = (_try(served, "a key", read_authority, line) for line in login.keys)
    authorities = (_try(served, "an authority", read_authority, line) for line in login.authorities)
    return _Proofs(
        served=served,
        keys=frozenset(key.blob for key in keys if key is not None),
        authorities=tuple(each for each in authorities if each is not None),
        principals=frozenset(login.principals) or frozenset({str(account.name)}),
        password=_try_secret(served, "a password", _checked, served.password),
        totp=_try_secret(served, "a key of one-time codes", read_key, served.totp),
    )


def _checked(encoded: str) -> str:
    cost_of(encoded.strip())
    return encoded.strip()


def _try_secret(
    served: Served, what: str, read: Callable[[str], T], secret: SecretValue | None
) -> T | None:
    return None if secret is None else _try(served, what, read, secret.reveal())


def _try(served: Served, what: str, read: Callable[[str], T], text: str) -> T | None:
    try:
        return read(text)
    except ValueError as error:
        reason = str(error)
    logger.error(
        "something that an account logs in with is not taken",
        account=served.account.name,
        what=what,
        reason=reason,
    )
    return None
