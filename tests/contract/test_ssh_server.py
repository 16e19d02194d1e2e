"""Real clients against our SSH server: sessions, keys that change, host keys, and what is refused."""

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path

import paramiko
import pytest
from patient_ssh import transport_to
from ssh_door import WAIT_S, Door, account, open_door, served, serving
from ssh_keys import make_key, program

from mftgit.adapters.ssh_server.reception import Session
from mftgit.adapters.ssh_server.server import SshServer
from mftgit.errors import ConfigError
from mftgit.model.inbound.account import Factor
from mftgit.model.inbound.service import ServiceLimits
from mftgit.model.inbound.serving import Serving
from mftgit.model.keys.algorithms import CIPHERS, KEX, MACS, Algorithms, with_legacy

pytestmark = pytest.mark.needs("ssh", "sftp", "ssh-keygen")

KEY = Factor.KEY
HOST_KEYS = ("ed25519", "ecdsa", "rsa")
MIB = 1 << 20
GONE = {"the client left", "the client hung up", "the connection was lost"}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("door")
    (work / "keys").mkdir()
    make_key(work / "keys" / "ann", "ed25519")
    return work


def _ann(work: Path) -> Serving:
    line = (work / "keys" / "ann.pub").read_text("ascii")
    return serving(served(account("ann", (frozenset({KEY}),), keys=(line,))))


@pytest.fixture(scope="module")
def lasting(work: Path) -> Iterator[Door]:
    with open_door(work, _ann(work), host_keys=HOST_KEYS, banner="Welcome\nall") as door:
        yield door


@pytest.fixture
def door(lasting: Door) -> Door:
    """An open door, without the books that a failed test has left."""
    lasting.forget()
    return lasting


