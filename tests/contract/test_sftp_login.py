"""Ways to log in that operators of MFT servers ask for: locked keys, certificates, questions instead of passwords."""
# ruff: noqa: ARG002  the signatures are paramiko's

import os
import pwd
import traceback
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from certificate_lines import HOST_LINE
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL
from paramiko.server import InteractiveQuery
from sftp_server import PASSWORD, AsksQuestions, sftp_server
from ssh_keys import make_key, sign_key
from sshd import Sshd, running_sshd, temporary_user

from mftgit.adapters.endpoint.contract import LoginError
from mftgit.adapters.sftp.endpoint import connect
from mftgit.errors import ConfigError
from mftgit.model.locations.login import Auth, KeyAuth, PasswordAuth, SecretRef
from mftgit.model.names import SecretName
from mftgit.model.secrets.value import SecretValue

PASSPHRASE = "a long passphrase 5521"
KINDS = {"ed25519": (), "ecdsa": (), "rsa": ("-b", "2048")}

pytestmark = pytest.mark.needs("sshd")


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """An sshd that takes keys that are certified for the user of the tests, and locked keys of each kind."""
    work = tmp_path_factory.mktemp("sshd")
    make_key(work / "user_ca", "ed25519")
    options = [f"TrustedUserCAKeys {work}/user_ca.pub"]
    with running_sshd(work, options=options) as server:
        me = pwd.getpwuid(os.geteuid()).pw_name
        with (work / "authorized_keys").open("a", encoding="utf-8") as keys:
            for kind, bits in KINDS.items():
                locked = server.secrets_dir / f"locked-{kind}"
                make_key(locked, kind, passphrase=PASSPHRASE, options=bits)
                keys.write(locked.with_suffix(".pub").read_text(encoding="utf-8"))
                certified = server.secrets_dir / f"certified-{kind}"
                make_key(certified, kind, options=bits)
                sign_key(work / "user_ca", certified, me).chmod(0o600)
        put(server.secrets_dir, "passphrase", PASSPHRASE + "\n")
        put(server.secrets_dir, "wrong", "not it\n")
        yield server


def put(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content, encoding="utf-8")
    (folder / name).chmod(0o600)


def log_in(server: Sshd, *auth: Auth, **secrets: str) -> None:
    values = {SecretName(name): SecretValue(value) for name, value in secrets.items()}
    location = server.location(auth=auth)
    with closing(connect(location, secrets_dir=server.secrets_dir, secrets=values)) as endpoint:
        endpoint.list_names(".")


@pytest.mark.parametrize("kind", KINDS)
def test_a_locked_key_logs_in_by_its_passphrase(sshd: Sshd, kind: str) -> None:
    log_in(sshd, KeyAuth(file=f"locked-{kind}", passphrase=SecretRef(file="passphrase")))
    by_document = SecretRef(secret=SecretName("pass"))
    log_in(sshd, KeyAuth(file=f"locked-{kind}", passphrase=by_document), **{"pass": PASSPHRASE})


def test_a_passphrase_for_a_key_that_is_not_locked_does_no_harm(sshd: Sshd) -> None:
    log_in(sshd, KeyAuth(file="client", passphrase=SecretRef(file="passphrase")))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("passphrase", "told"),
    [
        (None, "is locked by a passphrase: name that as passphrase beside private_key"),
        (SecretRef(file="wrong"), "passphrase in 'wrong' does not open the key in 'locked"),
        (SecretRef(file="gone"), "gone cannot be read"),
    ],
)
def test_a_locked_key_that_stays_locked_is_told_before_anything_is_sent(
    sshd: Sshd, kind: str, passphrase: SecretRef | None, told: str
) -> None:
    before = sshd.connections()
    with pytest.raises(ConfigError, match=told) as caught:
        log_in(sshd, KeyAuth(file=f"locked-{kind}", passphrase=passphrase))
    assert "not it" not in "".join(traceback.format_exception(caught.value))
    assert sshd.connections() == before


@pytest.mark.parametrize("kind", KINDS)
def test_a_certified_key_opens_a_server_that_knows_its_authority_alone(
    sshd: Sshd, kind: str
) -> None:
    name = f"certified-{kind}"
    line = (sshd.secrets_dir / f"{name}-cert.pub").read_text(encoding="utf-8")
    for certificate in (line, SecretRef(file=f"{name}-cert.pub")):
        log_in(sshd, KeyAuth(file=name, certificate=certificate))
    by_document = SecretRef(secret=SecretName("cert"))
    log_in(sshd, KeyAuth(file=name, certificate=by_document), cert=line)
    with pytest.raises(LoginError):
        log_in(sshd, KeyAuth(file=name))


