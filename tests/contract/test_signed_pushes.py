"""The gate and the members take what somebody signed whom the published revision allows, by stock git."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from git_cli import Ran, clone, commit, git, git_ok
from git_site import Site, site
from signing import KeyPair, make_key, signing_settings

from mftgit.adapters.git.store import GitStore
from mftgit.member.verify import RefusedError, check_signatures
from mftgit.model.events.event import EventName
from mftgit.model.names import Revision

pytestmark = [pytest.mark.needs("git"), pytest.mark.needs("ssh-keygen")]

REQUIRED = "name: first\ntrust: {require_signatures: true}\n"
NOT_REQUIRED = "name: first\ntrust: {version: 1}\n"
SIGNERS = "trust/allowed_signers"


def admitted(version: int, *lines: str) -> dict[str, str | bytes]:
    """Return the files of a policy with that number."""
    required = f"name: first\ntrust: {{require_signatures: true, version: {version}}}\n"
    return {"cluster.yaml": required, SIGNERS: "".join(lines)}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as running:
        yield running


@pytest.fixture
def ann(tmp_path: Path) -> KeyPair:
    return make_key(tmp_path, "ann")


@pytest.fixture
def eve(tmp_path: Path) -> KeyPair:
    return make_key(tmp_path, "eve")


@pytest.fixture
def work(served: Site, tmp_path: Path, ann: KeyPair) -> Path:
    """Return a clone of a repository that requires ann's signature."""
    made = clone(served.url, tmp_path / "work")
    commit(made, {"cluster.yaml": REQUIRED, SIGNERS: ann.line()})
    git_ok(made, "push", "origin", "main")
    return made


def signed(work: Path, key: KeyPair, files: dict[str, str | bytes] | None = None) -> Revision:
    commit(work, files or {})
    git_ok(work, *signing_settings(key), "commit", "--quiet", "--amend", "--no-edit", "-S")
    return Revision(git_ok(work, "rev-parse", "HEAD"))


def push(work: Path) -> Ran:
    return git(work, "push", "origin", "HEAD:main")


def refused(served: Site, work: Path, *told: str) -> None:
    """Push, which has to be refused with ``told`` and without a trace."""
    before, files = served.store.head(), set(served.store.path.rglob("*"))
    ran = push(work)
    assert ran.code != 0
    for part in ("[remote rejected] HEAD -> main (not signed as required)", *told):
        assert part in ran.err
    assert served.store.head() == before
    assert set(served.store.path.rglob("*")) == files
    assert served.told()[-1] is EventName.PUSH_REFUSED


def tip(work: Path) -> str:
    return git_ok(work, "rev-parse", "HEAD")[:12]


def test_a_revision_that_switches_the_requirement_on_is_judged_by_the_old_policy(
    served: Site, work: Path
) -> None:
    assert served.store.head() == git_ok(work, "rev-parse", "HEAD")


def test_an_unsigned_commit_is_refused_with_the_way_out(served: Site, work: Path) -> None:
    commit(work, {"a": "1"})
    refused(
        served, work, f"remote: commit {tip(work)} is not signed", "refs/heads/main cannot move there",
        "git config gpg.format ssh", "git commit -S", "allows: ann@example.org", "mftgit trust add",
    )  # fmt: skip


def test_a_signed_commit_is_published(served: Site, work: Path, ann: KeyPair) -> None:
    revision = signed(work, ann, {"a": "1"})
    assert push(work).code == 0
    assert served.store.head() == revision


def test_the_way_out_for_what_is_committed_already_leads_through_the_gate(
    served: Site, work: Path, ann: KeyPair
) -> None:
    commit(work, {"a": "1"})
    commit(work, {"a": "2"})
    refused(served, work, "git rebase --exec 'git commit --amend --no-edit -S' origin/main")
    git_ok(
        work, *signing_settings(ann), "rebase", "--quiet",
        "--exec", "git commit --amend --no-edit --quiet -S", "origin/main",
    )  # fmt: skip
    assert push(work).code == 0


def test_every_commit_of_a_push_counts_and_not_the_last_alone(
    served: Site, work: Path, ann: KeyPair
) -> None:
    commit(work, {"a": "1"})
    first = tip(work)
    signed(work, ann, {"a": "2"})
    refused(served, work, f"commit {first} is not signed")


def test_a_push_that_admits_its_own_author_is_refused(
    served: Site, work: Path, ann: KeyPair, eve: KeyPair
) -> None:
    signed(work, eve, admitted(1, ann.line(), eve.line("eve@example.org")))
    refused(served, work, f"commit {tip(work)} is signed with a key that is not allowed")
    git_ok(work, "reset", "--quiet", "--hard", "origin/main")
    signed(work, ann, admitted(1, ann.line(), eve.line("eve@example.org")))
    signed(work, eve, {"a": "1"})
    refused(served, work, "key that is not allowed")  # one push, one policy
    git_ok(work, "reset", "--quiet", "--hard", "HEAD~1")
    assert push(work).code == 0
    signed(work, eve, {"a": "1"})
    assert push(work).code == 0


