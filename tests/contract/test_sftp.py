"""What SFTP adds to the promises of endpoints: host keys, logins, and servers that misbehave."""

import hashlib
import os
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import paramiko
import pytest
from ports import own_port
from sftp_server import (
    PASSWORD,
    AsksForThePassword,
    Door,
    EndlessFolders,
    Folder,
    ForgetfulDisk,
    FullDisk,
    HangsUp,
    HostileNames,
    KeyThenPassword,
    LiesAboutSize,
    LosesOnePiece,
    NeverAnswers,
    NeverStartsSftp,
    NoSftp,
    NotExclusive,
    RefusesExclusive,
    RefusesRename,
    RenameReplaces,
    Served,
    ShortReads,
    SilentDoor,
    StopsReading,
    TellsNothingOfOpenFiles,
    sftp_server,
)
from sshd import Sshd, running_sshd, temporary_user
from waiting import WAIT_S

from mftgit.adapters.endpoint.contract import (
    EndpointFullError,
    EndpointLostError,
    EndpointRefusedError,
    FileExistsAtEndpointError,
    HostKeyError,
    LoginError,
)
from mftgit.adapters.sftp.endpoint import SftpEndpoint, connect
from mftgit.errors import ConfigError, MftgitError
from mftgit.model.locations.location import SftpLocation
from mftgit.model.locations.login import Auth, KeyAuth, PasswordAuth
from mftgit.model.names import SecretName
from mftgit.model.secrets.value import SecretValue

WRONG_PASSWORD = "not-the-password-9042"
OTHER_KEY = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"

needs_sshd = pytest.mark.needs("sshd")


def silent(_: int) -> None:
    pass


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        secret(server.secrets_dir, "wrong", WRONG_PASSWORD)
        yield server


@pytest.fixture
def secrets_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    folder.mkdir()
    secret(folder, "password", PASSWORD + "\n")
    secret(folder, "wrong", WRONG_PASSWORD + "\n")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "served"
    folder.mkdir()
    return folder


def secret(folder: Path, name: str, content: str, *, mode: int = 0o600) -> None:
    (folder / name).write_text(content, encoding="utf-8")
    (folder / name).chmod(mode)


def wait_until_threads_end(before: set[threading.Thread]) -> set[threading.Thread]:
    """Return the threads that are still there after every new one had time to end."""
    for thread in set(threading.enumerate()) - before:
        thread.join(WAIT_S)
    return set(threading.enumerate()) - before


@needs_sshd
def test_ten_megabytes_go_up_and_down_unchanged(sshd: Sshd) -> None:
    content = os.urandom(10_000_000)
    chunks = (content[start : start + 300_000] for start in range(0, len(content), 300_000))
    with closing(connect(sshd.location(), secrets_dir=sshd.secrets_dir)) as endpoint:
        assert endpoint.write("big", chunks, on_chunk=silent) == len(content)
        read = hashlib.sha256()
        with endpoint.open_read("big") as stream:
            while piece := stream.read(123_456):
                read.update(piece)
        endpoint.remove("big")
    assert read.digest() == hashlib.sha256(content).digest()


@needs_sshd
def test_content_is_unchanged_by_new_session_keys_on_the_way(tmp_path: Path) -> None:
    content = os.urandom(6_000_000)
    with (
        running_sshd(tmp_path, options=["RekeyLimit 512K"]) as server,
        closing(connect(server.location(), secrets_dir=server.secrets_dir)) as endpoint,
    ):
        endpoint.write("a", iter([content]), on_chunk=silent)
        with endpoint.open_read("a") as stream:
            assert stream.read() == content
        assert (server.folder / "a").read_bytes() == content


@needs_sshd
def test_a_relative_path_is_below_the_folder_where_the_login_starts(sshd: Sshd) -> None:
    (sshd.folder / "outbox").mkdir()
    (sshd.folder / "outbox/a").write_bytes(b"12")
    for path in (".", "outbox"):
        location = sshd.location(path=path)
        with closing(connect(location, secrets_dir=sshd.secrets_dir)) as endpoint:
            found = "outbox/a" if path == "." else "a"
            assert endpoint.stat(found).size_bytes == 2


