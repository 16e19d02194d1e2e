"""Clients that people have do with our SFTP server what they do with OpenSSH's."""

import hashlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import paramiko
import pytest
from inbound_sftp import Inbound, inbound_sftp
from patient_ssh import transport_to
from ssh_keys import program
from waiting import until

from mftgit.adapters.endpoint.contract import Digest
from mftgit.adapters.sftp.endpoint import connect
from mftgit.model.locations.location import SftpLocation
from mftgit.model.locations.login import PasswordAuth
from mftgit.model.names import LocationName

CONTENT = bytes(range(256)) * 5000
LATER = b"and the rest of it" * 1000
WHEN_S = 1_500_000_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inbound]:
    with inbound_sftp(tmp_path_factory.mktemp("inbound")) as inbound:
        yield inbound


@pytest.fixture
def folder(server: Inbound, tmp_path: Path) -> Path:
    """The folder of one test in the account's home; its name is ``in`` and the test's number."""
    made = server.site.root / f"in{len(list(server.site.root.iterdir()))}"
    made.mkdir()
    (tmp_path / "work").mkdir()
    return made


def options(server: Inbound) -> tuple[str, ...]:
    """What ssh is to be told."""
    given = (
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "LogLevel=ERROR",
        f"IdentityFile={server.key}",
    )
    return tuple(word for option in given for word in ("-o", option))


