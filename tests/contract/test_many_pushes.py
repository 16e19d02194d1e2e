"""Hundreds and thousands of pushes that race for main, at a controller that runs as a process, by many clients."""

import threading
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import pytest
from git_cli import git, git_ok
from outside import Outside, outside
from pushers import Outcome, Try, Turns, race

pytestmark = [pytest.mark.needs("git"), pytest.mark.long]

BY_HAND, BY_GIT = 12, 2


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Outside]:
    with outside(tmp_path) as running:
        yield running


def branch(served: Outside) -> list[str]:
    """Return the commits of main that were pushed, in their order."""
    lines = git_ok(served.repository, "rev-list", "--reverse", "--parents", "main").splitlines()
    commits = [line.split() for line in lines]
    assert commits[0][1:] == []
    assert [each[1:] for each in commits[1:]] == [[before[0]] for before in commits[:-1]]
    return [each[0] for each in commits[1:]]


def each_follows_what_was_acknowledged_before(order: list[str], tries: list[Try]) -> bool:
    """Tell whether no commit stands behind one whose push began only after its own was acknowledged."""
    by_oid = {each.oid: each for each in tries}
    known = [by_oid[each] for each in order if each in by_oid]
    latest_began = accumulate((each.began for each in known), max)
    return all(each.ended >= began for each, began in zip(known, latest_began, strict=True))


def check_heads(heads: list[dict[str, Any]], order: list[str]) -> None:
    """The head that was looked at now and then rose as the branch grew, and its number with it."""
    place = {heads[0]["oid"]: 0} | {oid: number for number, oid in enumerate(order, 1)}
    assert heads[-1]["oid"] == order[-1]
    for before, after in pairwise(heads):
        assert place[before["oid"]] <= place[after["oid"]]
        assert (before["seq"] < after["seq"]) is (before["oid"] != after["oid"])


def check_repository(served: Outside) -> None:
    checked = git(served.repository, "fsck", "--strict", "--full", "--no-dangling")
    assert (checked.code, checked.out, checked.err) == (0, "", "")
    fresh = served.cluster.clone("fresh")
    assert git_ok(fresh, "rev-parse", "HEAD") == git_ok(served.repository, "rev-parse", "main")
    git_ok(fresh, "fsck", "--strict")


def check_race(served: Outside, *, pushes: int) -> None:
    """Let them race: nothing acknowledged is lost, the others are refused as stale, and the records say the same."""
    heads = [served.head()]

    def look(turns: Turns) -> None:
        while len(turns.tries) < pushes:
            heads.append(served.head())
            threading.Event().wait(0.05)

    clones = [served.cluster.clone(f"work-{number}") for number in range(BY_GIT)]
    turns = race(served, clones, pushes=pushes, by_hand=BY_HAND, meanwhile=look)
    heads.append(served.head())
    assert [each.told for each in turns.tries if each.outcome in {Outcome.CUT, Outcome.OTHER}] == []
    acknowledged, order = turns.only(Outcome.ACKNOWLEDGED), branch(served)
    assert Counter(order) == Counter(each.oid for each in acknowledged)
    assert each_follows_what_was_acknowledged_before(order, acknowledged)
    check_heads(heads, order)
    events = served.cluster.events()
    told = Counter(each["event"] for each in events)
    assert [e["revision"] for e in events if e["event"] == "RevisionPublished"] == order
    assert told["PushReceived"] == sum(each.was_judged for each in turns.tries)
    assert told["PushRefused"] == told["PushReceived"] - len(order)
    check_repository(served)


def test_of_hundreds_of_racing_pushes_those_acknowledged_are_on_main_and_the_others_refused_as_stale(
    served: Outside,
) -> None:
    check_race(served, pushes=400)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_of_ten_thousand_racing_pushes_those_acknowledged_are_on_main_and_the_others_refused_as_stale(
    served: Outside,
) -> None:
    check_race(served, pushes=10_000)


def test_what_was_acknowledged_outlives_a_controller_that_is_killed_again_and_again(
    served: Outside,
) -> None:
    def kill(turns: Turns) -> None:
        for goal in (60, 120, 180):
            while len(turns.tries) < goal:
                threading.Event().wait(0.01)
            served.cluster.kill("controller")
            served.cluster.start_controller()

    clones = [served.cluster.clone("work")]
    turns = race(served, clones, pushes=250, by_hand=BY_HAND, meanwhile=kill)
    assert [each.told for each in turns.only(Outcome.OTHER)] == []
    acknowledged, order = turns.only(Outcome.ACKNOWLEDGED), branch(served)
    assert {each.oid for each in acknowledged} <= set(order)
    cut = {each.oid for each in turns.only(Outcome.CUT)}
    assert set(order) <= {each.oid for each in acknowledged} | cut
    assert cut
    assert each_follows_what_was_acknowledged_before(order, acknowledged)
    assert served.head()["oid"] == order[-1]
    published = {
        each["revision"] for each in served.cluster.events() if each["event"] == "RevisionPublished"
    }
    assert published == set(order)
    check_repository(served)