@needs_sshd
def test_an_unknown_host_key_is_refused_with_everything_needed_to_judge_it(sshd: Sshd) -> None:
    with pytest.raises(HostKeyError) as caught:
        connect(sshd.location(host_keys=(OTHER_KEY,)), secrets_dir=sshd.secrets_dir)
    message = str(caught.value)
    for part in (
        f"127.0.0.1:{sshd.port}",
        f"ssh-ed25519 {sshd.host_keys['ed25519']}",
        f"ecdsa-sha2-nistp256 {sshd.host_keys['ecdsa']}",
        OTHER_KEY,
        "host_keys of locations/partner.yaml",
    ):
        assert part in message
    log = sshd.log.read_text(encoding="utf-8")
    assert "Accepted" not in log.rpartition("Connection from")[2]


@needs_sshd
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_any_key_of_a_server_may_be_the_pinned_one(sshd: Sshd, kind: str) -> None:
    location = sshd.location(host_keys=(OTHER_KEY, sshd.host_keys[kind]))
    with closing(connect(location, secrets_dir=sshd.secrets_dir)) as endpoint:
        endpoint.list_names(".")


def test_a_changed_host_key_gets_no_credential(root: Path, secrets_dir: Path) -> None:
    with sftp_server(root) as before:
        pinned = (before.host_key.fingerprint,)
        connect(before.location(), secrets_dir=secrets_dir).close()
        assert before.logins == ["password"]
    with sftp_server(root) as changed:
        with pytest.raises(HostKeyError) as caught:
            connect(changed.location(host_keys=pinned), secrets_dir=secrets_dir)
        assert changed.logins == []
    assert changed.host_key.fingerprint in str(caught.value)
    assert pinned[0] in str(caught.value)


@needs_sshd
@pytest.mark.parametrize("option", ["Ciphers aes256-cbc,3des-cbc", "MACs hmac-sha1"])
def test_a_server_with_old_algorithms_only_is_refused(tmp_path: Path, option: str) -> None:
    # hmac-sha1 matters only for a cipher that has no tag of its own.
    options = [option] if option.startswith("Ciphers") else [option, "Ciphers aes128-ctr"]
    before = set(threading.enumerate())
    with (
        running_sshd(tmp_path, options=options) as server,
        pytest.raises(EndpointRefusedError, match="no algorithm that is safe"),
    ):
        connect(server.location(), secrets_dir=server.secrets_dir)
    assert wait_until_threads_end(before) == set()


@needs_sshd
def test_a_wrong_password_is_told_without_the_password(sshd: Sshd) -> None:
    location = sshd.location(auth=(PasswordAuth(file="wrong"),), username="nobody")
    with pytest.raises(LoginError) as caught:
        connect(location, secrets_dir=sshd.secrets_dir)
    assert "password in 'wrong'" in str(caught.value)
    assert "'nobody'" in str(caught.value)
    assert WRONG_PASSWORD not in "".join(traceback.format_exception(caught.value))


@pytest.mark.needs("useradd")
@pytest.mark.skipif(
    os.geteuid() != 0, reason="OpenSSH checks passwords of system users: needs root"
)
@needs_sshd
def test_a_password_opens_a_real_sshd_after_a_key_was_refused(tmp_path: Path) -> None:
    with TemporaryDirectory(prefix="mftgit-home-") as home, temporary_user(Path(home)) as user:
        username, password = user
        with running_sshd(
            tmp_path, options=["PasswordAuthentication yes", "AuthorizedKeysFile none"]
        ) as server:
            secret(server.secrets_dir, "right", password)
            secret(server.secrets_dir, "wrong", WRONG_PASSWORD)
            ways: tuple[Auth, ...] = (KeyAuth(file="client"), PasswordAuth(file="right"))
            right = server.location(username=username, auth=ways, path="/")
            with closing(connect(right, secrets_dir=server.secrets_dir)) as endpoint:
                assert "etc" in endpoint.list_names(".")
            wrong = server.location(username=username, auth=(PasswordAuth(file="wrong"),))
            with pytest.raises(LoginError) as caught:
                connect(wrong, secrets_dir=server.secrets_dir)
    text = "".join(traceback.format_exception(caught.value))
    assert WRONG_PASSWORD not in text
    assert password not in text


