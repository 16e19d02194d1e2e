"""SFTP by OpenSSH's own client: as safe as by ours, and for servers that ours is too new for."""

import os
import pwd
import signal
import socket
import subprocess
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sftp_server import (
    PASSWORD,
    AsksForThePassword,
    Door,
    NeverAnswers,
    NoSftp,
    SilentDoor,
    sftp_server,
)
from ssh_keys import make_key, program, sign_key
from sshd import Sshd, running_sshd, temporary_user

from mftgit.adapters.endpoint.contract import (
    EndpointLostError,
    EndpointRefusedError,
    HostKeyError,
    LoginError,
)
from mftgit.adapters.sftp.endpoint import SftpEndpoint, connect
from mftgit.errors import ConfigError, MftgitError
from mftgit.model.keys.algorithms import Algorithms
from mftgit.model.locations.location import Client, SftpLocation
from mftgit.model.locations.login import Auth, KeyAuth, PasswordAuth, SecretRef
from mftgit.model.names import SecretName
from mftgit.model.secrets.value import SecretValue

OTHER_KEY = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
OTHER_CA = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINqHPD5s9DAzoF9WfStHb8C+BV2oiFNN6Hwp1oAWaTtc other"
ME = pwd.getpwuid(os.geteuid()).pw_name

pytestmark = pytest.mark.needs("sshd")


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """An sshd with certified and plain host keys, which takes certified, locked and RSA keys."""
    work = tmp_path_factory.mktemp("sshd")
    make_key(work / "ca", "ed25519")
    make_key(work / "certified", "ed25519")
    cert = sign_key(work / "ca", work / "certified", "127.0.0.1", "-h")
    options = [
        f"HostKey {work}/certified",
        f"HostCertificate {cert}",
        f"TrustedUserCAKeys {work}/ca.pub",
    ]
    with running_sshd(work, options=options) as server:
        keys = {"locked": "a passphrase", "rsa": ""}
        with (work / "authorized_keys").open("a", encoding="utf-8") as authorized:
            for name, passphrase in keys.items():
                path = server.secrets_dir / name
                make_key(path, "rsa", passphrase=passphrase, options=("-b", "2048"))
                authorized.write(path.with_suffix(".pub").read_text(encoding="utf-8"))
        make_key(server.secrets_dir / "signed", "ecdsa")
        sign_key(work / "ca", server.secrets_dir / "signed", ME).chmod(0o600)
        put(server.secrets_dir, "passphrase", "a passphrase")
        put(server.secrets_dir, "wrong", "not-it-5521")
        yield server


@pytest.fixture(autouse=True)
def nothing_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Every ssh, every thread and every folder of a test ends with it."""
    tmp_path_factory.getbasetemp()  # pytest's own folder is not to lie in this one
    with TemporaryDirectory(dir="/tmp") as folder:  # the path of a socket has to be short
        monkeypatch.setattr(tempfile, "tempdir", folder)
        before = set(threading.enumerate())
        yield
        for thread in set(threading.enumerate()) - before:
            thread.join(60)
        assert set(threading.enumerate()) <= before
        assert list(Path(folder).glob("mftgit-*")) == []
        assert children() == []


def children() -> list[str]:
    """Return the ssh processes that this one has."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")
                if int(fields[2].split()[1]) == os.getpid() and fields[0].endswith("(ssh"):
                    found.append(entry.name)
    return found


def put(folder: Path, name: str, content: str) -> None:
    (folder / name).write_text(content, encoding="utf-8")
    (folder / name).chmod(0o600)


def by_openssh(location: SftpLocation, *, legacy: bool = False) -> SftpLocation:
    return replace(location, client=Client.OPENSSH, legacy=legacy)


def open_at(server: Sshd, location: SftpLocation, *, legacy: bool = False) -> SftpEndpoint:
    return connect(by_openssh(location, legacy=legacy), secrets_dir=server.secrets_dir)


def look(server: Sshd, location: SftpLocation, *, legacy: bool = False) -> None:
    with closing(open_at(server, location, legacy=legacy)) as endpoint:
        endpoint.list_names(".")


def silent(_: int) -> None:
    pass


