"""What was published, by whom, who signed it and who runs it; and what one revision has that another has not.

Revisions never change, so what was worked out of them is kept.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.git.commit_signature import Examiner
from mftgit.adapters.git.past import Past, first_parents, reaches, read_past
from mftgit.adapters.git.store import GitStore
from mftgit.controller.views.worked_out import WorkedOut
from mftgit.errors import ConfigError
from mftgit.model.configuration.changes import MemberChange, member_changes
from mftgit.model.configuration.changes_told import tell_member
from mftgit.model.documents.problem import Problem
from mftgit.model.names import CHANGES, MAIN, Revision
from mftgit.model.revisions.text_difference import TextDifference, text_difference
from mftgit.model.rules.validate import Validator
from mftgit.model.trust.signature_told import tell_signature
from mftgit.model.trust.trust import POLICY_FILES, Finding, judge_commit, read_policy

MOST_AT_ONCE: Final = 100
WAIT_S: Final = 20.0
"""So long somebody waits for an answer; it is worked out nevertheless."""

_KEPT_ROWS: Final = 2_000

Running = Callable[[], Mapping[str, Revision]]
"""Returns which member runs which revision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A commit, and who signed it; None where nothing published is before it that could judge it."""

    past: Past
    finding: Finding | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPage:
    """Revisions, newest first; ``following`` is where the next older ones begin. ``runs`` are members by revision."""

    rows: tuple[Row, ...]
    following: Revision | None
    runs: Mapping[Revision, Sequence[str]]

    def as_json(self) -> dict[str, Any]:
        """Return the shape of ``log --json``, with where it goes on."""
        return {
            "ref": MAIN,
            "revisions": [tell_row(row, self.runs) for row in self.rows],
            "next": self.following,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What ``after`` has that ``before`` has not: in words by member, and in text.

    ``invalid`` says why there are no words, where one of the two is not valid by the rules of this version.
    """

    before: Revision
    after: Revision
    members: tuple[MemberChange, ...]
    text: TextDifference
    invalid: str = ""
    problems: tuple[Problem, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the shape of ``diff --json``, with the text."""
        return {
            "from": self.before,
            "to": self.after,
            "members": [tell_member(each) for each in self.members],
            "invalid": self.invalid or None,
            **self.text.as_json(),
        }


class History:
    """Reads the past of main; any thread may ask."""

    def __init__(self, store: GitStore, validator: Validator, running: Running) -> None:
        """Judge old revisions by the rules of ``validator``, apart from what it remembers of the last one."""
        self._store = store
        self._validator = validator.apart()
        self._running = running
        self._published: set[Revision] = set()
        self._rows = WorkedOut("signers", self._row, threads=2, kept=_KEPT_ROWS)
        self._compared = WorkedOut("compare", self._compare)

    def close(self) -> None:
        """Begin to work nothing out any more."""
        self._rows.close()
        self._compared.close()

    def page(self, *, start: Revision | None = None, limit: int = 20) -> HistoryPage:
        """Return at most ``limit`` revisions of main from ``start`` on, or from its tip.

        Raises:
            ConfigError: nothing is published, or ``start`` is not of main.
            StillWorkingError: signatures take long.
        """
        start = self.tip() if start is None else self.published(start)
        found = list(islice(first_parents(self._store, start), min(limit, MOST_AT_ONCE) + 1))
        rows = tuple(self.row(each.revision) for each in found[: min(limit, MOST_AT_ONCE)])
        following = found[len(rows)].revision if len(found) > len(rows) else None
        return HistoryPage(rows=rows, following=following, runs=self.runs())

    def row(self, revision: Revision) -> Row:
        """Return one commit with who signed it.

        What is published is judged by the revision before it, and what is not by what is published now: a proposal that
        brings signers along cannot have them vouch for itself.

        Raises:
            StillWorkingError: that takes long.
        """
        judge = None if self.is_published(revision) else self.tip()
        return self._rows.get((revision, judge), wait_s=WAIT_S)

    def runs(self) -> dict[Revision, list[str]]:
        """Return the members that run each revision, by name."""
        runs: dict[Revision, list[str]] = {}
        for name, revision in sorted(self._running().items()):
            runs.setdefault(revision, []).append(name)
        return runs

    def compare(self, before: Revision, after: Revision, *, by: str | None = None) -> Comparison:
        """Return what ``after`` has that ``before`` has not; ``by`` is who asks for revisions of their own choice.

        Raises:
            StillWorkingError: that takes long.
        """
        return self._compared.get((before, after), wait_s=WAIT_S, by=by)

    def tip(self) -> Revision:
        """Return the newest revision.

        Raises:
            ConfigError: nothing is published yet.
        """
        tip = self._store.head(MAIN)
        if tip is None:
            raise ConfigError("nothing is published yet: push a first revision to main")
        return tip

    def published(self, revision: Revision) -> Revision:
        """Return ``revision``, which has to be of main.

        Raises:
            ConfigError: it is not.
        """
        if not self.is_published(revision):
            raise ConfigError(f"main has no revision {revision}")
        return revision

    def known(self, revision: Revision) -> Revision:
        """Return ``revision``, which has to be of main or of a proposal.

        Raises:
            ConfigError: it is neither.
        """
        if self.is_published(revision):
            return revision
        if not reaches(self._store, self._store.tips(CHANGES).values(), revision):
            raise ConfigError(f"neither main nor a proposal has the revision {revision}")
        return revision

    def is_published(self, revision: Revision) -> bool:
        """Tell whether ``revision`` is of main."""
        if revision in self._published:
            return True
        if not reaches(self._store, [self.tip()], revision):
            return False
        if len(self._published) >= _KEPT_ROWS:
            self._published.clear()
        self._published.add(revision)  # and so it stays
        return True

    def _row(self, asked: tuple[Revision, Revision | None]) -> Row:
        revision, judge = asked
        past = read_past(self._store, revision)
        judge = judge or next(iter(past.parents), None)
        if judge is None:
            return Row(past=past, finding=None)
        policy = read_policy(self._store.pick(judge, POLICY_FILES))
        with Examiner() as examine:
            evidence = examine(policy, revision, self._store.raw_commit(revision))
        return Row(past=past, finding=judge_commit(policy, evidence))

    def _compare(self, pair: tuple[Revision, Revision]) -> Comparison:
        before, after = pair
        old, new = self._store.tree(before), self._store.tree(after)
        text = text_difference(old, new)
        was, becomes = self._validator.validate(old), self._validator.validate(new)
        for revision, found in ((before, was), (after, becomes)):
            if found.problems:
                return Comparison(
                    before=before,
                    after=after,
                    members=(),
                    text=text,
                    invalid=f"{revision[:12]} is not valid by the rules of this version",
                    problems=found.problems,
                )
        return Comparison(
            before=before, after=after, members=member_changes(was, becomes), text=text
        )


def tell_row(row: Row, runs: Mapping[Revision, Sequence[str]]) -> dict[str, Any]:
    """Return the shape of one revision that ``log --json`` documents."""
    return {
        "revision": row.past.revision,
        "at": rfc3339(row.past.committed_at),
        "author": row.past.author,
        "subject": row.past.subject,
        "signature": None if row.finding is None else tell_signature(row.finding),
        "members": list(runs.get(row.past.revision, ())),
    }
