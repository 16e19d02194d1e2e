"""The controller's gate: decide about each ref of a push, and record what became of it."""

from collections.abc import Callable, Mapping
from typing import Protocol

from mftgit.adapters.git.commit_signature import Examiner
from mftgit.model.documents.problem import Problem, format_problem
from mftgit.model.events.event import EventName, Fact
from mftgit.model.names import MAIN, REVIEWS, Revision
from mftgit.model.revisions.push import (
    ACCEPTED,
    Push,
    Verdict,
    judge,
    other_ref,
    unrooted,
    unsigned,
)
from mftgit.model.revisions.succession import check_succession
from mftgit.model.rules.tree import Tree
from mftgit.model.trust.trust import objections, read_policy

Record = Callable[[EventName, Revision | None, Mapping[str, Fact]], None]
"""Writes one event of this member."""

_ADVICE = "nothing was published; fix the above and push again (check first: mftgit validate .)"


class Findings(Protocol):
    """What validation found; `mftgit.model.rules.validate.Validation` is one."""

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every problem, in the order in which they are told; none means valid."""


class Checks(Protocol):
    """What validates a tree; `mftgit.model.rules.validate.Validator` does."""

    def validate(self, tree: Tree) -> Findings:
        """Return every problem of ``tree``."""


class Review(Protocol):
    """What knows about proposals and what was said of them; `mftgit.controller.review.gate.ReviewGate` does."""

    def judge_main(self, push: Push) -> Verdict:
        """Return whether main may move there."""

    def judge_mirrored(self, push: Push) -> Verdict:
        """Return whether main may move there because a forge's branch did."""

    def judge_proposed(self, push: Push) -> Verdict:
        """Return whether it may be written down that somebody proposes this."""

    def judge_records(self, push: Push) -> Verdict:
        """Return whether what somebody says may be written down."""

    def settled(self, push: Push) -> tuple[str, ...]:
        """Take note that a ref has moved; return what to tell who pushed."""


class Receive:
    """Decides about pushes. `decide` may be called by several threads at once."""

    def __init__(
        self,
        checks: Checks,
        record: Record,
        publish: Callable[[Push, Revision], None],
        review: Review | None = None,
    ) -> None:
        """Call ``publish`` with each accepted push and its revision once main has moved there.

        Without ``review`` nobody is asked for approval: where a forge stands in front, that is its work.
        """
        self._review = review
        self._checks = checks
        self._record = record
        self._publish = publish

    def decide(self, push: Push) -> Verdict:
        """Return whether the ref may move: by name and history, then by who signed, last by what the files say."""
        return self._decide(push, self._review.judge_main if self._review else None)

    def decide_mirrored(self, push: Push) -> Verdict:
        """Return whether main may move to where a forge's branch is, as `decide`; its reviews were the forge's."""
        return self._decide(push, self._review.judge_mirrored if self._review else None)

    def _decide(self, push: Push, approved: Callable[[Push], Verdict] | None) -> Verdict:
        self._record(EventName.PUSH_RECEIVED, push.update.new, _facts(push))
        verdict = judge(push)
        if verdict.accepted and push.update.ref == REVIEWS:
            return self._review.judge_records(push) if self._review else other_ref(REVIEWS)
        if verdict.accepted and push.update.ref == MAIN:
            verdict = approved(push) if approved else ACCEPTED
        if verdict.accepted and push.update.ref == MAIN:
            verdict = _check_signatures(push)
        elif verdict.accepted and self._review:
            verdict = self._review.judge_proposed(push)
        if not verdict.accepted or push.update.new is None:
            return verdict
        return self._validate(push)

    def settle(self, push: Push, verdict: Verdict) -> tuple[str, ...]:
        """Record a refusal, or publish what moved; to be called once for each ref when all is done.

        Returns what there is to tell who pushed, in lines.
        """
        update = push.update
        if verdict.reason is not None:
            facts = {
                **_facts(push),
                "reason": verdict.reason,
                "explanation": list(verdict.explanation),
            }
            self._record(EventName.PUSH_REFUSED, update.new, facts)
            return ()
        if update.new == update.old:
            return ()
        if update.ref == MAIN and update.new is not None:
            self._publish(push, update.new)
        elif update.ref != REVIEWS:
            event = EventName.CHANGE_REMOVED if update.new is None else EventName.CHANGE_PROPOSED
            self._record(event, update.new, _facts(push))
        return self._review.settled(push) if self._review else ()

    def _validate(self, push: Push) -> Verdict:
        tree = push.tree()
        problems = (*_succession(push, tree), *self._checks.validate(tree).problems)
        if not problems:
            return ACCEPTED
        count = f"{len(problems)} problem" if len(problems) == 1 else f"{len(problems)} problems"
        return Verdict(
            reason=f"not valid: {count}",
            explanation=(*map(format_problem, problems), _ADVICE),
        )


def _check_signatures(push: Push) -> Verdict:
    """Return whether everything new is signed as the published revision requires, or where there is none, the root."""
    if push.base is None:
        first = read_policy(push.tree())  # of what cannot be read, validation tells more
        return unrooted(push.update.ref) if first.required and not first.problems else ACCEPTED
    policy = read_policy(push.published())
    with Examiner() as examine:
        wrong = objections(policy, (examine(policy, *commit) for commit in push.commits()))
    return unsigned(push.update.ref, policy, wrong) if wrong else ACCEPTED


def _succession(push: Push, tree: Tree) -> tuple[Problem, ...]:
    """Return why this may not come next on main; a proposal is asked when it is published."""
    if push.base is None or push.update.ref != MAIN:
        return ()
    return check_succession(push.published(), push.before(), tree)


def _facts(push: Push) -> dict[str, Fact]:
    return {"who": push.who, "ref": push.update.ref, "previous": push.update.old}
