"""Git itself asks the gate's rules: hooks in a clone, and in a bare repository that C git serves."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from config_tree import VALID, validate
from git_backend import http_backend
from git_cli import Ran, clone, commit, environment, git, git_ok
from signing import KeyPair, commit_at, make_key
from sshd import running_sshd

from mftgit.cli.main import run_verb
from mftgit.model.documents.problem import format_problem

pytestmark = pytest.mark.needs("git")

BROKEN = {
    "locations/inbox.yaml": "type: locl\npath: inbox\n",
    "transfers/invoices.yaml": VALID["transfers/invoices.yaml"] + "retries: many\n",
}
PLACE = "transfers/invoices.yaml:5:1: the field 'retries' is not known"
HOOKS = ("pre-commit", "pre-push", "pre-receive", "update")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return a clone with a valid commit and the hooks."""
    folder = tmp_path / "work"
    folder.mkdir()
    git_ok(folder, "init", "--quiet", "--initial-branch", "main")
    commit(folder, dict(VALID), "valid")
    assert run_verb(["hooks", "install", str(folder)]) == 0
    return folder


@pytest.fixture
def bare(work: Path) -> Path:
    """Return a bare repository with the hooks, which has what ``work`` has; it is the clone's origin."""
    folder = work.parent / "served.git"
    git_ok(work, "clone", "--quiet", "--bare", str(work), str(folder))
    assert run_verb(["hooks", "install", str(folder), "--server"]) == 0
    git_ok(work, "remote", "add", "origin", folder.as_uri())
    git_ok(work, "fetch", "--quiet")
    return folder


@pytest.fixture(
    params=["file", "http", pytest.param("ssh", marks=pytest.mark.needs("sshd", "ssh"))]
)
def pusher(bare: Path, work: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Return a clone without hooks of its own, which pushes to ``bare`` by a path, http-backend or ssh."""
    folder = clone(str(bare), work.parent / "pusher")
    if request.param == "file":
        yield folder
        return
    if request.param == "http":
        git_ok(bare, "config", "http.receivepack", "true")
        with http_backend(bare.parent) as url:
            git_ok(folder, "remote", "set-url", "origin", f"{url}/{bare.name}")
            yield folder
        return
    with running_sshd(
        work.parent, options=['ForceCommand /bin/sh -c "$SSH_ORIGINAL_COMMAND"']
    ) as server:
        there = server.location()
        git_ok(folder, "config", "core.sshCommand", shlex.join([
            "ssh", "-F", "none", "-i", str(server.secrets_dir / "client"),
            "-o", "StrictHostKeyChecking=accept-new",
            "-o", f"UserKnownHostsFile={work.parent}/known_hosts",
        ]))  # fmt: skip
        url = f"ssh://{there.username}@{there.host}:{there.port}{bare}"
        git_ok(folder, "remote", "set-url", "origin", url)
        yield folder


def write(folder: Path, files: dict[str, str]) -> None:
    for path, content in files.items():
        (folder / path).write_text(content, encoding="utf-8")


def try_commit(folder: Path, *words: str) -> Ran:
    return git(folder, "commit", "--quiet", "--message", "change", *words)


def texts(files: dict[str, str]) -> list[str]:
    """What validation says of the valid documents with ``files``, line by line."""
    told = [format_problem(each) for each in validate(files).problems]
    assert len(told) > 1
    return [line for text in told for line in text.splitlines()]


def objects(folder: Path) -> set[str]:
    """Return every object of a repository, reachable or not."""
    listed = git_ok(
        folder, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)", "--unordered"
    )
    return set(listed.split())


# A person's clone


def test_a_commit_that_the_gate_would_refuse_is_refused_with_file_and_line(work: Path) -> None:
    before = git_ok(work, "rev-parse", "HEAD")
    write(work, BROKEN)
    git_ok(work, "add", ".")
    refused = try_commit(work)
    assert refused.code == 1
    assert PLACE in refused.err
    assert all(line in refused.err.splitlines() for line in texts(BROKEN))
    assert "what would be committed: 2 problems: the gate would refuse this" in refused.err
    assert git_ok(work, "rev-parse", "HEAD") == before
    write(work, {path: VALID[path] + "# mended\n" for path in BROKEN})
    git_ok(work, "add", ".")
    assert try_commit(work).code == 0


def test_what_is_not_in_the_index_does_not_count(work: Path) -> None:
    write(work, {"cluster.yaml": "name: other\n"})
    git_ok(work, "add", ".")
    write(work, BROKEN)  # in the work tree only
    assert try_commit(work).code == 0
    git_ok(work, "add", ".")
    git_ok(work, "restore", "--source", "HEAD", "--worktree", ".")  # mended in the work tree only
    assert PLACE in try_commit(work).err


def test_a_commit_of_some_files_is_judged_by_these_files(work: Path) -> None:
    write(work, {**BROKEN, "cluster.yaml": "name: other\n"})
    git_ok(work, "add", "transfers")
    assert try_commit(work, "cluster.yaml").code == 0
    assert PLACE in try_commit(work, "transfers/invoices.yaml").err
    assert PLACE in try_commit(work, "--all").err


def test_a_commit_in_a_linked_work_tree_is_judged_too(work: Path) -> None:
    linked = work.parent / "linked"
    git_ok(work, "worktree", "add", "--quiet", str(linked))
    write(linked, BROKEN)
    assert PLACE in try_commit(linked, "--all").err
    git_ok(linked, "restore", ".")
    write(linked, {"cluster.yaml": "name: other\n"})
    assert try_commit(linked, "--all").code == 0


def test_the_first_commit_of_a_repository_is_judged(tmp_path: Path) -> None:
    git_ok(tmp_path, "init", "--quiet")
    assert run_verb(["hooks", "install", str(tmp_path)]) == 0
    write(tmp_path, {"README.md": "nothing yet\n"})
    git_ok(tmp_path, "add", ".")
    assert "cluster.yaml" in try_commit(tmp_path).err


def test_a_push_to_main_is_refused_before_it_leaves(work: Path, bare: Path) -> None:
    assert run_verb(["hooks", "remove", str(bare), "--server"]) == 0
    write(work, BROKEN)
    git_ok(work, "commit", "--quiet", "--all", "--no-verify", "--message", "unfinished")
    refused = git(work, "push", "origin", "main")
    assert all(line in refused.err.splitlines() for line in texts(BROKEN))
    assert "refs/heads/main refused: not valid: 2 problems" in refused.err
    assert "remote:" not in refused.err
    assert git(work, "push", "origin", "main:sketch").code == 0
    git_ok(work, "revert", "--no-edit", "HEAD")
    assert git(work, "push", "origin", "main").code == 0


def test_a_proposal_is_judged_before_it_leaves(work: Path, bare: Path) -> None:
    assert run_verb(["hooks", "remove", str(bare), "--server"]) == 0
    write(work, BROKEN)
    git_ok(work, "commit", "--quiet", "--all", "--no-verify", "--message", "unfinished")
    refused = git(work, "push", "origin", "HEAD:change/new")
    assert all(line in refused.err.splitlines() for line in texts(BROKEN))
    assert "refs/heads/change/new refused: not valid: 2 problems" in refused.err
    assert "remote:" not in refused.err
    git_ok(work, "reset", "--quiet", "--hard", "HEAD~1")
    bad_name = git(work, "push", "origin", "HEAD:change/a+b")
    assert "only main and change/* may be pushed" in bad_name.err
    commit(work, {"cluster.yaml": "name: other\n"})
    assert git(work, "push", "origin", "HEAD:change/new").code == 0
    git_ok(work, "commit", "--quiet", "--amend", "--message", "otherwise")
    rewritten = git(work, "push", "--force", "origin", "HEAD:change/new")
    assert "refs/heads/change/new refused: non-fast-forward" in rewritten.err
    git_ok(
        work, "branch", "change/mine/below"
    )  # here only: what proposals there are, the server knows
    assert git(work, "push", "origin", "HEAD:change/mine").code == 0
    assert git(work, "push", "origin", ":change/new").code == 0


def test_a_push_that_rewrites_or_deletes_main_is_refused_before_it_leaves(
    work: Path, bare: Path
) -> None:
    assert run_verb(["hooks", "remove", str(bare), "--server"]) == 0
    git_ok(bare, "symbolic-ref", "HEAD", "refs/heads/other")  # else git refuses to delete it
    git_ok(work, "commit", "--quiet", "--amend", "--message", "otherwise")
    assert "refused: non-fast-forward" in git(work, "push", "--force", "origin", "main").err
    assert "refused: main cannot be deleted" in git(work, "push", "origin", ":main").err


def test_nothing_in_the_clone_is_run_by_the_hook(work: Path) -> None:
    for name in ("click", "mftgit", "json"):
        (work / f"{name}.py").write_text("raise SystemExit(0)\n", encoding="utf-8")
    write(work, BROKEN)
    git_ok(work, "add", "--all")
    assert PLACE in try_commit(work).err


# A bare repository


def test_a_good_push_lands(pusher: Path, bare: Path) -> None:
    new = commit(pusher, {"cluster.yaml": "name: other\n"})
    git_ok(pusher, "push", "origin", "main")
    assert git_ok(bare, "rev-parse", "main") == new


def test_a_push_of_bad_documents_is_refused_with_every_problem_and_leaves_no_object(
    pusher: Path, bare: Path
) -> None:
    before = objects(bare), git_ok(bare, "for-each-ref")
    bad = commit(pusher, dict(BROKEN))
    refused = git(pusher, "push", "origin", "main")
    assert refused.code == 1
    told = [line.removeprefix("remote: ").rstrip() for line in refused.err.splitlines()]
    assert all(line in told for line in texts(BROKEN))
    assert "refs/heads/main refused: not valid: 2 problems" in told
    assert bad not in objects(bare)
    assert (objects(bare), git_ok(bare, "for-each-ref")) == before
    assert not list((bare / "objects").glob("*incoming*"))  # git's quarantine


def test_a_push_is_refused_as_a_whole_with_all_that_is_wrong(pusher: Path, bare: Path) -> None:
    before = objects(bare), git_ok(bare, "for-each-ref")
    commit(pusher, dict(BROKEN))
    git_ok(pusher, "tag", "--annotate", "--message", "x", "v1")
    refused = git(pusher, "push", "origin", "main", "HEAD:sketch", "v1")
    assert PLACE in refused.err
    for ref in ("refs/heads/sketch", "refs/tags/v1"):
        assert f"{ref} refused: only main and change/* may be pushed" in refused.err
    assert (objects(bare), git_ok(bare, "for-each-ref")) == before


def test_main_is_neither_rewritten_nor_deleted(pusher: Path, bare: Path) -> None:
    git_ok(bare, "symbolic-ref", "HEAD", "refs/heads/other")
    before = objects(bare), git_ok(bare, "for-each-ref")
    git_ok(pusher, "commit", "--quiet", "--amend", "--message", "otherwise")
    forced = git(pusher, "push", "--force", "origin", "main")
    assert "refs/heads/main refused: non-fast-forward" in forced.err
    deleted = git(pusher, "push", "origin", ":main")
    assert "refs/heads/main refused: main cannot be deleted" in deleted.err
    assert (objects(bare), git_ok(bare, "for-each-ref")) == before


@pytest.mark.parametrize(
    ("levels", "width", "why"),
    [
        (5, 10, "111,110 files and folders, at most 50,000 are taken"),
        (12, 10, "the names in the revision take more than"),
        (20, 1, "folders are 17 deep, at most 16 are taken"),
    ],
)
def test_a_tree_that_unfolds_to_more_than_the_gate_takes_is_refused(
    bare: Path, work: Path, levels: int, width: int, why: str
) -> None:
    tree = git_ok(work, "mktree", content=b"")
    for _ in range(levels):
        lines = "".join(f"040000 tree {tree}\tf{number}\n" for number in range(width))
        tree = git_ok(work, "mktree", content=lines.encode())
    bad = git_ok(work, "commit-tree", tree, "-p", "HEAD", "-m", "too much")
    refused = git(work, "push", "--no-verify", "origin", f"{bad}:main")
    assert why in refused.err
    assert "refs/heads/main refused: cannot be read" in refused.err
    assert bad not in objects(bare)


@pytest.mark.parametrize(
    ("hook", "limit", "lowest", "files", "why"),
    [
        ("pre-push", "max_tree_depth", 1, {"a/b/c": "1"}, "folders are 2 deep, at most 1"),
        ("pre-receive", "max_tree_depth", 1, {"a/b/c": "1"}, "folders are 2 deep, at most 1"),
        ("pre-receive", "max_entries", 100, {f"n/{n}": "" for n in range(110)}, "files and folders, at most 100"),
        ("pre-receive", "max_path_bytes", 100, {"a" * 110: ""}, "a path has 110 bytes, at most 100"),
        ("pre-push", "max_object_bytes", 4 << 20, {"big": "1" * (5 << 20)}, "an object has 5,242,880 bytes"),
        ("pre-receive", "max_object_bytes", 4 << 20, {"big": "1" * (5 << 20)}, "an object has 5,242,880 bytes"),
    ],
)  # fmt: skip
def test_the_limits_that_are_published_hold_for_a_hook_too(  # noqa: PLR0917
    bare: Path,
    work: Path,
    hook: str,
    limit: str,
    lowest: int,
    files: dict[str, str | bytes],
    why: str,
) -> None:
    text = VALID["cluster.yaml"] + f"gate: {{limits: {{{limit}: {lowest}}}}}\n"
    commit(work, {"cluster.yaml": text})
    git_ok(work, "push", "origin", "main")
    git_ok(work, "config", "core.hooksPath", "elsewhere")
    commit(work, files)
    if hook == "pre-push":
        git_ok(work, "config", "--unset", "core.hooksPath")
        git_ok(bare, "config", "core.hooksPath", "elsewhere")
    refused = git(work, "push", "origin", "main")
    assert refused.code != 0
    assert why in refused.err
    assert f"gate.limits.{limit} in the published cluster.yaml" in refused.err
    assert ("remote: " in refused.err) == (hook == "pre-receive")


def test_a_proposal_is_held_to_the_limits_that_main_sets(bare: Path, work: Path) -> None:
    assert run_verb(["hooks", "remove", str(bare), "--server"]) == 0
    text = VALID["cluster.yaml"] + "gate: {limits: {max_tree_depth: 40}}\n"
    commit(work, {"cluster.yaml": text})
    git_ok(work, "push", "origin", "main")
    commit(work, {"/".join(["d"] * 20) + "/x": "1"})
    assert git(work, "push", "origin", "HEAD:change/deep").code == 0


def test_what_a_replacement_shows_is_not_what_is_judged(bare: Path, work: Path) -> None:
    good = git_ok(work, "rev-parse", "HEAD:transfers/invoices.yaml")
    write(work, {"transfers/invoices.yaml": BROKEN["transfers/invoices.yaml"]})
    git_ok(work, "commit", "--quiet", "--all", "--no-verify", "--message", "bad")
    bad = git_ok(work, "rev-parse", "HEAD:transfers/invoices.yaml")
    git_ok(bare, "update-ref", f"refs/replace/{bad}", good)
    assert PLACE in git(work, "push", "--no-verify", "origin", "main").err


def test_objects_that_the_server_borrows_are_found(bare: Path, work: Path) -> None:
    borrower = work.parent / "borrower.git"
    git_ok(work, "clone", "--quiet", "--bare", "--shared", str(bare), str(borrower))
    assert run_verb(["hooks", "install", str(borrower), "--server"]) == 0
    new = commit(work, {"cluster.yaml": "name: other\n"})
    git_ok(work, "push", "--no-verify", str(borrower), "main")
    assert git_ok(borrower, "rev-parse", "main") == new


def test_the_hook_update_judges_by_itself(bare: Path, work: Path) -> None:
    (bare / "hooks/pre-receive").unlink()
    write(work, BROKEN)
    git_ok(work, "commit", "--quiet", "--all", "--no-verify", "--message", "bad")
    refused = git(work, "push", "--no-verify", "origin", "main", "HEAD:sketch")
    assert PLACE in refused.err
    assert "refs/heads/sketch refused: only main and change/* may be pushed" in refused.err
    new = commit(work, {path: VALID[path] for path in BROKEN})
    git_ok(work, "push", "origin", "main")
    assert git_ok(bare, "rev-parse", "main") == new


def test_a_push_to_an_empty_repository_begins_main(work: Path) -> None:
    empty = work.parent / "empty.git"
    git_ok(work, "init", "--quiet", "--bare", str(empty))
    assert run_verb(["hooks", "install", str(empty), "--server"]) == 0
    git_ok(work, "push", str(empty), "main")


@pytest.fixture
def rooted(work: Path) -> tuple[Path, Path, KeyPair]:
    """Return an empty bare repository with the hooks, a clone in which main requires ann's signature, and her key."""
    empty, ann = work.parent / "empty.git", make_key(work.parent, "ann")
    git_ok(work, "init", "--quiet", "--bare", str(empty))
    assert run_verb(["hooks", "install", str(empty), "--server"]) == 0
    assert run_verb(["hooks", "remove", str(work)]) == 0
    git_ok(work, "remote", "add", "origin", str(empty))
    required = f"{VALID['cluster.yaml']}trust: {{require_signatures: true}}\n"
    commit(work, {"cluster.yaml": required, "trust/allowed_signers": ann.line()})
    git_ok(work, "tag", "root")
    return empty, work, ann


@pytest.mark.needs("ssh-keygen")
@pytest.mark.parametrize("hook", ["pre-receive", "update"])
def test_a_first_push_that_requires_signatures_is_judged_by_the_root_that_the_server_names(
    rooted: tuple[Path, Path, KeyPair], hook: str
) -> None:
    empty, work, ann = rooted
    (empty / "hooks" / ({"pre-receive", "update"} - {hook}).pop()).unlink()
    commit_at(work, "2026-06-01T12:00:00Z", ann)
    refused = git(work, "push", "origin", "main")
    assert "refs/heads/main refused: nothing to judge signatures by" in refused.err
    assert "git config mftgit.trustRoot ID; then push again" in refused.err
    assert git_ok(empty, "for-each-ref") == ""
    git_ok(empty, "config", "mftgit.trustRoot", git_ok(work, "rev-parse", "root"))
    commit(work, {"locations/inbox.yaml": VALID["locations/inbox.yaml"] + "# by nobody\n"})
    unsigned = git(work, "push", "origin", "main")
    assert f"commit {git_ok(work, 'rev-parse', 'HEAD')[:12]} is not signed" in unsigned.err
    assert git_ok(empty, "for-each-ref") == ""
    git_ok(work, "push", "origin", "HEAD~1:refs/heads/main")
    assert "is not signed" in git(work, "push", "origin", "main").err
    new = commit_at(work, "2026-06-01T12:00:00Z", ann)
    assert "is not signed" in git(work, "push", "origin", f"{new}:main").err


@pytest.mark.needs("ssh-keygen")
def test_a_first_push_from_another_beginning_than_the_root_is_refused(
    rooted: tuple[Path, Path, KeyPair],
) -> None:
    empty, work, _ = rooted
    git_ok(empty, "config", "mftgit.trustRoot", git_ok(work, "rev-parse", "root"))
    git_ok(work, "switch", "--quiet", "--orphan", "other")
    commit(work, dict(VALID))  # which requires nothing
    refused = git(work, "push", "origin", "HEAD:main")
    assert "refs/heads/main refused: not from the trust root" in refused.err
    git_ok(empty, "config", "mftgit.trustRoot", "HEAD")
    refused = git(work, "push", "origin", "HEAD:main")
    assert "git config mftgit.trustRoot: " in refused.err
    assert git_ok(empty, "for-each-ref") == ""
    git_ok(empty, "config", "mftgit.trustRoot", git_ok(work, "rev-parse", "root"))
    git_ok(work, "push", "origin", "root:refs/heads/main")
    assert git_ok(empty, "rev-parse", "main") == git_ok(work, "rev-parse", "root")


def test_a_hook_that_git_did_not_call_says_what_it_expected(
    work: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(work)
    assert run_verb(["hooks", "run", "update", "refs/heads/main"]) == 2
    assert "expected REF OLD NEW" in capfd.readouterr().err
    call = [sys.executable, "-m", "mftgit", "hooks", "run", "pre-receive"]
    for said in (b"x\n", b"0 1 refs/heads/main\n", b"0" * 20_000):
        done = subprocess.run(call, input=said, capture_output=True, check=False)
        assert done.returncode == 2
        assert b"mftgit: " in done.stderr


# Installing


def test_installing_again_changes_nothing(work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    before = [(each, each.stat().st_mtime_ns) for each in sorted((work / ".git/hooks").iterdir())]
    assert run_verb(["hooks", "install", str(work), "--json"]) == 0
    assert {each["state"] for each in json.loads(capfd.readouterr().out)["hooks"]} == {"unchanged"}
    assert before == [
        (each, each.stat().st_mtime_ns) for each in sorted((work / ".git/hooks").iterdir())
    ]


def test_a_hook_for_another_interpreter_is_replaced(work: Path) -> None:
    hook = work / ".git/hooks/pre-commit"
    right = hook.read_text(encoding="utf-8")
    hook.write_text(right.replace(sys.executable, "/nowhere/python"), encoding="utf-8")
    gone = try_commit(work, "--allow-empty")
    assert gone.code == 1
    assert "mftgit is not at /nowhere/python any more" in gone.err
    assert run_verb(["hooks", "install", str(work)]) == 0
    assert hook.read_text(encoding="utf-8") == right
    assert try_commit(work, "--allow-empty").code == 0


@pytest.mark.parametrize("link", [False, True], ids=["file", "link"])
def test_a_foreign_hook_is_named_and_nothing_is_installed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], *, link: bool
) -> None:
    work = tmp_path / "work"
    git_ok(tmp_path, "init", "--quiet", str(work))
    foreign = work / ".git/hooks/pre-push"
    if link:
        (tmp_path / "shared").write_text("#!/bin/sh\n# mftgit-hook: pre-push\n", encoding="utf-8")
        foreign.symlink_to(tmp_path / "shared")
    else:
        foreign.write_text("#!/bin/sh\n", encoding="utf-8")
    assert run_verb(["hooks", "install", str(work)]) == 2
    told = capfd.readouterr().err
    assert f"{foreign} is there and not one of mftgit's" in told
    assert 'hooks run pre-push -- "$@" || exit 1' in told
    assert not (work / ".git/hooks/pre-commit").exists()
    assert run_verb(["hooks", "remove", str(work), "--json"]) == 0
    states = {each["name"]: each["state"] for each in json.loads(capfd.readouterr().out)["hooks"]}
    assert states == {"pre-commit": "absent", "pre-push": "foreign"}
    assert os.path.lexists(foreign)


def test_the_lines_for_a_foreign_hook_work_in_it(
    work: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    hook = work / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\n", encoding="utf-8")
    capfd.readouterr()
    assert run_verb(["hooks", "install", str(work)]) == 2
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("    ")]
    hook.write_text("\n".join(["#!/bin/sh", *lines, "echo mine", ""]), encoding="utf-8")
    assert "mine" in try_commit(work, "--allow-empty").err
    write(work, BROKEN)
    assert PLACE in try_commit(work, "--all").err


@pytest.mark.parametrize("path", ["shared", "/absolute"])
def test_hooks_go_where_git_looks_for_them(work: Path, path: str) -> None:
    assert run_verb(["hooks", "remove", str(work)]) == 0
    folder = work.parent / path.removeprefix("/") if path.startswith("/") else work / path
    git_ok(work, "config", "core.hooksPath", str(folder) if path.startswith("/") else path)
    assert run_verb(["hooks", "install", str(work)]) == 0
    assert sorted(each.name for each in folder.iterdir()) == ["pre-commit", "pre-push"]
    write(work, BROKEN)
    assert PLACE in try_commit(work, "--all").err
    assert run_verb(["hooks", "remove", str(work)]) == 0
    assert not list(folder.iterdir())
    assert try_commit(work, "--all").code == 0


def test_a_folder_that_takes_no_hooks_is_told(
    work: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    git_ok(work, "config", "core.hooksPath", "/dev/null")
    assert run_verb(["hooks", "install", str(work)]) == 2
    assert "/dev/null: cannot be written: " in capfd.readouterr().err


def test_each_kind_of_repository_has_its_own_hooks(
    work: Path, bare: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_verb(["hooks", "install", str(work), "--server"]) == 2
    assert run_verb(["hooks", "install", str(bare)]) == 2
    assert run_verb(["hooks", "install", str(work.parent)]) == 2
    told = capfd.readouterr().err
    assert "--server is for bare repositories" in told
    assert "its hooks are those of --server" in told
    assert "is not the top of a git repository" in told


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_a_script_for_any_shell(name: str, work: Path, bare: Path) -> None:
    folder = bare / "hooks" if name in HOOKS[2:] else work / ".git/hooks"
    assert os.access(folder / name, os.X_OK)
    text = (folder / name).read_text(encoding="utf-8")
    assert text.startswith(f"#!/bin/sh\n# mftgit-hook: {name} ")
    assert "@PYTHON@" not in text
    subprocess.run(["sh", "-n", folder / name], check=True, env=environment(work))
