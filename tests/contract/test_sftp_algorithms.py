"""What a location asks of an SSH connection is what it gets, or nothing."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sftp_server import PASSWORD, SilentDoor, sftp_server
from sshd import Sshd, running_sshd
from waiting import WAIT_S

from mftgit.adapters.endpoint.contract import EndpointLostError, EndpointRefusedError
from mftgit.adapters.sftp.endpoint import connect
from mftgit.model.keys.algorithms import Algorithms

needs_sshd = pytest.mark.needs("sshd")


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd"), options=["LogLevel DEBUG1"]) as server:
        yield server


def negotiated(server: Sshd, algorithms: Algorithms) -> list[str]:
    """Connect and return what sshd wrote down: key exchange, host key, and the cipher and MAC to the server."""
    start = len(server.log.read_text(encoding="utf-8"))
    location = replace(server.location(), algorithms=algorithms)
    with closing(connect(location, secrets_dir=server.secrets_dir)) as endpoint:
        endpoint.list_names(".")
    log = server.log.read_text(encoding="utf-8")[start:]
    found = [
        re.search(pattern, log)
        for pattern in (
            r"kex: algorithm: (\S+)",
            r"kex: host key algorithm: (\S+)",
            r"kex: client->server cipher: (\S+)",
            r"kex: client->server cipher: \S+ MAC: (\S+)",
        )
    ]
    return [each[1] for each in found if each]


@needs_sshd
@pytest.mark.parametrize(
    ("algorithms", "expected"),
    [
        (
            Algorithms(ciphers=("aes256-gcm@openssh.com", "aes128-ctr")),
            ["curve25519-sha256", "ssh-ed25519", "aes256-gcm@openssh.com", "<implicit>"],
        ),
        (
            Algorithms(
                ciphers=("aes192-ctr", "aes128-gcm@openssh.com"),
                macs=("hmac-sha2-512", "hmac-sha2-256"),
                kex=("curve25519-sha256@libssh.org", "curve25519-sha256"),
                host_keys=("ecdsa-sha2-nistp256", "ssh-ed25519"),
            ),
            ["curve25519-sha256@libssh.org", "ecdsa-sha2-nistp256", "aes192-ctr", "hmac-sha2-512"],
        ),
        (
            Algorithms(kex=("diffie-hellman-group14-sha256",)),
            [
                "diffie-hellman-group14-sha256",
                "ssh-ed25519",
                "aes128-gcm@openssh.com",
                "<implicit>",
            ],
        ),
    ],
)
def test_what_is_agreed_on_is_the_first_of_the_location(
    sshd: Sshd, algorithms: Algorithms, expected: list[str]
) -> None:
    assert negotiated(sshd, algorithms) == expected


@needs_sshd
@pytest.mark.parametrize(
    "option",
    [
        "Ciphers aes128-ctr",
        "KexAlgorithms ecdh-sha2-nistp384",
        "HostKeyAlgorithms ecdsa-sha2-nistp256",
    ],
)
def test_a_server_that_has_none_of_them_is_refused_with_where_they_stand(
    tmp_path: Path, option: str
) -> None:
    algorithms = Algorithms(
        ciphers=("aes256-gcm@openssh.com",), kex=("curve25519-sha256",), host_keys=("ssh-ed25519",)
    )
    with running_sshd(tmp_path, options=[option]) as server:
        location = replace(server.location(), algorithms=algorithms)
        with pytest.raises(EndpointRefusedError, match=r"algorithms of locations/partner\.yaml"):
            connect(location, secrets_dir=server.secrets_dir)


def put_password(folder: Path) -> None:
    (folder / "password").write_text(PASSWORD, encoding="utf-8")
    (folder / "password").chmod(0o600)


def test_connecting_is_given_up_after_its_own_time(tmp_path: Path) -> None:
    put_password(tmp_path)
    with sftp_server(tmp_path, door=SilentDoor) as server:
        location = replace(server.location(timeout_s=600.0), connect_timeout_s=1.0)
        began = time.monotonic()
        with pytest.raises(EndpointLostError):
            connect(location, secrets_dir=tmp_path)
        assert time.monotonic() - began < 30


@pytest.mark.parametrize("keepalive_s", [0, 1])
def test_an_idle_connection_is_kept_alive_as_the_location_says(
    tmp_path: Path, keepalive_s: int
) -> None:
    put_password(tmp_path)
    heard = threading.Event()
    with (
        sftp_server(tmp_path) as server,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        thread = threading.Thread(target=_relay, args=(listener, server.port, heard))
        thread.start()
        location = replace(
            server.location(), port=listener.getsockname()[1], keepalive_s=keepalive_s
        )
        with closing(connect(location, secrets_dir=tmp_path)) as endpoint:
            endpoint.list_names(".")
            if keepalive_s:
                for _ in range(5):  # the first ones may be the end of what was asked
                    assert heard.wait(WAIT_S)
                    heard.clear()
                    threading.Event().wait(0.2)  # a piece of what was asked may come in two
            else:  # there comes a time in which nothing is said
                assert any(not is_heard(heard, 2.0) for _ in range(20))
        thread.join()


def is_heard(heard: threading.Event, within_s: float) -> bool:
    heard.clear()
    return heard.wait(within_s)


def _relay(listener: socket.socket, port: int, heard: threading.Event) -> None:
    """Pass on what both sides say, and tell when the client says something."""
    client, _ = listener.accept()
    with client, socket.create_connection(("127.0.0.1", port)) as server:

        def back() -> None:
            while piece := server.recv(65536):
                client.sendall(piece)

        answers = threading.Thread(target=back)
        answers.start()
        while piece := client.recv(65536):
            server.sendall(piece)
            heard.set()
        server.shutdown(socket.SHUT_WR)
        answers.join()
