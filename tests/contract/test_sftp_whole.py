"""What an OpenSSH server is asked for in one go: round trips are counted, and every answer still counts."""

import os
import resource
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Thread

import pytest
from sftp_requests import framed, text, u32, u64
from sshd import Sshd, running_sshd

from mftgit.adapters.endpoint.contract import Content, EndpointFullError, EndpointRefusedError
from mftgit.adapters.sftp import session as sftp_session
from mftgit.adapters.sftp.endpoint import connect
from mftgit.adapters.sftp.folder import SftpFolder
from mftgit.adapters.sftp.overlap import Exchange, done, overlap
from mftgit.adapters.sftp.session import Session
from mftgit.adapters.sftp.transfer import Download
from mftgit.adapters.sftp.whole import WholeFiles
from mftgit.adapters.sftp.wire import StatusError
from mftgit.adapters.ssh.stream import SocketStream

PLACES = "/usr/lib/openssh:/usr/libexec/openssh:/usr/lib/ssh"
FIRST = 64 << 10
SIZES = (0, 1, FIRST - 1, FIRST, FIRST + 1, (255 << 10) + 1, 1 << 20)

pytestmark = pytest.mark.needs("sshd")


class Counting(SocketStream):
    """``turns`` is how often it waited for the server after it had said something."""

    turns = 0
    _said = False

    def send(self, content: bytes | memoryview) -> None:
        super().send(content)
        self._said = True

    def receive(self) -> bytes:
        self.turns += self._said
        self._said = False
        return super().receive()


@contextmanager
def served(folder: Path, *, most_bytes: int | None = None) -> Iterator[tuple[Session, Counting]]:
    """Give a session with OpenSSH's server, which may write files of no more than ``most_bytes``."""
    server = shutil.which("sftp-server", path=PLACES)
    assert server is not None, "sftp-server is not installed"
    ours, theirs = socket.socketpair()

    with (
        ours,
        subprocess.Popen(
            [server, "-d", str(folder)],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            restore_signals=False,  # a write that is too long is an error
        ) as process,
    ):
        theirs.close()
        if most_bytes is not None:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
        ours.settimeout(30)
        stream = Counting(ours)
        try:
            yield Session(stream, is_openssh=True), stream
        finally:
            process.kill()


def whole(session: Session) -> tuple[WholeFiles, SftpFolder]:
    folder = SftpFolder(session, base="", server="partner")
    return WholeFiles(session, folder, server="partner"), folder


def test_two_round_trips_each_way(tmp_path: Path) -> None:
    with served(tmp_path) as (session, stream):
        files, folder = whole(session)
        before = stream.turns
        handle = done(folder.create("a", ()))
        assert done(files.fill(b"a", handle, b"content")) == len(b"content")
        assert stream.turns - before == 2
        before = stream.turns
        assert done(files.read("a", b"a", most_bytes=100)).data == b"content"
        assert stream.turns - before == 2


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    with running_sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


def test_files_of_every_size_go_and_come_whole(sshd: Sshd) -> None:
    files = [(f"of-{size}", os.urandom(size)) for size in SIZES]
    endpoint = connect(sshd.location(), secrets_dir=sshd.secrets_dir)
    try:
        assert endpoint.write_all(files) == list(SIZES)
        assert all((sshd.folder / name).read_bytes() == content for name, content in files)
        found = endpoint.read_all([name for name, _ in files], most_bytes=1 << 20)
        assert [each.data for each in found if isinstance(each, Content)] == [
            content for _, content in files
        ]
        (large,) = endpoint.read_all([f"of-{FIRST}"], most_bytes=FIRST - 1)
        assert isinstance(large, Content)
        assert (large.data, large.before.size_bytes) == (b"", FIRST)
    finally:
        endpoint.close()


def test_what_does_not_fit_is_an_error_though_all_was_asked_at_once(tmp_path: Path) -> None:
    with served(tmp_path, most_bytes=1000) as (session, _):
        files, folder = whole(session)

        def write(name: str, content: bytes) -> Exchange[int | None]:
            handle = yield from folder.create(name, ())
            try:
                return (yield from files.fill(name.encode(), handle, content))
            except StatusError as error:
                raise EndpointFullError(name) from error

        contents = {"a": b"1" * 999, "b": b"1" * 1001, "c": b"1" * 1000}
        ended = overlap(session, (write(*each) for each in contents.items()))
        assert [type(each) for each in ended] == [int, EndpointFullError, int]
        assert done(files.read("c", b"c", most_bytes=5000)).data == contents["c"]


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/zero")
    with served(tmp_path) as (session, _):
        files, _ = whole(session)
        with pytest.raises(EndpointRefusedError, match="not a regular file"):
            done(files.read("link", b"link", most_bytes=100))