def run(*words: str | Path, cwd: Path, given: str = "", code: int = 0) -> str:
    """Run a client, and return what it says."""
    done = subprocess.run(
        [program(str(words[0])), *map(str, words[1:])],
        cwd=cwd,
        input=given,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        env={"PATH": os.environ["PATH"], "HOME": str(cwd), "LC_ALL": "C.UTF-8"},
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def sftp(server: Inbound, work: Path, *lines: str, code: int = 0) -> str:
    batch = "\n".join(lines) + "\n"
    return run(
        "sftp", "-P", str(server.port), *options(server), "-b", "-", "acme@127.0.0.1",
        cwd=work, given=batch, code=code,
    )  # fmt: skip


def tree(work: Path) -> Path:
    """Make a small tree of files with modes and times of their own."""
    top = work / "tree"
    for name, content in (("a.csv", CONTENT), ("sub/b.csv", LATER), ("sub/empty", b"")):
        file = top / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(0o640)
        os.utime(file, (WHEN_S, WHEN_S))
    return top


def files(top: Path) -> dict[str, bytes]:
    return {
        str(each.relative_to(top)): each.read_bytes() for each in top.rglob("*") if each.is_file()
    }


def has(top: Path, wanted: dict[str, bytes]) -> bool:
    with suppress(FileNotFoundError):  # what is unfinished gets another name
        return files(top) == wanted
    return False


def test_sftp_puts_lists_renames_and_removes(server: Inbound, folder: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / "a.csv").write_bytes(CONTENT)
    os.utime(work / "a.csv", (WHEN_S, WHEN_S))
    said = sftp(
        server,
        work,
        f"cd {folder.name}",
        "pwd",
        "put -p a.csv",
        "ls -l",
        "rename a.csv b.csv",
        "chmod 600 b.csv",
        "mkdir d",
        "rename b.csv d/b.csv",
        "df",
        "get -p d/b.csv back.csv",
        "copy d/b.csv d/c.csv",
        "rm d/b.csv",
        "-rmdir d",
        "rm d/c.csv",
        "rmdir d",
    )  # fmt: skip
    assert f"Remote working directory: /{folder.name}" in said
    assert f"acme     acme      {len(CONTENT)} Jul 14  2017 a.csv" in said
    assert "Avail" in said
    assert (work / "back.csv").read_bytes() == CONTENT
    assert (work / "back.csv").stat().st_mtime == WHEN_S
    assert not list(folder.iterdir())
    paths = [each.path for each in server.site.finished[-2:]]
    assert paths == [f"/{folder.name}/a.csv", f"/{folder.name}/d/c.csv"]


def test_sftp_goes_on_with_what_was_cut(server: Inbound, folder: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / "a.csv").write_bytes(CONTENT)
    (folder / "a.csv").write_bytes(CONTENT[:100_000])
    (work / "b.csv").write_bytes(CONTENT[:100_000])
    (folder / "b.csv").write_bytes(CONTENT)
    sftp(server, work, f"cd {folder.name}", "reput a.csv", "reget b.csv")
    assert (folder / "a.csv").read_bytes() == CONTENT
    assert (work / "b.csv").read_bytes() == CONTENT


def test_sftp_moves_folders_both_ways(server: Inbound, folder: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    sent = tree(work)
    sftp(server, work, f"put -r -p tree {folder.name}/tree", f"get -r {folder.name}/tree back")
    assert files(folder / "tree") == files(sent) == files(work / "back")
    assert (folder / "tree" / "a.csv").stat().st_mtime == WHEN_S


def test_sftp_is_told_what_it_may_not(server: Inbound, folder: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    (folder / "a.csv").write_bytes(CONTENT)
    (folder / "b.csv").write_bytes(LATER)
    for line, said in (
        (f"symlink {folder.name}/a.csv {folder.name}/s", "Operation unsupported"),
        (f"ln {folder.name}/a.csv {folder.name}/h", "hardlink@openssh.com extension"),
        (f"get {folder.name}/none", "not found"),
        (f"chown 0 {folder.name}/a.csv", "Can't get current ownership"),
        (f"mkdir {folder.name}", "Failure"),
    ):
        assert said in sftp(server, work, line, code=1)
    assert sorted(each.name for each in folder.iterdir()) == ["a.csv", "b.csv"]


@pytest.mark.parametrize("word", ["ssh acme@127.0.0.1", "ssh acme@127.0.0.1 id"])
def test_no_shell_and_no_command_is_run(server: Inbound, tmp_path: Path, word: str) -> None:
    name, *rest = word.split()
    run(name, "-p", str(server.port), *options(server), *rest, cwd=tmp_path, code=255)


def test_scp_copies_both_ways(server: Inbound, folder: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    sent = tree(work)
    scp = ("scp", "-s", "-P", str(server.port), *options(server))
    there = f"acme@127.0.0.1:/{folder.name}"
    run(*scp, "-p", "tree/a.csv", f"{there}/one.csv", cwd=work)
    run(*scp, "-r", "-p", "tree", there, cwd=work)
    run(*scp, "-p", f"{there}/one.csv", "one.csv", cwd=work)
    run(*scp, "-r", f"acme@127.0.0.1:~/{folder.name}/tree", "back", cwd=work)
    assert files(folder / "tree") == files(sent) == files(work / "back")
    assert (folder / "one.csv").stat().st_mtime == WHEN_S
    assert (work / "one.csv").stat().st_mode & 0o777 == 0o640


@pytest.mark.needs("rclone")
def test_rclone_copies_checks_lists_and_moves(
    server: Inbound, folder: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    sent = tree(work)
    secret = run("rclone", "obscure", "any", cwd=work).strip()
    there = f":sftp:/{folder.name}"
    options = (
        *("--sftp-host", "127.0.0.1", "--sftp-port", str(server.port)),
        *("--sftp-user", "acme", "--sftp-pass", secret),
        *("--config", "/dev/null", "--retries", "1", "--low-level-retries", "1"),
    )

    def rclone(*words: str) -> str:
        return run("rclone", *words, *options, cwd=work)

    rclone("mkdir", f"{there}/x/y")
    rclone("copy", "tree", f"{there}/tree", "--sftp-disable-concurrent-writes")
    rclone("copy", "tree", f"{there}/tree2")
    assert files(folder / "tree") == files(folder / "tree2") == files(sent)
    assert "0 differences found" in rclone("check", "tree", f"{there}/tree")
    assert f"{len(CONTENT)} 2017-07-14 02:40:00" in rclone("lsl", f"{there}/tree")
    rclone("move", f"{there}/tree", f"{there}/x/moved")
    rclone("copy", f"{there}/x/moved", "back")
    assert files(work / "back") == files(sent)
    assert not (folder / "tree" / "a.csv").exists()


@pytest.mark.needs("lftp")
def test_lftp_mirrors_and_goes_on(server: Inbound, folder: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    sent = tree(work)
    (work / "b.csv").write_bytes(CONTENT)
    (folder / "b.csv").write_bytes(CONTENT[:100_000])
    said = run(
        "lftp",
        "-c",
        f'set sftp:connect-program "ssh -a -x {" ".join(options(server))}";'
        "set net:max-retries 2; set cmd:fail-exit yes;"
        f"open -u acme,any -p {server.port} sftp://127.0.0.1/{folder.name};"
        "mirror -R -P 3 tree tree; put -c b.csv; mirror tree back; cls -l; mv b.csv c.csv",
        cwd=work,
    )
    assert "b.csv" in said
    assert files(folder / "tree") == files(sent) == files(work / "back")
    assert (folder / "c.csv").read_bytes() == CONTENT


@pytest.mark.needs("sshfs", "fusermount3")
def test_sshfs_shows_the_files_and_writes_them(
    server: Inbound, folder: Path, tmp_path: Path
) -> None:
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("this user cannot mount by FUSE here")
    work = tmp_path / "work"
    sent, mounted = tree(work), tmp_path / "mounted"
    mounted.mkdir()
    run(
        "sshfs",
        *("-p", str(server.port), *options(server), f"acme@127.0.0.1:/{folder.name}", str(mounted)),
        cwd=work,
    )
    try:
        shutil.copytree(sent, mounted / "tree")
        until(lambda: has(folder / "tree", files(sent)))  # it closes files after the program does
        assert files(mounted / "tree") == files(sent)
        (mounted / "tree" / "a.csv").rename(mounted / "tree" / "c.csv")
        with (mounted / "tree" / "c.csv").open("ab") as file:
            file.write(LATER)
        assert (mounted / "tree" / "c.csv").stat().st_size == len(CONTENT + LATER)
        shutil.rmtree(mounted / "tree" / "sub")
        until(lambda: has(folder, {"tree/c.csv": CONTENT + LATER}))
        assert files(mounted) == {"tree/c.csv": CONTENT + LATER}
    finally:
        run("fusermount3", "-u", str(mounted), cwd=work)
    assert files(folder) == {"tree/c.csv": CONTENT + LATER}


@pytest.fixture
def client(server: Inbound) -> Iterator[paramiko.SFTPClient]:
    transport = transport_to(server.port)
    transport.connect(username="acme", password="any")
    with transport, transport.open_sftp_client() as client:
        yield client


def test_paramiko_confirms_what_it_sent_and_reads_ahead(
    client: paramiko.SFTPClient, server: Inbound, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_bytes(CONTENT)
    told = client.put(str(tmp_path / "a.csv"), f"/{folder.name}/a.csv", confirm=True)
    assert told.st_size == len(CONTENT)
    client.get(f"/{folder.name}/a.csv", str(tmp_path / "back.csv"), prefetch=True)
    assert (tmp_path / "back.csv").read_bytes() == CONTENT
    client.posix_rename(f"/{folder.name}/a.csv", f"/{folder.name}/b.csv")
    client.utime(f"/{folder.name}/b.csv", (WHEN_S, WHEN_S))
    client.truncate(f"/{folder.name}/b.csv", 1000)
    assert (folder / "b.csv").read_bytes() == CONTENT[:1000]
    assert client.normalize(f"/{folder.name}/../nothing/./there") == "/nothing/there"
    assert not server.site.hidden()


def test_another_cluster_delivers_and_has_digests_worked_out(
    server: Inbound, folder: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "password"
    secret.write_text("any", encoding="ascii")
    secret.chmod(0o600)
    location = SftpLocation(
        name=LocationName("other"),
        host="127.0.0.1",
        port=server.port,
        username="acme",
        path=f"/{folder.name}",
        host_keys=(paramiko.Ed25519Key.from_private_key_file(str(server.host_key)).fingerprint,),
        auth=(PasswordAuth(file=secret.name),),
    )
    with closing(connect(location, secrets_dir=tmp_path)) as endpoint:
        sent = endpoint.write_all([(f".{n}.part", b"%d" % n * 5000) for n in range(60)])
        assert sent == [len(b"%d" % n * 5000) for n in range(60)]
        names = [(f".{n}.part", f"{n}.csv") for n in range(60)]
        assert endpoint.rename_all(names, replace=False) == [None] * 60
        chunks = iter([CONTENT[:700_000], CONTENT[700_000:]])
        assert endpoint.write("big", chunks, on_chunk=lambda _: None) == len(CONTENT)
        told = endpoint.digest_all(["big", "7.csv"])
        assert told == [
            Digest(sha256=hashlib.sha256(content).hexdigest(), by="check-file")
            for content in (CONTENT, b"7" * 5000)
        ]
    assert len(list(folder.iterdir())) == 61


def test_the_order_of_a_graphical_client_is_served(
    client: paramiko.SFTPClient, folder: Path
) -> None:
    """As FileZilla asks: where am I, what is there; make what is there already; look between, while files are open."""
    here = client.normalize(".")
    assert here == "/"
    assert folder.name in client.listdir(here)
    with pytest.raises(OSError, match="File exists"):
        client.mkdir(f"/{folder.name}")
    with client.open(f"/{folder.name}/a.csv", "w") as upload:
        upload.write(CONTENT)
        upload.flush()
        assert client.lstat(f"/{folder.name}/a.csv").st_size == len(CONTENT)
        with client.open(f"/{folder.name}/b.csv", "w") as other:
            other.write(LATER)
        assert [each.filename for each in client.listdir_attr(f"/{folder.name}")] == ["b.csv"]
    assert client.stat(f"/{folder.name}/a.csv").st_size == len(CONTENT)
    assert sorted(client.listdir(f"/{folder.name}")) == ["a.csv", "b.csv"]


def test_an_upload_of_a_client_that_is_cut_off_has_no_visible_name(
    server: Inbound, folder: Path
) -> None:
    transport = transport_to(server.port)
    transport.connect(username="acme", password="any")
    client = transport.open_sftp_client()
    file = client.open(f"/{folder.name}/a.csv", "w")
    file.write(CONTENT[:200_000])
    file.flush()
    while not server.ended.empty():
        server.ended.get()
    transport.sock.shutdown(socket.SHUT_RDWR)
    assert server.ended.get(timeout=60) == "the client left"
    transport.close()
    assert not [each for each in folder.iterdir() if not each.name.startswith(".mftgit")]
    assert f"/{folder.name}/a.csv" not in [each.path for each in server.site.finished]
