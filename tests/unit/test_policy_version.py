"""The number of a trust policy only rises, and whoever changes who may sign has to raise it."""

from dataclasses import replace

import pytest
from config_tree import found, tree
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.keys.ssh_key import PublicKey, read_key
from mftgit.model.names import Revision
from mftgit.model.revisions.succession import check_succession
from mftgit.model.trust.growth import judge_growth
from mftgit.model.trust.policy_version import (
    MAX_STEP,
    check_policy_step,
    check_policy_version,
    set_version,
)
from mftgit.model.trust.signers import Signer
from mftgit.model.trust.trust import Evidence, Policy, read_policy


def key(name: str) -> PublicKey:
    fields = (b"ssh-ed25519", name.encode().ljust(32))
    return read_key(b"".join(len(each).to_bytes(4) + each for each in fields))


def policy(*names: str, version: int = 0, required: bool = True) -> Policy:
    signers = tuple(
        Signer(line=number, principals=(name,), key=key(name)) for number, name in enumerate(names)
    )
    return Policy(required=required, version=version, signers=signers)


def cluster(text: str) -> Policy:
    return read_policy(tree({"cluster.yaml": f"name: acme\n{text}"}))


# What a revision says


@pytest.mark.parametrize(
    ("text", "version", "place"),
    [
        ("", 0, (1, 1)),
        ("trust: {}\n", 0, (2, 8)),
        ("trust:\n  version: 7\n", 7, (3, 12)),
        ("trust: {version: 2.0}\n", 2, (2, 18)),
        ("trust: {version: -1}\n", 0, (2, 18)),
        ("trust: {version: true}\n", 0, (2, 18)),
        ("trust: 5\n", 0, (2, 8)),
    ],
)
def test_a_revision_without_a_number_has_the_number_none(
    text: str, version: int, place: tuple[int, int]
) -> None:
    read = cluster(text)
    assert (read.version, tuple(read.place)) == (version, place)


def test_the_number_is_part_of_the_schema() -> None:
    assert found({"cluster.yaml": "name: a\ntrust: {version: 3}\n"}) == []
    wrong = found({"cluster.yaml": "name: a\ntrust: {version: -1}\n"})
    assert [at for _, at, _ in wrong] == ["/trust/version"]


# What may follow on what


def test_a_lower_number_is_a_problem_whether_signatures_are_required_or_not() -> None:
    for required in (True, False):
        problem = check_policy_step(
            policy("ann", version=3, required=required), cluster("trust: {version: 2}\n")
        )
        assert problem is not None
        assert (problem.file, problem.line, problem.column) == ("cluster.yaml", 2, 18)
        assert problem.message == "trust.version goes down from 3 to 2"
        assert "write trust.version: 4" in problem.hint


def test_no_step_uses_up_the_numbers_that_are_left() -> None:
    for required in (True, False):
        before = policy("ann", version=3, required=required)
        assert check_policy_step(before, policy("ann", version=3 + MAX_STEP)) is None
        problem = check_policy_step(before, policy("ann", version=4 + MAX_STEP))
        assert problem is not None
        assert problem.message == (
            "trust.version goes up from 3 to 10004, and at most 10,000 is one step"
        )
        assert problem.hint.endswith("write trust.version: 4")


def test_whoever_changes_who_may_sign_has_to_raise_the_number() -> None:
    before = policy("ann", version=3)
    for after in (policy("ann", "eve"), policy("eve"), policy("ann", required=False)):
        problem = check_policy_step(before, replace(after, version=3))
        assert problem is not None
        assert problem.message == "this changes who may sign, and trust.version stays 3"
        assert "write trust.version: 4; mftgit trust add" in problem.hint
        assert check_policy_step(before, replace(after, version=4)) is None


def test_what_changes_nobody_s_rights_needs_no_number() -> None:
    before = policy("ann", "bob", version=3)
    moved = tuple(replace(each, line=each.line + 5) for each in before.signers)
    assert check_policy_step(before, replace(before, signers=moved)) is None
    assert check_policy_step(before, before) is None
    free = policy("ann", required=False)
    assert check_policy_step(free, policy("eve", required=True)) is None


