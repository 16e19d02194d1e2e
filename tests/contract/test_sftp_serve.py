"""An account's files are served over SFTP as the drafts have it, and whatever a client sends is bounded."""

import hashlib
import stat
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import paramiko
import pytest
from homes import HomeSite
from inbound_sftp import Inbound, inbound_sftp
from patient_ssh import transport_to
from raw_sftp import RawSftp, raw_session
from sftp_requests import framed, hostile, request, text, u32, u64

from mftgit.adapters.clock import SystemClock
from mftgit.adapters.hosting import Answering, Tally
from mftgit.adapters.sftp_server.serve import serve
from mftgit.adapters.ssh_server.stream import Answers
from mftgit.model.names import AccountName

CONTENT = bytes(range(256)) * 4000
MODE_600 = u32(4) + u32(0o600)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inbound]:
    with inbound_sftp(tmp_path_factory.mktemp("inbound")) as inbound:
        yield inbound


@pytest.fixture(scope="module")
def transport(server: Inbound) -> Iterator[paramiko.Transport]:
    transport = transport_to(server.port)
    transport.connect(username="acme", password="any")
    yield transport
    transport.close()


@pytest.fixture
def client(transport: paramiko.Transport) -> Iterator[paramiko.SFTPClient]:
    with transport.open_sftp_client() as client:
        yield client


@pytest.fixture
def root(server: Inbound, request: pytest.FixtureRequest) -> Path:
    folder: Path = server.site.root / request.node.name
    folder.mkdir()
    return folder


def at(root: Path, name: str = "") -> str:
    return f"/{root.name}/{name}".rstrip("/")


def test_a_file_is_sent_and_seen_when_it_is_closed(
    client: paramiko.SFTPClient, server: Inbound, root: Path
) -> None:
    with client.open(at(root, "a.bin"), "wb") as file:
        file.set_pipelined(True)
        file.write(CONTENT)
        assert not (root / "a.bin").exists()
    assert (root / "a.bin").read_bytes() == CONTENT
    finished = server.site.finished[-1]
    assert (finished.path, finished.size_bytes) == (at(root, "a.bin"), len(CONTENT))
    assert finished.digest == hashlib.sha256(CONTENT).hexdigest()


def test_a_file_is_read_as_a_whole(
    client: paramiko.SFTPClient, server: Inbound, root: Path
) -> None:
    (root / "a.bin").write_bytes(CONTENT)
    with client.open(at(root, "a.bin")) as file:
        assert file.read() == CONTENT
    told = server.downloads[-1]
    assert (told.path, told.size_bytes, told.sent_bytes) == (
        at(root, "a.bin"), len(CONTENT), len(CONTENT)
    )  # fmt: skip
    with client.open(at(root, "a.bin")) as file:
        file.prefetch()
        assert file.read() == CONTENT
    # paramiko 5.1 asks for the rest anew where each answer comes before its next request leaves
    assert server.downloads[-1].sent_bytes >= len(CONTENT)


def test_a_folder_is_made_listed_renamed_and_removed(
    client: paramiko.SFTPClient, root: Path
) -> None:
    client.mkdir(at(root, "in"))
    (root / "in" / "a.csv").write_bytes(b"12345")
    (found,) = client.listdir_attr(at(root, "in"))
    assert (found.filename, found.st_size) == ("a.csv", 5)
    assert "acme" in found.longname
    assert stat.S_ISDIR(client.stat(at(root, "in")).st_mode or 0)
    client.rename(at(root, "in"), at(root, "out"))
    with pytest.raises(OSError, match="empty"):
        client.rmdir(at(root, "out"))
    client.remove(at(root, "out/a.csv"))
    client.rmdir(at(root, "out"))
    assert not list(root.iterdir())


def test_a_thousand_names_are_listed_in_several_answers(
    client: paramiko.SFTPClient, root: Path
) -> None:
    names = {f"{number:040}.csv" for number in range(1000)}
    for name in names:
        (root / name).touch()
    assert set(client.listdir(at(root))) == names


@pytest.fixture
def raw(transport: paramiko.Transport) -> Iterator[RawSftp]:
    session = raw_session(transport)
    yield session
    session.channel.close()


