"""A folder, a clone and the gate say the same about files that are not plain."""

import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from config_tree import VALID, validator
from git_cli import environment, git_ok

from mftgit.adapters.documents_folder import read_folder
from mftgit.adapters.git.operator_clone import OperatorClone
from mftgit.adapters.git.store import GitStore
from mftgit.model.documents.problem import Problem
from mftgit.model.names import Revision
from mftgit.model.rules.tree import Tree

pytestmark = pytest.mark.needs("git")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return a clone with valid documents."""
    folder = tmp_path / "work"
    for path, content in VALID.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(content, encoding="utf-8")
    git_ok(folder, "init", "--quiet", "--initial-branch", "main")
    git_ok(folder, "add", ".")
    git_ok(folder, "commit", "--quiet", "--message", "valid")
    return folder


def link(folder: Path) -> None:
    (folder / "docs").mkdir()
    (folder / "docs/link").symlink_to("/etc/passwd")


def broken_link(folder: Path) -> None:
    (folder / "link").symlink_to("nowhere")


def link_to_folder(folder: Path) -> None:
    (folder / "link").symlink_to("members")


def executable(folder: Path) -> None:
    (folder / "run.sh").write_text("true\n", encoding="utf-8")
    (folder / "run.sh").chmod(0o755)


def executable_document(folder: Path) -> None:
    (folder / "members/node-1.yaml").chmod(0o755)


def group_writable(folder: Path) -> None:
    (folder / "README.md").write_text("read\n", encoding="utf-8")
    (folder / "README.md").chmod(0o664)


def repository_within(folder: Path) -> None:
    inner = folder / "sub"
    inner.mkdir()
    (inner / "x").write_text("x", encoding="utf-8")
    git_ok(inner, "init", "--quiet")
    git_ok(inner, "add", ".")
    git_ok(inner, "commit", "--quiet", "--message", "x")


def odd_names(folder: Path) -> None:
    for name in (b"GIT~1", b"a\nb", b"caf\xe9"):
        Path(folder.as_posix(), name.decode(errors="surrogateescape")).write_text(
            "x", encoding="utf-8"
        )


CASES: dict[Callable[[Path], None], list[str]] = {
    link: ["docs/link"],
    broken_link: ["link"],
    link_to_folder: ["link"],
    executable: ["run.sh"],
    executable_document: ["members/node-1.yaml"],
    group_writable: [],
    repository_within: ["sub"],
    odd_names: ["GIT~1", r"a\nb", r"caf\xe9"],
}


def problems(tree: Tree) -> tuple[Problem, ...]:
    return validator().validate(tree).problems


def in_clone(folder: Path) -> tuple[Problem, ...]:
    with closing(OperatorClone(folder)) as clone:
        return problems(clone.documents())


def at_gate(folder: Path) -> tuple[Problem, ...]:
    """Commit everything and return what the gate finds in it."""
    git_ok(folder, "-c", "core.protectNTFS=false", "add", "--all")
    git_ok(folder, "commit", "--quiet", "--allow-empty", "--message", "x")
    bare = folder.parent / "bare.git"
    git_ok(folder, "clone", "--quiet", "--bare", str(folder), str(bare))
    with GitStore(bare) as store:
        return problems(store.tree(Revision(git_ok(bare, "rev-parse", "HEAD"))))


@pytest.mark.parametrize("spoil", CASES, ids=lambda case: case.__name__)
def test_folder_clone_and_gate_tell_the_same_problems(
    work: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(work)
    told = problems(read_folder(work))
    assert [each.file for each in told] == CASES[spoil]
    assert in_clone(work) == told
    assert at_gate(work) == told
    assert in_clone(work) == told


@pytest.mark.parametrize("spoil", [executable, executable_document], ids=lambda case: case.__name__)
def test_the_way_out_for_an_executable_leads_through_the_gate(
    work: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(work)
    (problem,) = at_gate(work)
    subprocess.run(problem.hint, shell=True, cwd=work, check=True, env=environment(work))
    assert in_clone(work) == ()
    git_ok(work, "commit", "--quiet", "--message", "mended")
    git_ok(work, "push", "--quiet", str(work.parent / "bare.git"), "main")
    with GitStore(work.parent / "bare.git") as store:
        assert problems(store.tree(Revision(git_ok(work, "rev-parse", "HEAD")))) == ()


def test_where_the_file_system_makes_everything_executable_the_index_counts(work: Path) -> None:
    executable_document(work)
    (work / "README.md").write_text("read\n", encoding="utf-8")
    (work / "README.md").chmod(0o755)
    git_ok(work, "config", "core.fileMode", "false")
    assert in_clone(work) == ()
    git_ok(work, "update-index", "--chmod=+x", "members/node-2.yaml")
    (work / "members/node-2.yaml").chmod(0o755)
    assert [each.file for each in in_clone(work)] == ["members/node-2.yaml"]
    assert at_gate(work) == in_clone(work)


def test_a_tracked_submodule_is_told_whether_it_was_checked_out_or_not(work: Path) -> None:
    git_ok(work, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},sub")
    (work / "sub").mkdir()
    assert [(each.file, each.rule) for each in in_clone(work)] == [("sub", "mode")]
