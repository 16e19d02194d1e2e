"""Servers behind a jump host: each of the two has a host key and a login of its own, and errors say which it was."""

import os
import pwd
import shutil
import signal
import socket
import threading
import traceback
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from clocks import SetClock
from ports import own_port
from sshd import Sshd, running_sshd

from mftgit.adapters.endpoint.contract import (
    EndpointLostError,
    HostKeyError,
    LoginError,
)
from mftgit.adapters.sftp.connect import open_channel
from mftgit.adapters.sftp.endpoint import SftpEndpoint, connect
from mftgit.adapters.sftp.jump import ForwardedSocket
from mftgit.errors import ConfigError
from mftgit.model.locations.hop import hops
from mftgit.model.locations.location import Jump, SftpLocation
from mftgit.model.locations.login import Auth, KeyAuth, PasswordAuth

OTHER_KEY = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
ME = pwd.getpwuid(os.geteuid()).pw_name

pytestmark = pytest.mark.needs("sshd")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def bastion(tmp_path_factory: pytest.TempPathFactory, server: Sshd) -> Iterator[Sshd]:
    """A jump host that another key opens than the server."""
    work = tmp_path_factory.mktemp("bastion")
    with running_sshd(work) as running:
        shutil.copy(running.secrets_dir / "client", server.secrets_dir / "jump")
        yield running


def silent(_: int) -> None:
    pass


def left_over(before: set[threading.Thread]) -> set[threading.Thread]:
    """Return the threads that are still there after every new one had time to end."""
    for thread in set(threading.enumerate()) - before:
        thread.join(60)
    return set(threading.enumerate()) - before


def behind(
    server: Sshd,
    bastion: Sshd,
    *,
    host_keys: tuple[str, ...] | None = None,
    auth: tuple[Auth, ...] = (KeyAuth(file="jump"),),
    timeout_s: float = 20.0,
) -> SftpLocation:
    jump = Jump(
        host="127.0.0.1",
        port=bastion.port,
        username=ME,
        host_keys=tuple(bastion.host_keys.values()) if host_keys is None else host_keys,
        auth=auth,
    )
    return replace(server.location(timeout_s=timeout_s), jump=jump)


def test_files_go_through_a_jump_host_unchanged(server: Sshd, bastion: Sshd) -> None:
    content = os.urandom(5_000_000)
    before = set(threading.enumerate())
    with closing(connect(behind(server, bastion), secrets_dir=server.secrets_dir)) as endpoint:
        endpoint.write("a", iter([content]), on_chunk=silent)
        with endpoint.open_read("a") as stream:
            assert stream.read() == content
        assert bastion.sessions()
    assert (server.folder / "a").read_bytes() == content
    assert left_over(before) == set()
    endpoint.close()


def test_any_key_of_the_server_behind_may_be_the_pinned_one(server: Sshd, bastion: Sshd) -> None:
    location = replace(behind(server, bastion), host_keys=(server.host_keys["ecdsa"],))
    connect(location, secrets_dir=server.secrets_dir).close()


def test_a_jump_host_with_another_key_gets_no_credential(server: Sshd, bastion: Sshd) -> None:
    location = behind(server, bastion, host_keys=(OTHER_KEY,))
    with pytest.raises(HostKeyError) as caught:
        connect(location, secrets_dir=server.secrets_dir)
    assert f"jump host 127.0.0.1:{bastion.port} showed the host key" in str(caught.value)
    assert "jump.host_keys of locations/partner.yaml" in str(caught.value)
    log = bastion.log.read_text(encoding="utf-8")
    assert "Accepted" not in log.rpartition("Connection from")[2]


def test_a_server_behind_with_another_key_gets_no_credential(server: Sshd, bastion: Sshd) -> None:
    before = set(threading.enumerate())
    location = replace(behind(server, bastion), host_keys=(OTHER_KEY,))
    with pytest.raises(HostKeyError) as caught:
        connect(location, secrets_dir=server.secrets_dir)
    assert str(caught.value).startswith(f"127.0.0.1:{server.port} showed the host key")
    assert "into host_keys of locations/partner.yaml" in str(caught.value)
    log = server.log.read_text(encoding="utf-8")
    assert "Accepted" not in log.rpartition("Connection from")[2]
    assert left_over(before) == set()


def test_a_login_that_fails_says_at_which_of_the_two(server: Sshd, bastion: Sshd) -> None:
    wrong = server.secrets_dir / "wrong"
    wrong.write_text("not-it-5521", encoding="utf-8")
    wrong.chmod(0o600)
    with pytest.raises(LoginError) as caught:
        connect(
            behind(server, bastion, auth=(PasswordAuth(file="wrong"),)),
            secrets_dir=server.secrets_dir,
        )
    assert str(caught.value).startswith(f"jump host 127.0.0.1:{bastion.port} does not let")
    assert "check jump.username and jump.auth of locations/partner.yaml" in str(caught.value)
    assert "not-it-5521" not in "".join(traceback.format_exception(caught.value))
    swapped = replace(behind(server, bastion), auth=(KeyAuth(file="jump"),))
    with pytest.raises(LoginError) as caught:
        connect(swapped, secrets_dir=server.secrets_dir)
    assert str(caught.value).startswith(f"127.0.0.1:{server.port} does not let")


