"""Proposals are made, looked at, approved and merged from clones, by git and nothing else."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from controller_site import Site, controller_site
from review_site import REVIEWS, Person, person
from web_client import WebClient

from mftgit.cli.main import run_verb
from mftgit.model.access import Kind, OperatorRole, Principal
from mftgit.model.events.event import EventName
from mftgit.model.names import Revision
from mftgit.resources import load_schemas

pytestmark = [pytest.mark.needs("git"), pytest.mark.needs("ssh-keygen")]

NODE = {"members/node-1.yaml": "role: node\n"}
ADMIN = Principal(kind=Kind.OPERATOR, name="admin", role=OperatorRole.PUBLISH)
Run = Callable[..., str]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with controller_site(tmp_path) as running:
        running.publish({"cluster.yaml": b"name: c\nreview: {}\n"})
        running.controller._review_gate.begin()
        yield running


@pytest.fixture
def ann(site: Site) -> Person:
    return person(site, "ann", OperatorRole.PUBLISH, signs=True)


@pytest.fixture
def bob(site: Site) -> Person:
    return person(site, "bob", OperatorRole.PUBLISH, signs=True)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a verb in somebody's clone; return what it printed, or with another code its error."""

    monkeypatch.delenv("GIT_SSL_CAINFO", raising=False)
    for name, value in {"NOSYSTEM": "1", "GLOBAL": os.devnull}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "0")

    def call(who: Person, *words: str, code: int = 0) -> str:
        monkeypatch.chdir(who.work)
        capfd.readouterr()
        done = run_verb(words)
        told = capfd.readouterr()
        assert done == code, told.err
        return told.err if code else told.out

    return call


def as_json(run: Run, who: Person, *words: str) -> Any:
    name = "-".join(word for word in words[:2] if word in VERBS)
    value = json.loads(run(who, *words, "--json"))
    jsonschema.Draft202012Validator(load_schemas()[f"output-{name}"]).validate(value)
    return value


VERBS = {"propose", "publish", "review", "list", "show", "approve", "reject", "comment", "merge"}


def test_a_change_goes_its_way_from_one_clone_to_the_other(
    site: Site, ann: Person, bob: Person, run: Run
) -> None:
    tip = ann.fresh(NODE)
    told = run(ann, "propose", "node")
    assert "  node-1 comes" in told
    assert "to approve: mftgit review approve node" in told
    assert as_json(run, bob, "review", "list")["changes"][0]["obstacles"] == [
        "1 more approval is needed: 0 of 1 so far"
    ]
    assert "(not approved)" in run(ann, "review", "merge", "node", code=1)
    run(
        bob,
        "review",
        "comment",
        "node",
        "-m",
        "why?",
        "--file",
        "members/node-1.yaml",
        "--line",
        "1",
    )
    run(bob, "review", "reject", "node", "-m", "not yet")
    view = as_json(run, ann, "review", "show", "node")
    assert view["state"] == "changes-requested"
    assert [each["text"] for each in view["comments"]] == ["why?", "not yet"]
    assert {each["name"]: each["presence"] for each in view["members"]}["node-1"] == "comes"
    said = as_json(run, bob, "review", "approve", "node")
    assert (said["by"], said["revision"], said["signed"]) == ("bob", tip, True)
    assert "approved  1 of 1" in run(ann, "review", "list")
    done = as_json(run, ann, "review", "merge", "node")
    assert done == {"change": "node", "revision": tip, "rebased": False}
    assert site.controller.store.head() == tip
    assert run(ann, "review", "list") == "there are no proposals\n"
    assert ann.ok("log", "-1", "--format=%an", REVIEWS)


def test_nobody_approves_what_he_has_not_seen(ann: Person, bob: Person, run: Run) -> None:
    ann.fresh(NODE)
    run(ann, "propose", "node")
    assert "which was not here before" in run(bob, "review", "approve", "node", code=1)
    ann.commit({"notes/x.txt": "x"})
    run(ann, "propose", "node")
    assert "which was not here before" in run(bob, "review", "approve", "node", code=1)
    run(bob, "review", "approve", "node")


def test_the_name_of_a_proposal_is_that_of_the_branch(ann: Person, run: Run) -> None:
    assert "say what the proposal is called" in run(ann, "propose", code=2)
    ann.ok("checkout", "--quiet", "-b", "more/nodes")
    ann.commit(NODE)
    assert as_json(run, ann, "propose")["name"] == "more/nodes"
    assert "is as it was" in run(ann, "propose")
    assert "no name of a proposal" in run(ann, "propose", "a..b", code=2)


def test_what_is_not_valid_is_refused_on_the_spot(ann: Person, run: Run) -> None:
    ann.fresh({"members/node-1.yaml": "role: king\n"})
    told = run(ann, "propose", "node", code=1)
    assert "members/node-1.yaml:1:7" in told
    assert "refused: [remote rejected] (not valid: 1 problem)" in told


def test_a_broken_glass_is_loud_everywhere(site: Site, ann: Person, run: Run) -> None:
    tip = ann.fresh(NODE)
    assert "main takes approved proposals only" in run(ann, "publish", code=1)
    done = as_json(run, ann, "publish", "--break-glass", "the bank is down")
    assert done == {"revision": tip, "glass_broken": True}
    assert site.controller.store.head() == tip
    told = [each for _, each in site.events.after(0, limit=1_000)]
    assert [e.facts["reason"] for e in told if e.event is EventName.GLASS_BROKEN] == [
        "the bank is down"
    ]
    assert "by a broken glass, ann: the bank is down" in run(ann, "log")
    words = "It was published without approval, by a broken glass: ann: the bank is down"
    assert words.lower() in run(ann, "status", "--dir", str(site.folder.root))
    client = WebClient(site)
    assert client.log_in().status == 303
    assert words in client.get("/cluster").text
    assert "takes a reason" in run(ann, "publish", "--break-glass", " ", code=2)