def test_an_unsigned_commit_cannot_switch_the_requirement_off(
    served: Site, work: Path, ann: KeyPair
) -> None:
    commit(work, {"cluster.yaml": NOT_REQUIRED})
    refused(served, work, "is not signed")
    git_ok(work, "reset", "--quiet", "--hard", "origin/main")
    signed(work, ann, {"cluster.yaml": NOT_REQUIRED})
    assert push(work).code == 0
    commit(work, {"a": "1"})
    assert push(work).code == 0


def test_both_sides_of_a_merge_and_the_merge_itself_are_looked_at(
    served: Site, work: Path, ann: KeyPair
) -> None:
    git_ok(work, "switch", "--quiet", "-c", "side", "HEAD~1")
    commit(work, {"side": "1"})
    side = tip(work)
    git_ok(work, "switch", "--quiet", "main")
    merge = (*signing_settings(ann), "merge", "--quiet", "--no-ff", "--no-edit", "-S")
    git_ok(work, *merge, "side")
    refused(served, work, f"commit {side} is not signed")
    git_ok(work, "reset", "--quiet", "--hard", "origin/main")
    git_ok(work, "switch", "--quiet", "side")
    signed(work, ann, {"side": "2"})
    git_ok(work, *signing_settings(ann), "rebase", "--quiet", "--exec",
           "git commit --amend --no-edit --quiet -S", "main~1")  # fmt: skip
    git_ok(work, "switch", "--quiet", "main")
    git_ok(work, "merge", "--quiet", "--no-ff", "--no-edit", "side")
    refused(served, work, f"commit {tip(work)} is not signed")
    git_ok(work, "reset", "--quiet", "--hard", "origin/main")
    git_ok(work, *merge, "side")
    assert push(work).code == 0


@pytest.mark.parametrize("signers", ["", "ann@example.org\n", None])
def test_a_list_that_admits_nobody_lets_nothing_pass(
    served: Site, tmp_path: Path, ann: KeyPair, signers: str | None
) -> None:
    made = clone(served.url, tmp_path / "work")
    commit(made, {"cluster.yaml": REQUIRED, **({} if signers is None else {SIGNERS: signers})})
    git_ok(made, "push", "origin", "main")  # this gate's validation knows no such rule
    signed(made, ann, {SIGNERS: ann.line()})
    refused(served, made, "admits nobody")


def test_a_refusal_by_history_comes_before_one_by_signature(served: Site, work: Path) -> None:
    del served
    git_ok(work, "reset", "--quiet", "--hard", "HEAD~1")
    commit(work, {"b": "1"})
    ran = git(work, "push", "--force", "origin", "HEAD:main")
    assert "non-fast-forward" in ran.err


def test_a_refusal_by_signature_comes_before_one_by_validation(served: Site, work: Path) -> None:
    commit(work, {"a": "bad"})
    refused(served, work, "is not signed")


# What a member says of the same history, by itself


def test_a_member_judges_by_its_anchor_whatever_the_controller_took(
    served: Site, work: Path, ann: KeyPair, eve: KeyPair
) -> None:
    anchor = Revision(git_ok(work, "rev-parse", "HEAD"))
    good = signed(work, ann, {"a": "1"})
    forged = signed(work, eve, {"a": "2"})
    git_ok(work, "push", "--quiet", str(served.store.path), "main")  # past the gate
    check_signatures(served.store, anchor=anchor, tip=good)
    with pytest.raises(RefusedError) as caught:
        check_signatures(served.store, anchor=anchor, tip=forged)
    assert f"revision {forged[:12]} is not signed as required" in str(caught.value)
    assert "a key that is not allowed" in str(caught.value)
    check_signatures(served.store, anchor=None, tip=forged)
    check_signatures(served.store, anchor=forged, tip=forged)


def test_a_member_that_was_away_follows_pushes_of_signers_admitted_meanwhile(
    served: Site, work: Path, ann: KeyPair, eve: KeyPair
) -> None:
    anchor = Revision(git_ok(work, "rev-parse", "HEAD"))
    signed(work, ann, admitted(1, ann.line(), eve.line("eve@example.org")))
    assert push(work).code == 0
    signed(work, eve, admitted(2, eve.line("eve@example.org")))
    assert push(work).code == 0
    last = signed(work, eve, {"a": "1"})
    assert push(work).code == 0
    check_signatures(served.store, anchor=anchor, tip=last)


# The number of the policy


def test_who_may_sign_does_not_change_without_a_higher_number(
    served: Site, work: Path, ann: KeyPair, eve: KeyPair
) -> None:
    lines = ann.line() + eve.line("eve@example.org")
    anchor = Revision(git_ok(work, "rev-parse", "HEAD"))
    unnumbered = signed(work, ann, {SIGNERS: lines})
    ran = push(work)
    assert "cluster.yaml:2:8: this changes who may sign, and trust.version stays 0" in ran.err
    git_ok(work, "push", "--quiet", str(served.store.path), "HEAD:refs/heads/aside")
    with pytest.raises(RefusedError, match=r"trust\.version stays 0") as caught:
        check_signatures(served.store, anchor=anchor, tip=unnumbered)
    assert [each.rule for each in caught.value.problems] == ["trust"]
    numbered = signed(work, ann, admitted(1, lines))
    assert push(work).code == 0
    check_signatures(served.store, anchor=anchor, tip=numbered)