def test_a_secret_of_the_jump_host_is_looked_at_before_anything_is_sent(
    server: Sshd, bastion: Sshd
) -> None:
    before = bastion.connections()
    with pytest.raises(ConfigError, match="gone cannot be read"):
        connect(
            behind(server, bastion, auth=(KeyAuth(file="gone"),)), secrets_dir=server.secrets_dir
        )
    assert bastion.connections() == before


def test_a_server_that_the_jump_host_does_not_reach_is_told_with_why(
    server: Sshd, bastion: Sshd
) -> None:
    with own_port() as port:
        location = replace(behind(server, bastion), port=port)
        with pytest.raises(EndpointLostError) as caught:
            connect(location, secrets_dir=server.secrets_dir)
    told = f"127.0.0.1:{port} cannot be reached by SFTP: the jump host 127.0.0.1:{bastion.port}"
    assert str(caught.value).startswith(f"{told} does not lead there")
    assert "onnect" in str(caught.value)


def test_a_jump_host_that_forwards_nothing_is_told(server: Sshd, tmp_path: Path) -> None:
    with running_sshd(tmp_path, options=["AllowTcpForwarding no"]) as closed:
        shutil.copy(closed.secrets_dir / "client", server.secrets_dir / "closed")
        location = behind(server, closed, auth=(KeyAuth(file="closed"),))
        with pytest.raises(
            EndpointLostError, match=r"jump host .* does not lead there: .*rohibited"
        ):
            connect(location, secrets_dir=server.secrets_dir)


def test_a_jump_host_that_is_not_there_is_told(server: Sshd, bastion: Sshd) -> None:
    location = behind(server, bastion)
    assert location.jump is not None
    with own_port() as port:
        location = replace(location, jump=replace(location.jump, port=port))
        with pytest.raises(EndpointLostError, match=rf"^jump host 127.0.0.1:{port} cannot be"):
            connect(location, secrets_dir=server.secrets_dir)


def list_until_lost(endpoint: SftpEndpoint) -> None:
    while True:
        endpoint.list_names(".")


@pytest.mark.parametrize("lost", ["jump host", "server"])
def test_a_loss_says_which_of_the_two_is_gone(server: Sshd, bastion: Sshd, lost: str) -> None:
    before = set(threading.enumerate())
    there = set(server.sessions())
    with closing(connect(behind(server, bastion), secrets_dir=server.secrets_dir)) as endpoint:
        gone = bastion.sessions() if lost == "jump host" else set(server.sessions()) - there
        for process in gone:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        with pytest.raises(EndpointLostError) as caught:
            list_until_lost(endpoint)
    told = f"the connection to the jump host 127.0.0.1:{bastion.port} was lost"
    assert (told in str(caught.value)) == (lost == "jump host")
    assert str(caught.value).startswith(f"127.0.0.1:{server.port}: ")
    assert left_over(before) == set()


def test_a_server_behind_that_stops_taking_bytes_is_lost(server: Sshd, bastion: Sshd) -> None:
    there = set(server.sessions())
    endpoint = connect(behind(server, bastion, timeout_s=6.0), secrets_dir=server.secrets_dir)
    stopped: list[int] = []

    def stop(written: int) -> None:
        if written and not stopped:
            stopped.extend(set(server.sessions()) - there)
            for process in stopped:
                os.kill(process, signal.SIGSTOP)

    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(1_000_000)

    try:
        with pytest.raises(EndpointLostError, match="'stuck'"):
            endpoint.write("stuck", endless(), on_chunk=stop)
    finally:
        for process in stopped:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        endpoint.close()
    assert stopped


def test_another_thread_ends_a_call_through_a_jump_host(server: Sshd, bastion: Sshd) -> None:
    endpoint = connect(behind(server, bastion, timeout_s=600), secrets_dir=server.secrets_dir)
    begun = threading.Event()
    told: list[BaseException] = []

    def endless() -> Iterator[bytes]:
        while True:
            begun.set()
            yield bytes(100_000)

    def work() -> None:
        try:
            endpoint.write("endless", endless(), on_chunk=silent)
        except BaseException as error:  # noqa: BLE001  what it is comes out below
            told.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(60)
    endpoint.close()
    thread.join(60)
    assert [type(each) for each in told] == [EndpointLostError]
    (server.folder / "endless").unlink()


def test_a_jump_host_needs_no_sftp(server: Sshd, tmp_path: Path) -> None:
    with running_sshd(tmp_path, options=["ForceCommand /bin/false"]) as bare:
        shutil.copy(bare.secrets_dir / "client", server.secrets_dir / "bare")
        location = behind(server, bare, auth=(KeyAuth(file="bare"),))
        connect(location, secrets_dir=server.secrets_dir).close()


def test_a_peer_behind_that_takes_nothing_is_given_up(server: Sshd, bastion: Sshd) -> None:
    location = behind(server, bastion, timeout_s=5.0)
    connection = open_channel(
        location, secrets_dir=server.secrets_dir, values={}, now=SetClock().now()
    )
    with closing(connection), socket.create_server(("127.0.0.1", 0)) as deaf:
        assert connection.jump is not None
        there = replace(hops(location)[-1], port=deaf.getsockname()[1])
        forwarded = connection.jump.dial(there)
        forwarded.settimeout(0.2)
        with pytest.raises(BrokenPipeError, match="takes nothing any more"):
            send_for_ever(forwarded)


def send_for_ever(forwarded: ForwardedSocket) -> None:
    while True:
        with suppress(TimeoutError):
            forwarded.send(bytes(100_000))