def test_files_go_up_and_down_unchanged(sshd: Sshd) -> None:
    content = os.urandom(10_000_000)
    with closing(open_at(sshd, sshd.location())) as endpoint:
        endpoint.write("big", iter([content]), on_chunk=silent)
        with endpoint.open_read("big") as stream:
            assert stream.read() == content
        assert len(children()) == 1
    assert (sshd.folder / "big").read_bytes() == content


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_any_key_of_a_server_may_be_the_pinned_one(tmp_path: Path, kind: str) -> None:
    with running_sshd(tmp_path / "plain") as server:
        look(server, server.location(host_keys=(OTHER_KEY, server.host_keys[kind])))


def test_an_unknown_host_key_gets_no_credential(tmp_path: Path) -> None:
    with running_sshd(tmp_path / "plain") as server:
        with pytest.raises(HostKeyError) as caught:
            look(server, server.location(host_keys=(OTHER_KEY,)))
        for part in (
            f"127.0.0.1:{server.port} showed the host key",
            f"ssh-ed25519 {server.host_keys['ed25519']}",
            f"ecdsa-sha2-nistp256 {server.host_keys['ecdsa']}",
            f"expects {OTHER_KEY}",
            "host_keys of locations/partner.yaml",
        ):
            assert part in str(caught.value)
        assert "Accepted" not in server.log.read_text(encoding="utf-8")


def test_a_certified_server_needs_no_pinned_key(sshd: Sshd) -> None:
    ca = (sshd.folder.parent / "ca.pub").read_text(encoding="utf-8").strip()
    look(sshd, sshd.location(host_keys=(), host_ca=(OTHER_CA, ca)))
    with pytest.raises(HostKeyError, match=r"ssh-ed25519-cert-v01@openssh\.com SHA256:"):
        look(sshd, sshd.location(host_keys=(), host_ca=(OTHER_CA,)))
    with pytest.raises(HostKeyError, match="principal"):
        look(sshd, sshd.location(host_keys=(), host_ca=(ca,), host="localhost"))


@pytest.mark.parametrize(
    "way",
    [
        KeyAuth(file="locked", passphrase=SecretRef(file="passphrase")),
        KeyAuth(file="rsa"),
        KeyAuth(file="signed", certificate=SecretRef(file="signed-cert.pub")),
    ],
)
def test_keys_log_in_that_the_agent_never_gives_away(sshd: Sshd, way: Auth) -> None:
    look(sshd, sshd.location(auth=(way,)))
    refused = KeyAuth(file="signed")
    look(sshd, sshd.location(auth=(refused, way)))


def test_a_login_that_fails_names_the_ways_and_no_secret(sshd: Sshd) -> None:
    ways: tuple[Auth, ...] = (KeyAuth(file="signed"), PasswordAuth(file="wrong"))
    with pytest.raises(LoginError) as caught:
        look(sshd, sshd.location(auth=ways))
    for part in (
        f"127.0.0.1:{sshd.port} does not let {ME!r} in",
        "key in 'signed' (ecdsa-sha2-nistp256 SHA256:",
        "password in 'wrong'",
        "Permission denied (publickey)",
        "username and auth of locations/partner.yaml",
    ):
        assert part in str(caught.value)
    assert "not-it-5521" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.needs("useradd")
@pytest.mark.skipif(os.geteuid() != 0, reason="sshd checks passwords of system users: needs root")
@pytest.mark.parametrize("option", ["PasswordAuthentication", "KbdInteractiveAuthentication"])
def test_a_password_opens_a_real_sshd_and_is_in_no_environment(tmp_path: Path, option: str) -> None:
    options = [f"{option} yes", "UsePAM yes", "AuthorizedKeysFile none"]
    with (
        TemporaryDirectory(prefix="mftgit-home-", dir="/tmp") as home,
        temporary_user(Path(home)) as (username, password),
        running_sshd(tmp_path / "server", options=options) as server,
    ):
        put(server.secrets_dir, "right", password)
        put(server.secrets_dir, "wrong", "not-it-5521")
        ways: tuple[Auth, ...] = (KeyAuth(file="client"), PasswordAuth(file="right"))
        right = server.location(username=username, auth=ways, path="/")
        with closing(open_at(server, right)) as endpoint:
            assert "etc" in endpoint.list_names(".")
            (child,) = children()
            for file in ("environ", "cmdline"):
                assert password.encode() not in Path(f"/proc/{child}/{file}").read_bytes()
        wrong = server.location(username=username, auth=(PasswordAuth(file="wrong"),))
        with pytest.raises(LoginError) as caught:
            look(server, wrong)
    assert "not-it-5521" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("door", [Door, AsksForThePassword])
