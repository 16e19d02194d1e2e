"""What ``mftgit diff`` and ``mftgit log`` tell of a real clone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from config_tree import VALID
from git_cli import clone, commit, git_ok
from gpg_keys import commit_by_gpg, gpg_home
from signing import commit_at, make_key, signing_settings

from mftgit.cli.main import run_verb
from mftgit.model.trust.trust import Outcome
from mftgit.resources import load_schemas

pytestmark = pytest.mark.needs("git")

INVOICES = VALID["transfers/invoices.yaml"]
MOVED = {"transfers/invoices.yaml": INVOICES.replace("outbox", "outbox, path: in")}

Run = Callable[..., str]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return a clone of a repository with one valid commit on main."""
    folder = tmp_path / "origin"
    folder.mkdir()
    git_ok(folder, "init", "--quiet", "--initial-branch", "main")
    commit(folder, dict(VALID), "Begin")
    git_ok(folder, "clone", "--quiet", "--bare", str(folder), str(tmp_path / "origin.git"))
    return clone(str(tmp_path / "origin.git"), tmp_path / "work")


@pytest.fixture
def run(
    work: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run a verb in the clone; return what it printed, or with another code its error."""
    monkeypatch.chdir(work)

    def call(*words: str, code: int = 0) -> str:
        capfd.readouterr()
        assert run_verb(words) == code
        told = capfd.readouterr()
        if code:
            assert not told.out
        return told.err if code else told.out

    return call


def found(run: Run, *words: str) -> Any:
    return json.loads(run(*words, "--json"))


def write(folder: Path, files: dict[str, str]) -> None:
    for path, content in files.items():
        (folder / path).write_text(content, encoding="utf-8")


# diff


def test_a_change_that_is_not_committed_is_told_member_by_member(run: Run, work: Path) -> None:
    assert run("diff").splitlines()[1:] == [
        "controller: nothing changes",
        "node-1: nothing changes",
        "node-2: nothing changes",
    ]
    write(work, MOVED)
    write(work, {"members/node-3.yaml": "role: node\n", "members/node-1.yaml": "role: node\n"})
    start = git_ok(work, "rev-parse", "HEAD")
    assert run("diff").splitlines() == [
        f"refs/remotes/origin/main ({start[:12]}) -> the work tree",
        "controller: nothing changes",
        "node-1",
        "  labels.site: berlin -> (none)",
        "  variables.port: 2222 -> (none)",
        "  variables.region: emea -> (none)",
        "  transfer invoices changed",
        "    destination.path: . -> in",
        "node-2",
        "  transfer invoices changed",
        "    destination.path: . -> in",
        "node-3 comes",
        "  transfer invoices started",
        "  location inbox added",
        "  location outbox added",
    ]
    assert run("diff", "--member", "node-2").count("\n") == 4
    assert found(run, "diff")["to"] is None


def test_values_of_every_type_can_be_read(run: Run, work: Path) -> None:
    changed = INVOICES.replace(
        "{location: inbox}",
        "{location: inbox, recursive: true, include: ['*.csv', b], stable_s: 2.5}",
    )
    archive = changed.replace("recursive: true, ", "") + "prefer: [node-1]\n"
    write(work, {"transfers/invoices.yaml": changed})
    told = run("diff", "--member", "node-1")
    assert "    source.recursive: false -> true\n" in told
    assert "    source.include: [*] -> [*.csv, b]\n" in told
    assert "    source.stable_s: 5 -> 2.5\n" in told
    write(work, {"transfers/invoices.yaml": archive})
    assert "    prefer: [] -> [node-1]\n" in run("diff", "--member", "node-1")


def test_who_may_come_in_is_told_like_what_is_moved(run: Run, work: Path) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINqHPD5s9DAzoF9WfStHb8C+BV2oiFNN6Hwp1oAWaTtc"
    account = f"home: {{location: inbox, path: alice}}\nlogin: {{keys: [{key}]}}\n"
    for folder in ("accounts", "services"):
        (work / folder).mkdir()
    service = "type: sftp\nlisten: {port: 2022}\nhost_keys: [{file: k}]\n"
    write(work, {"services/sftp.yaml": service, "accounts/alice.yaml": account})
    assert run("diff", "--member", "controller").splitlines()[1:] == [
        "controller",
        "  location inbox added",
        "  service sftp started",
        "  account alice added",
    ]
    commit(work, {"accounts/alice.yaml": account, "services/sftp.yaml": service})
    words = ("HEAD~1..HEAD", "--member", "node-1")
    (member,) = found(run, "diff", *words)["members"]
    assert [each["name"] for each in (*member["services"], *member["accounts"])] == [
        "sftp",
        "alice",
    ]


def test_two_revisions_are_compared_whatever_lies_in_the_work_tree(run: Run, work: Path) -> None:
    start = git_ok(work, "rev-parse", "HEAD")
    tip = commit(work, dict(MOVED))
    write(work, {"cluster.yaml": "not: valid\n"})
    for words in (
        ("origin/main..HEAD",),
        ("HEAD~1..",),
        (f"{start}..{tip}", "."),
        ("origin/main..main", str(work)),
    ):
        told = found(run, "diff", *words)
        assert (told["from"], told["to"]) == (start, tip)
        (field,) = told["members"][1]["transfers"][0]["fields"]
        assert field == {"field": "destination.path", "before": ".", "after": "in"}
    back = found(run, "diff", "..HEAD~1", "--member", "node-1")
    assert (back["from"], back["to"]) == (tip, start)


def test_a_folder_with_dots_in_its_name_is_no_range(run: Run, work: Path) -> None:
    assert "the work tree" in run("diff", "../work")
    assert "the work tree" in run("diff", f"{work}/members/..")


def test_a_revision_that_is_not_valid_is_told_with_its_problems(run: Run, work: Path) -> None:
    broken = {"transfers/invoices.yaml": INVOICES + "retries: many\n"}
    write(work, broken)
    told = run("diff", "--json", code=2)
    assert "the work tree is not valid:\ntransfers/invoices.yaml:5:1: the field 'retries'" in told
    commit(work, dict(broken))
    told = run("diff", "HEAD..origin/main", code=2)
    assert "HEAD is not valid:\ntransfers/invoices.yaml:5:1: " in told


def test_a_member_that_would_refuse_the_change_is_told_with_the_reason(
    run: Run, work: Path
) -> None:
    commit(work, {"locations/outbox.yaml": 'type: local\npath: "{{ region }}"\n'})
    (work / "members/node-2.yaml").unlink()
    told = run("diff", "--member", "node-2")
    assert "node-2 goes: without its document it is an ordinary node" in told
    assert "  would refuse it: locations/outbox.yaml:2:7: member 'node-2' does not define" in told
    assert found(run, "diff", "--member", "node-2")["members"][0]["problems"]


@pytest.mark.parametrize(
    ("words", "way_out"),
    [
        (("nothing..HEAD",), "there is no commit 'nothing'"),
        (("HEAD..--output=x",), "there is no commit '--output=x'"),
        (("HEAD..HEAD:members",), "there is no commit 'HEAD:members'"),
        (("HEAD...main",), "there is no commit '.main'"),
        (("main",), "expected A..B"),
        (("main..HEAD", "x..y", "."), "expected A..B"),
    ],
)
def test_a_range_that_is_none_is_refused_with_what_was_expected(
    run: Run, words: tuple[str, ...], way_out: str
) -> None:
    assert way_out in run("diff", *words, code=2)


def test_a_bare_repository_is_compared_by_revisions_only(run: Run, work: Path) -> None:
    bare = str(work.parent / "origin.git")
    git_ok(Path(bare), "update-ref", "refs/remotes/origin/main", "main")
    assert "has no work tree: name two revisions" in run("diff", bare, code=2)
    assert "nothing changes" in run("diff", "main..main", bare)


def test_without_a_published_branch_a_range_is_asked_for(run: Run, work: Path) -> None:
    git_ok(work, "remote", "rename", "origin", "elsewhere")
    assert "there is no commit 'refs/remotes/origin/main'" in run("diff", code=2)
    assert "nothing changes" in run("diff", "elsewhere/main..")


# log


def test_the_revisions_of_main_are_told_newest_first(run: Run, work: Path) -> None:
    first = git_ok(work, "rev-parse", "HEAD")
    second = commit(work, dict(MOVED), "Send it elsewhere\n\nBecause.")
    git_ok(work, "push", "--quiet", "origin", "main")
    commit(work, {}, "not published")
    told = found(run, "log")
    assert told["ref"] == "refs/remotes/origin/main"
    assert [each["revision"] for each in told["revisions"]] == [second, first]
    newest = told["revisions"][0]
    assert newest["author"] == "Ann Example <ann@example.org>"
    assert newest["subject"] == "Send it elsewhere"
    assert newest["members"] is None
    assert newest["at"].endswith("Z")
    assert [each["revision"] for each in found(run, "log", "-n", "1")["revisions"]] == [second]
    text = run("log").splitlines()
    assert [line[:12] for line in text[:2]] == [second[:12], first[:12]]
    assert "which members run what is not known here" in text[2]


@pytest.mark.needs("ssh-keygen", "gpg")
def test_who_signed_a_revision_is_told_by_the_revision_before_it(
    run: Run, work: Path, tmp_path: Path
) -> None:
    ann, eve = make_key(tmp_path, "ann"), make_key(tmp_path, "eve")
    with gpg_home() as home:
        fingerprint = home.make("bob")
        lists = {"trust/allowed_signers": ann.line(), "trust/gpg_signers": home.line("bob")}
        commit(work, dict(lists), "admits ann and bob")
        commit_at(work, "2026-06-01T12:00:00Z", ann)
        commit_by_gpg(work, home, "bob")
        commit(work, {"trust/allowed_signers": eve.line("eve@example.org")}, "admits eve")
        git_ok(work, *signing_settings(eve), "commit", "--quiet", "--amend", "--no-edit", "-S")
        commit_at(work, "2026-06-01T12:00:00Z", eve)
        commit_by_gpg(work, home, "bob")
    commit(work, {"trust/gpg_signers": ""}, "takes bob out")
    git_ok(work, "push", "--quiet", "origin", "main")
    told = found(run, "log")
    jsonschema.Draft202012Validator(load_schemas()["output-log"]).validate(told)
    signatures = [each["signature"] for each in told["revisions"]]
    assert [
        each and (each["outcome"], each["principals"], each["kind"]) for each in signatures
    ] == [
        ("unsigned", [], None),
        ("signed", ["bob@example.org"], "openpgp"),
        ("signed", ["eve@example.org"], "ssh-ed25519"),
        ("not-allowed", [], "ssh-ed25519"),
        ("signed", ["bob@example.org"], "openpgp"),
        ("signed", ["ann@example.org"], "ssh-ed25519"),
        ("unsigned", [], None),
        None,
    ]
    assert signatures[1]["fingerprint"] == fingerprint
    ends = [line.rpartition("(")[2] for line in run("log").splitlines()[:-1]]
    assert ends == [
        "unsigned)",
        "signed by bob@example.org, openpgp)",
        "signed by eve@example.org, ssh-ed25519)",
        "not trusted: not-allowed)",
        "signed by bob@example.org, openpgp)",
        "signed by ann@example.org, ssh-ed25519)",
        "unsigned)",
        "nothing before it to judge its signature by)",
    ]
    (newest,) = found(run, "log", "-n", "1")["revisions"]
    assert newest["signature"] == signatures[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mftgit.adapters.git.gpg.shutil.which", lambda _name: None)
        assert "(not checked: gpg is not installed" in run("log", "-n", "2")
    shallow = clone((tmp_path / "origin.git").as_uri(), tmp_path / "shallow", "--depth", "2")
    revisions = found(run, "log", str(shallow))["revisions"]
    assert [each["signature"] for each in revisions] == [signatures[0], None]


def test_the_outcomes_in_the_log_are_those_that_there_are() -> None:
    revisions = load_schemas()["output-log"]["properties"]["revisions"]["items"]
    outcome = revisions["properties"]["signature"]["properties"]["outcome"]
    assert outcome["enum"] == [each.value for each in Outcome]


def test_a_merge_stands_for_what_it_brought(run: Run, work: Path) -> None:
    git_ok(work, "switch", "--quiet", "--create", "change")
    commit(work, dict(MOVED), "on the side")
    git_ok(work, "switch", "--quiet", "main")
    git_ok(work, "merge", "--quiet", "--no-ff", "--message", "merged", "change")
    git_ok(work, "push", "--quiet", "origin", "main")
    assert [each["subject"] for each in found(run, "log")["revisions"]] == ["merged", "Begin"]


def test_the_members_that_run_a_revision_are_told_where_their_refs_were_fetched(
    run: Run, work: Path
) -> None:
    first = git_ok(work, "rev-parse", "HEAD")
    second = commit(work, dict(MOVED), "second")
    git_ok(work, "push", "--quiet", "origin", "main")
    for name, revision in (("node-2", second), ("controller", second), ("node-1", first)):
        git_ok(work, "update-ref", f"refs/members/{name}/active", revision)
    git_ok(work, "update-ref", "refs/members/node-1/attempted", second)
    told = found(run, "log")["revisions"]
    assert [each["members"] for each in told] == [["controller", "node-2"], ["node-1"]]
    text = run("log", "-n", "1").splitlines()
    assert text[0].endswith("[controller, node-2]")
    assert text[1] == f"{first[:12]}  is not listed above  [node-1]"
    assert len(text) == 2


def test_the_log_of_a_bare_repository_is_that_of_its_main(run: Run, work: Path) -> None:
    told = found(run, "log", str(work.parent / "origin.git"))
    assert told["ref"] == "refs/heads/main"
    assert len(told["revisions"]) == 1


def test_a_repository_without_main_is_told(run: Run, tmp_path: Path) -> None:
    git_ok(tmp_path, "init", "--quiet", "empty")
    assert "has neither" in run("log", str(tmp_path / "empty"), code=2)


def test_what_an_author_wrote_does_nothing_to_a_terminal(run: Run, work: Path) -> None:
    commit(work, {}, "x\x1b[2Jforged\u202e")
    git_ok(work, "push", "--quiet", "origin", "main")
    text = run("log")
    assert text.replace("\n", "").isprintable()
    assert r"x\x1b[2Jforged\u202e" in text


def test_a_history_with_a_missing_commit_is_told(run: Run, work: Path) -> None:
    first = git_ok(work, "rev-parse", "HEAD")
    commit(work, {}, "second")
    git_ok(work, "update-ref", "refs/remotes/origin/main", "HEAD")
    (work / ".git/objects" / first[:2] / first[2:]).unlink()
    assert "the history of" in run("log", code=1)
