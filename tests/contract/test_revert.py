"""A revision is taken back by one that follows, which the gate would accept, or nothing happens at all."""

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from config_tree import VALID
from git_cli import clone, commit, git, git_ok
from signing import KeyPair, make_key, signing_settings

from mftgit.cli.main import run_verb
from mftgit.resources import load_schemas

pytestmark = pytest.mark.needs("git")

INBOX = "locations/inbox.yaml"
REQUIRED = "name: acme\ntrust: {require_signatures: true, version: 1}\n"
SIGNERS = "trust/allowed_signers"


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a clone of a repository with one valid commit on main."""
    folder = tmp_path / "origin"
    folder.mkdir()
    git_ok(folder, "init", "--quiet", "--initial-branch", "main")
    commit(folder, dict(VALID), "Begin")
    git_ok(folder, "clone", "--quiet", "--bare", str(folder), str(tmp_path / "origin.git"))
    for word in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{word}_NAME", "Bob")
        monkeypatch.setenv(f"GIT_{word}_EMAIL", "bob@example.org")
    return clone(str(tmp_path / "origin.git"), tmp_path / "work")


@pytest.fixture
def run(
    work: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run the verb in the clone; return what it printed, or with another code its error."""
    monkeypatch.chdir(work)

    def call(*words: str, code: int = 0) -> str:
        capfd.readouterr()
        before = state(work)
        assert run_verb(["revert", *words]) == code
        told = capfd.readouterr()
        if code:
            assert (state(work), told.out) == (before, "")
        return told.err if code else told.out

    return call


def state(work: Path) -> tuple[str, ...]:
    """Return all that a person sees of a clone: branches, files, and what is left beside them."""
    commands = (("rev-parse", "HEAD"), ("status", "--porcelain"), ("worktree", "list"), ("branch",))
    return tuple(git_ok(work, *words) for words in commands)


def head(work: Path, name: str = "HEAD") -> str:
    return git_ok(work, "rev-parse", name)


def content(work: Path, path: str) -> str:
    return (work / path).read_text(encoding="utf-8")


def publish(work: Path, files: dict[str, str | bytes], message: str = "change") -> str:
    revision = commit(work, files, message)
    git_ok(work, "push", "--quiet", "origin", "main")
    return revision


def test_a_revision_is_taken_back_by_a_commit_that_says_so_and_can_be_pushed(
    work: Path, run: Callable[..., str]
) -> None:
    bad = publish(work, {INBOX: "type: local\npath: elsewhere\n"}, "Move the inbox")
    publish(work, {"note.md": "later"})
    (work / "untracked").write_text("mine", encoding="utf-8")
    told = run("HEAD~1")
    assert f"HEAD~1 is taken back by {head(work)[:12]}" in told
    assert "git -C . push" in told
    assert (content(work, INBOX), content(work, "note.md")) == (VALID[INBOX], "later")
    message = git_ok(work, "log", "-1", "--format=%B")
    assert message == f'Revert "Move the inbox"\n\nThis reverts commit {bad}.'
    assert git_ok(work, "status", "--porcelain") == "?? untracked"
    assert git_ok(work, "worktree", "list").count("\n") == 0
    git_ok(work, "push", "--quiet", "origin", "main")


def test_a_range_is_taken_back_at_once_merges_with_all_that_they_brought(
    work: Path, run: Callable[..., str]
) -> None:
    begin = head(work)
    git_ok(work, "switch", "--quiet", "-c", "side")
    commit(work, {"side.md": "1"})
    git_ok(work, "switch", "--quiet", "main")
    commit(work, {INBOX: "type: local\npath: elsewhere\n"}, "Move the inbox")
    git_ok(work, "merge", "--quiet", "--no-ff", "--no-edit", "side")
    merge = head(work)
    last = commit(work, {INBOX: "type: local\npath: further\n"}, "Move it again")
    told = json.loads(run(f"{begin}..", "--json"))
    jsonschema.Draft202012Validator(load_schemas()["output-revert"]).validate(told)
    assert told["revision"] == head(work)
    assert told["reverted"][:2] == [last, merge]
    assert len(told["reverted"]) == 3
    assert git_ok(work, "diff", "--name-only", begin, "HEAD") == ""
    assert git_ok(work, "log", "-1", "--format=%B").startswith(
        f"Revert 3 commits\n\nThis reverts, the newest first:\n- {last} Move it again\n"
    )


def test_a_clone_with_uncommitted_changes_is_left_alone(
    work: Path, run: Callable[..., str]
) -> None:
    publish(work, {"note.md": "1"})
    (work / "note.md").write_text("mine", encoding="utf-8")
    assert "has changes that are not committed: git commit or git stash" in run("HEAD", code=2)
    assert content(work, "note.md") == "mine"


def test_what_was_changed_again_since_is_named_with_the_way_out(
    work: Path, run: Callable[..., str]
) -> None:
    bad = publish(work, {INBOX: "type: local\npath: one\n"})
    publish(work, {INBOX: "type: local\npath: two\n"})
    told = run("HEAD~1", code=1)
    assert f"{bad[:12]} cannot be taken back by itself" in told
    assert INBOX in told
    assert f"git revert {bad[:12]}, edit, git add, git revert --continue" in told


