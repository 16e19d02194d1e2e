"""The gate and the members take what somebody signed by GPG whom the published revision allows, by stock git."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from controller_site import controller_site
from git_cli import Ran, clone, commit, git, git_ok
from git_site import Site, site
from gpg_keys import GpgHome, commit_by_gpg, gpg_home

from mftgit.member.verify import NotCheckedError, RefusedError, check_signatures
from mftgit.model.members.messages import MemberState

pytestmark = [pytest.mark.needs("git"), pytest.mark.needs("gpg")]

REQUIRED = "name: first\ntrust: {require_signatures: true}\n"
SIGNERS = "trust/gpg_signers"


def numbered(version: int) -> dict[str, str | bytes]:
    text = f"name: first\ntrust: {{require_signatures: true, version: {version}}}\n"
    return {"cluster.yaml": text}


@pytest.fixture(scope="module")
def home() -> Iterator[GpgHome]:
    with gpg_home() as made:
        for name in ("ann", "eve"):
            made.make(name)
        yield made


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path) as running:
        yield running


@pytest.fixture
def work(served: Site, tmp_path: Path, home: GpgHome) -> Path:
    """Return a clone of a repository that requires ann's signature."""
    made = clone(served.url, tmp_path / "work")
    commit(made, {"cluster.yaml": REQUIRED, SIGNERS: home.line("ann")})
    git_ok(made, "push", "origin", "main")
    return made


@pytest.fixture
def without_gpg() -> Iterator[pytest.MonkeyPatch]:
    """Give what takes gpg away, until it is undone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mftgit.adapters.git.gpg.shutil.which", lambda _name: None)
        yield patch


def push(work: Path) -> Ran:
    return git(work, "push", "origin", "HEAD:main")


def refused(served: Site, work: Path, told: str, reason: str = "not signed as required") -> None:
    before, files = served.store.head(), set(served.store.path.rglob("*"))
    ran = push(work)
    assert f"[remote rejected] HEAD -> main ({reason})" in ran.err
    assert told in ran.err
    assert served.store.head() == before
    assert set(served.store.path.rglob("*")) == files


def test_a_commit_signed_by_gpg_is_published_and_a_member_takes_it(
    served: Site, work: Path, home: GpgHome
) -> None:
    anchor = served.store.head()
    revision = commit_by_gpg(work, home, "ann")
    ran = push(work)
    assert (ran.code, served.store.head()) == (0, revision), ran.err
    check_signatures(served.store, anchor=anchor, tip=revision)


def test_a_commit_by_a_key_that_no_line_has_is_refused_here_and_there(
    served: Site, work: Path, home: GpgHome
) -> None:
    anchor = served.store.head()
    forged = commit_by_gpg(work, home, "eve")
    told = f"commit {forged[:12]} is signed with a key that is not allowed"
    refused(served, work, told)
    git_ok(work, "push", "--quiet", str(served.store.path), "main")  # past the gate
    with pytest.raises(RefusedError, match=told):
        check_signatures(served.store, anchor=anchor, tip=forged)


def test_a_push_cannot_bring_the_key_that_it_is_judged_by(
    served: Site, work: Path, home: GpgHome
) -> None:
    anchor = served.store.head()
    commit(work, {SIGNERS: home.line("ann") + home.line("eve"), **numbered(1)})
    git_ok(work, *home.settings("eve"), "commit", "--quiet", "--amend", "--no-edit", "-S")
    refused(served, work, "is signed with a key that is not allowed")
    git_ok(work, *home.settings("ann"), "commit", "--quiet", "--amend", "--no-edit", "-S")
    assert push(work).code == 0
    last = commit_by_gpg(work, home, "eve")
    assert push(work).code == 0
    check_signatures(served.store, anchor=anchor, tip=last)  # of a member that was away


def test_a_key_that_is_revoked_meanwhile_cannot_be_used_any_more(
    served: Site, work: Path, home: GpgHome
) -> None:
    home.make("lost")
    commit(work, {SIGNERS: home.line("ann") + home.line("lost"), **numbered(1)})
    git_ok(work, *home.settings("ann"), "commit", "--quiet", "--amend", "--no-edit", "-S")
    assert push(work).code == 0
    stolen = home.gpg("--export-secret-keys", "lost")
    home.revoke("lost")
    commit(work, {SIGNERS: home.line("ann") + home.line("lost"), **numbered(2)})
    git_ok(work, *home.settings("ann"), "commit", "--quiet", "--amend", "--no-edit", "-S")
    assert push(work).code == 0
    with gpg_home() as thief:  # where the revocation is not known
        thief.gpg("--import", content=stolen)
        by_thief = commit_by_gpg(work, thief, "lost")
    refused(
        served, work, f"commit {by_thief[:12]} is signed with a key that is revoked: by its owner"
    )


def test_without_gpg_the_gate_refuses_and_says_what_is_missing(
    served: Site, work: Path, home: GpgHome, without_gpg: pytest.MonkeyPatch
) -> None:
    revision = commit_by_gpg(work, home, "ann")
    told = "could not be checked here: gpg is not installed: apt install gnupg"
    refused(served, work, told, reason="signatures could not be checked")
    without_gpg.undo()
    assert push(work).code == 0
    assert served.store.head() == revision


def test_without_gpg_a_member_does_not_judge_for_good(
    served: Site, work: Path, home: GpgHome, without_gpg: pytest.MonkeyPatch
) -> None:
    anchor = served.store.head()
    revision = commit_by_gpg(work, home, "ann")
    git_ok(work, "push", "--quiet", str(served.store.path), "main")
    with pytest.raises(NotCheckedError, match="gpg is not installed"):
        check_signatures(served.store, anchor=anchor, tip=revision)
    without_gpg.undo()
    check_signatures(served.store, anchor=anchor, tip=revision)


def test_a_node_without_gpg_holds_and_takes_the_revision_in_once_gpg_is_there(
    tmp_path: Path, home: GpgHome, without_gpg: pytest.MonkeyPatch
) -> None:
    with controller_site(tmp_path) as running:
        required = b"name: c\ntrust: {require_signatures: true}\n"
        first = running.publish({"cluster.yaml": required, SIGNERS: home.line("ann").encode()})
        node = running.node()
        node.intake.resume()
        node.look()
        assert node.intake.runs == first
        work = clone(running.controller.store.path.as_uri(), tmp_path / "work")
        revision = commit_by_gpg(work, home, "ann")
        git_ok(work, "push", "--quiet", "origin", "main")  # past the gate
        running.controller.catch_up()
        with pytest.raises(NotCheckedError):
            node.look()
        assert (node.intake.state(), node.intake.runs) == (MemberState.WAITING, first)
        assert "gpg is not installed: apt install gnupg" in str(node.intake.reason())
        without_gpg.undo()
        node.look()
        assert (node.intake.state(), node.intake.runs) == (MemberState.ACTIVE, revision)
