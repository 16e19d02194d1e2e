"""Who may propose cannot keep others from publishing what was approved, nor make review say what nobody said."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from controller_site import Site, controller_site
from review_site import Person, person

from mftgit.controller.review.reviews import ReviewRefusedError
from mftgit.model.access import OperatorRole

pytestmark = [pytest.mark.needs("git"), pytest.mark.needs("ssh-keygen")]

REVIEWED = "name: c\nreview: {approvals: 1}\n"
NODE = {"members/node-1.yaml": "role: node\n"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as running:
        running.publish({"cluster.yaml": REVIEWED.encode()})
        running.controller._review_gate.begin()
        yield running


@pytest.fixture
def ann(site: Site) -> Person:
    return person(site, "ann", OperatorRole.PUBLISH)


@pytest.fixture
def bob(site: Site) -> Person:
    return person(site, "bob")


@pytest.fixture
def eve(site: Site) -> Person:
    return person(site, "eve")


def test_the_same_commit_proposed_by_somebody_else_does_not_stand_in_the_way(
    site: Site, ann: Person, bob: Person, eve: Person
) -> None:
    tip = ann.fresh(NODE)
    ann.push("change/node")
    reviews = site.controller.reviews
    reviews.approve("node", bob.principal)
    eve.ok("fetch", "--quiet", "origin", "refs/heads/change/node")
    assert eve.git("push", "origin", "FETCH_HEAD:refs/heads/change/aaa").code == 0
    assert reviews.merge("node", ann.principal) == tip
    assert reviews.list() == ()


def test_the_same_commit_under_another_name_is_no_way_around_what_is_lacking(
    site: Site, ann: Person
) -> None:
    ann.fresh(NODE)
    ann.push("change/node")
    ann.push("change/zzz")
    reviews = site.controller.reviews
    with pytest.raises(ReviewRefusedError, match="more approval"):
        reviews.merge("zzz", ann.principal)
    assert "change/node cannot be merged yet" in ann.push("main").err


def test_unrelated_history_is_no_hindrance_and_can_be_taken_away(
    site: Site, ann: Person, bob: Person, eve: Person
) -> None:
    ann.fresh(NODE)
    ann.push("change/node")
    eve.ok("checkout", "--quiet", "--orphan", "other")
    eve.commit(NODE, "another beginning")
    assert "grew from no single revision of main" in eve.push("change/aaa").err
    reviews = site.controller.reviews
    assert [each.name for each in reviews.list()] == ["aaa", "node"]
    reviews.approve("node", bob.principal)
    reviews.merge("node", ann.principal)
    reviews.close("aaa", ann.principal)
    assert reviews.list() == ()


def test_nothing_is_put_on_top_that_takes_away_what_was_published_meanwhile(
    site: Site, ann: Person, bob: Person
) -> None:
    ann.fresh({"notes/a": "one\n"})
    ann.push("change/file")
    ann.fresh({"notes/a/b": "two\n"})
    ann.push("change/folder")
    reviews = site.controller.reviews
    for name in ("file", "folder"):
        reviews.approve(name, bob.principal)
    reviews.merge("file", ann.principal)
    with pytest.raises(ReviewRefusedError, match="both changed"):
        reviews.merge("folder", ann.principal)


def test_who_pushed_what_could_not_be_looked_at_is_its_author_once_it_can(
    site: Site, ann: Person, bob: Person, eve: Person
) -> None:
    main = site.controller.store.head()
    eve.ok("checkout", "--quiet", "--orphan", "other")
    eve.commit({**NODE, "cluster.yaml": REVIEWED})
    ghost = ("-c", "user.name=ghost", "-c", "committer.email=ghost@example.org")
    eve.ok(*ghost, "commit", "--quiet", "--amend", "--no-edit", "--author=ghost <ghost@x>")
    assert eve.push("change/node").code == 0
    bob.ok("fetch", "--quiet", "origin", "refs/heads/change/node")
    bob.ok("checkout", "--quiet", "--detach", "FETCH_HEAD")
    bob.ok("merge", "--quiet", "--allow-unrelated-histories", "-m", "merge", str(main))
    assert bob.push("change/node").code == 0
    reviews = site.controller.reviews
    reviews.approve("node", eve.principal)
    opinion = reviews.show("node").seen.standing.opinions[0]
    assert opinion.discounted == "eve has a part in the change itself, as eve"
    with pytest.raises(ReviewRefusedError, match="1 more approval"):
        reviews.merge("node", ann.principal)
