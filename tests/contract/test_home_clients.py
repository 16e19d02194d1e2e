"""Real clients go on with what broke off, and send into a drop box."""

import os
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import NEW
from inbound_sftp import Inbound, inbound_sftp
from ssh_keys import program

from mftgit.adapters.home.contract import Traits
from mftgit.model.inbound.permission import UPLOAD_ONLY, Act, Rule

CONTENT = os.urandom(1_000_000)
SSH = ("-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null", "-oLogLevel=ERROR")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Inbound]:
    (tmp_path / "big").write_bytes(CONTENT)
    (tmp_path / "tree" / "x").mkdir(parents=True)
    for number in range(12):
        (tmp_path / "tree" / "x" / str(number)).write_bytes(CONTENT[: 5000 * number])
    with inbound_sftp(tmp_path / "served") as inbound:
        yield inbound


@pytest.fixture
def box(server: Inbound) -> Path:
    """The folder of a drop box; there is nothing else for the account."""
    folder = server.site.root / "box"
    folder.mkdir()
    server.site.rules = (Rule(path="/box", allow=UPLOAD_ONLY | {Act.MAKE_FOLDER}),)
    return folder


def run(work: Path, *command: str, text: str = "") -> None:
    done = subprocess.run(
        command, input=text, cwd=work, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def sftp(server: Inbound, work: Path, text: str) -> None:
    login = f"-i{server.key}", f"-P{server.port}"
    run(work, program("sftp"), "-b", "-", *SSH, *login, "acme@127.0.0.1", text=text)


def lftp(server: Inbound, work: Path, text: str) -> None:
    connect = shlex.join(["ssh", "-a", "-x", *SSH, f"-i{server.key}"])
    said = (
        f"set sftp:connect-program '{connect}'; set cmd:fail-exit yes; set net:max-retries 1; "
        f"open -p {server.port} -u acme,x sftp://127.0.0.1; {text}"
    )
    run(work, "lftp", "--norc", "-c", said)


def break_off(server: Inbound, path: str) -> None:
    """Leave the first part of `CONTENT` as of a session that ended before its end."""
    home = server.site.open()
    home.open_write(path, NEW, Traits()).write(0, CONTENT[:300_000])
    home.close()


def sent(folder: Path) -> dict[str, bytes]:
    return {
        str(each.relative_to(folder)): each.read_bytes()
        for each in folder.rglob("*")
        if each.is_file()
    }


def tree(work: Path, top: str) -> dict[str, bytes]:
    return {f"{top}/{name}": content for name, content in sent(work / "tree").items()}


def test_openssh_goes_on_with_what_broke_off(server: Inbound, tmp_path: Path) -> None:
    break_off(server, "/big")
    sftp(server, tmp_path, "reput big\n")
    assert server.site.seen() == {"big": CONTENT}
    assert server.site.finished[-1].resumed


def test_openssh_sends_into_a_drop_box(server: Inbound, box: Path, tmp_path: Path) -> None:
    break_off(server, "/box/again")
    sftp(server, tmp_path, "cd box\nreput big again\nput -p big\nls\nput -r tree\n")
    login = f"-i{server.key}", f"-P{server.port}"
    run(tmp_path, program("scp"), "-rp", *SSH, *login, "tree", "acme@127.0.0.1:/box/copy")
    assert sent(box) == (
        {"again": CONTENT, "big": CONTENT} | tree(tmp_path, "tree") | tree(tmp_path, "copy")
    )


@pytest.mark.needs("lftp")
def test_lftp_goes_on_with_what_broke_off_also_in_a_drop_box(
    server: Inbound, box: Path, tmp_path: Path
) -> None:
    break_off(server, "/box/again")
    lftp(server, tmp_path, "cd box; put -c big -o again; put big; mirror -R tree")
    assert sent(box) == {"again": CONTENT, "big": CONTENT} | tree(tmp_path, "tree")
    assert [each.resumed for each in server.site.finished if each.path == "/box/again"] == [True]


@pytest.mark.needs("rclone")
def test_rclone_sends_into_a_drop_box_over_several_connections(
    server: Inbound, box: Path, tmp_path: Path
) -> None:
    login = (
        f"--sftp-port={server.port}",
        "--sftp-host=127.0.0.1",
        "--sftp-user=acme",
        f"--sftp-key-file={server.key}",
    )
    rclone = "rclone", "--config=/dev/null", "--retries=1", *login
    run(tmp_path, *rclone, "copy", "tree", ":sftp:/box/tree")
    assert sent(box) == tree(tmp_path, "tree")
    times = {int(each.stat().st_mtime) for each in (box / "tree" / "x").iterdir()}
    assert times <= {int(each.stat().st_mtime) for each in (tmp_path / "tree" / "x").iterdir()}
