"""How a history grew from one published revision to another, and whether somebody who may sign let it.

A member that was away does not see where one push ended and the next began. It looks at all that grew from its anchor,
the oldest first, and asks whether there is any way to divide the history into pushes, each signed as the revision
that was published before it requires. What was published may lie behind any parent of a merge: after `git pull` in a
clone that was behind, it is the second one.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from itertools import islice
from operator import or_

from mftgit.model.documents.problem import Problem
from mftgit.model.names import Revision
from mftgit.model.trust.approvals import Covered
from mftgit.model.trust.policy_version import check_policy_step
from mftgit.model.trust.trust import MAX_TOLD, Evidence, Finding, Outcome, Policy, objections

History = Mapping[Revision, tuple[Revision, ...]]
"""The parents of every commit that can be reached from the tip and not from the anchor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The commits that do not pass, and the policy that they do not pass by; or what is wrong with the tip's own.

    ``unapproved`` are some that pass but for the approvals that the policy asks for.
    """

    policy: Policy
    wrong: tuple[Finding, ...] = ()
    unapproved: tuple[Revision, ...] = ()
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
    covered: Callable[[Policy], Iterable[Covered]] = lambda _policy: (),
) -> Refusal | None:
    """Return why the members may not follow from ``anchor`` to ``tip``; None when they may.

    ``anchor`` is an ancestor of ``tip``. A policy counts for what was published after it, as long as every commit
    since has passed by it. A refusal that is in doubt comes before one that is not. A policy that may not follow on any
    that counts was not published: it came with a later revision, or is refused at the tip.

    ``covered`` tells what was approved, as a policy asks for it. Under such a policy another one counts only from a
    commit on that was itself approved: what stands between two of them was looked at by nobody.
    """
    commits = tuple(_oldest_first(history, tip))
    known: dict[Policy, _Judge] = {}

    def judge_of(policy: Policy) -> _Judge:
        return known.setdefault(policy, _Judge(policy, commits, examine, covered))

    live = {anchor: [judge_of(policy_of(anchor))]}
    refusals: dict[Revision, Refusal] = {}
    doubt: Refusal | None = None
    for revision, since in _arrivals(history, commits, anchor):
        passed, refused = _pass(live, since)
        live[revision] = passed
        doubt = next((each for each in reversed(refused) if each.in_doubt), doubt)
        if not passed:
            refusals[revision] = refused[-1] if refused else refusals[next(iter(since))]
            continue
        if not (publishing := [each for each in passed if each.publishes(revision)]):
            continue
        fresh = policy_of(revision)
        problems = [check_policy_step(each.policy, fresh) for each in publishing]
        if problems[-1] is not None and None not in problems:
            refusals[revision] = Refusal(policy=publishing[-1].policy, problem=problems[-1])
        elif not fresh.problems and judge_of(fresh) not in passed:
            passed.append(judge_of(fresh))
    return (doubt or refusals[tip]) if tip in refusals else None


def grown(
    history: History, *, anchor: Revision, tip: Revision
) -> Iterator[tuple[Revision, tuple[Revision, ...]]]:
    """Give what grew from ``anchor``, the oldest first, each with those parents that did, the anchor among them."""
    for revision, since in _arrivals(history, tuple(_oldest_first(history, tip)), anchor):
        yield revision, tuple(since)


class _Judge:
    """What one policy says of the commits, each of which is examined once. Sets of commits are bits by their place."""

    def __init__(
        self,
        policy: Policy,
        commits: tuple[Revision, ...],
        examine: Callable[[Policy, Revision], Evidence],
        covered: Callable[[Policy], Iterable[Covered]],
    ) -> None:
        self.policy = policy
        approved = tuple(covered(policy)) if policy.approvals else ()
        seen = frozenset[Revision]().union(*(each.commits for each in approved))
        self._tips = frozenset(each.tip for each in approved)
        self._unapproved = sum(
            1 << place
            for place, each in enumerate(commits)
            if policy.approvals and each not in seen
        )
        self._commits = commits
        self._examine = examine
        self._seen = 0
        self._wrong: dict[int, Finding] = {}
        self._all_wrong = 0

    def publishes(self, revision: Revision) -> bool:
        """Tell whether the policy lets ``revision`` be published, and not only come with a later one."""
        return not self.policy.approvals or revision in self._tips

    def refusal(self, commits: int) -> Refusal | None:
        """Return what the policy has against some of ``commits``, those in doubt first."""
        for place in _places(commits & ~self._seen if self.policy.required else 0):
            commit = self._commits[place]
            for finding in objections(self.policy, (self._examine(self.policy, commit),)):
                self._wrong[place] = finding
                self._all_wrong |= 1 << place
        self._seen |= commits
        if not commits & self._all_wrong:
            return self._without_approval(commits & self._unapproved)
        wrong = sorted(
            (self._wrong[place] for place in _places(commits & self._all_wrong)),
            key=lambda each: each.outcome is not Outcome.NOT_CHECKED,
        )
        return Refusal(policy=self.policy, wrong=tuple(islice(wrong, MAX_TOLD + 1)))

    def _without_approval(self, commits: int) -> Refusal | None:
        if not commits:
            return None
        told = islice((self._commits[place] for place in _places(commits)), MAX_TOLD)
        return Refusal(policy=self.policy, unapproved=tuple(told))


def _pass(
    live: Mapping[Revision, list[_Judge]], since: Mapping[Revision, int]
) -> tuple[list[_Judge], list[Refusal]]:
    """Return whom the commits that came ``since`` a parent pass by, on any way, and the refusals of the others."""
    passed: dict[_Judge, None] = {}
    refused = []
    for parent, commits in since.items():
        for judge in live[parent]:
            refusal = None if judge in passed else judge.refusal(commits)
            if refusal is None:
                passed[judge] = None
            else:
                refused.append(refusal)
    return list(passed), refused


def _arrivals(
    history: History, commits: tuple[Revision, ...], anchor: Revision
) -> Iterator[tuple[Revision, dict[Revision, int]]]:
    """Give what grew from ``anchor``, each with its parents that did, and what it has behind it and they have not.

    ``commits`` are those of ``history``, the oldest first.
    """
    waiting = Counter(parent for each in commits for parent in history[each])
    reach: dict[Revision, int] = {}
    known = {anchor}
    for place, revision in enumerate(commits):
        parents = history[revision]
        reach[revision] = reduce(or_, (reach.get(each, 0) for each in parents), 1 << place)
        since = {each: reach[revision] & ~reach.get(each, 0) for each in parents if each in known}
        if since:
            known.add(revision)
            yield revision, since
        waiting.subtract(parents)
        for each in parents:
            if not waiting[each]:
                reach.pop(each, None)


def _oldest_first(history: History, tip: Revision) -> Iterator[Revision]:
    """Give what can be reached from ``tip``, each after its parents and one branch after the other."""
    opened: set[Revision] = set()
    done: set[Revision] = set()
    todo = [tip]
    while todo:
        revision = todo.pop()
        if revision in done or revision not in history:
            continue
        if revision in opened:
            done.add(revision)
            yield revision
        else:
            opened.add(revision)
            todo += [revision, *reversed(history[revision])]


def _places(bits: int) -> Iterator[int]:
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest
