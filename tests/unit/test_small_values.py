"""Names, tokens, principals and problems."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.errors import ConfigError
from mftgit.model.access import Access, Kind, OperatorRole, Principal, admits
from mftgit.model.configuration.config import (
    EVERYWHERE,
    ActiveOn,
    Member,
    Role,
)
from mftgit.model.documents.problem import Problem, format_problem, format_problems
from mftgit.model.members.token import JoinToken, format_token, parse_token
from mftgit.model.names import MemberName, is_name, parse_name, parse_revision


@pytest.mark.parametrize("text", ["", "-a", "a-", "A", "a/b", "..", "a" * 64, "ä", "a\n"])
def test_what_is_not_a_name(text: str) -> None:
    assert not is_name(text)
    with pytest.raises(ValueError, match="is not a name"):
        parse_name(text)


@pytest.mark.parametrize("text", ["a", "node-1", "0", "a" * 63])
def test_a_name(text: str) -> None:
    assert parse_name(text) == text


@pytest.mark.parametrize("text", ["", "0" * 39, "0" * 41, "G" * 40, "0" * 40 + "\n"])
def test_what_is_not_a_revision(text: str) -> None:
    with pytest.raises(ValueError, match="commit id"):
        parse_revision(text)


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_token_is_read_as_it_was_written(ca: str, secret: str) -> None:
    token = JoinToken(member=MemberName("node-1"), ca_sha256=ca, secret=secret)
    assert parse_token(f" {format_token(token)}\n") == token


@pytest.mark.parametrize(
    "text", ["", "mftgit1.", "mftgit1.!!!", "WyJhIl0", "mftgit1.WyJhIl0", "mftgit1.W10x"]
)
def test_a_damaged_token_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError, match="not a whole join token") as caught:
        parse_token(text)
    if len(text) > 10:
        assert text not in str(caught.value)


ALICE = Principal(kind=Kind.OPERATOR, name="alice")
NODE = Principal(kind=Kind.MEMBER, name="node-1")


@pytest.mark.parametrize(
    ("access", "admitted"),
    [
        (Access.ANYONE, {None, ALICE, NODE}),
        (Access.KNOWN, {ALICE, NODE}),
        (Access.OPERATORS, {ALICE}),
        (Access.MEMBERS, {NODE}),
    ],
)
def test_who_may_use_which_door(access: Access, admitted: set[Principal | None]) -> None:
    assert {who for who in (None, ALICE, NODE) if admits(access, who)} == admitted


def test_a_member_may_read_only() -> None:
    assert NODE.role is OperatorRole.READ
    assert str(NODE) == "member node-1"


def test_a_problem_is_told_in_the_form_that_editors_know() -> None:
    problem = Problem(
        file="a.yaml", line=2, column=3, pointer="/x", rule="r", message="is wrong", hint="mend it"
    )
    assert format_problem(problem) == "a.yaml:2:3: is wrong at /x [r]\n  -> mend it"


def test_a_problem_of_a_whole_file_has_no_line() -> None:
    bare = Problem(file="b.yaml", rule="r", message="is wrong")
    first = Problem(file="a.yaml", rule="r", message="is wrong")
    assert format_problems([bare, first]) == "a.yaml: is wrong [r]\nb.yaml: is wrong [r]"
    assert bare.as_json()["line"] == 0


@pytest.mark.parametrize(
    ("active_on", "runs"),
    [
        (EVERYWHERE, True),
        (ActiveOn(roles=frozenset({Role.CONTROLLER})), False),
        (ActiveOn(members=frozenset({MemberName("node-1")})), True),
        (ActiveOn(labels=frozenset({("site", "a")})), True),
        (ActiveOn(labels=frozenset({("site", "a"), ("tier", "dmz")})), False),
        (ActiveOn(), False),
    ],
)
def test_where_a_component_runs(active_on: ActiveOn, *, runs: bool) -> None:
    member = Member(name=MemberName("node-1"), role=Role.NODE, labels={"site": "a"})
    assert active_on.includes(member) is runs