def test_a_password_file_may_end_in_a_newline(root: Path, secrets_dir: Path) -> None:
    for ending in ("", "\n", "\r\n"):
        secret(secrets_dir, "password", PASSWORD + ending)
        with sftp_server(root) as server:
            connect(server.location(), secrets_dir=secrets_dir).close()


def test_a_password_and_a_key_out_of_the_repository_open_a_server(
    root: Path, secrets_dir: Path, sshd: Sshd
) -> None:
    key = (sshd.secrets_dir / "client").read_text(encoding="utf-8")
    values = {
        SecretName("pass"): SecretValue(PASSWORD + "\n"),
        SecretName("key"): SecretValue(key),
    }
    both: tuple[Auth, ...] = (
        KeyAuth(secret=SecretName("key")),
        PasswordAuth(secret=SecretName("pass")),
    )
    with sftp_server(root, door=KeyThenPassword) as server:
        connect(server.location(auth=both), secrets_dir=secrets_dir, secrets=values).close()
    wrong = {SecretName("pass"): SecretValue(WRONG_PASSWORD)}
    with sftp_server(root) as server, pytest.raises(LoginError) as caught:
        connect(server.location(auth=both[1:]), secrets_dir=secrets_dir, secrets=wrong)
    assert "password in secrets/pass.yaml: refused" in str(caught.value)
    assert WRONG_PASSWORD not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("auth", "told"),
    [
        (PasswordAuth(secret=SecretName("gone")), "secrets/gone.yaml is not among the secrets"),
        (KeyAuth(secret=SecretName("pass")), "secrets/pass.yaml is not a private key"),
    ],
)
def test_a_secret_of_the_repository_that_is_not_fit_is_refused_before_anything_is_sent(
    root: Path, secrets_dir: Path, auth: Auth, told: str
) -> None:
    values = {SecretName("pass"): SecretValue(PASSWORD)}
    with sftp_server(root) as server, pytest.raises(ConfigError, match=told) as caught:
        connect(server.location(auth=(auth,)), secrets_dir=secrets_dir, secrets=values)
    assert server.logins == []
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


def test_the_second_way_is_tried_after_the_first_failed(root: Path, secrets_dir: Path) -> None:
    ways = (PasswordAuth(file="wrong"), PasswordAuth(file="password"))
    with sftp_server(root) as server:
        connect(server.location(auth=ways), secrets_dir=secrets_dir).close()
        assert server.logins == ["password", "password"]


def test_every_way_that_failed_is_named(root: Path, secrets_dir: Path, sshd: Sshd) -> None:
    ways = (KeyAuth(file="client"), PasswordAuth(file="wrong"))
    secret(secrets_dir, "client", (sshd.secrets_dir / "client").read_text(encoding="utf-8"))
    with sftp_server(root) as server, pytest.raises(LoginError) as caught:
        connect(server.location(auth=ways), secrets_dir=secrets_dir)
    message = str(caught.value)
    assert "key in 'client' (ssh-ed25519 SHA256:" in message
    assert "password in 'wrong': refused" in message
    assert "locations/partner.yaml" in message
    assert WRONG_PASSWORD not in "".join(traceback.format_exception(caught.value))


def test_a_server_may_want_two_ways_one_after_the_other(
    root: Path, secrets_dir: Path, sshd: Sshd
) -> None:
    secret(secrets_dir, "client", (sshd.secrets_dir / "client").read_text(encoding="utf-8"))
    both = (KeyAuth(file="client"), PasswordAuth(file="password"))
    with sftp_server(root, door=KeyThenPassword) as server:
        connect(server.location(auth=both), secrets_dir=secrets_dir).close()
    with (
        sftp_server(root, door=KeyThenPassword) as server,
        pytest.raises(LoginError, match="the server wants password as well"),
    ):
        connect(server.location(auth=both[:1]), secrets_dir=secrets_dir)


