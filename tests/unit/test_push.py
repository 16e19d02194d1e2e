"""What may be pushed, and what a member may look at."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.access import OperatorRole
from mftgit.model.names import CHANGES, MAIN, MERGES, REVIEWS, Revision
from mftgit.model.revisions.push import (
    ATOMIC,
    REPEATED,
    Push,
    RefUpdate,
    asked_to_merge,
    damaged,
    is_change,
    judge,
    lineage,
    stale,
    unreadable,
    unrooted,
)

OLD, NEW, OTHER = Revision("a" * 40), Revision("b" * 40), Revision("c" * 40)

revisions = st.sampled_from([None, OLD, NEW, OTHER])
CHANGE = f"{CHANGES}new-partner"
MANY = frozenset(f"{CHANGES}{number}" for number in range(200))
refs = st.sampled_from(
    [MAIN, CHANGE, "refs/heads/other", "refs/tags/v1", "HEAD", "refs/heads/Main", CHANGES]
)


def push(  # noqa: PLR0917
    ref: str = MAIN,
    old: Revision | None = OLD,
    new: Revision | None = NEW,
    current: Revision | None = OLD,
    fault: str | None = None,
    is_commit: bool = True,  # noqa: FBT001, FBT002
    is_fast_forward: bool = True,  # noqa: FBT001, FBT002
    role: OperatorRole = OperatorRole.PUBLISH,
    changes: frozenset[str] = frozenset(),
) -> Push:
    return Push(
        who="operator ann",
        role=role,
        changes=changes,
        update=RefUpdate(ref=ref, old=old, new=new),
        current=current,
        fault=fault,
        is_commit=is_commit,
        is_fast_forward=is_fast_forward,
        tree=dict,
        published=dict,
        before=tuple,
        commits=lambda: iter(()),
    )


def test_a_commit_on_top_of_main_may_be_pushed() -> None:
    assert judge(push()).accepted


def test_the_first_commit_of_an_empty_repository_may_be_pushed() -> None:
    assert judge(push(old=None, current=None)).accepted


def test_the_first_commit_grows_from_the_trust_root_where_one_is_named() -> None:
    first = replace(push(old=None, current=None), root=OLD)
    assert first.base == OLD
    assert judge(first).accepted
    verdict = judge(replace(first, is_fast_forward=False))
    assert verdict.reason == "not from the trust root"
    told = "\n".join(verdict.explanation)
    assert f"{NEW} does not contain {OLD}, which main has to begin with here" in told
    assert "git config mftgit.trustRoot ID" in told


def test_a_first_push_with_nothing_to_judge_it_by_is_told_how_it_gets_that() -> None:
    verdict = unrooted(MAIN)
    assert verdict.reason == "nothing to judge signatures by"
    assert verdict.explanation[-1] == "git config mftgit.trustRoot ID; then push again"


@pytest.mark.parametrize(
    ("refused", "reason", "way_out"),
    [
        (
            push(ref="refs/heads/other"),
            "only main and change/* may be pushed",
            "git push origin HEAD:main",
        ),
        (
            push(ref="refs/tags/v1", new=None),
            "only main and change/* may be pushed",
            "HEAD:change/NAME",
        ),
        (push(new=None), "main cannot be deleted", "git revert"),
        (
            push(role=OperatorRole.PROPOSE),
            "not allowed to publish",
            "git push origin HEAD:change/NAME",
        ),
        (
            push(ref=CHANGE, role=OperatorRole.READ),
            "not allowed to propose",
            "mftgit operator role",
        ),
        (
            push(ref=CHANGE, new=None, role=OperatorRole.PROPOSE),
            "not yours to delete",
            "ask one of them",
        ),
        (
            push(ref=CHANGE, old=None, current=None, changes=frozenset({f"{CHANGE}/deep", CHANGE})),
            "name is taken",
            "another name",
        ),
        (
            push(ref=f"{CHANGE}/deep", old=None, current=None, changes=frozenset({CHANGE})),
            "name is taken",
            "another name",
        ),
        (
            push(ref=CHANGE, old=None, current=None, changes=MANY),
            "too many proposals",
            "git push origin --delete change/NAME",
        ),
        (
            push(ref=CHANGE, is_fast_forward=False),
            "non-fast-forward",
            "git rebase origin/change/new-partner",
        ),
        (push(fault="blob x is missing"), "missing or broken objects", "git fsck"),
        (push(is_commit=False), "not a commit", "commits only"),
        (push(current=OTHER), "fetch first", "git pull --rebase"),
        (push(is_fast_forward=False), "non-fast-forward", "git rebase origin/main"),
    ],
)
def test_a_refusal_names_the_reason_and_a_way_out(refused: Push, reason: str, way_out: str) -> None:
    verdict = judge(refused)
    assert not verdict.accepted
    assert verdict.reason == reason
    assert way_out in " ".join(verdict.explanation)


pushes = st.builds(
    push,
    refs,
    revisions,
    revisions,
    revisions,
    st.sampled_from([None, "x"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(OperatorRole),
    st.sampled_from([frozenset(), frozenset({CHANGE}), MANY, MANY | {CHANGE}]),
)


@given(pushes)
def test_what_is_accepted_grows_a_branch_from_where_it_is_or_takes_a_proposal_away(
    each: Push,
) -> None:
    if judge(each).accepted:
        assert each.update.ref in {MAIN, CHANGE}
        assert each.update.old == each.current
        if each.update.new is None:
            assert (each.update.ref, each.role) == (CHANGE, OperatorRole.PUBLISH)
        else:
            assert each.is_commit
            assert each.is_fast_forward
            assert each.fault is None


@given(pushes)
def test_main_moves_for_who_may_publish_and_nothing_for_who_may_read(each: Push) -> None:
    if judge(each).accepted:
        assert each.role is not OperatorRole.READ
        assert each.update.ref != MAIN or each.role is OperatorRole.PUBLISH


@given(pushes)
def test_every_refusal_fits_on_git_s_status_line_and_explains_itself(each: Push) -> None:
    verdict = judge(each)
    if verdict.reason is not None:
        assert len(verdict.reason) < 40
        assert "\n" not in verdict.reason
        assert verdict.explanation


@pytest.mark.parametrize("name", ["a" * 101, "@{1}", "a~1", "a:b", "a*", "a\\b"])
def test_a_name_with_a_meaning_or_without_an_end_is_no_proposal_s(name: str) -> None:
    assert not is_change(CHANGES + name)


@pytest.mark.parametrize("name", ["a", "new-partner", "alice/fix_1", "v1.2", "A" * 100])
def test_a_proposal_has_a_plain_name(name: str) -> None:
    assert is_change(CHANGES + name)


@pytest.mark.parametrize(
    "name",
    ["", "/a", "a/", "a//b", "a..b", ".a", "a/.b", "-a", "a.lock", "a.lock/b", "a b", "ä", "a\n"],
)
def test_a_name_that_git_or_a_shell_might_take_for_something_else_is_no_proposal_s(
    name: str,
) -> None:
    assert not is_change(CHANGES + name)


def test_who_may_publish_takes_a_proposal_away() -> None:
    assert judge(push(ref=CHANGE, new=None)).accepted
    assert judge(push(ref=CHANGE, new=None, current=OTHER)).reason == "fetch first"


def test_one_more_proposal_may_be_made_up_to_the_bound_and_any_may_grow() -> None:
    almost = frozenset(sorted(MANY)[1:])
    assert judge(push(ref=CHANGE, old=None, current=None, changes=almost | {CHANGE})).accepted
    assert judge(push(ref=CHANGE, changes=MANY | {CHANGE})).accepted


def test_roles_include_those_before_them() -> None:
    read, propose, publish = OperatorRole
    assert publish.may(propose)
    assert propose.may(propose)
    assert not read.may(propose)


def test_a_stale_push_is_told_both_revisions() -> None:
    assert f"made for {OLD}, but the branch is at {NEW}" in stale(OLD, NEW).explanation[0]
    assert "made for nothing" in stale(None, NEW).explanation[0]


def test_a_pack_that_cannot_be_read_is_a_refusal_with_its_reason() -> None:
    assert unreadable("it is broken").explanation[0].endswith("it is broken")


@pytest.mark.parametrize("verdict", [ATOMIC, REPEATED, unreadable("x"), stale(None, None)])
def test_the_ready_made_refusals_refuse(verdict: object) -> None:
    assert not getattr(verdict, "accepted")  # noqa: B009


def test_a_member_follows_history_that_contains_its_anchor() -> None:
    assert lineage(OLD, NEW, is_ancestor=True).accepted


def test_a_member_without_an_anchor_follows_any_history() -> None:
    assert lineage(None, NEW, is_ancestor=False).accepted


def test_a_member_holds_when_its_anchor_is_not_in_the_history() -> None:
    verdict = lineage(OLD, NEW, is_ancestor=False)
    assert verdict.reason == "history was rewritten"
    assert "mftgit reanchor" in verdict.explanation[2]


def test_damage_here_is_told_as_nobody_s_fault_and_with_whom_to_tell() -> None:
    verdict = damaged()
    assert not verdict.accepted
    assert "not at fault" in verdict.explanation[0]
    assert "administrator" in verdict.explanation[0]


def test_the_log_of_reviews_is_begun_by_nobody_who_pushes_and_only_grows() -> None:
    assert judge(push(ref=REVIEWS, role=OperatorRole.PROPOSE)).accepted
    assert judge(push(ref=REVIEWS, role=OperatorRole.READ)).reason == "not allowed to propose"
    for gone in (
        push(ref=REVIEWS, new=None),
        push(ref=REVIEWS, old=None, current=None),
    ):
        assert judge(gone).reason == "the log of reviews only grows"
    assert judge(push(ref=REVIEWS, is_fast_forward=False)).reason == "non-fast-forward"
    assert not judge(push(ref="refs/reviews/other")).accepted


@pytest.mark.parametrize(
    ("refs", "asked"),
    [
        ([f"{MERGES}node"], "node"),
        ([f"{MERGES}more/nodes"], "more/nodes"),
        ([f"{MERGES}a..b"], None),
        ([MERGES], None),
        ([MAIN], None),
        ([f"{MERGES}node", MAIN], None),
        ([], None),
    ],
)
def test_a_push_asks_to_merge_one_proposal_and_nothing_besides(
    refs: list[str], asked: str | None
) -> None:
    updates = [RefUpdate(ref=ref, old=None, new=NEW) for ref in refs]
    assert asked_to_merge(updates) == ((asked, NEW) if asked else None)
    gone = [replace(each, new=None) for each in updates]
    assert asked_to_merge(gone) is None