def test_what_cannot_be_read_is_told_and_the_session_goes_on(raw: RawSftp) -> None:
    cut = raw.ask(5, text(b"1"))
    assert (cut.status, cut.said) == (5, "a field of 8 bytes where 0 are left")
    assert raw.ask(99).status == 8
    assert raw.extended("nobody@example.com").status == 8
    assert raw.ask(20, text("/a"), text("/etc/passwd")).status == 8
    assert raw.ask(16, text("x/..")).text(4) == "/"


@pytest.mark.parametrize(
    "packets",
    [
        [request(17, text("/"))],
        [request(1, number=2)],
        [request(1, number=3), request(1, number=3)],
        [b"\x11"],
    ],
    ids=["before the version", "an old version", "twice", "without a number"],
)
def test_who_does_not_speak_sftp_is_hung_up_on(
    transport: paramiko.Transport, packets: list[bytes]
) -> None:
    session = raw_session(transport, begun=False)
    session.send(*packets)
    assert session.is_over()


@pytest.mark.parametrize("length", [0, 263_169, 0xFFFFFFFF])
def test_a_packet_that_is_too_long_ends_the_session(
    transport: paramiko.Transport, length: int
) -> None:
    session = raw_session(transport)
    session.channel.sendall(u32(length))
    assert session.is_over()


def test_only_what_is_open_can_be_used_and_only_as_it_is_open(raw: RawSftp, root: Path) -> None:
    (root / "a").write_bytes(b"12345")
    file, folder = raw.open(at(root, "a")), raw.ask(11, text(at(root))).handle
    for answer in (
        raw.ask(4, text(b"none")),
        raw.ask(5, text(folder), u64(0), u32(1)),
        raw.ask(8, text(folder)),
        raw.ask(12, text(file)),
        raw.extended("fstatvfs@openssh.com", text(b"none")),
        raw.extended("check-file-handle", text(folder), text("sha256"), u64(0), u64(0), u32(0)),
    ):
        assert answer.status == 4
        assert "open by this handle" in answer.said
    assert raw.ask(6, text(file), u64(0), text("x")).status == 3
    assert raw.ask(5, text(file), u64(1), u32(100)).data == b"2345"
    assert raw.ask(5, text(file), u64(5), u32(100)).status == 1
    assert [raw.ask(4, text(each)).status for each in (file, folder)] == [0, 0]
    assert raw.ask(4, text(file)).status == 4


def test_a_hundred_files_can_be_open_and_no_more(raw: RawSftp, root: Path) -> None:
    (root / "a").touch()
    handles = [raw.open(at(root, "a")) for _ in range(100)]
    refused = raw.ask(3, text(at(root, "a")), u32(1), u32(0))
    assert (refused.status, refused.said[:12]) == (4, "100 files an")
    assert raw.ask(11, text(at(root))).status == 4
    assert raw.ask(4, text(handles[0])).status == 0
    raw.open(at(root, "a"))


def test_a_folder_that_is_none_is_told_when_it_is_opened(raw: RawSftp, root: Path) -> None:
    (root / "a").touch()
    assert raw.ask(11, text(at(root, "none"))).status == 2
    assert raw.ask(11, text(at(root, "a"))).status == 2


def test_many_requests_at_once_are_answered_in_their_order(raw: RawSftp, root: Path) -> None:
    (root / "a").write_bytes(CONTENT)
    handle = raw.open(at(root, "a"))
    asked = [(number, number * 997 % len(CONTENT)) for number in range(1000, 3000)]
    raw.send(
        *(request(5, text(handle), u64(offset), u32(200), number=n) for n, offset in asked)
    )  # fmt: skip
    for number, offset in asked:
        answer = raw.receive()
        assert answer.number == number
        assert answer.data == CONTENT[offset : offset + 200]


def test_a_read_that_asks_for_too_much_gets_less(raw: RawSftp, root: Path) -> None:
    (root / "a").write_bytes(CONTENT)
    handle = raw.open(at(root, "a"))
    answer = raw.ask(5, text(handle), u64(0), u32(0xFFFFFFFF))
    assert answer.data == CONTENT[: 255 << 10]