def test_what_the_gate_would_refuse_is_told_and_not_committed(
    work: Path, run: Callable[..., str]
) -> None:
    commit(work, {"locations/used.yaml": "type: local\npath: used\n"}, "Add a location")
    text = VALID["transfers/invoices.yaml"].replace("outbox", "used")
    publish(work, {"transfers/invoices.yaml": text}, "Use it")
    told = run("HEAD~1", code=1)
    assert "there is no location 'used'" in told
    assert "the gate would refuse this (not valid: 1 problem), and the clone is as it was" in told
    assert "git revert --no-commit HEAD~1, edit, git commit" in told


def test_many_documents_are_not_removed_by_taking_a_revision_back(
    work: Path, run: Callable[..., str]
) -> None:
    publish(work, {f"locations/l{n}.yaml": "type: local\npath: x\n" for n in range(11)})
    assert "write allow_removal: 11 in cluster.yaml in the same push" in run("HEAD", code=1)


def test_an_untracked_file_in_the_way_is_not_overwritten(
    work: Path, run: Callable[..., str]
) -> None:
    publish(work, {"note.md": "1"})
    git_ok(work, "rm", "--quiet", "note.md")
    publish(work, {})
    (work / "note.md").write_text("mine", encoding="utf-8")
    assert "note.md" in run("HEAD", code=1)
    assert content(work, "note.md") == "mine"


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("nothing", "there is no commit 'nothing'"),
        ("HEAD..HEAD", "HEAD..HEAD holds no commit"),
        ("HEAD...side", "is neither a revision nor A..B"),
        ("side", "HEAD does not contain"),
        ("--help-me", "No such option"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_was_expected(
    work: Path, run: Callable[..., str], what: str, told: str
) -> None:
    git_ok(work, "switch", "--quiet", "-c", "side")
    commit(work, {"side.md": "1"})
    git_ok(work, "switch", "--quiet", "main")
    assert told in run(what, code=2)


def test_what_is_taken_back_already_is_told(work: Path, run: Callable[..., str]) -> None:
    publish(work, {"note.md": "1"})
    run("HEAD")
    assert "HEAD~1 is taken back already" in run("HEAD~1", code=1)


def test_a_bare_repository_has_nothing_to_revert_in(work: Path, run: Callable[..., str]) -> None:
    assert "has no work tree" in run("HEAD", str(work.parent / "origin.git"), code=2)


def test_a_hook_that_refuses_is_heard(work: Path, run: Callable[..., str]) -> None:
    publish(work, {"note.md": "1"})
    hook = work / ".git/hooks/commit-msg"
    hook.write_text("#!/bin/sh\necho no ticket in the message >&2\nexit 1\n", encoding="utf-8")
    hook.chmod(0o755)
    assert "git commit: no ticket in the message" in run("HEAD", code=1)


# Signatures


@pytest.fixture
def ann(work: Path) -> KeyPair:
    """Return the key of ann, who alone may sign what is published."""
    key = make_key(work.parent, "ann")
    publish(work, {"cluster.yaml": REQUIRED, SIGNERS: key.line()})
    return key


def sign_by_settings(work: Path, key: KeyPair) -> None:
    for setting in signing_settings(key)[1::2]:
        git_ok(work, "config", *setting.split("=", 1))


@pytest.mark.needs("ssh-keygen")
def test_the_commit_is_signed_as_git_s_settings_say_and_refused_unsigned(
    work: Path, run: Callable[..., str], ann: KeyPair
) -> None:
    git_ok(work, *signing_settings(ann), "commit", "--quiet", "--allow-empty", "-S", "-m", "x")
    (work / "note.md").write_text("1", encoding="utf-8")
    git_ok(work, "add", "note.md")
    git_ok(work, *signing_settings(ann), "commit", "--quiet", "-S", "-m", "x")
    told = run("HEAD", code=1)
    assert "is not signed" in told
    assert "git config gpg.format ssh" in told
    sign_by_settings(work, ann)
    run("HEAD")
    assert git_ok(work, "cat-file", "commit", "HEAD").count("BEGIN SSH SIGNATURE") == 1


@pytest.mark.needs("ssh-keygen")
def test_a_list_of_signers_comes_back_under_a_number_of_its_own(
    work: Path, run: Callable[..., str], ann: KeyPair
) -> None:
    sign_by_settings(work, ann)
    eve = make_key(work.parent, "eve")
    more = REQUIRED.replace("version: 1", "version: 2")
    publish(work, {"cluster.yaml": more, SIGNERS: ann.line() + eve.line("eve")})
    run("HEAD")
    assert content(work, SIGNERS) == ann.line()
    assert content(work, "cluster.yaml") == REQUIRED.replace("version: 1", "version: 3")
    assert git(work, "push", "origin", "main").code == 0
