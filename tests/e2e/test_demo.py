"""``mftgit demo`` keeps its promises, and leaves nothing behind however it ends."""

import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cluster import MFTGIT, environment
from waiting import until

_CTRL_C_AFTER_S = [0.3, 1.5, 3.0, 5.0, 8.0]
_BEFORE_SITE = re.compile(r"(?s)\AFatal Python error: init_import_site: .*\nKeyboardInterrupt\n")


@contextmanager
def running_demo(
    tmp_path: Path, *options: str, measured: bool = True
) -> Iterator[subprocess.Popen[str]]:
    """Start the demo; whatever becomes of the test, the demo ends and takes its members along.

    Without ``measured`` no coverage is taken: what starts that in a new process passes over a Ctrl-C.
    """
    (tmp_path / "tmp").mkdir(exist_ok=True)
    given = environment(tmp_path, TMPDIR=str(tmp_path / "tmp"))
    env = {name: text for name, text in given.items() if measured or "COVERAGE" not in name}
    with subprocess.Popen(
        # Tests that run in the background of a shell are started with Ctrl-C ignored, which processes inherit.
        ["env", "--default-signal=INT", *MFTGIT, "demo", *options],
        cwd=tmp_path,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    ) as demo:
        try:
            yield demo
        finally:
            if demo.poll() is None:
                demo.send_signal(signal.SIGINT)


def processes_below(folder: Path) -> list[str]:
    """Every process whose command line or working folder is below ``folder``."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal() or process.name == str(os.getpid()):
            continue
        try:
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            here = str((process / "cwd").readlink())
        except OSError:
            continue  # it ended, or is another user's
        if str(folder) in words or here.startswith(str(folder)):
            found.append(words)
    return found


def test_the_demo_shows_what_it_promises(tmp_path: Path) -> None:
    with running_demo(tmp_path) as demo:
        said, _ = demo.communicate(timeout=120)
    assert demo.returncode == 0, said
    promised = {
        "dropped": 8, "delivered": 8, "ledger": 8, "lost": 0, "duplicated": 0, "damaged": 0
    }  # fmt: skip
    for what, number in promised.items():
        assert re.search(rf"{what}\b.* {number}\s*$", said, re.MULTILINE), said
    assert "remote: transfers/invoices.yaml:" in said
    assert "took over and delivered 3 files" in said
    assert "\x1b" not in said
    until(lambda: processes_below(tmp_path) == [])  # what was ended takes a moment to go
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("after_s", _CTRL_C_AFTER_S)
def test_ctrl_c_leaves_no_process_behind(tmp_path: Path, after_s: float) -> None:
    with running_demo(tmp_path, measured=False) as demo:
        threading.Event().wait(after_s)
        demo.send_signal(signal.SIGINT)
        said, _ = demo.communicate(timeout=60)
    # The second is Python's own end, when the signal came before mftgit was loaded; a shell shows 130 for both.
    # Earlier still, Python says that it cannot import the site module.
    assert demo.returncode in {130, -signal.SIGINT} or _BEFORE_SITE.search(said), said
    until(lambda: processes_below(tmp_path) == [])  # what was ended takes a moment to go
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("victim", "after_s"), [("controller", 2.5), ("node-1", 5.0), ("node-2", 7.5)]
)
def test_a_member_that_is_killed_is_told_and_nothing_is_left(
    tmp_path: Path, victim: str, after_s: float
) -> None:
    with running_demo(tmp_path) as demo:
        threading.Event().wait(after_s)
        for process in members(tmp_path, victim):
            os.kill(process, signal.SIGKILL)
        said, _ = demo.communicate(timeout=120)
    if demo.returncode == 0:  # it was the one that the demo kills, or the demo was through with it
        assert re.search(r"lost\b.* 0\s*$", said, re.MULTILINE), said
    else:
        assert demo.returncode == 1, said
        assert f"{victim} ended with -9" in said or "in vain" in said or "failed" in said, said
        assert "Traceback" not in said
    until(lambda: processes_below(tmp_path) == [])
    left = [str(path) for path in (tmp_path / "tmp").iterdir()]
    assert all(
        path in said.replace("\n", "") for path in left
    )  # what it keeps to be looked at, it says


def members(folder: Path, name: str) -> list[int]:
    """Return the processes that run the member ``name`` of the demo below ``folder``."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"run" in words and any(
            word.startswith(bytes(folder)) and word.endswith(b"/" + name.encode()) for word in words
        ):
            found.append(int(process.name))
    return found


@pytest.mark.needs("setpriv")
def test_a_demo_that_is_killed_itself_takes_its_members_along(tmp_path: Path) -> None:
    with running_demo(tmp_path) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "node-1 has joined" in line:
                break
        assert members(tmp_path, "controller")
        demo.kill()
        demo.communicate(timeout=60)
    until(lambda: processes_below(tmp_path) == [])


def test_keep_leaves_a_cluster_to_play_with(tmp_path: Path) -> None:
    with running_demo(tmp_path, "--keep") as demo:
        assert demo.stdout is not None
        said = ""
        for line in demo.stdout:
            said += line
            if "drop files into" in line:
                break
        assert "drop files into" in said, said
        (command,) = re.findall(r"^\s+env .*git .*clone .*$", said, re.MULTILINE)
        (password,) = re.findall(r"password\s+(\S+)", said)
        askpass = tmp_path / "askpass"
        askpass.write_text(f"#!/bin/sh\necho '{password}'\n", encoding="utf-8")
        askpass.chmod(0o700)
        done = subprocess.run(
            f"{command.strip()} {tmp_path / 'mine'}",
            shell=True,
            env=environment(tmp_path, GIT_ASKPASS=str(askpass)),
            capture_output=True,
            text=True,
            check=False,
            encoding="utf-8",
        )
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "mine" / "cluster.yaml").exists()
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=60)
    assert demo.returncode == 0
    until(lambda: processes_below(tmp_path) == [])