def test_who_git_logs_in_as_has_to_be_known(site: Site, ann: Person, bob: Person, run: Run) -> None:
    ann.fresh(NODE)
    run(ann, "propose", "node")
    run(bob, "review", "show", "node")
    url = bob.ok("config", "remote.origin.url")
    plain = f"https://{url.partition('@')[2]}"
    store = bob.work / "credentials"
    store.write_text(url.rpartition("/config.git")[0] + "\n", encoding="utf-8")
    bob.ok("config", "remote.origin.url", plain)
    bob.ok("config", "credential.helper", f"store --file={store}")
    assert "as which operator is not known" in run(bob, "review", "approve", "node", code=2)
    bob.ok("config", "mftgit.operator", "ann")
    assert "bob cannot speak for ann" in run(bob, "review", "approve", "node", code=1)
    bob.ok("config", "mftgit.operator", "bob")
    run(bob, "review", "approve", "node")
    assert site.controller.reviews.show("node").seen.standing.given == 1


def test_without_a_key_what_is_said_is_not_signed(
    site: Site, ann: Person, bob: Person, run: Run
) -> None:
    ann.fresh(NODE)
    run(ann, "propose", "node")
    bob.ok("config", "--unset", "user.signingKey")
    bob.ok("config", "commit.gpgSign", "false")
    run(bob, "review", "show", "node")
    assert not as_json(run, bob, "review", "approve", "node")["signed"]
    site.publish({"cluster.yaml": b"name: c\nreview: {}\n", "notes/y.txt": b"y"})
    assert "main has moved on" in run(ann, "review", "merge", "node", code=1)


def left_behind(site: Site, who: Person, run: Run) -> tuple[Revision, str]:
    """Propose and approve something that main then moves on from; return where main is, and the proposal's tip."""
    tip = who.fresh(NODE)
    run(who, "propose", "node")
    site.controller.reviews.approve("node", ADMIN)
    main = site.publish({"cluster.yaml": b"name: c\nreview: {}\n", "notes/y.txt": b"y"})
    return main, tip


def test_what_main_has_left_behind_is_put_on_top_by_the_controller(
    site: Site, ann: Person, bob: Person, run: Run
) -> None:
    ann.ok("config", "commit.gpgSign", "false")
    main, tip = left_behind(site, ann, run)
    assert "mftgit review merge node --rebase" in run(bob, "review", "merge", "node", code=1)
    done = as_json(run, bob, "review", "merge", "node", "--rebase")
    assert (done["change"], done["rebased"], done["revision"] == tip) == ("node", True, False)
    store = site.controller.store
    assert store.head() == done["revision"]
    assert store.is_ancestor(main, Revision(done["revision"]))
    files = store.tree(Revision(done["revision"]))
    assert {"members/node-1.yaml", "notes/y.txt"} <= files.keys()
    assert bob.ok("rev-parse", "origin/main") == done["revision"]
    assert run(bob, "review", "list") == "there are no proposals\n"
    assert not bob.ok("ls-remote", "origin", "refs/merge/*")


def test_where_main_has_not_moved_on_rebase_makes_no_commit_anew(
    site: Site, ann: Person, run: Run
) -> None:
    tip = ann.fresh(NODE)
    run(ann, "propose", "node")
    assert "not approved" in run(ann, "review", "merge", "node", "--rebase", code=1)
    site.controller.reviews.approve("node", ADMIN)
    assert "is published" in run(ann, "review", "merge", "node", "--rebase")
    assert site.controller.store.head() == tip


def test_what_is_signed_is_not_made_anew_for_a_clone_either(
    site: Site, ann: Person, bob: Person, run: Run
) -> None:
    main, tip = left_behind(site, ann, run)
    assert f"{tip[:12]} is signed" in run(bob, "review", "merge", "node", "--rebase", code=1)
    assert site.controller.store.head() == main
    assert site.controller.reviews.show("node").summary.tip == tip


def test_a_push_merges_only_what_who_pushes_has_seen_and_may_publish(
    site: Site, ann: Person, run: Run
) -> None:
    cat = person(site, "cat", OperatorRole.PROPOSE)
    tip = ann.fresh(NODE)
    run(ann, "propose", "node")
    site.controller.reviews.approve("node", ADMIN)
    cat.ok("fetch", "--quiet", "origin")
    before = site.controller.store.head()
    asks = {
        "not allowed": (cat, f"{tip}:refs/merge/node"),
        "it has moved on": (ann, "origin/main:refs/merge/node"),
        "there is no proposal": (ann, f"{tip}:refs/merge/other"),
        "only main and change/": (ann, f"{tip}:refs/merge/{'x' * 300}"),
    }
    for words, (who, what) in asks.items():
        told = who.git("push", "origin", what)
        assert told.code, words
        assert words in told.err
    both = ann.git("push", "origin", f"{tip}:refs/merge/node", f"{tip}:refs/heads/change/two")
    assert "only main and change/" in both.err
    assert site.controller.store.head() == before


@pytest.mark.parametrize("name", ["propose", "review-show"])
def test_members_are_told_as_diff_tells_them(name: str) -> None:
    schemas = load_schemas()
    own, diff = (schemas[f"output-{each}"]["properties"]["members"] for each in (name, "diff"))
    assert own["items"] == diff["items"]
