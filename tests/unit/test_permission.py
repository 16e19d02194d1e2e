"""What an account may do, by the rules of its paths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.inbound.permission import (
    FULL,
    READ_ONLY,
    UPLOAD_ONLY,
    Act,
    Rule,
    allowed,
    gained,
    is_seen,
    kept_below,
    names_told,
)

NAMES = ["a", "b"]
PATHS = st.lists(st.sampled_from(NAMES), max_size=3).map(lambda parts: "/" + "/".join(parts))
RULES = st.lists(
    st.builds(
        lambda path, allow: Rule(path=path, allow=frozenset(allow)),
        PATHS,
        st.sets(st.sampled_from([Act.READ, Act.WRITE, Act.RENAME])),
    ),
    max_size=4,
)
TREE = ["", *(f"/{x}{y}{z}" for x in NAMES for y in ("", "/a", "/b") for z in ("", "/a", "/b"))]


def test_the_rule_of_the_longest_path_counts() -> None:
    rules = [Rule(path="/", allow=READ_ONLY), Rule(path="/in", allow=UPLOAD_ONLY)]
    assert allowed(rules, "/in/a") == UPLOAD_ONLY
    assert allowed(rules, "/in") == UPLOAD_ONLY
    assert allowed(rules, "/inner") == READ_ONLY
    assert allowed([], "/") == frozenset()


def test_a_folder_that_leads_to_what_is_allowed_is_seen() -> None:
    rules = [
        Rule(path="/", allow=frozenset()),
        Rule(path="/a/b/in", allow=UPLOAD_ONLY),
        Rule(path="/a/shut", allow=frozenset()),
    ]
    assert [each for each in ("/", "/a", "/a/b", "/a/b/in/x") if is_seen(rules, each)] == [
        "/",
        "/a",
        "/a/b",
        "/a/b/in/x",
    ]
    assert not is_seen(rules, "/c")
    assert not is_seen(rules, "/a/shut/x")
    assert names_told(rules, "/") == {"a"}
    assert names_told(rules, "/a") == {"b"}
    assert names_told(rules, "/a/b/in") == frozenset()


@given(RULES, PATHS, PATHS)
def test_what_a_rename_gains_is_found_however_deep_it_lies(
    rules: list[Rule], old: str, new: str
) -> None:
    old, new = old.rstrip("/") + "/old", new.rstrip("/") + "/new"
    extra = [Rule(path=old + "/a", allow=frozenset()), Rule(path=new + "/b", allow=FULL)]
    for known in (rules, rules + extra):
        brute = frozenset[Act]().union(
            *(allowed(known, new + tail) - allowed(known, old + tail) for tail in TREE)
        )
        assert gained(known, old, new) == brute


@pytest.mark.parametrize(
    ("path", "kept"), [("/", True), ("/a", True), ("/a/b", False), ("/c", False)]
)
def test_what_may_not_be_moved_keeps_the_folders_above_it(path: str, *, kept: bool) -> None:
    rules = [Rule(path="/", allow=FULL), Rule(path="/a/b", allow=READ_ONLY)]
    assert kept_below(rules, path, Act.RENAME) == kept


@pytest.mark.parametrize(
    "path", ["/SHUT", "/shut.", "/shut ", "/Shut/x", "/\uff33hut", "/sh\u200but"]
)
def test_another_spelling_is_allowed_no_more_than_the_path(path: str) -> None:
    rules = [
        Rule(path="/", allow=READ_ONLY),
        Rule(path="/shut", allow=frozenset({Act.READ, Act.WRITE})),
        Rule(path="/A/x", allow=frozenset()),
        Rule(path="/B", allow=READ_ONLY),
        Rule(path="/b", allow=UPLOAD_ONLY),
    ]
    assert allowed(rules, path) == {Act.READ}
    assert allowed(rules, "/shut/x") == {Act.READ, Act.WRITE}
    assert allowed(rules, "/shuts") == READ_ONLY
    assert allowed(rules, "/b") == UPLOAD_ONLY  # both are named: they are two
    assert kept_below(rules, "/a", Act.READ)
    assert not kept_below(rules, "/c", Act.READ)
    assert gained(rules, "/a", "/c") == READ_ONLY