def test_a_policy_from_before_is_not_taken_back(
    served: Site, work: Path, ann: KeyPair, eve: KeyPair
) -> None:
    signed(work, ann, admitted(1, ann.line(), eve.line("eve@example.org")))
    assert push(work).code == 0
    anchor = signed(work, ann, admitted(2, ann.line()))
    assert push(work).code == 0
    git_ok(work, "revert", "--no-commit", "HEAD")
    taken_back = signed(work, ann)
    assert "cluster.yaml:2:44: trust.version goes down from 2 to 1" in push(work).err
    git_ok(work, "push", "--quiet", str(served.store.path), "HEAD:refs/heads/aside")
    with pytest.raises(RefusedError, match="goes down from 2 to 1"):
        check_signatures(served.store, anchor=anchor, tip=taken_back)


# What lies between two revisions, with git as the oracle


def test_what_lies_between_two_commits_is_what_git_lists(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    git_ok(work, "init", "--quiet", "--initial-branch", "main")
    for branch in ("begin", "one", "two"):
        git_ok(work, "switch", "--quiet", "-c", branch)
        for number in range(3):
            commit(work, {f"{branch}{number}": "x"})
    git_ok(work, "branch", "main", "begin")
    git_ok(work, "switch", "--quiet", "main")
    git_ok(work, "merge", "--quiet", "--no-ff", "--no-edit", "one")
    commit(work, {"later": "x"})
    git_ok(work, "merge", "--quiet", "--no-ff", "--no-edit", "two")
    git_ok(work, "switch", "--quiet", "--orphan", "other")
    commit(work, {"root": "x"})
    git_ok(work, "switch", "--quiet", "main")
    git_ok(work, "merge", "--quiet", "--no-edit", "--allow-unrelated-histories", "other")
    git_ok(tmp_path, "clone", "--quiet", "--bare", str(work), str(tmp_path / "bare.git"))
    everything = git_ok(work, "rev-list", "--all").splitlines()
    with GitStore(tmp_path / "bare.git") as store:
        for old in everything:
            for new in everything:
                listed = git_ok(work, "rev-list", f"{old}..{new}").splitlines()
                found = store.history(Revision(old), Revision(new))
                assert sorted(found) == sorted(listed)
                for revision, parents in found.items():
                    told = git_ok(work, "rev-list", "--parents", "-1", revision).split()
                    assert [revision, *parents] == told


def test_single_files_of_a_revision_are_picked_and_folders_and_links_are_not(
    tmp_path: Path,
) -> None:
    work = tmp_path / "work"
    (work / "trust").mkdir(parents=True)
    (work / "trust/allowed_signers").write_text("x", encoding="utf-8")
    (work / "link").symlink_to("trust/allowed_signers")
    git_ok(work, "init", "--quiet", "--initial-branch", "main")
    revision = Revision(commit(work, {"cluster.yaml": "y"}))
    with GitStore(work / ".git") as store:
        paths = (
            SIGNERS,
            "cluster.yaml",
            "trust",
            "link",
            "link/x",
            "cluster.yaml/x",
            "none",
            "no/x",
        )
        found = store.pick(revision, paths)
        assert {path: entry.load() for path, entry in found.items()} == {
            SIGNERS: b"x",
            "cluster.yaml": b"y",
        }
        assert store.raw_commit(revision).startswith(b"tree ")


def test_a_commit_is_read_byte_for_byte(tmp_path: Path) -> None:
    author = "Ann <ann@example.org>"
    with GitStore.create(tmp_path / "store.git") as store:
        now = datetime(2026, 6, 1, tzinfo=UTC)
        revision = store.commit_documents(
            {"a": b"x"}, message="é", author=author, now=now, parent=None
        )
        shown = git_ok(store.path, "cat-file", "commit", revision)
        assert store.raw_commit(revision).decode().strip() == shown


def test_a_member_follows_an_ordinary_merge_of_what_was_published_meanwhile(
    served: Site, work: Path, ann: KeyPair, tmp_path: Path
) -> None:
    anchor, bob = Revision(git_ok(work, "rev-parse", "HEAD")), make_key(tmp_path, "bob")
    stale = clone(served.url, tmp_path / "stale")
    signed(work, ann, admitted(1, ann.line(), bob.line("bob@example.org")))
    assert push(work).code == 0
    signed(work, bob, {"b": "1"})
    assert push(work).code == 0
    signed(stale, ann, {"a": "1"})
    pull = ("pull", "--quiet", "--no-rebase", "--no-edit", "-S", "origin", "main")
    git_ok(stale, *signing_settings(ann), *pull)
    assert push(stale).code == 0
    check_signatures(served.store, anchor=anchor, tip=Revision(git_ok(stale, "rev-parse", "HEAD")))
