"""Decide whether a ref may move: the controller's rule for a push, the members' rule for what they fetch."""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from mftgit.model.access import OperatorRole
from mftgit.model.names import CHANGES, MAIN, MERGES, REVIEWS, Revision
from mftgit.model.revisions.limits import Limits, beyond
from mftgit.model.rules.tree import Tree
from mftgit.model.trust.trust import Finding, Outcome, Policy, explain

_CHANGE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(?:[./][A-Za-z0-9][A-Za-z0-9_-]*)*")
LONGEST_CHANGE: Final = 100
"""Characters of the name of a proposal, after ``refs/heads/change/``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefUpdate:
    """One line of a push: ``ref`` shall go from ``old`` to ``new``; None means that the ref is not there."""

    ref: str
    old: Revision | None
    new: Revision | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """One ref of a push with everything that is known about it.

    ``update.new`` may name any kind of object. ``current`` is where the ref stands now, ``changes`` are the
    proposals that there are, or that this push makes. ``root`` is what the first push of main has to grow from, where
    somebody has said so. ``limits`` are those of the published revision. ``fault`` says in one sentence which object is
    missing or malformed, or is None. ``tree`` reads the files of ``update.new``, ``published`` those of ``base`` that
    its policy is read from, ``before`` gives the paths of the documents of ``base``, and ``commits`` gives what lies
    between, byte for byte; they may be called only while the push is being decided, and only where ``is_commit`` holds
    and there is no fault.
    """

    who: str
    role: OperatorRole
    update: RefUpdate
    current: Revision | None
    changes: frozenset[str] = frozenset()
    root: Revision | None = None
    limits: Limits = field(default_factory=Limits)
    fault: str | None
    is_commit: bool
    is_fast_forward: bool
    tree: Callable[[], Tree]
    published: Callable[[], Tree]
    before: Callable[[], Collection[str]]
    commits: Callable[[], Iterator[tuple[Revision, bytes]]]

    @property
    def base(self) -> Revision | None:
        """The revision that ``update.new`` has to have behind it, and by which its commits are judged."""
        return self.update.old or self.root


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


def is_change(ref: str) -> bool:
    """Tell whether ``ref`` is that of a proposal, under a name that is fit for one."""
    name = ref.removeprefix(CHANGES)
    return (
        ref.startswith(CHANGES)
        and len(name) <= LONGEST_CHANGE
        and _CHANGE_NAME.fullmatch(name) is not None
        and not any(part.endswith(".lock") for part in name.split("/"))
    )


def asked_to_merge(updates: Sequence[RefUpdate]) -> tuple[str, Revision] | None:
    """Return the proposal that a push asks to merge, and its tip as who pushes has seen it; None for another push."""
    if len(updates) != 1:
        return None
    name, tip = updates[0].ref.removeprefix(MERGES), updates[0].new
    is_asked = updates[0].ref.startswith(MERGES) and is_change(f"{CHANGES}{name}")
    return (name, tip) if is_asked and tip is not None else None


def judge(push: Push) -> Verdict:
    """Return whether this ref may move, as far as names, roles and history tell.

    The order is that of usefulness to the person who pushes: what can never work comes before what works after a
    fetch.
    """
    update = push.update
    if update.ref not in {MAIN, REVIEWS} and not is_change(update.ref):
        return other_ref(update.ref)
    if update.ref == REVIEWS and None in {update.old, update.new}:
        return _LOG_STAYS
    if update.ref == MAIN and update.new is None:
        return _MAIN_STAYS
    if not push.role.may(_needed(update)):
        return _not_allowed(push)
    return _judge_objects(push) or _judge_history(push)


def _needed(update: RefUpdate) -> OperatorRole:
    """Return who may do this: to take away what others proposed is as much as to publish."""
    grows = update.ref != MAIN and update.new is not None
    return OperatorRole.PROPOSE if grows else OperatorRole.PUBLISH


def _judge_objects(push: Push) -> Verdict | None:
    if push.update.new is None:
        return None
    if push.fault is not None:
        return Verdict(
            reason="missing or broken objects",
            explanation=(push.fault, "run git fsck in the clone, or push from a fresh one"),
        )
    if not push.is_commit:
        return Verdict(
            reason="not a commit",
            explanation=(f"{push.update.new} is not a commit; branches take commits only",),
        )
    return None


def _judge_history(push: Push) -> Verdict:
    update = push.update
    if update.old != push.current:
        return stale(update.old, push.current)
    if update.old is None and update.ref != MAIN:
        return _judge_new_change(update.ref, push.changes - {update.ref}, push.limits)
    if update.new is None or push.is_fast_forward:
        return ACCEPTED
    return _rewritten(push)


def _judge_new_change(ref: str, others: frozenset[str], limits: Limits) -> Verdict:
    if len(others) >= limits.max_changes:
        return Verdict(
            reason="too many proposals",
            explanation=(
                beyond("max_changes", limits, len(others) + 1),
                "have some published, or removed by who may publish: git push origin --delete change/NAME",
            ),
        )
    for other in sorted(others):
        if ref.startswith(f"{other}/") or other.startswith(f"{ref}/"):
            return Verdict(
                reason="name is taken",
                explanation=(
                    f"there is {other}, and git keeps no branch in a folder of the same name",
                    "propose it under another name: git push origin HEAD:change/NAME",
                ),
            )
    return ACCEPTED


def unsigned(ref: str, policy: Policy, wrong: Sequence[Finding]) -> Verdict:
    """Return the refusal of commits that the published ``policy`` does not let pass."""
    in_doubt = any(each.outcome is Outcome.NOT_CHECKED for each in wrong)
    return Verdict(
        reason=NOT_CHECKED if in_doubt else "not signed as required",
        explanation=(f"{ref} cannot move there:", *explain(policy, wrong)),
    )


def unrooted(ref: str) -> Verdict:
    """Return the refusal of a first push that requires signatures, where nothing says whose may be trusted."""
    return Verdict(
        reason="nothing to judge signatures by",
        explanation=(
            f"{ref} would begin with a revision that requires signatures, and nothing published before says whose",
            "who administers the repository names, in there, a commit of this history that is known to be good:",
            "git config mftgit.trustRoot ID; then push again",
        ),
    )


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


NOT_CHECKED: Final = "signatures could not be checked"
"""How a refusal begins that may be otherwise another time: it says nothing of who signed."""

DAMAGED: Final = (
    "the controller's repository is damaged, and what you asked for is not at fault: "
    "tell the controller's administrator; its log says what was found and what to do"
)
"""Told to whoever cannot be served because of damage that only a person can mend."""


def damaged() -> Verdict:
    """Return the refusal of a ref that cannot be judged, because the repository here is damaged."""
    return Verdict(reason="the controller's repository is damaged", explanation=(DAMAGED,))


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
            "to accept the new history instead: `mftgit reanchor REV` on the member, REV being of that history",
        ),
    )


_MAIN_STAYS: Final = Verdict(
    reason="main cannot be deleted",
    explanation=(
        "the push would delete main, the published branch; it can only grow",
        "to take a change back, push a commit that reverts it (git revert)",
    ),
)


_LOG_STAYS: Final = Verdict(
    reason="the log of reviews only grows",
    explanation=(
        f"{REVIEWS} is begun by the controller, and never deleted",
        "to say something of a proposal: mftgit review approve | reject | comment NAME",
    ),
)


def other_ref(ref: str) -> Verdict:
    """Return the refusal of a ref that nobody pushes to."""
    return Verdict(
        reason="only main and change/* may be pushed",
        explanation=(
            f"found a push to {ref}, expected {MAIN} or {CHANGES}NAME, the name of letters, digits, - _ . and /",
            "there are no tags here, and no other branches",
            "push the commits to main: git push origin HEAD:main",
            "or propose them: git push origin HEAD:change/NAME",
        ),
    )


def _not_allowed(push: Push) -> Verdict:
    update, role = push.update, push.role.value
    if update.ref != MAIN and update.new is None:
        return Verdict(
            reason="not yours to delete",
            explanation=(
                f"{push.who} has the role {role!r}, and a proposal is removed by who may publish",
                "ask one of them, or leave it",
            ),
        )
    way_out = (
        "propose it instead: git push origin HEAD:change/NAME"
        if push.role.may(OperatorRole.PROPOSE)
        else "the controller's administrator gives another: mftgit operator role NAME propose"
    )
    return Verdict(
        reason="not allowed to publish" if update.ref == MAIN else "not allowed to propose",
        explanation=(
            f"{push.who} has the role {role!r}, which is not enough for {update.ref}",
            way_out,
        ),
    )


def _rewritten(push: Push) -> Verdict:
    update, base = push.update, push.base
    branch = update.ref.removeprefix("refs/heads/")
    if update.old is None:
        return Verdict(
            reason="not from the trust root",
            explanation=(
                f"{update.new} does not contain {base}, which {branch} has to begin with here",
                "push a history that does; or who administers the repository names another:",
                "git config mftgit.trustRoot ID",
            ),
        )
    return Verdict(
        reason="non-fast-forward",
        explanation=(
            f"{update.new} does not contain {base}, which is on {branch}: it can only grow",
            f"rebase onto it (git fetch; git rebase origin/{branch}), then push without --force",
        ),
    )


def _shown(revision: Revision | None) -> str:
    return "nothing" if revision is None else revision
