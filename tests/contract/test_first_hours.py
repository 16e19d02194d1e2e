"""What a machine is given besides the program: completion in a real bash, man pages, units for systemd, a container."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from cluster import environment
from ssh_keys import program

from mftgit.cli.main import mftgit

DEPLOY = Path(__file__).parents[2] / "deploy"
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"


def complete(home: Path, *words: str) -> list[str]:
    """Return what bash offers after these words, the last of which is unfinished."""
    script = CliRunner().invoke(mftgit, ["completion", "bash"]).stdout
    (home / "completion").write_text(script, encoding="utf-8")
    told = " ".join(f"'{word}'" for word in ("mftgit", *words))
    script = (
        f"source {home}/completion; COMP_WORDS=({told}); COMP_CWORD={len(words)}; "
        'COMP_LINE="${COMP_WORDS[*]}"; _mftgit_completion mftgit; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env=environment(home, PATH=PATH),
        cwd=home,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["tra"], ["transfer"]),
        (["transfer", "ow"], ["owner"]),
        (["transfer", "owner", "--mo"], ["--move-to"]),
        (["run", "--log-level", "W"], ["WARNING"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
    ],
)
def test_bash_completes_verbs_options_and_values(
    tmp_path: Path, words: list[str], offered: list[str]
) -> None:
    assert complete(tmp_path, *words) == offered


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_told_to_ask_mftgit(shell: str) -> None:
    said = CliRunner().invoke(mftgit, ["completion", shell])
    assert said.exit_code == 0
    assert f"_MFTGIT_COMPLETE={shell}_complete" in said.stdout


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("man")
    said = CliRunner().invoke(mftgit, ["manual", str(folder)], prog_name="mftgit")
    assert said.exit_code == 0, said.output
    return folder / "man1"


def test_every_verb_has_a_man_page_with_its_options_and_examples(pages: Path) -> None:
    names = {page.name for page in pages.iterdir()}
    assert {"mftgit.1", "mftgit-transfer.1", "mftgit-transfer-owner.1", "mftgit-run.1"} <= names
    text = (pages / "mftgit-transfer-owner.1").read_text(encoding="utf-8")
    for part in (".SH NAME", ".SH SYNOPSIS", r"\-\-move\-to NAME", ".SH NOTES", "invoices"):
        assert part in text, part


@pytest.mark.needs("mandoc")
def test_man_pages_are_what_man_understands(pages: Path) -> None:
    done = subprocess.run(
        [program("mandoc"), "-T", "lint", "-W", "warning", *map(str, sorted(pages.iterdir()))],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    undated = "missing date, using"  # a page is as old as its version, which it names
    assert [line for line in done.stdout.splitlines() if undated not in line] == []


def test_a_folder_where_no_page_can_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "man1").write_text("", encoding="utf-8")
    said = CliRunner().invoke(mftgit, ["manual", str(tmp_path)], prog_name="mftgit")
    assert "man1: File exists: name a folder of your own" in str(said.exception)


# systemd


UNITS = sorted((DEPLOY / "systemd").glob("*.service"))


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_nothing_wrong_with_a_unit(unit: Path, tmp_path: Path) -> None:
    here = f"{Path(sys.executable).parent}/mftgit"
    text = unit.read_text(encoding="utf-8")
    placed = tmp_path / unit.name
    placed.write_text(text.replace("/opt/mftgit/bin/mftgit", here), encoding="utf-8")
    assert placed.read_text(encoding="utf-8").count(here) == 1
    done = subprocess.run(
        [program("systemd-analyze"), "verify", "--man=no", str(placed)],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    mine = [line for line in done.stderr.splitlines() if unit.name in line]
    assert (done.returncode, mine) == (0, []), done.stderr


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_leaves_a_member_little_to_do_harm_with(unit: Path) -> None:
    done = subprocess.run(
        [
            program("systemd-analyze"), "security", "--offline=yes", "--no-pager", "--threshold=20", str(unit),
        ],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


_AS_THE_UNITS_DO = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
no_new_privs, refuse_exec_gain = libc.prctl(38, 1, 0, 0, 0), libc.prctl(65, 1, 0, 0, 0)  # prctl(2)
if no_new_privs or refuse_exec_gain:
    sys.exit(77)
os.umask(0o027)
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_members_need_no_memory_that_is_writable_and_executable(tmp_path: Path) -> None:
    here = f"{Path(sys.executable).parent}/mftgit"
    words = ["controller", "init", str(tmp_path / "ctl"), "--files-root", str(tmp_path / "files")]
    done = subprocess.run(
        [sys.executable, "-c", _AS_THE_UNITS_DO, here, *words],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    if done.returncode == 77:
        pytest.skip("this kernel cannot deny it (Linux 6.3 can)")
    assert done.returncode == 0, (
        done.stderr
    )  # it made keys, certificates, a password's hash, a repository
    for unit in UNITS:
        text = unit.read_text(encoding="utf-8")
        assert "MemoryDenyWriteExecute=yes" in text
        assert "NoNewPrivileges=yes" in text
        assert "UMask=0027" in text


def test_there_is_a_unit_for_each_role() -> None:
    assert [unit.name for unit in UNITS] == ["mftgit-controller.service", "mftgit-node.service"]


# Container


def lines_of(text: str) -> Iterator[str]:
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip() and not line.startswith("#"):
            yield " ".join(line.split())


def test_the_container_s_file_copies_what_there_is_and_runs_as_nobody_special() -> None:
    found = list(lines_of((DEPLOY / "container" / "Containerfile").read_text(encoding="utf-8")))
    words = [line.partition(" ")[0] for line in found]
    known = {
        "ARG",
        "FROM",
        "WORKDIR",
        "RUN",
        "COPY",
        "ENV",
        "USER",
        "VOLUME",
        "EXPOSE",
        "ENTRYPOINT",
        "CMD",
    }
    assert set(words) <= known
    assert words.index("USER") > max(place for place, word in enumerate(words) if word == "RUN")
    root = DEPLOY.parent
    for line in found:
        if line.startswith("COPY") and "--from" not in line:
            *sources, _ = line.split()[1:]
            assert all((root / source).exists() for source in sources), line
        if line.startswith("FROM"):
            assert re.search(r":[\w.-]+", line), f"{line}: name a version"
            assert ":latest" not in line