def test_an_upload_that_cannot_be_finished_is_not_told_to_be_well(
    raw: RawSftp, server: Inbound, root: Path
) -> None:
    handle = raw.open(at(root, "a"), 0x1A)
    assert raw.ask(6, text(handle), u64(0), text("12345")).status == 0
    (root / "a").mkdir()  # what a rename cannot replace
    answer = raw.ask(4, text(handle))
    assert (answer.status, answer.said) == (4, f"{at(root, 'a')!r} is a folder by now")
    assert at(root, "a") not in [each.path for each in server.site.finished]
    assert raw.ask(4, text(handle)).status == 4


def test_what_the_server_knows_is_told_by_extensions(raw: RawSftp, root: Path) -> None:
    (root / "a").write_bytes(CONTENT)
    limits = struct.unpack(">4Q", raw.extended("limits@openssh.com").rest)
    assert limits == (263_168, 255 << 10, 255 << 10, 100)
    for path, resolved in (("~", "/"), ("~/x/../y", "/y"), ("~acme/z", "/z"), ("b", "/b")):
        assert raw.extended("expand-path@openssh.com", text(path)).text(4) == resolved
    assert raw.extended("expand-path@openssh.com", text("~root/x")).status == 2
    assert raw.extended("home-directory", text("")).text(4) == "/"
    assert raw.extended("home-directory", text("root")).status == 2
    asked = raw.extended("users-groups-by-id@openssh.com", text(u32(0) + u32(1000)), text(u32(0)))
    assert asked.rest == text(text("acme") + text("")) + text(text("acme"))
    many = text(u32(0) * 1025)
    assert raw.extended("users-groups-by-id@openssh.com", many, many).status == 5
    room = struct.unpack(">11Q", raw.extended("statvfs@openssh.com", text("/")).rest)
    assert room[2] * room[1] >= room[3] * room[1] > 0
    handle = raw.open(at(root, "a"))
    open_room = struct.unpack(">11Q", raw.extended("fstatvfs@openssh.com", text(handle)).rest)
    assert open_room[:3] == room[:3]
    assert raw.extended("fsync@openssh.com", text(handle)).status == 0
    assert raw.extended("lsetstat@openssh.com", text(at(root, "a")), MODE_600).status == 0
    assert (root / "a").stat().st_mode & 0o777 == 0o600


def test_owners_are_not_changed_and_passed_over_beside_other_attributes(
    raw: RawSftp, root: Path
) -> None:
    (root / "a").touch(mode=0o644)
    owners = u32(2) + u32(0) + u32(0)
    refused = raw.ask(9, text(at(root, "a")), owners)
    assert (refused.status, refused.said) == (3, "owner and group are not changed here")
    both = u32(2 | 4) + u32(0) + u32(0) + u32(0o600)
    handle = raw.open(at(root, "a"))
    assert raw.ask(10, text(handle), both).status == 0
    assert (root / "a").stat().st_mode & 0o777 == 0o600


def test_a_file_is_copied_by_the_server(raw: RawSftp, server: Inbound, root: Path) -> None:
    (root / "a").write_bytes(CONTENT)
    source, target = raw.open(at(root, "a")), raw.open(at(root, "b"), 0x1A)
    part = (text(source), u64(10), u64(300_000), text(target), u64(0))
    assert raw.extended("copy-data", *part).status == 0
    rest = (text(source), u64(300_010), u64(0), text(target), u64(300_000))
    assert raw.extended("copy-data", *rest).status == 0
    itself = (text(target), u64(0), u64(0), text(target), u64(9))
    assert raw.extended("copy-data", *itself).status == 4
    assert raw.ask(4, text(target)).status == 0
    assert (root / "b").read_bytes() == CONTENT[10:]
    assert server.site.finished[-1].path == at(root, "b")


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512", "sha1", "md5"])
def test_a_digest_is_worked_out_by_the_server(raw: RawSftp, root: Path, algorithm: str) -> None:
    (root / "a").write_bytes(CONTENT)

    def check(offset: int, length: int, block_bytes: int) -> bytes:
        said = text(at(root, "a")), text(f"crc32,{algorithm}")
        answer = raw.extended("check-file-name", *said, u64(offset), u64(length), u32(block_bytes))
        assert answer.text(0) == algorithm
        return answer.rest[4 + len(algorithm) :]

    def digest(content: bytes) -> bytes:
        return hashlib.new(algorithm, content).digest()

    assert check(0, 0, 0) == digest(CONTENT)
    assert check(1000, 300_000, 0) == digest(CONTENT[1000:301_000])
    blocks = [CONTENT[at : at + 300_000] for at in range(24_000, len(CONTENT), 300_000)]
    assert len(blocks) == 4
    assert check(24_000, 0, 300_000) == b"".join(map(digest, blocks))
    assert check(len(CONTENT), 0, 256) == b""
    assert check(len(CONTENT) + 10, 5, 0) == digest(b"")


