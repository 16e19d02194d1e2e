"""Who may propose cannot keep others from publishing what was approved, nor make review say what nobody said."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from controller_site import Site, controller_site
from review_site import Person, person

from mftgit.controller.reviews import ReviewRefusedError
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
    eve.push("change/aaa")
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
