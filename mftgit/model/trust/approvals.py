"""Whether commits were approved by people who signed that they do, so that nobody need trust the controller for it.

A signed approval names a commit and the published revision that it was compared with; it covers what lies between,
and nothing else: not the same change in another commit. Who had a part in any of that does not count.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Final

from mftgit.model.names import Revision
from mftgit.model.review.policy import People, together
from mftgit.model.review.record import Entry, Said
from mftgit.model.review.review import named_in
from mftgit.model.trust.trust import Evidence, Outcome, Policy, judge_commit

MAX_OPINIONS: Final = 1_000
"""So many records of one commit are looked at, the newest."""

MAX_EACH: Final = 10
"""So many of them by one operator: nobody can push out what another one has signed."""

_COUNT: Final = frozenset({Said.APPROVE, Said.REQUEST_CHANGES, Said.BREAK_GLASS})

Examine = Callable[[Policy, Revision], Evidence]
"""Tells what a commit shows of who signed it."""

Parents = Mapping[Revision, tuple[Revision, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """What ``tip`` was approved with."""

    tip: Revision
    commits: frozenset[Revision]


@dataclass(frozen=True)
class Approvals:
    """What people signed about a history: the parents of all commits that can be reached from a tip and not its anchor.

    ``raw_commit`` gives the bytes of a commit, those that are records too.
    """

    history: Parents
    entries: tuple[Entry, ...]
    examine: Examine
    raw_commit: Callable[[Revision], bytes]
    doubts: list[str] = field(default_factory=list)
    """What could not be checked here."""
    broken: list[Revision] = field(default_factory=list)
    """What is covered by a broken glass, and not by approvals."""

    def covered(self, policy: Policy) -> tuple[Covered, ...]:
        """Return each approved commit, and what it was approved with, as ``policy`` asks for it."""
        return tuple(
            Covered(tip=tip, commits=commits)
            for tip, entries in self._by_commit.items()
            for commits in self._enough(policy, tip, entries)
        )

    def signers(
        self, policy: Policy, tip: Revision, commits: Iterable[Revision], entries: Iterable[Entry]
    ) -> tuple[frozenset[str], ...]:
        """Return who approved ``tip`` so that it counts, one set of names a person, who have no part in ``commits``."""
        people = People.of(dict(policy.people))
        authors = people.persons(
            name
            for each in commits
            for name in (*named_in(self.raw_commit(each)), *self._signed(policy, each))
        )
        parties = self._parties(policy, people, tip, entries, Said.APPROVE)
        return tuple(each for each in parties if not each & authors)

    @cached_property
    def _by_commit(self) -> Mapping[Revision, list[Entry]]:
        found: defaultdict[Revision, list[Entry]] = defaultdict(list)
        times: Counter[tuple[Revision, str]] = Counter()
        for each in reversed(self.entries):
            record = each.record
            if record.commit not in self.history or record.said not in _COUNT:
                continue
            times[record.commit, record.by] += 1
            if times[record.commit, record.by] <= MAX_EACH:
                found[record.commit].append(each)
        return {tip: entries[:MAX_OPINIONS][::-1] for tip, entries in found.items()}

    def _enough(
        self, policy: Policy, tip: Revision, entries: list[Entry]
    ) -> Iterable[frozenset[Revision]]:
        """Give what enough people have approved; those who saw more have seen it too."""
        spans = {base: self._span(base, tip) for base in {each.record.base for each in entries}}
        for span in set(spans.values()):
            saw = [each for each in entries if spans[each.record.base] >= span]
            if len(self.signers(policy, tip, span, saw)) >= policy.approvals:
                yield span
            elif self._broken(policy, tip, saw):
                self.broken.append(tip)
                yield span

    def _broken(self, policy: Policy, tip: Revision, entries: Iterable[Entry]) -> bool:
        """Tell whether so many have signed that the glass be broken as the policy lets them, authors among them."""
        people = People.of(dict(policy.people))
        parties = self._parties(policy, people, tip, entries, Said.BREAK_GLASS)
        return 0 < policy.break_glass <= len(parties)

    def _parties(
        self, policy: Policy, people: People, tip: Revision, entries: Iterable[Entry], said: Said
    ) -> tuple[frozenset[str], ...]:
        """Return who signed last that ``said``, each person once; the operator's name can but put two together."""
        last: dict[tuple[str, ...], Entry] = {}
        for each in entries:
            names = self._signed(policy, each.oid) if each.record.commit == tip else ()
            if names and each.record.said in {said, Said.REQUEST_CHANGES}:
                last[names] = each
        return together(
            people.persons((each.record.by, *names))
            for names, each in last.items()
            if each.record.said is said
        )

    def _signed(self, policy: Policy, revision: Revision) -> tuple[str, ...]:
        finding = judge_commit(policy, self.examine(policy, revision))
        if finding.outcome is Outcome.NOT_CHECKED:
            self.doubts.append(str(finding))
        return finding.principals if finding.outcome is Outcome.SIGNED else ()

    def _span(self, base: Revision | None, tip: Revision) -> frozenset[Revision]:
        """Return what can be reached from ``tip`` and not from ``base``, as far as the history goes."""
        reach = partial(_reach, self.history)
        return reach(tip) - (reach(base) if base is not None else frozenset())


def explain_unapproved(policy: Policy, unapproved: Iterable[Revision]) -> tuple[str, ...]:
    """Return in whole lines what was found, what was expected and the way out."""
    count = policy.approvals
    return (
        *(f"commit {each[:12]} is not covered by enough signed approvals" for each in unapproved),
        f"expected, for each: {count} of those whom the published revision lets sign, not its authors, signed for it",
        "to go on: propose something on top, and have it approved since A, the last revision that members took:",
        "mftgit review approve NAME --since A",
    )


def _reach(history: Parents, start: Revision) -> frozenset[Revision]:
    found: set[Revision] = set()
    todo = [start]
    while todo:
        each = todo.pop()
        if each in history and each not in found:
            found.add(each)
            todo.extend(history[each])
    return frozenset(found)
