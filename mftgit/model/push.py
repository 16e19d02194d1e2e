"""Decide whether a ref may move: the controller's rule for a push, the members' rule for what they fetch."""

from collections.abc import Callable
from dataclasses import dataclass

from mftgit.model.names import MAIN, Revision
from mftgit.model.tree import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class RefUpdate:
    """One line of a push: ``ref`` shall go from ``old`` to ``new``; None means that the ref is not there."""

    ref: str
    old: Revision | None
    new: Revision | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """One ref of a push with everything that is known about it.

    ``update.new`` may name any kind of object. ``current`` is where the ref stands now. ``fault`` says in one
    sentence which object is missing or malformed, or is None. ``tree`` reads the files of ``update.new``; it may be
    called only while the push is being decided, and only where ``is_commit`` holds and there is no fault.
    """

    who: str
    update: RefUpdate
    current: Revision | None
    fault: str | None
    is_commit: bool
    is_fast_forward: bool
    tree: Callable[[], Tree]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Accepted, or refused for ``reason``.

    ``reason`` is short enough for the status line that git prints for each ref; ``explanation`` says in whole lines
    what was found, what was expected and the way out.
    """

    reason: str | None = None
    explanation: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        """Tell whether the ref may move."""
        return self.reason is None


ACCEPTED = Verdict()

ATOMIC = Verdict(reason="atomic push failed")
"""Given to an innocent ref of an atomic push of which another ref was refused."""

REPEATED = Verdict(
    reason="pushed twice",
    explanation=("one push names this ref more than once; push it once",),
)


def judge(push: Push) -> Verdict:
    """Return whether this ref may move, as far as names and history tell.

    The order is that of usefulness to the person who pushes: what can never work comes before what works after a
    fetch.
    """
    update = push.update
    if update.ref != MAIN:
        return _other_ref(update.ref)
    if update.new is None:
        return Verdict(
            reason="main cannot be deleted",
            explanation=(
                "the push would delete main, the published branch; it can only grow",
                "to take a change back, push a commit that reverts it (git revert)",
            ),
        )
    if push.fault is not None:
        return Verdict(
            reason="missing or broken objects",
            explanation=(push.fault, "run git fsck in the clone, or push from a fresh one"),
        )
    if not push.is_commit:
        return Verdict(
            reason="not a commit",
            explanation=(f"{update.new} is not a commit; main takes commits only",),
        )
    if update.old != push.current:
        return stale(update.old, push.current)
    return ACCEPTED if push.is_fast_forward else _rewritten(update.new, update.old)


def stale(expected: Revision | None, current: Revision | None) -> Verdict:
    """Return the refusal of a push that was made for ``expected`` while the ref is at ``current``."""
    return Verdict(
        reason="fetch first",
        explanation=(
            f"the push was made for {_shown(expected)}, but the branch is at {_shown(current)} now",
            "somebody else published in the meantime: git pull --rebase, then push again",
        ),
    )


def unreadable(detail: str) -> Verdict:
    """Return the refusal of a ref whose push carried a pack that cannot be taken in."""
    return Verdict(
        reason="unpacker error",
        explanation=(f"the objects of this push were not taken in: {detail}",),
    )


def lineage(anchor: Revision | None, tip: Revision, *, is_ancestor: bool) -> Verdict:
    """Return whether a member whose last confirmed revision is ``anchor`` may look further at ``tip``.

    ``is_ancestor`` tells whether ``anchor`` is ``tip`` or one of its ancestors. Without an anchor (a member that has
    just joined) any tip will do.
    """
    if anchor is None or is_ancestor:
        return ACCEPTED
    return Verdict(
        reason="history was rewritten",
        explanation=(
            f"the published tip {tip} does not contain {anchor}, the last revision confirmed here",
            "restore the branch on the controller",
            "to accept the new history instead, stop the member, remove its record.json and start it again",
        ),
    )


def _other_ref(ref: str) -> Verdict:
    return Verdict(
        reason="only main may be pushed",
        explanation=(
            f"found a push to {ref}, expected {MAIN}: this repository publishes one branch and no tags",
            "push the commits to main: git push origin HEAD:main",
        ),
    )


def _rewritten(new: Revision, old: Revision | None) -> Verdict:
    return Verdict(
        reason="non-fast-forward",
        explanation=(
            f"{new} does not contain {_shown(old)}, which is published: main can only grow",
            "rebase onto it (git fetch; git rebase origin/main), then push without --force",
        ),
    )


def _shown(revision: Revision | None) -> str:
    return "nothing" if revision is None else revision