def test_what_cannot_be_read_is_left_to_validation() -> None:
    broken = read_policy(tree({"cluster.yaml": "name: ["}))
    assert broken.problems
    assert check_policy_step(policy("ann", version=3), broken) is None


def test_a_member_takes_no_policy_from_before_what_it_had_in_force() -> None:
    assert check_policy_version(3, policy("ann", version=3)) is None
    problem = check_policy_version(3, policy("ann", version=2))
    assert problem is not None
    assert problem.message == "trust.version is 2, and this member had 3 in force"
    assert "trust.version: 4" in problem.hint


def test_all_that_keeps_a_revision_from_following_is_told() -> None:
    before = tree({"cluster.yaml": "name: a\nremoval_limit: 0\ntrust: {version: 1}\n"})
    rules = check_succession(before, ["members/a.yaml"], tree({"cluster.yaml": "name: a\n"}))
    assert [each.rule for each in rules] == ["removal", "trust"]
    assert check_succession(before, [], before) == ()
    assert [each.rule for each in check_succession({}, [], {})] == []


# How a history may grow


def grow(*policies: Policy) -> str | None:
    """Return what keeps a member from following a line of commits that ann signed."""
    line = [Revision(f"{number:040}") for number in range(len(policies))]
    told = dict(zip(line, policies, strict=True))
    refusal = judge_growth(
        {revision: (line[place],) for place, revision in enumerate(line[1:])},
        anchor=line[0],
        tip=line[-1],
        policy_of=told.__getitem__,
        examine=lambda _, revision: Evidence(revision=revision, key=key("ann")),
    )
    if refusal is None:
        return None
    return refusal.problem.message if refusal.problem else str(refusal.wrong[0])


def test_a_member_follows_rising_numbers_only() -> None:
    one, two = policy("ann", version=1), policy("ann", "bob", version=2)
    assert grow(one, two, policy("ann", version=3)) is None
    assert "goes down from 2 to 1" in str(grow(two, one))
    assert "stays 1" in str(grow(one, policy("ann", "bob", version=1)))


def test_what_came_with_a_later_revision_needs_no_number_of_its_own() -> None:
    one, unnumbered = policy("ann", version=1), policy("ann", "bob", version=1)
    assert grow(one, unnumbered, policy("ann", "bob", version=2)) is None
    assert "stays 1" in str(grow(one, unnumbered, unnumbered))


def test_a_revision_that_cannot_be_read_is_no_way_round() -> None:
    broken = replace(read_policy(tree({"cluster.yaml": "name: ["})), required=False)
    assert "goes down from 3 to 1" in str(
        grow(policy("ann", version=3), broken, policy("ann", version=1))
    )


# Writing it


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("name: a\n", "name: a\ntrust:\n  version: 4\n"),
        (
            "name: a\ntrust:\n  # who\n  require_signatures: true # all\npoll_s: 3\n",
            "name: a\ntrust:\n  # who\n  version: 4\n  require_signatures: true # all\npoll_s: 3\n",
        ),
        (
            "trust: {require_signatures: true}\nname: a\n",
            "trust: {version: 4, require_signatures: true}\nname: a\n",
        ),
        ("trust: {version: 3, x: 1}\nname: é\n", "trust: {version: 4, x: 1}\nname: é\n"),
        ("trust:\r\n  version: 39\r\nname: a", "trust:\r\n  version: 4\r\nname: a"),
        ("trust:\n  version: 3", "trust:\n  version: 4"),
    ],
)
def test_the_number_is_written_and_all_else_stays(before: str, after: str) -> None:
    assert set_version(before.encode(), 4) == after


@pytest.mark.parametrize(
    "content", ["", "name: [", "trust: {}\nname: a\n", "trust: 3\n", "{name: a}"]
)
def test_where_the_number_cannot_be_written_it_is_asked_for(content: str) -> None:
    with pytest.raises(ValueError, match=r"write trust\.version: 4 there by hand"):
        set_version(content.encode(), 4)


@given(st.integers(0, 10**9), st.integers(0, 10**9))
def test_a_number_that_was_written_is_read(old: int, new: int) -> None:
    text = f"name: a\ntrust: {{require_signatures: true, version: {old}}} # end\n"
    assert cluster(set_version(text.encode(), new).removeprefix("name: a\n")).version == new