def test_a_password_of_the_repository_goes_to_a_server_that_wants_it(
    tmp_path: Path, door: type[Door]
) -> None:
    auth = (PasswordAuth(secret=SecretName("pass")),)
    values = {SecretName("pass"): SecretValue(PASSWORD)}
    with sftp_server(tmp_path, door=door) as server:
        location = by_openssh(server.location(auth=auth))
        connect(location, secrets_dir=tmp_path, secrets=values).close()


OLD = [
    ("Ciphers aes256-cbc", "rsa"),
    ("Ciphers 3des-cbc", "rsa"),
    ("KexAlgorithms diffie-hellman-group14-sha1", "rsa"),
    ("HostKeyAlgorithms ssh-rsa", "rsa"),
    ("MACs hmac-sha1", "rsa"),
    ("HostKeyAlgorithms ssh-dss", "dsa"),
]


@pytest.mark.parametrize(("option", "kind"), OLD)
def test_a_server_of_long_ago_is_spoken_with_only_where_the_location_says_so(
    tmp_path: Path, option: str, kind: str
) -> None:
    known = subprocess.run(
        [program("ssh"), "-Q", "HostKeyAlgorithms"],
        capture_output=True,
        check=True,
        text=True,
        encoding="utf-8",
    )
    if kind == "dsa" and "ssh-dss" not in known.stdout:
        pytest.skip("the ssh of this machine has no DSA any more")
    work = tmp_path / "old"
    work.mkdir()
    pinned = make_key(work / "old", kind)
    options = [option, f"HostKey {work}/old", *(["Ciphers aes128-ctr"] if "MACs" in option else [])]
    with running_sshd(work, options=options) as server:
        make_key(server.secrets_dir / "rsa", "rsa", options=("-b", "2048"))
        with (work / "authorized_keys").open("a", encoding="utf-8") as authorized:
            authorized.write((server.secrets_dir / "rsa.pub").read_text(encoding="utf-8"))
        fingerprints = (pinned, *server.host_keys.values())
        location = server.location(host_keys=fingerprints, auth=(KeyAuth(file="rsa"),))
        look(server, location, legacy=True)
        with pytest.raises(EndpointRefusedError) as caught:
            look(server, location)
        with pytest.raises((EndpointRefusedError, EndpointLostError, LoginError)):
            connect(location, secrets_dir=server.secrets_dir)
    assert "algorithms and legacy of locations/partner.yaml" in str(caught.value)
    assert "Unable to negotiate" in str(caught.value)


def test_algorithms_are_those_of_the_location(sshd: Sshd) -> None:
    only = replace(sshd.location(), algorithms=Algorithms(ciphers=("aes256-ctr",)))
    look(sshd, only)
    none = replace(sshd.location(), algorithms=Algorithms(kex=("no-such-kex",)))
    with pytest.raises(EndpointRefusedError, match="knows no kex of no-such-kex"):
        look(sshd, none)


@pytest.mark.parametrize(
    ("door", "timeout_s", "error"),
    [(SilentDoor, 1.5, EndpointLostError), (NoSftp, 60.0, EndpointRefusedError)],
)
def test_a_login_that_leads_nowhere_has_its_own_error(
    tmp_path: Path, door: type[Door], timeout_s: float, error: type[MftgitError]
) -> None:
    put(tmp_path, "password", PASSWORD)
    with sftp_server(tmp_path, door=door) as server:
        began = time.monotonic()
        with pytest.raises(error, match=str(server.port)):
            connect(by_openssh(server.location(timeout_s=timeout_s)), secrets_dir=tmp_path)
        assert time.monotonic() - began < 60


