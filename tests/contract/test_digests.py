"""Partners work digests out themselves, by an extension or their shell; else files are read back, and it is said."""

import hashlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from subprocess import PIPE
from threading import Thread
from typing import Any

import paramiko
import pytest
from loguru import logger
from paramiko.common import OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED as OPEN_REFUSED
from paramiko.sftp import (
    CMD_EXTENDED,
    CMD_EXTENDED_REPLY,
    SFTP_NO_SUCH_FILE,
    SFTP_OP_UNSUPPORTED,
    SFTP_PERMISSION_DENIED,
)
from proftpd import Proftpd, running_proftpd
from sftp_server import PASSWORD, Door, Served, sftp_server
from sshd import Sshd, running_sshd

from mftgit.adapters.endpoint.contract import Digest, EndpointLostError, FileEntry, FileMissingError
from mftgit.adapters.local.endpoint import LocalEndpoint
from mftgit.adapters.sftp.digest import BY_EXTENSION, BY_SHELL, BY_SIZE, shell_digests
from mftgit.adapters.sftp.endpoint import SftpEndpoint, connect
from mftgit.member.outbound.places.digests import SMALL_BYTES, digests_of
from mftgit.model.locations.location import Client

EMPTY = hashlib.sha256().hexdigest()
CONTENT = {
    "plain.csv": b"content",
    "line\nbreak": b"1",
    "back\\slash": b"2",
    "-rf": b"3",
    "quo'te \"$(touch out)": b"4",
    "m\udcfcnchen": b"5",  # not UTF-8: the byte FC, as Python writes it
    "in/ two words ": b"6",
    "large": bytes(2 * SMALL_BYTES),
}
OF_CONTENT = {path: hashlib.sha256(content).hexdigest() for path, content in CONTENT.items()}


@pytest.fixture
def told() -> Iterator[list[str]]:
    """Give what the log tells."""
    lines: list[str] = []
    logger.enable("mftgit")
    sink = logger.add(lambda message: lines.append(message.record["message"]), level="INFO")
    yield lines
    logger.remove(sink)
    logger.disable("mftgit")


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd"), options=["ForceCommand none"]) as server:
        yield server


@pytest.fixture(scope="module")
def proftpd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proftpd]:
    with running_proftpd(tmp_path_factory.mktemp("proftpd")) as server:
        yield server


