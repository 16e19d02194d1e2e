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

_CTRL_C_AFTER_S = [0.3, 1.5, 3.0, 5.0, 8.0]


@contextmanager
def running_demo(tmp_path: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Start the demo; whatever becomes of the test, the demo ends and takes its members along."""
    (tmp_path / "tmp").mkdir(exist_ok=True)
    with subprocess.Popen(
        [*MFTGIT, "demo", *options],
        cwd=tmp_path,
        env=environment(tmp_path, TMPDIR=str(tmp_path / "tmp")),
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
    assert processes_below(tmp_path) == []
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("after_s", _CTRL_C_AFTER_S)
def test_ctrl_c_leaves_no_process_behind(tmp_path: Path, after_s: float) -> None:
    with running_demo(tmp_path) as demo:
        threading.Event().wait(after_s)
        demo.send_signal(signal.SIGINT)
        said, _ = demo.communicate(timeout=60)
    # The second is Python's own end, when the signal came before mftgit was loaded; a shell shows 130 for both.
    assert demo.returncode in {130, -signal.SIGINT}, said
    assert processes_below(tmp_path) == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_keep_leaves_a_cluster_to_play_with(tmp_path: Path) -> None:
    with running_demo(tmp_path, "--keep") as demo:
        assert demo.stdout is not None
        said = ""
        for line in demo.stdout:
            said += line
            if "drop files into" in line:
                break
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
    assert processes_below(tmp_path) == []
