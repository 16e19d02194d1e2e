"""A state folder is one member's, once, and one process's at a time."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mftgit.adapters.durable import append_line, move_file, replace_file, write_file
from mftgit.adapters.process_lock import (
    BusyError,
    InUseError,
    ProcessLock,
    is_running,
    one_at_a_time,
)
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.errors import ConfigError
from mftgit.model.configuration.config import Role
from mftgit.model.names import MemberName

BOOTSTRAP = Bootstrap(
    name=MemberName("controller"),
    role=Role.CONTROLLER,
    cluster_id="c",
    controller_url="https://127.0.0.1:8443",
    files_root="/files",
    listen=("127.0.0.1", 8443),
)


def test_a_bootstrap_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.prepare()
    folder.write_bootstrap(BOOTSTRAP)
    assert folder.read_bootstrap() == BOOTSTRAP
    with pytest.raises(ConfigError, match="holds a member already"):
        folder.prepare()


@pytest.mark.parametrize("content", ["", "[]", '{"name": "x"}', json.dumps({"role": "king"})])
def test_a_damaged_bootstrap_is_told(tmp_path: Path, content: str) -> None:
    folder = StateFolder(tmp_path)
    folder.bootstrap_file.write_text(content, encoding="utf-8")
    with pytest.raises(
        ConfigError, match=r"bootstrap\.json: damaged at .*join again, into another"
    ):
        folder.read_bootstrap()


@pytest.mark.parametrize("found", ["ca.key", "repository.git", "registry.sqlite"])
def test_a_controller_without_a_whole_bootstrap_is_told_its_own_way_out(
    tmp_path: Path, found: str
) -> None:
    folder = StateFolder(tmp_path)
    (tmp_path / found).touch()
    with pytest.raises(ConfigError, match=r"but no bootstrap\.json: put it back from a backup"):
        folder.read_bootstrap()
    for content in (b"", b"{}", b"\xff"):
        folder.bootstrap_file.write_bytes(content)
        with pytest.raises(ConfigError, match=r"damaged at .*Restore bootstrap\.json") as caught:
            folder.read_bootstrap()
        assert "join" not in str(caught.value)


@pytest.mark.parametrize("found", ["ca.key", "repository.git", "registry.sqlite"])
def test_a_controller_that_lost_its_bootstrap_is_not_made_anew(tmp_path: Path, found: str) -> None:
    (tmp_path / found).touch()
    with pytest.raises(ConfigError, match=r"Restore bootstrap\.json"):
        StateFolder(tmp_path).prepare()
    assert [path.name for path in tmp_path.iterdir()] == [found]


def test_a_mark_that_was_left_where_a_member_ran_counts_for_nothing(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.prepare()
    for path in (folder.ca_key, folder.record):
        path.touch()
    for ask in (folder.prepare, folder.read_bootstrap):
        with pytest.raises(ConfigError, match=r"Restore bootstrap\.json"):
            ask()


def test_making_a_folder_goes_on_where_it_was_broken_off(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.prepare()
    folder.ca_key.touch()
    with pytest.raises(ConfigError, match="was broken off; say it again"):
        folder.read_bootstrap()
    folder.prepare()
    folder.write_bootstrap(BOOTSTRAP)
    assert not folder.unfinished.exists()


def test_a_folder_that_was_never_a_member_s_is_told_how_it_becomes_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no member: make one with `mftgit controller init"):
        StateFolder(tmp_path).read_bootstrap()


def test_a_bootstrap_that_cannot_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.bootstrap_file.mkdir()
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        folder.read_bootstrap()


def test_private_files_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.prepare()
    folder.write_secret(folder.member_key, b"key")
    assert folder.member_key.stat().st_mode & 0o777 == 0o600
    assert folder.secrets.stat().st_mode & 0o777 == 0o700


def test_one_process_at_a_time(tmp_path: Path) -> None:
    assert not is_running(tmp_path)
    lock = ProcessLock(tmp_path)
    assert is_running(tmp_path)
    with pytest.raises(InUseError, match="in use by the running member with process id"):
        ProcessLock(tmp_path)
    lock.release()
    assert not is_running(tmp_path)


def test_a_process_that_was_killed_holds_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, mftgit.adapters.process_lock as p;"
        "lock = p.ProcessLock(pathlib.Path(sys.argv[1])); print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert is_running(tmp_path)
        process.kill()
    assert not is_running(tmp_path)


def test_one_deed_at_a_time_whether_the_member_runs_or_not(tmp_path: Path) -> None:
    running = ProcessLock(tmp_path)
    with one_at_a_time(tmp_path):
        with pytest.raises(BusyError, match="try again"), one_at_a_time(tmp_path):
            pass
        assert is_running(tmp_path)
    with one_at_a_time(tmp_path):
        pass
    running.release()


def test_a_folder_that_cannot_be_locked_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be written"):
        ProcessLock(tmp_path / "missing")


def test_files_are_replaced_whole_and_leave_nothing_beside(tmp_path: Path) -> None:
    for content in (b"one", b"two"):
        write_file(tmp_path / "f", content, mode=0o600)
        replace_file(tmp_path / "g", content)
        append_line(tmp_path / "h", content)
    move_file(tmp_path / "f", tmp_path / "g")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        "g": b"two",
        "h": b"one\ntwo\n",
    }
