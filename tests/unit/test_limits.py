"""What a revision may set as limits of the gate, and what it needs itself."""

from dataclasses import asdict
from typing import Any

import pytest
from config_tree import found, only, tree, validate
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.revisions.limits import HIGHEST, LOWEST, NAMES, Limits, beyond, read_limits
from mftgit.model.rules.own_limits import needed
from mftgit.model.rules.parts import declared_cluster
from mftgit.resources import load_schemas

FIELDS: dict[str, Any] = load_schemas()["cluster"]["properties"]["gate"]["properties"]["limits"]


def cluster(**limits: object) -> str:
    lines = [f"    {name}: {value}\n" for name, value in limits.items()]
    return "name: acme\ngate:\n  limits:\n" + "".join(lines)


def in_bounds() -> st.SearchStrategy[dict[str, int]]:
    low, high = asdict(LOWEST), asdict(HIGHEST)
    return st.fixed_dictionaries(
        {}, optional={name: st.integers(low[name], high[name]) for name in NAMES}
    )


def test_the_schema_and_the_model_know_the_same_limits() -> None:
    schema = FIELDS["properties"]
    for word, limits in (("minimum", LOWEST), ("default", Limits()), ("maximum", HIGHEST)):
        assert {name: field[word] for name, field in schema.items()} == asdict(limits)


@given(in_bounds())
def test_what_a_revision_sets_is_read_and_the_rest_is_as_ever(limits: dict[str, int]) -> None:
    read = read_limits((cluster(**limits) if limits else "name: acme\n").encode())
    assert read == Limits(**limits)


def test_a_valid_revision_is_built_with_its_limits() -> None:
    validation = validate({"cluster.yaml": cluster(max_changes=3, max_request_s="20.0")})
    built = declared_cluster(validation.parts)
    assert built is not None
    assert built.limits == Limits(max_changes=3, max_request_s=20)
    assert read_limits(cluster(max_changes="3.0").encode()) == Limits(max_changes=3)


@pytest.mark.parametrize("name", NAMES)
def test_a_limit_beyond_its_bounds_is_a_problem_and_is_not_read(name: str) -> None:
    for value in (getattr(LOWEST, name) - 1, getattr(HIGHEST, name) + 1, "true", "1.5", "many"):
        text = cluster(**{name: value})
        assert {place for _, place, _ in found({"cluster.yaml": text})} == {f"/gate/limits/{name}"}
        assert read_limits(text.encode()) is None


@pytest.mark.parametrize(
    "text", ["", "gate: none", "gate: {limits: []}", "gate: {limits: {max_moons: 5}}"]
)
def test_limits_that_nobody_can_tell_are_not_guessed(text: str) -> None:
    assert read_limits(text.encode()) is None


@pytest.mark.parametrize("name", [each for each in NAMES if each != "max_request_s"])
def test_a_refusal_names_the_limit_what_was_found_and_the_setting(name: str) -> None:
    told = beyond(name, Limits(), 5_000_000_000)
    assert "5,000,000,000" in told
    assert f"at most {getattr(Limits(), name):,} are taken: gate.limits.{name}" in told
    assert "at least 7 " in beyond(name, Limits(), 7, at_least=True)


def test_more_of_a_push_is_read_than_is_taken_so_that_git_can_tell_why() -> None:
    for limits in (LOWEST, Limits(), HIGHEST):
        assert limits.body_bytes > limits.max_pack_bytes + (1 << 20)


# A revision keeps to its own limits


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("max_entries", {f"notes/{n}": "" for n in range(120)}),
        ("max_tree_depth", {"a/b/c": ""}),
        ("max_path_bytes", {"n" * 101: ""}),
        ("max_object_bytes", {"big": bytes((4 << 20) + 1)}),
    ],
)
def test_a_revision_that_is_beyond_its_own_limit_is_refused_at_that_line(
    name: str, files: dict[str, str | bytes]
) -> None:
    lowest = {"cluster.yaml": cluster(**{name: getattr(LOWEST, name)})}
    assert found(lowest) == []
    assert found({**files, "cluster.yaml": "name: acme\n"}) == []
    problem = only({**lowest, **files})
    assert (problem.pointer, problem.rule, problem.line) == (f"/gate/limits/{name}", "limit", 4)
    assert "this revision needs" in problem.message


def test_a_limit_that_is_not_named_is_a_problem_of_the_document() -> None:
    deep = "/".join("a" * 17) + "/b"
    assert found({"cluster.yaml": cluster(max_tree_depth=17), deep: ""}) == []
    problem = only({deep: ""})
    assert (problem.file, problem.pointer, problem.rule) == ("cluster.yaml", "", "limit")


def test_a_limit_that_would_refuse_the_push_that_takes_it_back_is_refused() -> None:
    wide = {f"{number:05}{'n' * 210}": "" for number in range(15_000)}
    packs = {"max_pack_bytes": 4 << 20, "max_inflated_bytes": 4 << 20}
    text = cluster(**packs)
    assert {pointer for _, pointer, _ in found({**wide, "cluster.yaml": text})} == {
        f"/gate/limits/{name}" for name in packs
    }


@given(st.sets(st.text("abé/", min_size=1, max_size=9).map(lambda path: path.strip("/") or "a")))
def test_what_a_revision_needs_is_what_its_folders_come_to(paths: set[str]) -> None:
    needs = dict(needed(tree(dict.fromkeys(paths, ""))))
    parents = {"/".join(path.split("/")[:n]) for path in paths for n in range(path.count("/") + 1)}
    assert needs["max_entries"] == len(paths) + len(parents - {""})
    assert needs["max_tree_depth"] == max((path.count("/") for path in paths), default=0)
    assert needs["max_path_bytes"] == max((len(path.encode()) for path in paths), default=0)


def test_a_broken_cluster_document_tells_nothing_of_limits() -> None:
    assert {rule for _, _, rule in found({"cluster.yaml": "name: 3\n"})}.isdisjoint({"limit"})
    assert {rule for _, _, rule in found({"cluster.yaml": None})}.isdisjoint({"limit"})
