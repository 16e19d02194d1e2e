"""A revision that is written for a later version is told as that, and not as a heap of mistakes."""

import pytest
from config_tree import found, only, tree, validate

from mftgit import __version__
from mftgit.model.documents.document import Kind
from mftgit.model.documents.schema_version import KNOWN, check_schema_version
from mftgit.model.rules.validate import Validator
from mftgit.resources import load_schemas

NEWER = f"name: acme\nschema_version: {KNOWN + 2}\nmoon: {{phase: full}}\n"


def test_a_later_version_is_the_one_problem_whatever_else_is_not_known() -> None:
    problem = only({"cluster.yaml": NEWER, "secrets/x.yaml": "a: 1\n", "transfers/t.yaml": "x"})
    assert (problem.file, problem.line, problem.rule) == ("cluster.yaml", 2, "schema-version")
    told = f"written for schema version {KNOWN + 2}; this mftgit {__version__} knows 1"
    assert problem.message.startswith(told)
    assert "upgrade mftgit on this machine" in problem.hint


def test_a_later_version_is_told_also_where_nothing_else_has_changed_since_a_valid_revision() -> (
    None
):
    judge = Validator(load_schemas(), frozenset())
    known = {"cluster.yaml": "name: a\n", "members/c.yaml": "role: controller\n"}
    assert judge.validate(tree(known)).problems == ()
    newer = known | {"cluster.yaml": f"name: a\nschema_version: {KNOWN + 1}\n"}
    (problem,) = judge.validate(tree(newer)).problems
    assert problem.rule == "schema-version"


def test_what_a_later_mftgit_knows_is_told_as_a_range() -> None:
    newer = validate({"cluster.yaml": "name: a\nschema_version: 4\n"}).parts[Kind.CLUSTER][
        "cluster"
    ]
    problem = check_schema_version(newer, known=3)
    assert problem is not None
    assert problem.message.endswith(" knows 1 to 3")
    assert check_schema_version(newer, known=4) is None


def test_a_version_that_is_known_changes_nothing() -> None:
    for version in (1, KNOWN, "1.0"):
        assert found({"cluster.yaml": f"name: acme\nschema_version: {version}\n"}) == []
    assert load_schemas()["cluster"]["properties"]["schema_version"]["default"] == 1


@pytest.mark.parametrize(
    "cluster", [None, "", "name: [", "schema_version: 9\nx: [", "#" * (2 << 20)]
)
def test_where_the_version_cannot_be_read_the_other_rules_speak(cluster: str | None) -> None:
    rules = {rule for _, _, rule in found({"cluster.yaml": cluster})}
    assert rules
    assert "schema-version" not in rules


@pytest.mark.parametrize("version", ["0", "-1", "true", "two", "1.5"])
def test_a_version_that_is_none_is_a_mistake_as_any_other(version: str) -> None:
    text = f"name: acme\nschema_version: {version}\n"
    assert {at for _, at, _ in found({"cluster.yaml": text})} == {"/schema_version"}
