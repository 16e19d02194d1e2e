"""Every way to prove who one is, by OpenSSH's client and by one that does things in an odd order."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

import argon2
import paramiko
import pytest
from paramiko.pkey import PublicBlob
from patient_ssh import transport_to
from ssh_door import WAIT_S, Book, Door, account, open_door, served, serving
from ssh_keys import make_key, sign_key
from waiting import until

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.ssh_server.reception import Question, Verdict
from mftgit.member.inbound.login import Logins, Passwords, TakenCodes
from mftgit.model.inbound.account import Factor
from mftgit.model.inbound.login_steps import Flaw
from mftgit.model.inbound.password_hash import Cost, cost_of
from mftgit.model.inbound.serving import Served, Serving
from mftgit.model.inbound.totp import STEP_S, code_at, read_key
from mftgit.model.inbound.visitor import read_visitor
from mftgit.model.keys.ssh_certificate import read_certificate_line
from mftgit.model.names import ServiceName

pytestmark = pytest.mark.needs("sftp", "ssh-keygen")

KEY, PASSWORD, TOTP = Factor.KEY, Factor.PASSWORD, Factor.TOTP
SECRET, CODES = "correct horse", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
ASKED = {"assword": SECRET}
HASHED = argon2.PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(SECRET)
NOON = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
ONE_METHOD = ("PreferredAuthentications=password",)
KEYS_ONLY = ("PreferredAuthentications=publickey",)
CONVERSATION = ("PreferredAuthentications=keyboard-interactive",)
KEYS = ("rsa", "ecdsa", "ed25519")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys of clients and authorities, in ``keys``."""
    work = tmp_path_factory.mktemp("logins")
    keys = work / "keys"
    keys.mkdir()
    for name in (*KEYS, "other", "certified"):
        make_key(keys / name, name if name in KEYS else "ed25519")
    for authority in ("ca", "stranger"):
        make_key(keys / authority, "ed25519")
    return work


def _accounts(work: Path) -> Serving:
    lines = tuple((work / "keys" / f"{kind}.pub").read_text("ascii") for kind in KEYS)
    authority = ((work / "keys" / "ca.pub").read_text("ascii"),)
    key, password, code = (frozenset({each}) for each in (KEY, PASSWORD, TOTP))
    of_all = {"keys": lines, "authorities": authority, "principals": ("partner",)}

    def with_all(name: str, *require: frozenset[Factor], **said: object) -> Served:
        return served(account(name, require, **of_all, **said), password=HASHED, totp=CODES)

    yesterday = datetime.now(tz=UTC) - timedelta(days=1)  # noqa: TID251  it has to have passed
    return serving(
        with_all("keys", key),
        with_all("either", key, password),
        with_all("both", key | password),
        with_all("code", password | code),
        with_all("keycode", key | code),
        with_all("all", key | password | code),
        with_all("expired", key, password, expires_at=yesterday),
        with_all("elsewhere", key, password, sources=("192.0.2.0/24",)),
        with_all("here", key, password, sources=("192.0.2.0/24", "127.0.0.0/8")),
        with_all("notours", key, password, services=frozenset({ServiceName("another")})),
    )


@pytest.fixture(scope="module")
def lasting(work: Path) -> Iterator[Door]:
    with open_door(work, _accounts(work)) as door:
        yield door


@pytest.fixture
def door(lasting: Door) -> Door:
    """An open door, without the books that a failed test has left."""
    lasting.forget()
    return lasting