def test_a_server_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    put(tmp_path, "password", PASSWORD)
    with socket.create_server(("127.0.0.1", 0)) as mute, sftp_server(tmp_path) as served:
        location = replace(served.location(timeout_s=1.0), port=mute.getsockname()[1])
        began = time.monotonic()
        with pytest.raises(EndpointLostError, match=str(location.port)):
            connect(by_openssh(location), secrets_dir=tmp_path)
        assert time.monotonic() - began < 60


def test_nobody_listening_is_told_as_ssh_tells_it(sshd: Sshd) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        location = replace(sshd.location(), port=taken.getsockname()[1])
        with pytest.raises(EndpointLostError, match="Connection refused"):
            look(sshd, location)


def test_a_connection_that_ends_is_told_by_what_ssh_says(sshd: Sshd) -> None:
    there = set(sshd.sessions())
    with closing(open_at(sshd, sshd.location())) as endpoint:
        # The process of the connection first: it would tell of the end of another one.
        for process in [each for each in sshd.sessions() if each not in there]:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        with pytest.raises(EndpointLostError, match=r"'a': .*(closed|reset|Broken pipe)"):
            endpoint.stat("a")
        with pytest.raises(EndpointLostError, match="connect again"):
            endpoint.stat("a")


def test_a_server_that_does_not_answer_is_lost(tmp_path: Path) -> None:
    put(tmp_path, "password", PASSWORD)
    (tmp_path / "a").write_bytes(bytes(1000))
    with (
        sftp_server(tmp_path, NeverAnswers) as server,
        closing(
            connect(by_openssh(server.location(timeout_s=6.0)), secrets_dir=tmp_path)
        ) as endpoint,
        pytest.raises(EndpointLostError, match="no answer in time"),
        endpoint.open_read("a") as stream,
    ):
        stream.read()


def test_another_thread_ends_a_call_and_the_child(tmp_path: Path) -> None:
    put(tmp_path, "password", PASSWORD)
    (tmp_path / "a").write_bytes(bytes(1000))
    told: list[BaseException] = []

    def work() -> None:
        try:
            with endpoint.open_read("a") as stream:
                stream.read()
        except BaseException as error:  # noqa: BLE001  what it is comes out below
            told.append(error)

    with sftp_server(tmp_path, NeverAnswers) as server:
        endpoint = connect(by_openssh(server.location(timeout_s=600)), secrets_dir=tmp_path)
        thread = threading.Thread(target=work)
        thread.start()
        assert server.waited_for.wait(60)
        endpoint.close()
        thread.join(60)
    assert [type(each) for each in told] == [EndpointLostError]


def test_a_machine_without_ssh_is_told_before_anything_is_sent(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mftgit.adapters.openssh.command._PATH", "/nonexistent")
    with pytest.raises(ConfigError, match="install OpenSSH's client, or have client: builtin"):
        open_at(sshd, sshd.location())


def test_the_users_own_configuration_of_ssh_has_no_say(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ssh").mkdir()
    put(tmp_path / ".ssh", "config", "Host *\n  ProxyCommand /bin/false\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SSH_AUTH_SOCK", "/nonexistent")
    with closing(open_at(sshd, sshd.location())):
        (child,) = children()
        words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        assert words[1:3] == [b"-F", b"none"]
        assert b"/nonexistent" not in Path(f"/proc/{child}/environ").read_bytes()
        assert str(tmp_path).encode() not in Path(f"/proc/{child}/environ").read_bytes()


def test_a_machine_without_room_for_sockets_is_told(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "not-there"))
    with pytest.raises(
        EndpointLostError, match=r"ssh to 127\.0\.0\.1:.* cannot be started: .*No such"
    ):
        look(sshd, sshd.location())


def test_what_a_server_greets_with_is_no_reason_of_a_later_loss(tmp_path: Path) -> None:
    (tmp_path / "banner").write_text("Welcome. Permission denied (to others).\n", encoding="utf-8")
    with running_sshd(tmp_path / "s", options=[f"Banner {tmp_path}/banner"]) as server:
        with closing(open_at(server, server.location())) as endpoint:
            for process in server.sessions():
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            with pytest.raises(EndpointLostError) as caught:
                endpoint.stat("a")
        assert "Welcome" not in str(caught.value)