def test_digests_are_bounded_and_of_known_algorithms(raw: RawSftp, root: Path) -> None:
    (root / "a").write_bytes(CONTENT)
    name = text(at(root, "a"))
    many = raw.extended("check-file-name", name, text("sha256"), u64(0), u64(0), u32(256))
    assert (many.status, many.said[:15]) == (4, "too many blocks")
    unknown = raw.extended("check-file-name", name, text("crc32"), u64(0), u64(0), u32(0))
    assert (unknown.status, "sha256" in unknown.said) == (8, True)
    none = raw.extended("check-file-name", text("/none"), text("md5"), u64(0), u64(0), u32(0))
    assert none.status == 2


def test_paramiko_asks_for_digests_in_its_own_way(client: paramiko.SFTPClient, root: Path) -> None:
    (root / "a").write_bytes(CONTENT[:300_000])
    with client.open(at(root, "a")) as file:
        assert file.check("sha256") == hashlib.sha256(CONTENT[:300_000]).digest()


def test_two_sessions_of_one_connection_do_not_wait_for_each_other(
    transport: paramiko.Transport, root: Path
) -> None:
    (root / "a").write_bytes(CONTENT)
    stuck, other = raw_session(transport), raw_session(transport)
    handle = stuck.open(at(root, "a"))
    flood = [request(5, text(handle), u64(0), u32(255 << 10), number=n) for n in range(100)]
    stuck.send(*flood)  # far more than the window of a channel that is not read
    for _ in range(50):
        assert other.ask(17, text(at(root, "a"))).sort == 105
    assert [stuck.receive().number for _ in flood] == list(range(100))
    for each in (stuck, other):
        each.channel.close()


class Hostile:
    """A client that sends one packet after the other, whatever it is answered."""

    def __init__(self, packets: Iterable[bytes]) -> None:
        self.packets = packets
        self.answered = 0

    def attend(self, answers: Answers) -> None:
        for packet in (request(1, number=3), *self.packets):
            for pieces in answers(framed(packet)):
                if not isinstance(pieces, tuple):
                    continue  # the answer comes after it
                answer = b"".join(pieces)
                assert int.from_bytes(answer[:4], "big") == len(answer) - 4
                self.answered += 1


def test_whatever_can_be_read_is_answered(tmp_path: Path) -> None:
    site = HomeSite(tmp_path / "home")
    (site.root / "in").mkdir(parents=True)
    (site.root / "in" / "a.csv").write_bytes(CONTENT[:1000])
    # Handles are counted, so that some of these are of what is open. The first byte of 1 is that of another INIT.
    handle = text((3).to_bytes(8, "big"))
    spoilt = (each.replace(text(b"\0\0\0\1"), handle) for each in hostile(10, 8000))
    packets = [each for each in spoilt if len(each) >= 5 and each[0] != 1]
    client = Hostile(packets)
    why = serve(
        client,
        site.open(),
        account=AccountName("acme"),
        downloaded=lambda _: None,
        tally=Tally(),
        answering=Answering(),
        clock=SystemClock(),
        work=lambda: None,
    )
    assert (why, client.answered) == ("the client left", len(packets) + 1)
    assert len(packets) > 7000
    assert len(site.finished) > 0
