"""Cohorts and windows that cannot be meant are problems, at their place in cluster.yaml."""

import pytest
from config_tree import VALID, found, tree, validate, validator

from mftgit.model.configuration.config import Role
from mftgit.model.configuration.render import render
from mftgit.model.names import MemberName
from mftgit.model.rollout.cohorts import Cohort, Rollout


def cluster(text: str) -> dict[str, str | bytes | None]:
    return {"cluster.yaml": f"name: acme\n{text}\n"}


@pytest.mark.parametrize(
    ("text", "pointer", "rule"),
    [
        ("rollout: {cohorts: [{name: a, members: [node-9]}]}", "cohorts/0/members/0", "reference"),
        (
            "rollout: {cohorts: [{name: a, members: [node-1]}, {name: a, members: [node-2]}]}",
            "cohorts/1/name",
            "cohort",
        ),
        (
            "rollout: {cohorts: [{name: a, members: [node-1]}, {name: b, members: [node-1]}]}",
            "cohorts/1/members/0",
            "cohort",
        ),
        ("rollout: {cohorts: [{name: a}]}", "cohorts/0", "cohort"),
        ("rollout: {cohorts: [{name: rest, members: [node-1]}]}", "cohorts/0", "cohort"),
        ("rollout: {cohorts: [{name: rest}, {name: a, members: [node-1]}]}", "cohorts/0", "cohort"),
    ],
)
def test_cohorts_that_cannot_be_meant_are_problems(text: str, pointer: str, rule: str) -> None:
    assert found(cluster(text)) == [("cluster.yaml", f"/rollout/{pointer}", rule)]


@pytest.mark.parametrize(
    ("text", "pointer", "rule"),
    [
        ("windows: {deny: [{timezone: Europe/Berln}]}", "deny/0/timezone", "timezone"),
        ("windows: {allow: [{dates: ['2026-02-30']}]}", "allow/0/dates/0", "date"),
        ("windows: {allow: [{to: '24:01'}]}", "allow/0/to", "form"),
        ("windows: {allow: [{days: [monday]}]}", "allow/0/days/0", "choice"),
    ],
)
def test_windows_that_cannot_be_meant_are_problems(text: str, pointer: str, rule: str) -> None:
    assert found(cluster(text)) == [("cluster.yaml", f"/windows/{pointer}", rule)]


def test_a_broken_cluster_yaml_is_told_for_itself_only() -> None:
    assert [rule for *_, rule in found(cluster("rollout: 7"))] == ["type"]
    files = {path: text for path, text in VALID.items() if path != "cluster.yaml"}
    assert [each.rule for each in validator().validate(tree(files)).problems] == ["missing-file"]


def test_every_member_is_in_the_first_cohort_that_holds_it_and_the_last_one_takes_the_rest() -> (
    None
):
    text = (
        "rollout:\n  silence_s: 60\n  cohorts:\n"
        "  - {name: canary, members: [node-2], soak_s: 5}\n"
        "  - {name: berlin, labels: {site: berlin}, max_unavailable: 2}\n"
        "windows: {allow: [{from: '08:00', dates: ['2026-12-24'], timezone: Europe/Berlin}]}"
    )
    validation = validate(cluster(text))
    assert validation.problems == ()
    rollout = render(validation, MemberName("node-1"), Role.NODE).cluster.rollout
    assert rollout == Rollout(
        cohorts=(
            Cohort(name="canary", members=(MemberName("node-2"),), soak_s=5.0),
            Cohort(name="berlin", labels={"site": "berlin"}, max_unavailable=2),
            Cohort(name="rest"),
        ),
        silence_s=60.0,
    )
    labels = {
        "node-1": {"site": "berlin"},
        "node-2": {"site": "berlin"},
        "node-3": {"site": "paris"},
        "controller": {},
    }
    sorted_out = rollout.sort_out((MemberName(name), each) for name, each in labels.items())
    assert [(cohort.name, names) for cohort, names in sorted_out] == [
        ("canary", ("node-2",)),
        ("berlin", ("node-1",)),
        ("rest", ("controller", "node-3")),
    ]


def test_the_rest_can_be_given_its_numbers() -> None:
    validation = validate(cluster("rollout: {cohorts: [{name: rest, max_unavailable: 9}]}"))
    assert validation.problems == ()
    rollout = render(validation, MemberName("node-1"), Role.NODE).cluster.rollout
    assert rollout == Rollout(cohorts=(Cohort(name="rest", max_unavailable=9),))
