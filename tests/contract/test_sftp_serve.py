"""An account's files are served over SFTP as the drafts have it, and whatever a client sends is bounded."""

import hashlib
import stat
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest
from inbound_sftp import Inbound, inbound_sftp

CONTENT = bytes(range(256)) * 4000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inbound]:
    with inbound_sftp(tmp_path_factory.mktemp("inbound")) as inbound:
        yield inbound


@pytest.fixture(scope="module")
def transport(server: Inbound) -> Iterator[paramiko.Transport]:
    transport = paramiko.Transport(("127.0.0.1", server.port))
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
        file.prefetch()
        assert file.read() == CONTENT
    told = server.downloads[-1]
    assert (told.path, told.size_bytes, told.sent_bytes) == (
        at(root, "a.bin"), len(CONTENT), len(CONTENT)
    )  # fmt: skip


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