def test_a_server_that_asks_for_the_password_gets_it(root: Path, secrets_dir: Path) -> None:
    with sftp_server(root, door=AsksForThePassword) as server:
        connect(server.location(), secrets_dir=secrets_dir).close()


@pytest.mark.parametrize(
    ("door", "error", "timeout_s"),
    [
        (SilentDoor, EndpointLostError, 1.0),
        (NoSftp, EndpointRefusedError, WAIT_S),
        (NeverStartsSftp, EndpointLostError, 1.0),
    ],
)
def test_a_login_that_leads_nowhere_has_its_own_error(
    root: Path, secrets_dir: Path, door: type[Door], error: type[MftgitError], timeout_s: float
) -> None:
    with sftp_server(root, door=door) as server, pytest.raises(error, match=str(server.port)):
        connect(server.location(timeout_s=timeout_s), secrets_dir=secrets_dir)


@pytest.mark.parametrize(
    ("name", "content", "mode", "told"),
    [
        ("gone", None, 0, "cannot be read"),
        ("open", PASSWORD, 0o640, "chmod 600"),
        ("empty", "\n", 0o600, "is empty"),
        ("../password", None, 0, "not a plain file name"),
        ("a\0b", None, 0, "not a plain file name"),
        (".", None, 0, "not a plain file name"),
        ("..", None, 0, "not a regular file"),
    ],
)
def test_a_secret_that_is_not_fit_is_refused_before_anything_is_sent(
    root: Path, secrets_dir: Path, name: str, content: str | None, mode: int, told: str
) -> None:
    if content is not None:
        secret(secrets_dir, name, content, mode=mode)
    with sftp_server(root) as server:
        location = server.location(auth=(PasswordAuth(file=name), PasswordAuth(file="password")))
        with pytest.raises(ConfigError, match=told) as caught:
            connect(location, secrets_dir=secrets_dir)
        assert server.logins == []
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


def test_a_secret_that_is_not_text_is_refused_without_showing_it(
    root: Path, secrets_dir: Path
) -> None:
    (secrets_dir / "password").write_bytes(b"open-sesame\xff")
    with sftp_server(root) as server, pytest.raises(ConfigError, match="not text") as caught:
        connect(server.location(), secrets_dir=secrets_dir)
    assert "open-sesame" not in "".join(traceback.format_exception(caught.value))


def test_a_key_that_is_none_is_refused_without_showing_it(root: Path, secrets_dir: Path) -> None:
    with sftp_server(root) as server, pytest.raises(ConfigError, match="private key") as caught:
        connect(server.location(auth=(KeyAuth(file="password"),)), secrets_dir=secrets_dir)
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


def waited_for(server: Served, behaviour: type[Folder]) -> SftpLocation:
    """Return a location that is given up soon where it never answers, and there alone: others may be slow."""
    return impatient(server.location()) if behaviour is NeverAnswers else server.location()


def impatient(location: SftpLocation) -> SftpLocation:
    """Give a connection up soon once it is made."""
    return replace(location, timeout_s=2.0, connect_timeout_s=WAIT_S)


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (FullDisk, EndpointFullError),
        (ForgetfulDisk, EndpointFullError),
        (LosesOnePiece, EndpointFullError),
        (LiesAboutSize, EndpointFullError),
        (HangsUp, EndpointLostError),
        (NeverAnswers, EndpointLostError),
    ],
)
def test_a_fault_while_writing_leaves_nothing_under_the_name(
    root: Path, secrets_dir: Path, behaviour: type[Folder], error: type[MftgitError]
) -> None:
    content = os.urandom(400_000)
    with (
        sftp_server(root, behaviour) as server,
        closing(connect(waited_for(server, behaviour), secrets_dir=secrets_dir)) as endpoint,
    ):
        with pytest.raises(error, match=rf"127.0.0.1:{server.port}: 'a.csv.part'"):
            endpoint.write("a.csv.part", iter([content, content]), on_chunk=silent)
        assert os.listdir(root) == ["a.csv.part"]  # noqa: PTH208
        if error is EndpointFullError:
            endpoint.remove("a.csv.part")
        else:
            with pytest.raises(EndpointLostError, match="connect again"):
                endpoint.stat("a.csv.part")


