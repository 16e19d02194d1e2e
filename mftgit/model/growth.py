"""How a history grew from one published revision to another, and whether somebody who may sign let it.

A member that was away does not see where one push ended and the next began. It follows the branch from its anchor,
revision by revision, and asks whether there is any way to divide the history into pushes, each signed as the revision
that was published before it requires.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from mftgit.model.names import Revision
from mftgit.model.policy_version import check_policy_step
from mftgit.model.problem import Problem
from mftgit.model.trust import Evidence, Finding, Outcome, Policy, objections

History = Mapping[Revision, tuple[Revision, ...]]
"""The parents of every commit that can be reached from the tip and not from the anchor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The commits that do not pass, and the policy that they do not pass by; or what is wrong with the tip's own."""

    policy: Policy
    wrong: tuple[Finding, ...] = ()
    problem: Problem | None = None

    @property
    def in_doubt(self) -> bool:
        """Tell whether a signature could not be checked here, so that it may be otherwise another time."""
        return any(each.outcome is Outcome.NOT_CHECKED for each in self.wrong)


def judge_growth(
    history: History,
    *,
    anchor: Revision,
    tip: Revision,
    policy_of: Callable[[Revision], Policy],
    examine: Callable[[Policy, Revision], Evidence],
) -> Refusal | None:
    """Return why the members may not follow from ``anchor`` to ``tip``; None when they may.

    ``anchor`` is an ancestor of ``tip``. A policy counts for what was published after it, as long as every commit
    since has passed by it. A refusal that is in doubt comes before one that is not. A policy that may not follow on any
    that counts was not published: it came with a later revision, or is refused at the tip.
    """
    live = [policy_of(anchor)]
    doubts: list[Refusal] = []
    problem: Problem | None = None
    for revision, commits in steps(history, anchor=anchor, tip=tip):
        judged = [
            Refusal(policy=policy, wrong=objections(policy, (examine(policy, c) for c in commits)))
            for policy in live
        ]
        live = [each.policy for each in judged if not each.wrong]
        doubts += [each for each in judged if each.in_doubt]
        if not live:
            return [*judged, *doubts][-1]
        fresh = policy_of(revision)
        problems = [check_policy_step(policy, fresh) for policy in live]
        problem = None if None in problems else problems[-1]
        if problem is None and not fresh.problems and fresh not in live:
            live.append(fresh)
    if problem is None:
        return None
    return [Refusal(policy=live[-1], problem=problem), *doubts][-1]


def steps(
    history: History, *, anchor: Revision, tip: Revision
) -> Iterator[tuple[Revision, tuple[Revision, ...]]]:
    """Give the revisions of the branch after ``anchor``, the oldest first, each with the commits that came with it."""
    taken: set[Revision] = set()
    for revision in reversed(_branch(history, anchor, tip)):
        yield revision, _reach(history, revision, taken)


def _branch(history: History, anchor: Revision, tip: Revision) -> list[Revision]:
    """Return a way from ``tip`` back to ``anchor``, along first parents where they lead there."""
    grown = _grown_from(history, anchor)
    branch, at = [], tip
    while at != anchor:
        branch.append(at)
        at = next(each for each in history[at] if each == anchor or each in grown)
    return branch


def _grown_from(history: History, anchor: Revision) -> set[Revision]:
    children: dict[Revision, list[Revision]] = {}
    for revision, parents in history.items():
        for parent in parents:
            children.setdefault(parent, []).append(revision)
    grown: set[Revision] = set()
    todo = [anchor]
    while todo:
        for child in children.get(todo.pop(), ()):
            if child not in grown:
                grown.add(child)
                todo.append(child)
    return grown


def _reach(history: History, start: Revision, taken: set[Revision]) -> tuple[Revision, ...]:
    """Return what can be reached from ``start`` and was not taken before; take it."""
    found, todo = [], [start]
    while todo:
        revision = todo.pop()
        if revision in history and revision not in taken:
            taken.add(revision)
            found.append(revision)
            todo.extend(history[revision])
    return tuple(found)
