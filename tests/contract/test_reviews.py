"""Nothing is published but what enough people approved, whatever way it comes, and the history tells who did."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from controller_site import Site, controller_site
from git_cli import Ran, git_ok
from review_site import REVIEWS, Person, person

from mftgit.controller.review import room
from mftgit.controller.review.reviews import ReviewRefusedError
from mftgit.controller.views.cluster_status import status_of_cluster
from mftgit.model.access import OperatorRole
from mftgit.model.events.event import EventName
from mftgit.model.names import MAIN, Revision
from mftgit.model.review import share as review_share
from mftgit.model.review.review import State

pytestmark = [pytest.mark.needs("git"), pytest.mark.needs("ssh-keygen")]

REVIEWED = "name: c\nreview: {approvals: 1, owners: {'transfers/bank*': [bob, carol]}}\n"
NODE = {"members/node-1.yaml": "role: node\n"}
NODE_2 = {"members/node-2.yaml": "role: node\n"}


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
    return person(site, "bob", OperatorRole.PUBLISH)


def events(site: Site, name: EventName) -> list[dict[str, object]]:
    found = (each for _, each in site.events.after(0, limit=10_000))
    return [dict(each.facts) for each in found if each.event is name]


def said(person: Person, **fields: object) -> str:
    """Make the commit that says ``fields``, on what was fetched of the log."""
    person.ok("fetch", "--quiet", "origin", f"+{REVIEWS}:{REVIEWS}")
    message = f"{fields['said']}\n\n{json.dumps(fields)}\n"
    tree = git_ok(person.work, "mktree", content=b"")
    return person.ok("commit-tree", tree, "-p", REVIEWS, "-m", message)


def say(person: Person, **fields: object) -> Ran:
    return person.git("push", "origin", f"{said(person, **fields)}:{REVIEWS}")


def opinion(site: Site, name: str, by: str, verdict: str = "approve") -> dict[str, object]:
    change = site.controller.reviews.show(name).seen.change
    return {
        "said": verdict,
        "change": name,
        "commit": change.tip,
        "by": by,
        "via": "git",
        "base": change.base,
        "content": change.content,
    }


def test_a_direct_push_is_refused_with_the_way_to_propose(site: Site, ann: Person) -> None:
    before = site.controller.store.head()
    ann.fresh(NODE)
    ran = ann.push("main")
    assert "[remote rejected] HEAD -> main (main takes approved proposals only)" in ran.err
    assert "propose it: git push origin HEAD:change/NAME (or: mftgit propose NAME)" in ran.err
    assert site.controller.store.head() == before


def test_who_proposes_is_told_what_it_means_and_who_approves(ann: Person) -> None:
    ann.fresh(NODE)
    ran = ann.push("change/node")
    assert ran.code == 0, ran.err
    told = [line.removeprefix("remote: ").rstrip() for line in ran.err.splitlines()]
    assert "  node-1 comes" in told
    assert "  1 more approval is needed: 0 of 1 so far" in told
    assert "to approve: mftgit review approve node" in told


def test_what_somebody_else_approved_is_merged_and_stays_on_record(
    site: Site, ann: Person, bob: Person
) -> None:
    tip = ann.fresh(NODE)
    ann.push("change/node")
    reviews = site.controller.reviews
    assert reviews.show("node").affected == ("node-1",)
    with pytest.raises(ReviewRefusedError, match="1 more approval"):
        reviews.merge("node", bob.principal)
    reviews.approve("node", bob.principal, "good")
    assert [each.state for each in reviews.list()] == [State.APPROVED]
    assert reviews.merge("node", ann.principal) == tip
    assert site.controller.store.head() == tip
    assert reviews.list() == ()
    kinds = [each.record.said.value for each in site.controller._review_gate.reading.entries()]
    assert kinds == ["begin", "propose", "approve", "merge"]
    assert events(site, EventName.CHANGE_MERGED) == [
        {"change": "node", "who": "ann", "proposed": tip}
    ]
    ann.ok("fetch", "origin", f"{REVIEWS}:{REVIEWS}")
    assert ann.ok("log", "-1", "--format=%s", REVIEWS).startswith("merge change/node at")


def test_an_approved_proposal_may_be_pushed_to_main_as_it_is(
    site: Site, ann: Person, bob: Person
) -> None:
    tip = ann.fresh(NODE)
    ann.push("change/node")
    ran = ann.push("main")
    assert "(not approved)" in ran.err
    assert "1 more approval is needed" in ran.err
    assert say(bob, **opinion(site, "node", "bob")).code == 0
    ran = ann.push("main")
    assert ran.code == 0, ran.err
    assert site.controller.store.head() == tip
    assert site.controller.reviews.list() == ()


@pytest.mark.parametrize("who", ["pusher", "author"])
def test_nobody_approves_what_is_his_own(site: Site, ann: Person, bob: Person, who: str) -> None:
    mine, other = (ann, bob) if who == "author" else (bob, ann)
    mine.fresh(NODE)
    if who == "pusher":
        mine.push("change/node")
    else:  # of ann's making, and pushed by bob: her address is found where people are listed
        site.publish(
            {"cluster.yaml": b"name: c\nreview: {people: {ann: [ANN@example.org], bob: []}}\n"}
        )
        mine.fresh(NODE)
        mine.ok("push", "--quiet", str(other.work), "HEAD:refs/heads/theirs")
        other.ok("push", "origin", "theirs:refs/heads/change/node")
        site.controller.reviews.approve("node", other.principal)
    entry = site.controller.reviews.approve("node", mine.principal)
    assert entry.record.by == mine.name
    view = site.controller.reviews.show("node")
    assert view.seen.standing.given == 0
    assert {
        each.discounted for each in view.seen.standing.opinions if each.entry.record.by == mine.name
    } == {f"{mine.name} has a part in the change itself, as {mine.name}"}
    with pytest.raises(ReviewRefusedError):
        site.controller.reviews.merge("node", other.principal)


FORGED: list[tuple[dict[str, object], str]] = [
    ({"by": "bob"}, "ann cannot speak for bob"),
    ({"via": "web"}, "is for the controller to say"),
    ({"said": "merge"}, "is for the controller to say"),
    ({"said": "propose"}, "is for the controller to say"),
    ({"commit": "a" * 40}, "look at it again"),
    ({"content": "0" * 64}, "of another content"),
    ({"base": "a" * 40}, "has to be with"),
    ({"change": "other"}, "there is no proposal other"),
    ({"change": "../node"}, "no name of a proposal"),
    ({"extra": 1}, "'extra' is not known"),
    ({"text": "x" * 10_001}, "at most 10000 characters"),
]


def test_nothing_is_said_in_anothers_name_or_of_another_content(
    site: Site, ann: Person, bob: Person
) -> None:
    bob.fresh(NODE)
    bob.push("change/node")
    before = site.controller.store.head(REVIEWS)
    honest = opinion(site, "node", "ann")
    for change, why in FORGED:
        ran = say(ann, **honest | change)
        assert "(not written down)" in ran.err
        assert why in ran.err
        assert site.controller.store.head(REVIEWS) == before
    assert say(ann, **honest).code == 0


def test_the_log_is_neither_taken_back_nor_removed_nor_given_files(site: Site, ann: Person) -> None:
    ann.fresh(NODE)
    ann.push("change/node")
    ann.ok("fetch", "--quiet", "origin", f"+{REVIEWS}:{REVIEWS}")
    begun = ann.ok("rev-parse", f"{REVIEWS}~1")
    assert "(non-fast-forward)" in ann.git("push", "--force", "origin", f"{begun}:{REVIEWS}").err
    assert "(the log of reviews only grows)" in ann.git("push", "origin", f":{REVIEWS}").err
    fields = json.dumps(opinion(site, "node", "ann"))
    full = ann.ok("commit-tree", "HEAD^{tree}", "-p", REVIEWS, "-m", f"x\n\n{fields}")
    assert "and no files" in ann.git("push", "origin", f"{full}:{REVIEWS}").err
    assert (
        "only main and change/* may be pushed"
        in ann.git("push", "origin", "HEAD:refs/reviews/x").err
    )


def test_an_approval_ends_with_what_it_was_given_for(site: Site, ann: Person, bob: Person) -> None:
    ann.fresh(NODE)
    ann.push("change/node")
    reviews = site.controller.reviews
    reviews.approve("node", bob.principal)
    ann.commit({"members/node-1.yaml": "role: node\nlabels: {a: b}\n"})
    ann.push("change/node")
    view = reviews.show("node")
    assert view.summary.state is State.OPEN
    assert [each.record.by for each in view.seen.standing.outdated] == ["bob"]


def test_an_approval_outlives_a_merge_of_what_was_published_meanwhile(
    site: Site, ann: Person, bob: Person
) -> None:
    ann.fresh(NODE)
    ann.push("change/node")
    site.controller.reviews.approve("node", bob.principal)
    site.publish({"cluster.yaml": REVIEWED.encode(), "members/node-9.yaml": b"role: node\n"})
    ann.ok("fetch", "--quiet", "origin")
    ann.ok("merge", "--quiet", "--no-edit", "origin/main")
    ann.push("change/node")
    assert site.controller.reviews.show("node").merges_by == "fast-forward"


def test_what_a_proposal_changes_is_worked_out_once(site: Site, ann: Person) -> None:
    tip = ann.fresh(NODE)
    ann.push("change/node")
    first = site.controller.reviews.show("node")
    assert [each.member for each in first.changes if each] == ["node-1"]
    again = site.controller.reviews.show("node")
    kept = site.controller.history.compare(Revision(first.seen.change.base), Revision(tip))
    assert all(one is kept.members[place] for place, one in enumerate(again.changes))
    assert again.changes[0] is first.changes[0]


def test_a_proposal_that_main_has_left_behind_is_put_on_top(
    site: Site, ann: Person, bob: Person
) -> None:
    ann.fresh(NODE)
    ann.commit({"notes/x.txt": "x"})
    ann.push("change/node")
    reviews = site.controller.reviews
    reviews.approve("node", bob.principal)
    main = site.publish({"cluster.yaml": REVIEWED.encode(), "notes/y.txt": b"y"})
    assert reviews.show("node").merges_by == "rebase"
    new = reviews.merge("node", bob.principal)
    store = site.controller.store
    assert store.head() == new
    assert store.is_ancestor(main, new)
    assert {"members/node-1.yaml", "notes/x.txt", "notes/y.txt"} <= store.tree(new).keys()
    assert len(store.history(main, new)) == 2
    assert b"\ncommitter mftgit <controller@c.invalid> " in store.raw_commit(new)
    assert reviews.list() == ()
    assert not site.controller._review_gate.rebased


def test_what_both_changed_is_not_put_on_top(site: Site, ann: Person, bob: Person) -> None:
    ann.fresh({"notes/x.txt": "mine"})
    ann.push("change/note")
    site.controller.reviews.approve("note", bob.principal)
    site.publish({"cluster.yaml": REVIEWED.encode(), "notes/x.txt": b"theirs"})
    view = site.controller.reviews.show("note")
    assert view.merges_by is None
    assert "both changed notes/x.txt" in view.obstacles[0]
    with pytest.raises(ReviewRefusedError, match="both changed"):
        site.controller.reviews.merge("note", bob.principal)


def test_of_two_merges_at_once_one_lands_first_and_nothing_is_lost(
    site: Site, ann: Person, bob: Person
) -> None:
    reviews, store = site.controller.reviews, site.controller.store
    for name, files in (("one", NODE), ("two", NODE_2)):
        ann.fresh(files)
        ann.push(f"change/{name}")
        reviews.approve(name, bob.principal)
    outcomes: dict[str, Revision | str] = {}
    ready = threading.Barrier(2)

    def merge(name: str) -> None:
        ready.wait()
        try:
            outcomes[name] = reviews.merge(name, bob.principal)
        except ReviewRefusedError as error:
            outcomes[name] = str(error)

    threads = [threading.Thread(target=merge, args=(name,)) for name in ("one", "two")]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for name, outcome in outcomes.items():
        if len(outcome) != 40:
            assert "fetch first" in outcome
            outcomes[name] = reviews.merge(name, bob.principal)
    head = store.head()
    assert head is not None
    assert all(store.is_ancestor(Revision(each), head) for each in outcomes.values())
    assert {"members/node-1.yaml", "members/node-2.yaml"} <= store.tree(head).keys()
    merged = [
        e for e in site.controller._review_gate.reading.entries() if e.record.said.value == "merge"
    ]
    assert sorted(e.record.change for e in merged) == ["one", "two"]


def test_a_proposal_does_not_weaken_the_policy_that_it_is_judged_by(
    site: Site, ann: Person, bob: Person
) -> None:
    ann.fresh({"cluster.yaml": "name: c\n"})
    ann.push("change/free")
    assert "(not approved)" in ann.push("main").err
    site.controller.reviews.approve("free", bob.principal)
    assert ann.push("main").code == 0
    ann.fresh(NODE)
    assert ann.push("main").code == 0  # under the policy that is published now


def test_owners_have_to_approve_their_paths(site: Site, ann: Person, bob: Person) -> None:
    dave = person(site, "dave")
    ann.fresh({"notes/x.txt": "x"})
    site.publish({"cluster.yaml": b"name: c\nreview: {owners: {'notes/**': [bob, carol]}}\n"})
    ann.push("change/note")
    reviews = site.controller.reviews
    reviews.approve("note", dave.principal)
    assert reviews.show("note").obstacles == ("notes/** needs the approval of one of: bob, carol",)
    reviews.approve("note", bob.principal)
    assert reviews.show("note").obstacles == ()


def test_an_operator_who_is_gone_approves_no_more(site: Site, ann: Person, bob: Person) -> None:
    ann.fresh(NODE)
    ann.push("change/node")
    site.controller.reviews.approve("node", bob.principal)
    site.controller._registry.remove_operator("bob")  # type: ignore[arg-type]
    (opinion,) = site.controller.reviews.show("node").seen.standing.opinions
    assert opinion.discounted == "bob is no operator who may propose any more"


def test_changes_that_are_asked_for_hold_a_proposal(site: Site, ann: Person, bob: Person) -> None:
    carol = person(site, "carol")
    ann.fresh(NODE)
    ann.push("change/node")
    reviews = site.controller.reviews
    reviews.approve("node", bob.principal)
    reviews.request_changes("node", carol.principal, "not yet")
    reviews.comment("node", carol.principal, "why?", path="members/node-1.yaml", line=1)
    view = reviews.show("node")
    assert view.summary.state is State.CHANGES_REQUESTED
    assert view.obstacles == ("carol asked for changes",)
    assert [each.record.text for each in view.comments] == ["not yet", "why?"]
    reviews.approve("node", carol.principal)
    assert reviews.show("node").summary.state is State.APPROVED
    assert [each["said"] for each in events(site, EventName.REVIEW_GIVEN)] == [
        "approve",
        "request-changes",
        "comment",
        "approve",
    ]


def test_a_proposal_is_closed_by_who_made_it_and_its_name_begins_anew(
    site: Site, bob: Person
) -> None:
    dave = person(site, "dave")
    eve = person(site, "eve")
    dave.fresh(NODE)
    dave.push("change/node")
    reviews = site.controller.reviews
    reviews.approve("node", bob.principal)
    with pytest.raises(ReviewRefusedError, match="not allowed"):
        reviews.close("node", eve.principal)
    reviews.close("node", dave.principal)
    assert reviews.list() == ()
    dave.push("change/node")  # the very same commit
    assert reviews.show("node").seen.standing.given == 0


def glass(
    person: Person, commit: str, base: str, by: str = "", text: str = "the bank is down"
) -> Ran:
    return say(
        person,
        said="break-glass",
        change="",
        commit=commit,
        by=by or person.name,
        via="git",
        base=base,
        text=text,
    )


def test_a_broken_glass_publishes_one_commit_loudly(site: Site, ann: Person, bob: Person) -> None:
    main = str(site.controller.store.head())
    new = ann.fresh(NODE)
    assert glass(bob, new, main).code == 0
    assert "main takes approved proposals only" in ann.push("main").err  # bob's word is not ann's
    assert glass(ann, new, main).code == 0
    assert ann.push("main").code == 0
    assert site.controller.store.head() == new
    assert events(site, EventName.GLASS_BROKEN) == [
        {"who": "ann", "reason": "the bank is down", "previous": main}
    ]
    ann.fresh(NODE_2)
    assert "main takes approved proposals only" in ann.push("main").err


def test_a_broken_glass_is_told_once_also_where_a_crash_came_between(
    site: Site, ann: Person
) -> None:
    store, gate = site.controller.store, site.controller._review_gate
    main = str(store.head())
    new = Revision(ann.fresh(NODE))
    assert ann.push("change/node").code == 0  # so that its objects are there
    assert glass(ann, new, main).code == 0
    gate.begin()
    assert events(site, EventName.GLASS_BROKEN) == []
    store.set_ref(MAIN, old=store.head(), new=new)  # and no more came of the push
    gate.begin()
    gate.begin()
    assert [each["who"] for each in events(site, EventName.GLASS_BROKEN)] == ["ann"]


def test_a_broken_glass_needs_the_role_a_reason_and_the_policy(site: Site, ann: Person) -> None:
    main = str(site.controller.store.head())
    dave = person(site, "dave")
    new = dave.fresh(NODE)
    assert "only who may publish" in glass(dave, new, main).err
    new = ann.fresh(NODE)
    assert "a reason" in glass(ann, new, main, text=" ").err
    assert "fetch first" in glass(ann, new, "a" * 40).err
    main = site.publish({"cluster.yaml": b"name: c\nreview: {break_glass: false}\n"})
    assert "nobody may" in glass(ann, new, main).err


def test_a_broken_glass_does_not_let_pass_what_is_not_valid(site: Site, ann: Person) -> None:
    main = str(site.controller.store.head())
    new = ann.fresh({"members/node-1.yaml": "role: king\n"})
    assert glass(ann, new, main).code == 0
    assert "(not valid: 1 problem)" in ann.push("main").err
    assert events(site, EventName.GLASS_BROKEN) == []


def test_without_a_policy_of_review_everything_is_as_before(tmp_path: Path) -> None:
    with controller_site(tmp_path) as site:
        ann = person(site, "ann", OperatorRole.PUBLISH)
        ann.fresh(NODE)
        assert ann.push("main").code == 0
        assert site.controller.store.head(REVIEWS) is None
        assert site.controller.store.head(MAIN) is not None


def test_what_a_crash_kept_from_the_log_is_written_at_the_next_start(
    site: Site, ann: Person
) -> None:
    tip = Revision(ann.fresh(NODE))
    ann.push("change/node")
    store = site.controller.store
    store.set_ref(MAIN, old=store.head(), new=tip)  # and no more came of the merge
    site.controller._review_gate.begin()
    assert site.controller.reviews.list() == ()
    last = site.controller._review_gate.reading.entries()[-1].record
    assert (last.said.value, last.change, last.result) == ("merge", "node", tip)


def test_a_proposal_on_top_of_another_takes_that_along(
    site: Site, ann: Person, bob: Person
) -> None:
    ann.fresh(NODE)
    ann.push("change/one")
    ann.commit(NODE_2)
    ann.push("change/two")
    site.controller.reviews.approve("two", bob.principal)
    site.controller.reviews.merge("two", bob.principal)
    assert site.controller.reviews.list() == ()
    merged = events(site, EventName.CHANGE_MERGED)
    assert [each["change"] for each in merged] == ["two", "one"]


@pytest.mark.parametrize(("bound", "most"), [("MAX_ROUND", 2), ("MAX_ROUND_TEXT", 3)])
def test_what_is_said_of_one_proposal_is_bounded(
    site: Site, ann: Person, bob: Person, monkeypatch: pytest.MonkeyPatch, bound: str, most: int
) -> None:
    monkeypatch.setattr(room, bound, most)
    ann.fresh(NODE)
    ann.push("change/node")
    site.controller.reviews.comment("node", bob.principal, "one")
    with pytest.raises(ReviewRefusedError, match="close it"):
        site.controller.reviews.comment("node", bob.principal, "two")
    assert "close it" in say(bob, **opinion(site, "node", "bob")).err


def test_what_one_operator_says_of_all_proposals_is_bounded(
    site: Site, ann: Person, bob: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(review_share, "MAX_A_DAY", 3)
    monkeypatch.setattr(room, "MAX_A_DAY", 3)
    reviews = site.controller.reviews
    for name in ("one", "two"):
        ann.fresh(NODE, message=name)
        assert ann.push(f"change/{name}").code == 0
    reviews.comment("one", ann.principal, "mine")
    words = "ann has said and proposed 3 things in the last 24 hours"
    with pytest.raises(ReviewRefusedError, match=words):
        reviews.comment("two", ann.principal, "more")
    assert words in say(ann, **opinion(site, "one", "ann")).err
    ann.fresh(NODE_2)
    refused = ann.push("change/three")
    assert "too much was said" in refused.err
    assert words in refused.err
    reviews.comment("two", bob.principal, "others go on")
    site.stop()
    site.start()
    with pytest.raises(ReviewRefusedError, match=words):
        site.controller.reviews.comment("two", ann.principal, "after a restart")


def test_the_status_tells_of_a_broken_glass_until_something_else_is_published(
    site: Site, ann: Person, bob: Person
) -> None:
    def told() -> dict[str, str] | None:
        registry, bootstrap = site.controller._registry, site.folder.read_bootstrap()
        return status_of_cluster(
            registry, bootstrap, {}, running=True, now=0.0, recovery_key=True
        ).glass_broken

    assert told() is None
    new = ann.fresh(NODE)
    glass(ann, new, str(site.controller.store.head()))
    ann.push("main")
    assert told() == {"revision": new, "who": "ann", "reason": "the bank is down"}
    ann.fresh(NODE_2)
    ann.push("change/more")
    site.controller.reviews.approve("more", bob.principal)
    site.controller.reviews.merge("more", bob.principal)
    assert told() is None