@pytest.mark.parametrize(
    ("behaviour", "told"),
    [
        (HangsUp, "closed"),
        (NeverAnswers, "no answer in time"),
        (LiesAboutSize, "ended after 400000 of 401000 bytes"),
    ],
)
def test_a_fault_while_reading_is_never_taken_for_the_end_of_the_file(
    root: Path, secrets_dir: Path, behaviour: type[Folder], told: str
) -> None:
    (root / "a").write_bytes(os.urandom(400_000))
    with (
        sftp_server(root, behaviour) as server,
        closing(connect(waited_for(server, behaviour), secrets_dir=secrets_dir)) as endpoint,
    ):
        with pytest.raises(EndpointLostError, match=told), endpoint.open_read("a") as stream:
            stream.read()
        with pytest.raises(EndpointLostError, match="connect again"):
            endpoint.list_names(".")


def test_short_answers_are_put_together(root: Path, secrets_dir: Path) -> None:
    content = os.urandom(150_001)
    (root / "a").write_bytes(content)
    with (
        sftp_server(root, ShortReads) as server,
        closing(connect(server.location(), secrets_dir=secrets_dir)) as endpoint,
        endpoint.open_read("a") as stream,
    ):
        assert stream.read() == content


def test_a_file_that_grows_while_it_is_read_is_read_to_its_end(
    root: Path, secrets_dir: Path
) -> None:
    (root / "a").write_bytes(b"x" * 100_000)
    with (
        sftp_server(root) as server,
        closing(connect(server.location(), secrets_dir=secrets_dir)) as endpoint,
        endpoint.open_read("a") as stream,
    ):
        with (root / "a").open("ab") as more:
            more.write(b"y" * 100_000)
        assert stream.read() == b"x" * 100_000 + b"y" * 100_000


def test_a_refused_rename_is_told_with_both_names(root: Path, secrets_dir: Path) -> None:
    (root / "old").write_bytes(b"1")
    with (
        sftp_server(root, RefusesRename) as server,
        closing(connect(server.location(), secrets_dir=secrets_dir)) as endpoint,
    ):
        for replace in (False, True):
            with pytest.raises(EndpointRefusedError, match=r"'old' to 'new': .*Permission denied"):
                endpoint.rename("old", "new", replace=replace)
        assert os.listdir(root) == ["old"]  # noqa: PTH208


def test_a_server_without_the_extension_still_replaces(root: Path, secrets_dir: Path) -> None:
    (root / "old").write_bytes(b"old")
    (root / "new").write_bytes(b"new")
    with (
        sftp_server(root) as server,
        closing(connect(server.location(), secrets_dir=secrets_dir)) as endpoint,
    ):
        endpoint.rename("old", "new", replace=True)
        endpoint.rename("new", "free", replace=True)
    assert (root / "free").read_bytes() == b"old"
    assert os.listdir(root) == ["free"]  # noqa: PTH208


def test_a_server_whose_rename_replaces_is_not_asked_to(root: Path, secrets_dir: Path) -> None:
    (root / "old").write_bytes(b"old")
    (root / "new").write_bytes(b"new")
    with (
        sftp_server(root, RenameReplaces) as server,
        closing(connect(server.location(), secrets_dir=secrets_dir)) as endpoint,
        pytest.raises(FileExistsAtEndpointError),
    ):
        endpoint.rename("old", "new", replace=False)
    assert (root / "new").read_bytes() == b"new"


@pytest.mark.parametrize("behaviour", [NotExclusive, RefusesExclusive])
def test_a_server_that_does_not_know_exclusive_keeps_its_file(
    root: Path, secrets_dir: Path, behaviour: type[Folder]
) -> None:
    (root / "a").write_bytes(b"old content")
    with (
        sftp_server(root, behaviour) as server,
        closing(connect(server.location(), secrets_dir=secrets_dir)) as endpoint,
    ):
        with pytest.raises(FileExistsAtEndpointError):
            endpoint.write("a", iter([b"new"]), on_chunk=silent)
        assert endpoint.write("b", iter([b"new"]), on_chunk=silent) == 3
    assert (root / "a").read_bytes() == b"old content"