@pytest.fixture
def fill(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for path, content in CONTENT.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    (root / "empty").touch()
    return root


def by(way: str) -> list[Digest]:
    return [Digest(sha256=OF_CONTENT[path], by=way) for path in CONTENT]


@pytest.mark.needs("proftpd")
def test_proftpd_works_them_out_by_the_extension(
    proftpd: Proftpd, fill: Path, told: list[str]
) -> None:
    location = proftpd.location(path=str(fill))
    with closing(connect(location, secrets_dir=proftpd.secrets_dir)) as endpoint:
        assert endpoint.digest_all(CONTENT) == by(BY_EXTENSION)
        assert endpoint.digest_all(["empty"]) == [Digest(sha256=EMPTY, by=BY_SIZE)]
        (found,) = endpoint.digest_all(["gone"])
        assert isinstance(found, FileMissingError)
    assert [line for line in told if "digest" in line] == [
        f"127.0.0.1:{proftpd.port}: digests are worked out by check-file"
    ]


@pytest.mark.needs("proftpd")
def test_openssh_s_client_asks_by_the_extension_too(proftpd: Proftpd, fill: Path) -> None:
    location = replace(proftpd.location(path=str(fill)), client=Client.OPENSSH)
    with closing(connect(location, secrets_dir=proftpd.secrets_dir)) as endpoint:
        assert endpoint.digest_all(CONTENT) == by(BY_EXTENSION)
        # Its ssh hangs up on a server that is silent for timeout_s: a very large file is read back.
        size = 20_000_000 * int(location.timeout_s / 2)
        os.truncate(fill / "plain.csv", size + 20_000_000)
        assert endpoint.digest_all(["plain.csv"]) == [None]


@pytest.mark.needs("sshd")
def test_a_server_with_a_shell_works_them_out_by_sha256sum(
    sshd: Sshd, fill: Path, told: list[str]
) -> None:
    before = sorted(fill.rglob("*"))
    location = sshd.location(path=str(fill))
    with closing(connect(location, secrets_dir=sshd.secrets_dir)) as endpoint:
        assert endpoint.digest_all(CONTENT) == by(BY_SHELL)
        gone, empty, more = endpoint.digest_all(["gone", "empty", "plain.csv"])
        assert isinstance(gone, FileMissingError)
        assert empty == Digest(sha256=EMPTY, by=BY_SIZE)
        assert more == Digest(sha256=OF_CONTENT["plain.csv"], by=BY_SHELL)
        assert endpoint.stat("plain.csv").size_bytes == len(CONTENT["plain.csv"])
    assert sorted(fill.rglob("*")) == before
    assert [line for line in told if "digest" in line] == [
        f"127.0.0.1:{sshd.port}: digests are worked out by sha256sum"
    ]


@pytest.mark.needs("sshd")
def test_a_server_with_sftp_alone_is_asked_once_and_then_files_are_read_back(
    tmp_path: Path, fill: Path, told: list[str]
) -> None:
    with running_sshd(tmp_path / "sshd") as server:
        location = server.location(path=str(fill))
        with closing(connect(location, secrets_dir=server.secrets_dir)) as endpoint:
            assert endpoint.digest_all(CONTENT) == [None] * len(CONTENT)
            assert endpoint.digest_all(["plain.csv"]) == [None]
            found = digests_of(endpoint, list(CONTENT), ask=True)
            assert found == list(OF_CONTENT.values())
            assert isinstance(digests_of(endpoint, ["gone"], ask=True)[0], FileMissingError)
        lines = [line for line in told if "digest" in line]
        assert lines == [
            f"127.0.0.1:{server.port} works out no digests: files are read back instead"
        ]
        assert server.log.read_text(encoding="utf-8").count("Starting session: forced-command") <= 2


def test_a_local_folder_has_nobody_else_to_work_them_out(fill: Path) -> None:
    assert LocalEndpoint(fill).digest_all(["plain.csv", "gone"]) == [None, None]
    found = digests_of(LocalEndpoint(fill), ["large", "plain.csv"], ask=True)
    assert found == [OF_CONTENT["large"], OF_CONTENT["plain.csv"]]
    assert isinstance(digests_of(LocalEndpoint(fill), ["gone"], ask=False)[0], FileMissingError)


class Extended(paramiko.SFTPServer):
    """Answers requests of extensions with ``answer``: a status, or what follows the number of the request."""

    answer: bytes | int = SFTP_OP_UNSUPPORTED

    def _process(self, t: int, request_number: int, msg: paramiko.Message) -> None:
        if t != CMD_EXTENDED:
            super()._process(t, request_number, msg)  # type: ignore[misc]
        elif isinstance(self.answer, int):
            self._send_status(request_number, self.answer)  # type: ignore[attr-defined]
        else:
            reply = paramiko.Message()
            reply.add_int(request_number)
            reply.add_bytes(self.answer)
            self._send_packet(CMD_EXTENDED_REPLY, reply)  # type: ignore[attr-defined]


def answering(answer: bytes | int) -> type[Extended]:
    return type("Answering", (Extended,), {"answer": answer})


@contextmanager
def connected(
    root: Path, *, timeout_s: float = 20.0, path: str = ".", **options: Any
) -> Iterator[tuple[SftpEndpoint, Served]]:
    """Give a connection to a server of ours over ``root``; ``options`` are those of `sftp_server`."""
    secrets = root.parent / "secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "password").touch(mode=0o600)
    (secrets / "password").write_text(PASSWORD, encoding="utf-8")
    with sftp_server(root, **options) as served:
        location = replace(served.location(timeout_s=timeout_s), path=path)
        with closing(connect(location, secrets_dir=secrets)) as endpoint:
            yield endpoint, served


def string(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


DIGEST = bytes(range(32))


@pytest.mark.parametrize(
    "answer",
    [string(b"sha256") + DIGEST, string(b"check-file") + string(b"sha256") + DIGEST],
    ids=["last draft", "draft before"],
)
def test_the_answers_of_both_drafts_are_understood(fill: Path, answer: bytes) -> None:
    with connected(fill, handler=answering(answer)) as (endpoint, _):
        expected = Digest(sha256=DIGEST.hex(), by=BY_EXTENSION)
        assert endpoint.digest_all(["plain.csv"]) == [expected]


@pytest.mark.parametrize(
    "answer",
    [
        SFTP_OP_UNSUPPORTED,
        SFTP_PERMISSION_DENIED,
        string(b"md5") + bytes(16),
        string(b"sha256") + bytes(31),
        string(b"sha256") + bytes(64),
        string(b"check-file"),
        b"\xff",
        b"",
    ],
)
def test_an_answer_that_is_no_digest_counts_for_nothing_and_is_not_asked_for_again(
    fill: Path, answer: bytes | int
) -> None:
    handler = answering(answer)
    with connected(fill, handler=handler) as (endpoint, _):
        assert endpoint.digest_all(["plain.csv", "-rf"]) == [None, None]
        handler.answer = string(b"sha256") + DIGEST
        assert endpoint.digest_all(["plain.csv"]) == [None]
        assert endpoint.stat("plain.csv").size_bytes == len(CONTENT["plain.csv"])


def test_a_file_that_goes_away_meanwhile_is_missing(fill: Path) -> None:
    with connected(fill, handler=answering(SFTP_NO_SUCH_FILE)) as (endpoint, _):
        (found,) = endpoint.digest_all(["plain.csv"])
        assert isinstance(found, FileMissingError)


class Shell(Door):
    """Lets a command run; what it does then is ``do``."""

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        Thread(target=self.do, args=(channel, command)).start()
        return True

    def do(self, channel: paramiko.Channel, command: bytes) -> None:
        raise NotImplementedError


class RealShell(Shell):
    """Runs the command by sh, which sees the whole file system, and so another one than SFTP does."""

    def do(self, channel: paramiko.Channel, command: bytes) -> None:
        given = channel.makefile("rb").read()
        ended = subprocess.run(["/bin/sh", "-c", command], input=given, stdout=PIPE, check=False)
        channel.sendall(b"Welcome!\n\n" + ended.stdout)
        channel.close()


class SilentShell(Shell):
    """Says nothing."""

    def do(self, channel: paramiko.Channel, command: bytes) -> None:
        del channel, command
        self.served.stopped.wait()


class EndlessShell(Shell):
    """Says more and more, until nobody takes it."""

    def do(self, channel: paramiko.Channel, command: bytes) -> None:
        del command
        with suppress(OSError):
            while True:
                channel.sendall(bytes(32 << 10))


class DeadShell(Shell):
    """Ends at once."""

    def do(self, channel: paramiko.Channel, command: bytes) -> None:
        del command
        channel.close()


class NeverSaysWhether(Door):
    """Does not answer to the wish for a command."""

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        del channel, command
        self.served.stopped.wait()
        return False


class OneSession(Door):
    """Opens one channel and no more."""

    opened = 0

    def check_channel_request(self, kind: str, chanid: int) -> int:
        self.opened += 1
        return super().check_channel_request(kind, chanid) if self.opened == 1 else OPEN_REFUSED


@pytest.mark.parametrize("door", [Door, SilentShell, EndlessShell, DeadShell, OneSession])
def test_a_server_whose_shell_does_not_work_is_read_back(
    fill: Path, door: type[Door], told: list[str]
) -> None:
    slow = door is SilentShell
    with connected(fill, door=door, timeout_s=3.0 if slow else 20.0) as (endpoint, _):
        assert endpoint.digest_all(["plain.csv", "-rf"]) == [None, None]
        assert endpoint.digest_all(["plain.csv"]) == [None]
        assert digests_of(endpoint, ["-rf"], ask=True) == [OF_CONTENT["-rf"]]
    assert len([line for line in told if "read back instead" in line]) == 1


def test_a_server_that_never_says_whether_it_runs_a_command_is_not_waited_for(fill: Path) -> None:
    with connected(fill, door=NeverSaysWhether, timeout_s=3.0) as (endpoint, _):
        assert endpoint.digest_all(["plain.csv"]) == [None]


class HangsUpAtCommands(Door):
    """Hangs up on who wants a command to run."""

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        del command
        channel.get_transport().close()
        return False


def test_a_connection_that_is_lost_meanwhile_is_said_to_be_lost(fill: Path) -> None:
    with connected(fill, door=HangsUpAtCommands) as (endpoint, _):
        with pytest.raises(EndpointLostError):
            endpoint.digest_all(["plain.csv"])
        assert not endpoint.is_open


@pytest.mark.parametrize(
    ("content", "mtime_s", "good"),
    [(b"content", 7, True), (b"CONTENT", 8, False), (b"longer: other", 7, False), (None, 0, False)],
    ids=["the same", "another time", "another size", "none"],
)
def test_a_shell_is_believed_only_where_it_sees_the_same_file(
    tmp_path: Path,
    content: bytes | None,
    mtime_s: int,
    good: bool,  # noqa: FBT001
) -> None:
    seen_by_shell, served = tmp_path / "at" / "a.csv", tmp_path / "served"
    seen_by_sftp = served / str(seen_by_shell).lstrip("/")
    for path, held in {seen_by_shell: content, seen_by_sftp: b"content"}.items():
        path.parent.mkdir(parents=True)
        if held is not None:
            path.write_bytes(held)
            os.utime(path, (mtime_s, mtime_s))
    os.utime(seen_by_sftp, (7, 7))
    with connected(served, door=RealShell, path=str(tmp_path / "at")) as (endpoint, _):
        (found,) = endpoint.digest_all(["a.csv"])
    expected = Digest(sha256=hashlib.sha256(b"content").hexdigest(), by=BY_SHELL)
    assert found == (expected if good else None)


HELD = FileEntry(path="a", size_bytes=7, mtime_ns=5_000_000_000)


@pytest.mark.parametrize(
    ("output", "good"),
    [
        (b"mftgit-digests\n7 5\n" + b"a" * 64 + b"  -\n", True),
        (b"hello\nmftgit-digests\n7 5\n" + b"a" * 64 + b" *-\n", True),
        (b"7 5\n" + b"a" * 64 + b"  -\n", False),
        (b"mftgit-digests\n8 5\n" + b"a" * 64 + b"  -\n", False),
        (b"mftgit-digests\n7 6\n" + b"a" * 64 + b"  -\n", False),
        (b"mftgit-digests\n7 5\n" + b"a" * 63 + b"  -\n", False),
        (b"mftgit-digests\n7 5\n-\n", False),
        (b"mftgit-digests\n-\n", False),
        (b"mftgit-digests\n7 5\n" + b"a" * 64, False),
        (b"", False),
    ],
)
def test_what_a_shell_says_counts_only_as_a_whole(output: bytes, good: bool) -> None:  # noqa: FBT001
    (found,) = shell_digests(output, [HELD])
    assert found == (Digest(sha256="a" * 64, by=BY_SHELL) if good else None)


def test_a_file_that_the_shell_cannot_read_keeps_the_others_in_their_places() -> None:
    lines = [b"mftgit-digests", b"-", b"7 5", b"-", b"7 5", b"b" * 64 + b"  -", b""]
    found = shell_digests(b"\n".join(lines), [HELD, HELD, HELD])
    assert found == [None, None, Digest(sha256="b" * 64, by=BY_SHELL)]