def test_a_certificate_that_the_server_refuses_is_told_with_its_window(
    sshd: Sshd, tmp_path: Path
) -> None:
    make_key(tmp_path / "other_ca", "ed25519")
    options = ("-V", "20200101000000Z:20210101000000Z")
    line = sign_key(tmp_path / "other_ca", sshd.secrets_dir / "client", "x", *options)
    line = line.rename(tmp_path / "cert")
    with pytest.raises(LoginError) as caught:
        log_in(sshd, KeyAuth(file="client", certificate=line.read_text(encoding="utf-8")))
    until = "valid from 2020-01-01T00:00:00Z until 2021-01-01T00:00:00Z"
    assert f"certificate 'id-of-client' {until}): refused" in str(caught.value)


def test_a_certificate_that_does_not_fit_is_told_before_anything_is_sent(sshd: Sshd) -> None:
    before = sshd.connections()
    other = (sshd.secrets_dir / "certified-rsa-cert.pub").read_text(encoding="utf-8")
    for certificate, told in (
        (HOST_LINE, "is not for a user"),
        (other, "they have to belong together"),
        (SecretRef(file="passphrase"), "certificate in 'passphrase' is none"),
    ):
        with pytest.raises(ConfigError, match=told):
            log_in(sshd, KeyAuth(file="certified-ed25519", certificate=certificate))
    assert sshd.connections() == before


@pytest.mark.needs("useradd")
@pytest.mark.skipif(os.geteuid() != 0, reason="PAM checks passwords of system users: needs root")
def test_a_real_sshd_that_only_asks_questions_gets_the_password(tmp_path: Path) -> None:
    options = ["UsePAM yes", "KbdInteractiveAuthentication yes", "AuthorizedKeysFile none"]
    with (
        TemporaryDirectory(prefix="mftgit-home-") as home,
        temporary_user(Path(home)) as (username, password),
        running_sshd(tmp_path, options=options) as server,
    ):
        put(server.secrets_dir, "right", password)
        put(server.secrets_dir, "wrong", "not it\n")
        ways = (PasswordAuth(file="right"),)
        right = server.location(username=username, auth=ways, path="/")
        with closing(connect(right, secrets_dir=server.secrets_dir)) as endpoint:
            assert "etc" in endpoint.list_names(".")
        wrong = server.location(username=username, auth=(PasswordAuth(file="wrong"),))
        with pytest.raises(LoginError, match="password in 'wrong': refused"):
            connect(wrong, secrets_dir=server.secrets_dir)


class AsksForMore(AsksQuestions):
    """Asks for a name, the password, and a code of a device."""

    def check_auth_interactive(self, username: str, submethods: str) -> int | InteractiveQuery:
        return InteractiveQuery("", "", ("Name:", True), ("Password:", False), ("Code:", False))

    def check_auth_interactive_response(self, responses: list[str]) -> int:
        self.served.logins.extend(responses)
        return AUTH_FAILED


class AsksAgain(AsksQuestions):
    """Asks nothing, then twice for the password, as a server that collects passwords would."""

    def check_auth_interactive(self, username: str, submethods: str) -> int | InteractiveQuery:
        return InteractiveQuery("", "welcome")

    def check_auth_interactive_response(self, responses: list[str]) -> int | InteractiveQuery:
        self.served.logins.extend(responses)
        if len(self.served.logins) < 2:
            return InteractiveQuery("", "", ("Password:", False))
        return AUTH_SUCCESSFUL if self.served.logins == [PASSWORD, ""] else AUTH_FAILED


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "served").mkdir()
    put(tmp_path, "password", PASSWORD)
    return tmp_path / "served"


def test_a_server_that_asks_for_more_than_the_password_is_told_so(root: Path) -> None:
    with sftp_server(root, door=AsksForMore) as server, pytest.raises(LoginError) as caught:
        connect(server.location(), secrets_dir=root.parent)
    assert "password in 'password': the server asks for more than a password: 'Name:'" in str(
        caught.value
    )
    assert server.logins == ["", PASSWORD, ""]
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


def test_the_password_answers_one_question_and_no_further_one(root: Path) -> None:
    with sftp_server(root, door=AsksAgain) as server:
        connect(server.location(), secrets_dir=root.parent).close()
    assert server.logins == [PASSWORD, ""]