def test_names_that_lead_out_of_a_folder_are_not_taken_from_a_server(
    root: Path, secrets_dir: Path
) -> None:
    with (
        sftp_server(root, HostileNames) as server,
        closing(connect(server.location(), secrets_dir=secrets_dir)) as endpoint,
    ):
        assert endpoint.list_names(".") == ["good"]
        assert [entry.path for entry in endpoint.list_files(".", recursive=True)] == ["good"]


def test_a_listing_of_endless_folders_ends(root: Path, secrets_dir: Path) -> None:
    with (
        sftp_server(root, EndlessFolders) as server,
        closing(connect(server.location(), secrets_dir=secrets_dir)) as endpoint,
    ):
        assert len(list(endpoint.list_files(".", recursive=True))) == 33


@needs_sshd
def test_a_server_that_stops_taking_bytes_is_lost(sshd: Sshd) -> None:
    endpoint = connect(impatient(sshd.location()), secrets_dir=sshd.secrets_dir)
    stopped: list[int] = []

    def stop(written: int) -> None:
        if written and not stopped:
            stopped.extend(sshd.sessions())
            for process in stopped:
                with suppress(ProcessLookupError):  # of a connection before, which was just ending
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


def test_a_peer_whose_socket_is_full_is_lost(
    root: Path, secrets_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dial = socket.create_connection

    def dial_with_small_buffer(
        address: tuple[str, int], *, timeout: float | None = None
    ) -> socket.socket:
        # A loopback socket holds more than is ever on the way; most networks do not.
        sock = dial(address, timeout=timeout)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 << 10)
        return sock

    def endless() -> Iterator[bytes]:
        while True:
            yield bytes(1_000_000)

    monkeypatch.setattr(socket, "create_connection", dial_with_small_buffer)
    with (
        sftp_server(root, StopsReading) as server,
        closing(connect(impatient(server.location()), secrets_dir=secrets_dir)) as endpoint,
        pytest.raises(EndpointLostError, match="'stuck'"),
    ):
        endpoint.write("stuck", endless(), on_chunk=silent)


@pytest.mark.parametrize(
    "greeting", [b"", b"SSH-2.0-silent\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"]
)
def test_a_server_that_does_not_speak_ssh_is_lost(secrets_dir: Path, greeting: bytes) -> None:
    before = set(threading.enumerate())
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        peers: list[socket.socket] = []

        def greet() -> None:
            peer, _ = listener.accept()
            peers.append(peer)
            peer.sendall(greeting)

        thread = threading.Thread(target=greet)
        thread.start()
        location = Sshd(
            port=port,
            folder=secrets_dir,
            secrets_dir=secrets_dir,
            host_keys={},
            log=secrets_dir,
            config=secrets_dir,
            processes=[],
        ).location(auth=(PasswordAuth(file="password"),), host_keys=(OTHER_KEY,), timeout_s=1.0)
        with pytest.raises(EndpointLostError, match=f"127.0.0.1:{port}"):
            connect(location, secrets_dir=secrets_dir)
        thread.join()
        for peer in peers:
            peer.close()
    assert wait_until_threads_end(before) == set()


def test_nobody_listening_is_lost(root: Path, secrets_dir: Path) -> None:
    with sftp_server(root) as server, own_port() as port:
        location = replace(server.location(), port=port)
        with pytest.raises(EndpointLostError, match=rf"127.0.0.1:{port} .*refused"):
            connect(location, secrets_dir=secrets_dir)


def read_one(endpoint: SftpEndpoint) -> None:
    with endpoint.open_read("a") as stream:
        stream.read()


def write_one(endpoint: SftpEndpoint) -> None:
    endpoint.write("new", iter([bytes(64 << 20)]), on_chunk=silent)


def list_all(endpoint: SftpEndpoint) -> None:
    list(endpoint.list_files(".", recursive=False))


