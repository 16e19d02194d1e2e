"""A member takes what enough people signed that they approve of, whatever the controller says."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster import mftgit
from controller_site import Node, Site, controller_site
from git_cli import git_ok
from review_site import REVIEWS, Person, person

from mftgit.adapters.state_folder import StateFolder
from mftgit.errors import MftgitError
from mftgit.member import upstream
from mftgit.model.access import OperatorRole
from mftgit.model.members.record import Stage
from mftgit.model.names import MAIN, Revision
from mftgit.model.review.record import Record, Said, Via

pytestmark = [pytest.mark.needs("git"), pytest.mark.needs("ssh-keygen")]

NODE = {"members/node-1.yaml": "role: node\n"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as running:
        yield running


@pytest.fixture
def ann(site: Site) -> Person:
    return person(site, "ann", OperatorRole.PUBLISH, signs=True)


@pytest.fixture
def bob(site: Site) -> Person:
    return person(site, "bob", OperatorRole.PUBLISH, signs=True)


@pytest.fixture
def node(site: Site, ann: Person, bob: Person) -> Node:
    """Return a node that runs a revision which requires approvals."""
    site.publish(
        {
            "cluster.yaml": b"name: c\n"
            b"trust: {require_signatures: true, require_approvals: 1, version: 1, break_glass: 1}\n",
            "trust/allowed_signers": (ann.line + bob.line).encode(),
        }
    )
    site.controller._review_gate.begin()
    made = site.node()
    made.look()
    assert made.intake.record.stage is Stage.CONFIRMED
    return made


def signed(who: Person, said: Said, commit: str, base: str, content: str | None, name: str) -> str:
    """Make the signed commit that says this, on what was fetched of the log."""
    who.ok("fetch", "--quiet", "origin", f"+{REVIEWS}:{REVIEWS}")
    value = {
        "said": said.value,
        "change": name,
        "commit": commit,
        "by": who.name,
        "via": "git",
        "base": base,
        "text": "the bank is down",
    } | ({} if content is None else {"content": content})
    tree = git_ok(who.work, "mktree", content=b"")
    message = f"{said.value}\n\n{json.dumps(value)}\n"
    return who.ok("commit-tree", "-S", tree, "-p", REVIEWS, "-m", message)


def approve(site: Site, who: Person, name: str) -> None:
    change = site.controller.reviews.show(name).seen.change
    made = signed(who, Said.APPROVE, change.tip, change.base, change.content, name)
    who.ok("push", "origin", f"{made}:{REVIEWS}")


def forge(site: Site, to: str) -> None:
    """Move main as who holds the controller can, past its gate."""
    store = site.controller.store
    assert store.set_ref(MAIN, old=store.head(), new=Revision(to))
    site.controller.catch_up()


def refused(node: Node, told: str) -> None:
    node.look()
    assert node.intake.record.stage is Stage.REFUSED
    assert told in (node.intake.reason() or "")


def test_members_take_what_another_signed_that_he_approves(
    site: Site, node: Node, ann: Person, bob: Person
) -> None:
    tip = ann.fresh(NODE)
    assert ann.push("change/node").code == 0
    site.controller.reviews.approve("node", bob.principal)  # by the web: members cannot check that
    assert "1 signed approvals" in site.controller.reviews.show("node").obstacles[0]
    approve(site, bob, "node")
    assert site.controller.reviews.merge("node", ann.principal) == tip
    node.look()
    assert node.intake.record.stage is Stage.CONFIRMED
    assert node.intake.runs == tip


def test_what_is_pushed_unsigned_of_an_approval_is_refused_at_once(
    site: Site, node: Node, ann: Person
) -> None:
    del node
    ann.fresh(NODE)
    ann.push("change/node")
    eve = person(site, "eve", signs=True)
    change = site.controller.reviews.show("node").seen.change
    made = signed(eve, Said.APPROVE, change.tip, change.base, change.content, "node")
    assert "members want to see it signed" in eve.git("push", "origin", f"{made}:{REVIEWS}").err


def test_members_refuse_what_a_controller_publishes_or_says_by_itself(
    site: Site, node: Node, ann: Person
) -> None:
    runs = node.intake.runs
    tip = ann.fresh(NODE)
    ann.push("change/node")
    seen = site.controller.reviews.show("node").seen
    forge(site, tip)
    refused(node, f"commit {tip[:12]} is not covered by enough signed approvals")
    for by in ("bob", "ann"):  # in their names, and in another's commit
        site.controller._review_gate.kept.append(
            Record(
                said=Said.APPROVE,
                change="node",
                commit=seen.change.tip,
                by=by,
                via=Via.GIT,
                base=seen.change.base,
                content=seen.change.content,
            )
        )
    again = ann.commit({"notes/x.txt": "x"})  # a revision more, so that it is looked at anew
    ann.push("change/more")
    forge(site, again)
    refused(node, "is not approved as required")
    assert node.intake.runs == runs


def test_an_approval_of_one_commit_is_none_of_another(
    site: Site, node: Node, ann: Person, bob: Person
) -> None:
    ann.fresh(NODE)
    ann.push("change/node")
    approve(site, bob, "node")
    ann.ok("commit", "--quiet", "--amend", "--no-edit", "--date=2026-01-01T00:00:00Z")
    same = ann.ok("rev-parse", "HEAD")
    ann.push("change/same")
    forge(site, same)
    refused(node, f"commit {same[:12]} is not covered")


def test_a_log_that_is_taken_back_or_gone_lets_nothing_pass(
    site: Site, node: Node, ann: Person, bob: Person
) -> None:
    store = site.controller.store
    tip = ann.fresh(NODE)
    ann.push("change/node")
    before = store.head(REVIEWS)
    assert before is not None
    approve(site, bob, "node")
    approved = store.head(REVIEWS)
    assert approved is not None
    store.set_ref(REVIEWS, old=approved, new=before)
    forge(site, tip)
    refused(node, "is not approved as required")
    store.set_ref(REVIEWS, old=before, new=approved)
    more = ann.commit({"notes/x.txt": "x"})
    ann.push("change/more")
    approve(site, bob, "more")
    forge(site, more)  # of which the log tells all
    node.look()
    assert node.intake.runs == more


def test_a_log_that_is_too_large_is_not_taken_in(
    site: Site, node: Node, ann: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    tip = ann.fresh(NODE)
    ann.push("change/node")
    approve(site, bob, "node")
    forge(site, tip)
    monkeypatch.setattr(upstream, "_MAX_REVIEWS_BYTES", 100)
    with pytest.raises(MftgitError, match="more than 100 bytes"):
        node.look()
    assert node.intake.runs != tip
    monkeypatch.undo()
    node.look()
    assert node.intake.runs == tip


def test_a_broken_glass_that_is_signed_is_taken_where_the_policy_says_so(
    site: Site, node: Node, ann: Person
) -> None:
    main = str(site.controller.store.head())
    new = ann.fresh(NODE)
    assert "main takes approved proposals only" in ann.push("main").err
    made = signed(ann, Said.BREAK_GLASS, new, main, None, "")
    ann.ok("push", "origin", f"{made}:{REVIEWS}")
    assert ann.push("main").code == 0
    node.look()
    assert node.intake.runs == new


def test_what_came_without_approval_is_made_good_by_one_that_sees_it_all(
    site: Site, node: Node, ann: Person, bob: Person
) -> None:
    anchor = str(node.intake.runs)
    sneaked = ann.fresh(NODE)
    ann.push("change/node")
    forge(site, sneaked)
    refused(node, "is not approved as required")
    tip = ann.fresh({"notes/x.txt": "x"})
    ann.push("change/more")
    approve(site, bob, "more")
    reading = site.controller._review_gate.reading
    content, _ = reading.compare(Revision(anchor), Revision(tip))
    seen = signed(bob, Said.APPROVE, tip, anchor, content, "more")
    bob.ok("push", "origin", f"{seen}:{REVIEWS}")
    site.controller.reviews.merge("more", ann.principal)
    node.look()
    assert node.intake.runs == tip


def test_approvals_that_come_later_let_it_pass_without_another_push(
    site: Site, node: Node, ann: Person, bob: Person
) -> None:
    runs = node.intake.runs
    tip = ann.fresh(NODE)
    ann.push("change/node")
    change = site.controller.reviews.show("node").seen.change
    forge(site, tip)
    refused(node, "is not approved as required")
    attempts = node.intake.record.attempts

    more = signed(ann, Said.APPROVE, tip, change.base, change.content, "node")  # its own author
    ann.ok("push", "origin", f"{more}:{REVIEWS}")
    for _ in range(2):
        refused(node, "is not approved as required")
    assert node.intake.record.attempts == attempts  # nothing is told anew of what is as it was
    assert node.intake.runs == runs

    seen = signed(bob, Said.APPROVE, tip, change.base, change.content, "node")
    bob.ok("push", "origin", f"{seen}:{REVIEWS}")
    node.look()
    assert node.intake.record.stage is Stage.CONFIRMED
    assert node.intake.runs == tip
    assert node.intake.record.quarantine == ()


def test_who_approved_outlives_the_controller(
    site: Site, node: Node, ann: Person, bob: Person
) -> None:
    ann.fresh(NODE)
    ann.push("change/node")
    approve(site, bob, "node")
    site.controller.reviews.merge("node", ann.principal)
    node.look()
    new = site.folder.root.parent / "new"
    words = ("controller", "restore", new, "--from-member", node.folder.root)
    done = mftgit(*words, "--listen", "127.0.0.1:0", cwd=new.parent)
    assert done.returncode == 0, done.stderr
    repository = StateFolder(new).repository
    told = git_ok(repository, "log", "--format=%s", REVIEWS)
    assert "approve" in told
    assert "by ann" in told