def _code(at_s: float = 0.0) -> str:
    return code_at(read_key(CODES), int(NOON.timestamp() + at_s) // STEP_S)


@contextmanager
def _open_at_noon(work: Path) -> Iterator[Door]:
    """Open a door that knows of no code that was used, and whose clock stands still."""
    with open_door(work, _accounts(work)) as door:
        door.clock.moment = NOON
        yield door


def _logs_in(door: Door, name: str, factors: set[Factor], **how: object) -> Book:
    done = door.sftp("pwd\n", account=name, **how)  # type: ignore[arg-type]
    assert done.returncode == 0, done.stderr
    book = door.book()
    assert [login[:2] for login in book.logins] == [(name, frozenset(factors))]
    return book


def _is_refused(door: Door, name: str, flaw: Flaw, **how: object) -> str:
    done = door.sftp("pwd\n", account=name, **how)  # type: ignore[arg-type]
    assert done.returncode == 255
    book = door.book()
    assert not book.logins
    assert book.failures == [(name, flaw)]
    return next(line for line in done.stderr.splitlines() if "Permission denied" in line)


@pytest.mark.parametrize("key", KEYS)
def test_a_key_opens(door: Door, key: str) -> None:
    book = _logs_in(door, "keys", {KEY}, key=key)
    assert not book.failures
    assert book.logins[0][2].startswith("OpenSSH_")


def test_one_of_two_ways_is_enough(door: Door) -> None:
    _logs_in(door, "either", {KEY}, key="ed25519")
    _logs_in(door, "either", {PASSWORD}, answers=ASKED)
    _logs_in(door, "either", {PASSWORD}, answers=ASKED, options=CONVERSATION)


def test_both_are_needed_where_both_are_asked_for(door: Door) -> None:
    _logs_in(door, "both", {KEY, PASSWORD}, key="ed25519", answers=ASKED)
    done = door.sftp("pwd\n", account="both", answers=ASKED)
    assert done.returncode == 255
    assert not door.book().logins
    done = door.sftp("pwd\n", account="both", key="ed25519")
    assert done.returncode == 255
    assert not door.book().logins


def test_a_password_and_a_code_may_come_by_two_methods_or_in_one_conversation(work: Path) -> None:
    with _open_at_noon(work) as door:
        answers = {**ASKED, "One-time code": _code()}
        _logs_in(door, "code", {PASSWORD, TOTP}, answers=answers)
    with _open_at_noon(work) as door:
        answers = {**ASKED, "One-time code": _code()}
        _logs_in(door, "code", {PASSWORD, TOTP}, answers=answers, options=CONVERSATION)


def test_a_code_comes_last_whatever_else_is_needed(work: Path) -> None:
    with _open_at_noon(work) as door:
        answers = {"One-time code": _code()}
        _logs_in(door, "keycode", {KEY, TOTP}, key="ed25519", answers=answers)
        answers = {**ASKED, "One-time code": _code()}
        _logs_in(door, "all", {KEY, PASSWORD, TOTP}, key="ed25519", answers=answers)


def test_a_code_opens_once(work: Path) -> None:
    with _open_at_noon(work) as door:
        answers = {"One-time code": _code()}
        _logs_in(door, "keycode", {KEY, TOTP}, key="ed25519", answers=answers)
        _is_refused(door, "keycode", Flaw.USED_CODE, key="ed25519", answers=answers)
        answers = {"One-time code": _code(-STEP_S)}
        _is_refused(door, "keycode", Flaw.USED_CODE, key="ed25519", answers=answers)
        answers = {"One-time code": _code(STEP_S)}
        _logs_in(door, "keycode", {KEY, TOTP}, key="ed25519", answers=answers)
        answers = {"One-time code": _code(3 * STEP_S)}
        _is_refused(door, "keycode", Flaw.CODE, key="ed25519", answers=answers)


def test_nobody_learns_from_a_refusal_whether_there_is_an_account(door: Door) -> None:
    wrong = {"assword": "battery staple"}
    refusals = {
        _is_refused(door, name, flaw, answers=answers, options=ONE_METHOD).replace(name, "NAME")
        for name, flaw, answers in (
            ("either", Flaw.PASSWORD, wrong),
            ("nobody", Flaw.UNKNOWN, ASKED),
            ("expired", Flaw.EXPIRED, ASKED),
            ("elsewhere", Flaw.SOURCE, ASKED),
            ("notours", Flaw.SERVICE, ASKED),
            ("keys", Flaw.UNFIT, ASKED),
        )
    }
    assert len(refusals) == 1
    refusals = {
        _is_refused(door, name, flaw, key=key, options=KEYS_ONLY).replace(name, "NAME")
        for name, flaw, key in (
            ("either", Flaw.KEY, "other"),
            ("nobody", Flaw.UNKNOWN, "ed25519"),
            ("expired", Flaw.EXPIRED, "ed25519"),
            ("elsewhere", Flaw.SOURCE, "ed25519"),
            ("notours", Flaw.SERVICE, "ed25519"),
        )
    }
    assert len(refusals) == 1


def test_everybody_is_refused_at_the_same_cost(work: Path) -> None:
    class Counted(Passwords):
        """Takes down what each check costs."""

        costs: list[Cost]

        def check(self, password: str, encoded: str, source: str) -> bool:
            self.costs.append(cost_of(encoded))
            return super().check(password, encoded, source)

    passwords = Counted()
    passwords.costs = []
    what = _accounts(work)
    logins = Logins(what, clock=SystemClock(), passwords=passwords, codes=TakenCodes())
    names = ("either", "nobody", "expired", "elsewhere", "notours", "keys")
    for name in names:
        doorkeeper = logins.doorkeeper(read_visitor("127.0.0.1", 1))
        assert doorkeeper.password(name, "battery staple").verdict is Verdict.REFUSED
        assert doorkeeper.converse("any") == Question(prompt="Password: ")
        assert doorkeeper.answered(name, "battery staple") == doorkeeper.password(name, "x")
    assert len(passwords.costs) == 3 * len(names)
    assert set(passwords.costs) == {cost_of(HASHED)}


def test_who_guesses_on_many_connections_has_nobody_else_wait_for_all_of_them() -> None:
    costly = argon2.PasswordHasher(time_cost=2, memory_cost=32_768, parallelism=1).hash(SECRET)
    what = serving(served(account("ann", (frozenset({PASSWORD}),)), password=costly))
    passwords = Passwords(at_once=2)
    logins = Logins(what, clock=SystemClock(), passwords=passwords, codes=TakenCodes())
    order: list[str] = []

    def try_from(source: str) -> None:
        doorkeeper = logins.doorkeeper(read_visitor(source, 1))
        doorkeeper.password("ann", SECRET if source == "192.0.2.1" else "a guess")
        order.append(source)

    guesses = [f"2001:db8::{number:x}" for number in range(1, 15)]  # one network, one source
    threads = [Thread(target=try_from, args=(each,)) for each in (*guesses, "192.0.2.1")]
    with passwords._turns, passwords._turns:  # all of them wait before one is checked
        for thread in threads:
            thread.start()
        until(lambda: sum(each.length for each in list(passwords._queues.values())) == len(threads))
    for thread in threads:
        thread.join()
    assert order.index("192.0.2.1") < len(guesses) // 2
    assert not passwords._queues


def test_a_hash_that_would_take_too_much_opens_nothing() -> None:
    huge = HASHED.replace("m=8192", "m=8388608")
    someone = served(account("ann", (frozenset({PASSWORD}),)), password=huge, totp="nonsense")
    logins = Logins(
        serving(someone), clock=SystemClock(), passwords=Passwords(), codes=TakenCodes()
    )
    answer = logins.doorkeeper(read_visitor("127.0.0.1", 1)).password("ann", SECRET)
    assert answer.flaw is Flaw.PASSWORD


def test_an_account_may_come_from_its_networks(door: Door) -> None:
    _logs_in(door, "here", {KEY}, key="ed25519")


@pytest.fixture
def certify(work: Path) -> Callable[..., str]:
    """What signs a key anew, and returns its name."""

    def certify(*options: str, principals: str = "partner", by: str = "ca") -> str:
        sign_key(work / "keys" / by, work / "keys" / "certified", principals, *options)
        return "certified"

    return certify


def test_a_certificate_by_the_authority_opens(door: Door, certify: Callable[..., str]) -> None:
    _logs_in(door, "keys", {KEY}, key=certify("-O", "source-address=127.0.0.0/8"))


@pytest.mark.parametrize(
    ("options", "principals", "by"),
    [
        ((), "another", "ca"),
        ((), "partner", "stranger"),
        (("-V", "20200101:20200102"), "partner", "ca"),
        (("-O", "source-address=192.0.2.0/24"), "partner", "ca"),
        (("-O", "force-command=true"), "partner", "ca"),
        (("-h",), "partner", "ca"),
    ],
    ids=["principal", "authority", "window", "source", "command", "host"],
)
def test_a_certificate_that_is_not_for_it_does_not_open(
    door: Door, certify: Callable[..., str], options: tuple[str, ...], principals: str, by: str
) -> None:
    key = certify(*options, principals=principals, by=by)
    done = door.sftp("pwd\n", account="keys", key=key, options=KEYS_ONLY)
    assert done.returncode == 255
    book = door.book()
    assert not book.logins
    # OpenSSH shows the plain key too, and neither a host's certificate nor one that has passed.
    assert [name for name, _ in book.failures] == ["keys"]


def test_a_certificate_that_was_changed_does_not_open(
    door: Door, client: paramiko.Transport, work: Path, certify: Callable[..., str]
) -> None:
    path = work / "keys" / f"{certify(principals='another')}-cert.pub"
    _, blob = read_certificate_line(path.read_text("ascii"))
    assert blob.count(b"another") == 1
    key = _own_key(work, "certified")
    key.public_blob = PublicBlob(
        "ssh-ed25519-cert-v01@openssh.com", blob.replace(b"another", b"partner")
    )
    with pytest.raises(paramiko.AuthenticationException):
        client.auth_publickey("keys", key)
    client.close()
    assert door.book().failures == [("keys", Flaw.CERTIFICATE)]


def test_a_signature_is_of_the_kind_that_was_said(
    door: Door, client: paramiko.Transport, work: Path
) -> None:
    class Other(paramiko.RSAKey):
        """Says that it signs with SHA-512, and does with SHA-256."""

        def sign_ssh_data(self, data: bytes, algorithm: str | None = None) -> paramiko.Message:
            assert algorithm == "rsa-sha2-512"
            return super().sign_ssh_data(data, "rsa-sha2-256")

    with pytest.raises(paramiko.AuthenticationException):
        client.auth_publickey("keys", Other.from_private_key_file(str(work / "keys" / "rsa")))
    client.close()
    assert door.book().failures == [("keys", Flaw.SIGNATURE)]


@pytest.fixture
def client(door: Door) -> Iterator[paramiko.Transport]:
    """A connection whose login is up to the test; the door's record of it is the next one."""
    transport = transport_to(door.port)
    with closing(transport):
        transport.start_client(timeout=WAIT_S)
        yield transport


def _own_key(work: Path, name: str = "ed25519") -> paramiko.PKey:
    return paramiko.Ed25519Key.from_private_key_file(str(work / "keys" / name))


def test_factors_may_come_in_any_order(door: Door, client: paramiko.Transport, work: Path) -> None:
    assert client.auth_password("both", SECRET) == ["publickey"]
    assert client.auth_publickey("both", _own_key(work)) == []
    assert client.is_authenticated()
    client.close()
    assert door.book().logins[0][1] == {KEY, PASSWORD}


def test_what_was_proved_stays_proved_after_a_mistake(
    door: Door, client: paramiko.Transport, work: Path
) -> None:
    assert client.auth_publickey("both", _own_key(work)) == ["password", "keyboard-interactive"]
    with pytest.raises(paramiko.AuthenticationException):
        client.auth_password("both", "battery staple")
    assert client.auth_password("both", SECRET) == []
    client.close()
    assert door.book().failures == [("both", Flaw.PASSWORD)]


def test_everybody_is_offered_the_same_first(door: Door, client: paramiko.Transport) -> None:
    offered = []
    for name in ("keys", "nobody"):
        with pytest.raises(paramiko.BadAuthenticationType) as refused:
            client.auth_none(name)
        offered.append(refused.value.allowed_types)
        client.close()
        client = transport_to(door.port)
        client.start_client(timeout=WAIT_S)
    client.close()
    assert offered[0] == offered[1] == ["publickey", "password", "keyboard-interactive"]
    for _ in range(3):
        assert door.book().failures == []


def test_a_code_is_asked_for_by_nobody_who_proved_nothing(
    door: Door, client: paramiko.Transport
) -> None:
    asked = []

    def answer(_title: str, _instructions: str, prompts: list[tuple[str, bool]]) -> list[str]:
        asked.extend(prompts)
        return [_code()] * len(prompts)

    with pytest.raises(paramiko.AuthenticationException):
        client.auth_interactive("keycode", answer)
    client.close()
    assert asked == [("Password: ", False)]
    assert door.book().failures == [("keycode", Flaw.UNFIT)]


def test_another_name_in_between_ends_the_connection(
    door: Door, client: paramiko.Transport
) -> None:
    with pytest.raises(paramiko.AuthenticationException):
        client.auth_password("keys", "x")
    with pytest.raises((paramiko.SSHException, EOFError)):
        client.auth_password("either", SECRET)
    assert door.book().reason == "another account than before"


def test_a_signature_by_another_key_is_refused(
    door: Door, client: paramiko.Transport, work: Path
) -> None:
    class Forged(paramiko.Ed25519Key):
        """Shows one key, and signs by another."""

        def sign_ssh_data(self, data: bytes, algorithm: str | None = None) -> paramiko.Message:
            return _own_key(work, "other").sign_ssh_data(data, algorithm)

    forged = Forged.from_private_key_file(str(work / "keys" / "ed25519"))
    with pytest.raises(paramiko.AuthenticationException):
        client.auth_publickey("keys", forged)
    client.close()
    assert door.book().failures == [("keys", Flaw.SIGNATURE)]


def test_a_signature_of_another_connection_is_refused(
    door: Door, client: paramiko.Transport, work: Path
) -> None:
    class Replayed(paramiko.Ed25519Key):
        """Signs for a session that is not this one."""

        def sign_ssh_data(self, data: bytes, algorithm: str | None = None) -> paramiko.Message:
            return super().sign_ssh_data(data[:4] + bytes(32) + data[36:], algorithm)

    replayed = Replayed.from_private_key_file(str(work / "keys" / "ed25519"))
    with pytest.raises(paramiko.AuthenticationException):
        client.auth_publickey("keys", replayed)
    client.close()
    assert door.book().failures == [("keys", Flaw.SIGNATURE)]


def test_keys_of_nobody_are_told_once_when_the_client_leaves(
    door: Door, client: paramiko.Transport, work: Path
) -> None:
    for _ in range(3):
        with pytest.raises(paramiko.AuthenticationException):
            client.auth_publickey("keys", _own_key(work, "other"))
    client.close()
    assert door.book().failures == [("keys", Flaw.KEY)]


def test_a_client_may_show_twenty_keys_of_nobody(
    door: Door, client: paramiko.Transport, work: Path
) -> None:
    for _ in range(19):
        with pytest.raises(paramiko.AuthenticationException):
            client.auth_publickey("keys", _own_key(work, "other"))
    with pytest.raises((paramiko.SSHException, EOFError)):
        client.auth_publickey("keys", _own_key(work, "other"))
    book = door.book()
    assert book.reason == "too many failed logins"
    assert book.failures == [("keys", Flaw.KEY)]


def test_a_signature_that_is_none_is_refused(
    door: Door, client: paramiko.Transport, work: Path
) -> None:
    class Nonsense(paramiko.Ed25519Key):
        """Signs with what is no signature."""

        def sign_ssh_data(self, data: bytes, algorithm: str | None = None) -> paramiko.Message:  # noqa: ARG002
            return paramiko.Message(b"nonsense")

    key = Nonsense.from_private_key_file(str(work / "keys" / "ed25519"))
    with pytest.raises(paramiko.AuthenticationException):
        client.auth_publickey("keys", key)
    client.close()
    assert door.book().failures == [("keys", Flaw.SIGNATURE)]


def test_a_delay_ends_with_the_connection(work: Path) -> None:
    with open_door(work, _accounts(work), book=lambda: Book(delay_s=WAIT_S * 10)) as door:
        transport = transport_to(door.port)
        with closing(transport):
            transport.start_client(timeout=WAIT_S)
            trying = Thread(target=_try_in_vain, args=(transport,))
            trying.start()
            book = door.books.get(timeout=WAIT_S)
            while not book.failures:
                Event().wait(0.01)
            door.connections.get(timeout=WAIT_S).end("enough")
            assert book.over.wait(WAIT_S)
            trying.join(WAIT_S)
        assert book.reason == "enough"


def _try_in_vain(transport: paramiko.Transport) -> None:
    with suppress(paramiko.SSHException, EOFError):
        transport.auth_password("either", "x")


def test_too_many_tries_end_the_connection(door: Door, client: paramiko.Transport) -> None:
    for _ in range(5):
        with pytest.raises(paramiko.AuthenticationException):
            client.auth_password("nobody", "x")
    with pytest.raises((paramiko.SSHException, EOFError)):
        client.auth_password("nobody", "x")
    book = door.book()
    assert len(book.failures) == 6
    assert book.reason == "too many failed logins"


def test_who_is_not_welcome_is_not_let_in(work: Path) -> None:
    with open_door(work, _accounts(work), book=lambda: Book(welcome=False)) as door:
        done = door.sftp("pwd\n", account="keys", key="ed25519")
        assert done.returncode == 255
        assert "too many connections of this account" in done.stderr
        assert door.book().reason == "too many connections of this account"


def test_a_member_can_hang_up_on_a_failure(work: Path) -> None:
    with open_door(work, _accounts(work), book=lambda: Book(delay_s=None)) as door:
        done = door.sftp("pwd\n", account="either", answers={"assword": "x"}, options=ONE_METHOD)
        assert done.returncode == 255
        assert door.book().reason == "too many failed logins"