def test_folders_are_made_in_one_round_trip(tmp_path: Path) -> None:
    with served(tmp_path) as (session, stream):
        _, folder = whole(session)
        for parts in (("a", "b", "c"), ("a", "b", "c"), ("a", "d")):
            before = stream.turns
            done(folder.make_folders(parts))
            assert stream.turns - before == 1
            assert tmp_path.joinpath(*parts).is_dir()
        (tmp_path / "a" / "file").touch()
        with pytest.raises(EndpointRefusedError, match="'a/file' is a file where a folder"):
            done(folder.make_folders(("a", "file", "e")))


def test_names_of_a_folder_come_with_few_round_trips(sshd: Sshd) -> None:
    names = {f"{number:04}" for number in range(1050)}
    for name in names:
        (sshd.folder / "many").mkdir(exist_ok=True)
        (sshd.folder / "many" / name).touch()
    with served(sshd.folder) as (session, stream):
        _, folder = whole(session)
        found = [name for each in folder.all_names(b"many") for name, _ in each]
        assert sorted(found) == sorted(names)
        (sshd.folder / "few").mkdir()
        (sshd.folder / "few" / "one").touch()
        assert done(folder.look("few")) is not None  # and all that was asked before is answered
        before = stream.turns
        assert [[name for name, _ in each] for each in folder.all_names(b"few")] == [["one"]]
        assert stream.turns - before == 2
        next(folder.all_names(b"many"))  # and no further one is asked for
        assert done(folder.look("many/0001")) is not None
        left = folder.all_names(b"many")
        assert next(left)
    left.close()  # after the connection, as where that was lost


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("offset", [0, 1])
def test_a_large_file_is_asked_for_before_its_size_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, offset: int
) -> None:
    monkeypatch.setattr(sftp_session, "FAR_S", 0.0)
    content = os.urandom(size)
    (tmp_path / "a").write_bytes(content)
    with served(tmp_path) as (session, stream):
        _, folder = whole(session)
        handle = done(folder.open(b"a", 1))
        before = stream.turns
        download = Download(session, handle, nullcontext, offset)
        assert download.look().size_bytes == size
        assert download.readall() == content[offset:]
        assert stream.turns - before == 1
        download.drop()
        assert done(folder.look("a")) is not None


def grows(peer: socket.socket, *, short: bytes, whole: bytes) -> None:
    """Be a server whose file is ``short`` for the first look and read, and ``whole`` for those that follow."""
    reads = 0
    with peer, peer.makefile("rb") as stream:
        while len(head := stream.read(4)) == 4:
            packet = stream.read(int.from_bytes(head, "big"))
            kind, number = packet[0], packet[1:5]
            if kind == 1:
                answer = bytes((2,)) + u32(3)
            elif kind == 8:
                answer = bytes((105,)) + number + u32(1) + u64(len(short))
            elif kind == 5:
                length = int.from_bytes(packet[-4:], "big")
                offset = int.from_bytes(packet[-12:-4], "big")
                found = (whole if reads else short)[offset : offset + length]
                reads += 1
                end = bytes((101,)) + number + u32(1) + text("") + text("")
                answer = bytes((103,)) + number + text(found) if found else end
            else:
                continue
            peer.sendall(framed(answer))


def test_what_came_to_be_behind_the_end_leaves_no_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sftp_session, "FAR_S", 0.0)
    content = os.urandom(100_000)
    ours, theirs = socket.socketpair()
    server = Thread(target=grows, args=(theirs,), kwargs={"short": content[:10], "whole": content})
    server.start()
    with ours:
        ours.settimeout(30)
        download = Download(Session(SocketStream(ours), is_openssh=True), b"h", nullcontext)
        assert download.look().size_bytes == 10
        assert download.readall() == content
        download.drop()
    server.join()