@pytest.mark.parametrize(
    ("behaviour", "work"),
    [
        (NeverAnswers, read_one),
        (NeverAnswers, write_one),
        (NeverAnswers, list_all),
        (StopsReading, write_one),
    ],
)
def test_a_call_that_waits_for_the_partner_ends_when_another_thread_closes(
    root: Path, secrets_dir: Path, behaviour: type[Folder], work: Callable[[SftpEndpoint], None]
) -> None:
    (root / "a").write_bytes(bytes(1000))
    before = set(threading.enumerate())
    told: list[BaseException] = []

    def wait_for_the_partner() -> None:
        try:
            work(endpoint)
        except BaseException as error:  # noqa: BLE001  what it is comes out below
            told.append(error)

    with sftp_server(root, behaviour) as served:
        endpoint = connect(served.location(timeout_s=600), secrets_dir=secrets_dir)
        thread = threading.Thread(target=wait_for_the_partner)
        thread.start()
        assert served.waited_for.wait(WAIT_S)
        endpoint.close()
        thread.join(WAIT_S)
        assert not thread.is_alive()
    assert [type(each) for each in told] == [EndpointLostError]
    assert wait_until_threads_end(before) == set()


def test_whenever_another_thread_closes_the_call_under_way_is_told_of_a_loss(
    root: Path, secrets_dir: Path
) -> None:
    (root / "a").write_bytes(bytes(100_000))
    told: list[BaseException] = []

    def work(endpoint: SftpEndpoint, begun: threading.Event) -> None:
        try:
            while True:
                read_one(endpoint)
                list_all(endpoint)
                endpoint.stat("a")
                begun.set()
        except BaseException as error:  # noqa: BLE001  what it is comes out below
            told.append(error)

    with sftp_server(root) as served:
        for _ in range(20):
            endpoint, begun = connect(served.location(), secrets_dir=secrets_dir), threading.Event()
            thread = threading.Thread(target=work, args=(endpoint, begun))
            thread.start()
            assert begun.wait(WAIT_S)
            endpoint.close()
            thread.join(WAIT_S)
            assert not thread.is_alive()
    assert {type(each) for each in told} == {EndpointLostError}
    assert len(told) == 20


def test_a_file_of_which_the_server_tells_nothing_is_closed_again(
    root: Path, secrets_dir: Path
) -> None:
    (root / "a").write_bytes(b"1")
    with (
        sftp_server(root, TellsNothingOfOpenFiles) as served,
        closing(connect(served.location(), secrets_dir=secrets_dir)) as endpoint,
    ):
        with pytest.raises(EndpointRefusedError), endpoint.open_read("a"):
            pass
        assert endpoint.stat("a").size_bytes == 1  # answered after the close was
        opened: list[str] = []
        for each in Path("/proc/self/fd").iterdir():
            with suppress(FileNotFoundError):  # it was closed meanwhile
                opened.append(str(each.readlink()))
        assert str(root / "a") not in opened


def test_a_server_whose_key_cannot_be_read_is_hung_up_on(
    root: Path, secrets_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: paramiko.Transport) -> paramiko.PKey:
        raise paramiko.SSHException("No existing session")

    before = set(threading.enumerate())
    with sftp_server(root) as served:
        with monkeypatch.context() as patch:
            patch.setattr(paramiko.Transport, "get_remote_server_key", fail)
            with pytest.raises(EndpointLostError, match="No existing session"):
                connect(served.location(), secrets_dir=secrets_dir)
        (accepting,) = [
            each for each in set(threading.enumerate()) - before if each.name.endswith("(accept)")
        ]
        assert wait_until_threads_end({*before, accepting}) == set()


@needs_sshd
def test_no_thread_outlives_its_endpoint(sshd: Sshd) -> None:
    before = set(threading.enumerate())
    endpoint = connect(sshd.location(), secrets_dir=sshd.secrets_dir)
    endpoint.list_names(".")
    assert set(threading.enumerate()) - before
    endpoint.close()
    assert set(threading.enumerate()) - before == set()  # one of a test before may have ended
    for location, error in (
        (sshd.location(host_keys=(OTHER_KEY,)), HostKeyError),
        (sshd.location(auth=(PasswordAuth(file="wrong"),)), LoginError),
    ):
        with pytest.raises(error):
            connect(location, secrets_dir=sshd.secrets_dir)
        assert wait_until_threads_end(before) == set()