def _ssh(
    door: Door, *words: str, options: tuple[str, ...] = ()
) -> "AbstractContextManager[subprocess.Popen[bytes]]":
    """Start ssh with ``words`` behind those that log ann in."""
    login = [*door.ssh_options(key="ann", options=options), "-p", str(door.port), "ann@127.0.0.1"]
    return subprocess.Popen(
        [program("ssh"), *login, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _complaint(ssh: "subprocess.Popen[bytes]") -> bytes:
    """Return what ssh says until it ends by itself."""
    assert ssh.stderr is not None
    told = ssh.stderr.read()
    ssh.wait(WAIT_S)
    return told


def _run(
    door: Door, *words: str, options: tuple[str, ...] = ()
) -> "subprocess.CompletedProcess[bytes]":
    """Run ssh with ``words``, and nothing to send."""
    with _ssh(door, *words, options=options) as ssh:
        out, told = ssh.communicate(b"", timeout=WAIT_S)
        return subprocess.CompletedProcess(ssh.args, ssh.returncode, out, told)


@pytest.fixture
def client(door: Door, work: Path) -> Iterator[paramiko.Transport]:
    """A connection that is logged in."""
    transport = transport_to(door.port)
    with closing(transport):
        transport.start_client(timeout=WAIT_S)
        key = paramiko.Ed25519Key.from_private_key_file(str(work / "keys" / "ann"))
        transport.auth_publickey("ann", key)
        yield transport


def test_a_session_of_sftp_is_served(door: Door) -> None:
    (door.folder / "a").write_text("content", encoding="ascii")
    done = door.sftp("get a got\n", key="ann")
    assert done.returncode == 0, done.stderr
    assert "Welcome" in done.stderr
    assert (door.keys / "got").read_text("ascii") == "content"
    book = door.book()
    assert book.logins[0][:2] == ("ann", frozenset({KEY}))
    assert book.reason == "the client left"


@pytest.mark.parametrize("cipher", [*CIPHERS[:3], "aes256-ctr"])
def test_keys_change_in_the_middle_of_transfers_both_ways(door: Door, cipher: str) -> None:
    content = os.urandom(6 * MIB)
    (door.folder / "big").write_bytes(content)
    (door.keys / "big").write_bytes(content)
    options = ("RekeyLimit=1M", f"Ciphers={cipher}", "LogLevel=DEBUG1")
    done = door.sftp("get big back\nput big up\n", key="ann", options=options)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("SSH2_MSG_NEWKEYS received") > 5
    assert done.stderr.count("server-sig-algs=") == 1
    assert (door.keys / "back").read_bytes() == content
    assert (door.folder / "up").read_bytes() == content
    assert not door.book().failures


def test_keys_change_where_the_server_wants_it(
    door: Door, client: paramiko.Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    served_by = door.connections.get(timeout=WAIT_S)
    monkeypatch.setattr(served_by.packetizer, "REKEY_BYTES", MIB)  # type: ignore[attr-defined]
    content = os.urandom(6 * MIB)
    (door.folder / "big").write_bytes(content)
    sftp = paramiko.SFTPClient.from_transport(client)
    assert sftp is not None
    with closing(sftp):
        with sftp.open("big") as file:
            file.prefetch()
            assert file.read() == content
        with sftp.open("up", "w") as file:
            file.set_pipelined()
            file.write(content)
    assert (door.folder / "up").read_bytes() == content
    assert served_by.session_id != served_by.H  # type: ignore[attr-defined]
    client.close()
    assert door.book().reason in GONE


@pytest.mark.parametrize("kex", [*(name for name in KEX if "group-exchange" not in name)])
def test_every_exchange_of_keys_that_openssh_knows_works(door: Door, kex: str) -> None:
    known = subprocess.run(
        [program("ssh"), "-Q", "kex"], capture_output=True, text=True, check=True, encoding="ascii"
    ).stdout.split()
    if kex not in known:
        pytest.skip(f"this ssh does not know {kex}")
    ssh = _run(door, "-s", "sftp", options=(f"KexAlgorithms={kex}",))
    assert ssh.returncode == 0, ssh.stderr
    assert len(door.book().logins) == 1


@pytest.mark.parametrize("mac", MACS)
def test_every_mac_works(door: Door, mac: str) -> None:
    ssh = _run(door, "-s", "sftp", options=(f"MACs={mac}", "Ciphers=aes128-ctr"))
    assert ssh.returncode == 0, ssh.stderr
    assert len(door.book().logins) == 1


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("Ciphers=aes128-cbc", b"no matching cipher"),
        ("Ciphers=3des-cbc", b"no matching cipher"),
        ("MACs=hmac-sha1", b"no matching MAC"),
        ("KexAlgorithms=diffie-hellman-group14-sha1", b"no matching key exchange"),
        ("KexAlgorithms=diffie-hellman-group-exchange-sha256", b"no matching key exchange"),
        ("HostKeyAlgorithms=ssh-rsa", b"no matching host key type"),
    ],
)
def test_old_algorithms_are_not_to_be_had(door: Door, option: str, told: bytes) -> None:
    ciphers = () if option.startswith("Ciphers") else ("Ciphers=aes128-ctr",)
    ssh = _run(door, "-s", "sftp", options=(option, *ciphers))
    assert ssh.returncode == 255
    assert told in ssh.stderr
    assert door.book().logins == []


def test_openssh_agrees_on_strict_order_and_learns_which_signatures_are_taken(door: Door) -> None:
    ssh = _run(door, "-vvv", "-s", "sftp")
    told = ssh.stderr
    assert b"will use strict KEX ordering" in told
    assert b"compression: none" in told
    assert b"remote software version mftgit\n" in told.replace(b"\r", b"")
    taken = next(line for line in told.splitlines() if b"server-sig-algs=<" in line)
    assert b"rsa-sha2-512,rsa-sha2-256" in taken
    assert b"ssh-rsa" not in taken
    door.book()


@pytest.mark.parametrize(
    "words",
    [("true",), ("-tt",), ("-s", "netconf"), ("-N", "-R", "0:127.0.0.1:1")],
    ids=["command", "shell", "subsystem", "forwarding-back"],
)
def test_nothing_but_sftp_is_served(door: Door, words: tuple[str, ...]) -> None:
    options = ("ExitOnForwardFailure=yes",)
    login = [*door.ssh_options(key="ann", options=options), "-p", str(door.port)]
    flags = [word for word in words if word not in {"true", "netconf"}]
    command = [word for word in words if word in {"true", "netconf"}]
    ssh = subprocess.run(
        [program("ssh"), *login, *flags, "ann@127.0.0.1", *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=WAIT_S,
        check=False,
    )
    assert ssh.returncode == 255
    assert b"fail" in ssh.stderr
    assert len(door.book().logins) == 1


def test_nothing_is_forwarded(door: Door, client: paramiko.Transport) -> None:
    for kind in ("direct-tcpip", "x11", "auth-agent@openssh.com"):
        with pytest.raises(paramiko.ChannelException) as refused:
            client.open_channel(kind, ("127.0.0.1", 1), ("127.0.0.1", 1))
        assert refused.value.code == 1
    with pytest.raises(paramiko.SSHException):
        client.request_port_forward("127.0.0.1", 0)
    assert client.is_active()
    channel = client.open_session()
    for ask in (
        channel.get_pty,
        channel.invoke_shell,
    ):
        with pytest.raises(paramiko.SSHException):
            ask()
        channel = client.open_session()
    client.close()
    door.book()


def test_environment_variables_are_passed_over(door: Door) -> None:
    options = ("SetEnv=LD_PRELOAD=/x",)
    done = door.sftp("pwd\n", key="ann", options=options)
    assert done.returncode == 0, done.stderr
    door.book()


def test_a_connection_has_ten_channels(door: Door, client: paramiko.Transport) -> None:
    channels = [client.open_session() for _ in range(10)]
    with pytest.raises(paramiko.ChannelException) as refused:
        client.open_session()
    assert refused.value.code == 4
    channels.pop().close()
    while True:
        try:
            channels.append(client.open_session())
        except paramiko.ChannelException:
            continue
        break
    for channel in channels[:2]:
        channel.invoke_subsystem("sftp")
    with pytest.raises(paramiko.SSHException):
        channels[0].invoke_subsystem("sftp")
    client.close()
    assert door.book().reason in GONE


def test_a_session_of_openssh_ends_with_its_exit_status(door: Door) -> None:
    ssh = _run(door, "-s", "sftp")
    assert (ssh.stdout, ssh.stderr, ssh.returncode) == (b"", b"Welcome\r\nall\r\n", 0)
    door.book()


def test_a_session_that_fails_ends_alone(work: Path) -> None:
    def serve(session: Session) -> None:
        if session.stream.receive() == b"fail":
            raise ArithmeticError
        session.stream.send(b"fine")

    with open_door(work, _ann(work), serve=serve) as door:
        transport = transport_to(door.port)
        with closing(transport):
            transport.start_client(timeout=WAIT_S)
            key = paramiko.Ed25519Key.from_private_key_file(str(work / "keys" / "ann"))
            transport.auth_publickey("ann", key)
            bad, good = (transport.open_session() for _ in range(2))
            for channel in (bad, good):
                channel.settimeout(WAIT_S)
                channel.invoke_subsystem("sftp")
            bad.sendall(b"fail")
            assert bad.recv(10) == b""
            assert bad.recv_exit_status() == 1
            good.sendall(b"go")
            assert good.recv(10) == b"fine"
            assert good.recv_exit_status() == 0
        door.book()


def test_a_connection_can_be_ended_from_outside(door: Door) -> None:
    with _ssh(door, "-s", "sftp") as ssh:
        connection = door.connections.get(timeout=WAIT_S)
        while not connection.sessions:
            threading.Event().wait(0.01)
        assert connection.account == "ann"
        connection.end("the account is gone")
        connection.end("and again")
        assert b"the account is gone" in _complaint(ssh)
        assert ssh.returncode == 255
    assert connection.wait(WAIT_S)
    assert connection.sessions == 0
    assert door.book().reason == "the account is gone"


def test_an_end_does_not_wait_for_a_client_that_takes_nothing(work: Path) -> None:
    started = threading.Event()

    def serve(session: Session) -> None:
        started.set()
        while True:
            session.stream.send(bytes(MIB))

    with open_door(work, _ann(work), serve=serve) as door, _ssh(door, "-s", "sftp") as ssh:
        assert started.wait(WAIT_S)  # nobody reads what ssh prints
        connection = door.connections.get(timeout=WAIT_S)
        connection.end("enough")
        assert connection.wait(WAIT_S)
        ssh.kill()
        assert door.book().reason == "enough"


def test_a_client_that_does_nothing_is_ended(work: Path) -> None:
    with (
        open_door(work, _ann(work), limits=ServiceLimits(idle_s=0.2)) as door,
        _ssh(door, "-s", "sftp", options=("ServerAliveInterval=1",)) as ssh,
    ):
        assert b"idle for too long" in _complaint(ssh)
        assert door.book().reason == "idle for too long"


def test_a_new_host_key_is_announced_before_the_old_one_goes(work: Path) -> None:
    for name in ("host-old", "host-new"):
        make_key(work / "keys" / name, "ed25519")
    options = ("UpdateHostKeys=yes",)
    with open_door(work, _ann(work), host_keys=("old", "new", "rsa", "ecdsa")) as door:
        known = door.known_hosts
        assert len(known.read_text("ascii").splitlines()) == 1
        assert door.sftp("pwd\n", key="ann", options=options).returncode == 0
        lines = known.read_text("ascii").splitlines()
        door.book()
    assert len(lines) == 4
    hosts = {line.split()[0] for line in lines}
    with open_door(work, _ann(work), host_keys=("new",)) as door:
        port = f"[127.0.0.1]:{door.port}"
        door.known_hosts.write_text(
            "\n".join(lines).replace(hosts.pop(), port) + "\n", encoding="ascii"
        )
        assert door.sftp("pwd\n", key="ann", options=options).returncode == 0
        left = door.known_hosts.read_text("ascii").splitlines()
        door.book()
    assert [line.split()[2] for line in left] == [
        (work / "keys" / "host-new.pub").read_text("ascii").split()[1]
    ]


def test_host_keys_are_proved_also_where_keys_were_exchanged_under_rsa(work: Path) -> None:
    make_key(work / "keys" / "host-next", "rsa")
    with open_door(work, _ann(work), host_keys=("rsa", "next", "ed25519")) as door:
        options = ("UpdateHostKeys=yes", "HostKeyAlgorithms=rsa-sha2-256,ssh-ed25519")
        assert door.sftp("pwd\n", key="ann", options=options).returncode == 0
        assert len(door.known_hosts.read_text("ascii").splitlines()) == 3
        door.book()


def _server(texts: list[str], algorithms: Algorithms) -> SshServer:
    return SshServer(
        host_keys=texts,
        algorithms=algorithms,
        limits=ServiceLimits(),
        banner=None,
        monotonic=lambda: 0.0,
    )


def test_what_cannot_serve_is_refused(tmp_path: Path) -> None:
    make_key(tmp_path / "good", "ed25519")
    make_key(tmp_path / "weak", "rsa", options=("-b", "1024"))
    make_key(tmp_path / "locked", "ed25519", passphrase="secret")
    texts = {name: (tmp_path / name).read_text("ascii") for name in ("good", "weak", "locked")}
    for names, wrong in (
        ((), "no host key can be shown"),
        (("good", "weak"), "host key 2 is an RSA key of 1024 bits"),
        (("locked",), "host key 1 is not a private key"),
    ):
        with pytest.raises(ConfigError, match=wrong):
            _server([texts[name] for name in names], Algorithms())
    for algorithms, wrong in (
        (Algorithms(host_keys=("rsa-sha2-256",)), "no host key can be shown"),
        (with_legacy(Algorithms(host_keys=())), "no host key can be shown"),
        (Algorithms(kex=("diffie-hellman-group-exchange-sha256",)), "no algorithm is left of kex"),
        (Algorithms(ciphers=("aes128-cbc",)), "no algorithm is left of ciphers"),
        (Algorithms(macs=("hmac-sha1",)), "no algorithm is left of macs"),
    ):
        with pytest.raises(ConfigError, match=wrong):
            _server([texts["good"]], algorithms)
