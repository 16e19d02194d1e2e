"""What may be pushed, and what a member may look at."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mftgit.model.names import MAIN, Revision
from mftgit.model.push import (
    ATOMIC,
    REPEATED,
    Push,
    RefUpdate,
    judge,
    lineage,
    stale,
    unreadable,
)

OLD, NEW, OTHER = Revision("a" * 40), Revision("b" * 40), Revision("c" * 40)

revisions = st.sampled_from([None, OLD, NEW, OTHER])
refs = st.sampled_from([MAIN, "refs/heads/other", "refs/tags/v1", "HEAD", "refs/heads/Main"])


def push(  # noqa: PLR0917
    ref: str = MAIN,
    old: Revision | None = OLD,
    new: Revision | None = NEW,
    current: Revision | None = OLD,
    fault: str | None = None,
    is_commit: bool = True,  # noqa: FBT001, FBT002
    is_fast_forward: bool = True,  # noqa: FBT001, FBT002
) -> Push:
    return Push(
        who="ann",
        update=RefUpdate(ref=ref, old=old, new=new),
        current=current,
        fault=fault,
        is_commit=is_commit,
        is_fast_forward=is_fast_forward,
        tree=dict,
    )


def test_a_commit_on_top_of_main_may_be_pushed() -> None:
    assert judge(push()).accepted


def test_the_first_commit_of_an_empty_repository_may_be_pushed() -> None:
    assert judge(push(old=None, current=None)).accepted


@pytest.mark.parametrize(
    ("refused", "reason", "way_out"),
    [
        (push(ref="refs/heads/other"), "only main may be pushed", "git push origin HEAD:main"),
        (push(ref="refs/tags/v1", new=None), "only main may be pushed", "HEAD:main"),
        (push(new=None), "main cannot be deleted", "git revert"),
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


@given(
    st.builds(
        push,
        refs,
        revisions,
        revisions,
        revisions,
        st.sampled_from([None, "x"]),
        st.booleans(),
        st.booleans(),
    )
)
def test_what_is_accepted_is_a_whole_commit_that_grows_main_from_where_it_is(each: Push) -> None:
    if judge(each).accepted:
        assert each.update.ref == MAIN
        assert each.update.new is not None
        assert each.update.old == each.current
        assert each.is_commit
        assert each.is_fast_forward
        assert each.fault is None


@given(
    st.builds(
        push,
        refs,
        revisions,
        revisions,
        revisions,
        st.sampled_from([None, "x"]),
        st.booleans(),
        st.booleans(),
    )
)
def test_every_refusal_fits_on_git_s_status_line_and_explains_itself(each: Push) -> None:
    verdict = judge(each)
    if verdict.reason is not None:
        assert len(verdict.reason) < 40
        assert "\n" not in verdict.reason
        assert verdict.explanation


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
    assert "record.json" in verdict.explanation[2]
