"""Find out how proposals stand, in the controller's repository or in a person's clone, which say the same."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Protocol

from mftgit.adapters.git.commit_signature import Examiner
from mftgit.adapters.git.objects import StoreError
from mftgit.adapters.git.review_log import ReviewLog
from mftgit.errors import ConfigError
from mftgit.model.documents.document import Document, parse_document
from mftgit.model.documents.places import CLUSTER_FILE
from mftgit.model.names import CHANGES, MAIN, REVIEWS, Revision
from mftgit.model.printable import printable
from mftgit.model.review.policy import ReviewPolicy, read_review
from mftgit.model.review.record import Entry
from mftgit.model.review.review import (
    Change,
    Standing,
    fingerprint,
    judge_change,
    named_in,
    this_round,
)
from mftgit.model.revisions.push import is_change
from mftgit.model.rules.tree import Tree
from mftgit.model.trust.approvals import Approvals
from mftgit.model.trust.trust import POLICY_FILES, Outcome, Policy, judge_commit, read_policy

MAX_COMMITS: Final = 1_000
"""A proposal of more commits is not looked at any further."""

_KEPT: Final = 1_024  # of what commits say, which never changes


class NoSuchChangeError(ConfigError):
    """There is no proposal of that name."""


class Repository(Protocol):
    """What is asked of a repository; `GitStore` and `LocalRepository` are some."""

    def head(self, ref: str) -> Revision | None:
        """Return what ``ref`` names, None where there is none."""

    def names(self, prefix: str) -> frozenset[str]:
        """Return the refs below ``prefix``."""

    def is_ancestor(self, ancestor: Revision, descendant: Revision) -> bool:
        """Tell whether ``ancestor`` is ``descendant`` or behind it."""

    def history(self, old: Revision, new: Revision) -> Mapping[Revision, tuple[Revision, ...]]:
        """Return what ``new`` has behind it and ``old`` has not, each with its parents."""

    def raw_commit(self, revision: Revision) -> bytes:
        """Return a commit byte for byte."""

    def tree(self, revision: Revision) -> Tree:
        """Return the files of ``revision``."""

    def pick(self, revision: Revision, paths: Iterable[str]) -> Tree:
        """Return those of ``paths`` that are files of ``revision``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The refs of a repository."""

    main: str = MAIN
    changes: str = CHANGES
    reviews: str = REVIEWS


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the published revision asks for; ``review`` is None where it asks for no review."""

    main: Revision
    review: ReviewPolicy | None
    trust: Policy

    @property
    def reviewed(self) -> bool:
        """Tell whether nothing is published but proposals."""
        return self.review is not None or self.trust.approvals > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A proposal, how it stands, and what was said of it; ``commits`` are its own, newest first.

    ``behind`` tells that main has moved on from ``change.base``. ``signed`` are those who signed that they approve of
    this very commit, where members ask for that.
    """

    change: Change
    standing: Standing
    entries: tuple[Entry, ...]
    commits: tuple[Revision, ...]
    behind: bool
    signed: tuple[str, ...] = ()
    rules: Rules = field(repr=False)

    @property
    def obstacles(self) -> tuple[str, ...]:
        """Return in whole sentences what keeps it from being merged, as far as people go."""
        needed = self.rules.trust.approvals
        if len(self.signed) >= needed:
            return self.standing.lacking
        told = (
            f"members take it with {needed} signed approvals of {self.change.tip[:12]} only, and there are "
            f"{len(self.signed)}: mftgit review approve {self.change.name}"
        )
        return (*self.standing.lacking, told)


class ReviewReading:
    """Reads proposals; any thread may call, as far as its repository lets it."""

    def __init__(
        self, repository: Repository, log: ReviewLog, places: Places | None = None
    ) -> None:
        self._repository = repository
        self._log = log
        self._places = places or Places()
        self.compare = lru_cache(_KEPT)(self._compare)
        """Return the fingerprint of what changes from one revision to another, and the paths where it does."""
        self.span = lru_cache(_KEPT)(self._span)
        """Return the newest revision of main that a commit has behind it, and what the commit has besides."""

    def entries(self) -> tuple[Entry, ...]:
        """Return every record there is, the oldest first."""
        return self._log.entries(self._repository.head(self._places.reviews))

    def rules(self, main: Revision | None = None) -> Rules:
        """Return what counts: the published revision, or ``main``, one that was.

        Raises:
            ConfigError: nothing is published yet.
        """
        main = main or self._repository.head(self._places.main)
        if main is None:
            raise ConfigError("nothing is published yet: push a first revision to main")
        files = self._repository.pick(main, POLICY_FILES)
        return Rules(main=main, review=read_rules(files), trust=read_policy(files))

    def names(self) -> list[str]:
        """Return the names of the proposals there are."""
        prefix = self._places.changes
        found = (ref.removeprefix(prefix) for ref in self._repository.names(prefix))
        return sorted(name for name in found if is_change(f"{CHANGES}{name}"))

    def tip(self, name: str) -> Revision:
        """Return where the proposal ``name`` stands; raises NoSuchChangeError."""
        ref = f"{self._places.changes}{name}"
        tip = self._repository.head(ref) if is_change(f"{CHANGES}{name}") else None
        if tip is None:
            raise NoSuchChangeError(f"there is no proposal {printable(name)[:120]}")
        return tip

    def see(
        self,
        name: str,
        *,
        operators: frozenset[str] | None = None,
        rules: Rules | None = None,
        tip: Revision | None = None,
    ) -> Seen:
        """Return the proposal ``name``, or what it would be with another ``tip``.

        Raises:
            ConfigError: there is none, or it grew from nothing that is published.
        """
        rules = rules or self.rules()
        tip = tip or self.tip(name)
        base, commits = self.span(rules.main, tip)
        content, paths = self.compare(base, tip)
        with Examiner() as examine:
            signers = _Signers(self._repository, rules.trust, examine)
            change = Change(
                name=name,
                tip=tip,
                base=base,
                content=content,
                paths=paths,
                authors=frozenset(
                    name
                    for each in commits
                    for name in (*named_in(self._repository.raw_commit(each)), *signers(each))
                ),
            )
            entries = tuple(
                Entry(
                    oid=each.oid, at_s=each.at_s, record=each.record, principals=signers(each.oid)
                )
                for each in this_round(self.entries(), name)
            )
            approvals = Approvals(
                history=dict.fromkeys(commits, ()),
                entries=entries,
                examine=lambda policy, each: examine(
                    policy, each, self._repository.raw_commit(each)
                ),
                raw_commit=self._repository.raw_commit,
            )
            saw = [each for each in entries if each.record.commit == tip]
            signed = (
                approvals.signers(rules.trust, tip, commits, saw) if rules.trust.approvals else ()
            )
        return Seen(
            change=change,
            standing=judge_change(rules.review, change, entries, operators=operators),
            entries=entries,
            commits=commits,
            behind=base != rules.main,
            signed=tuple(", ".join(sorted(each)) for each in signed),
            rules=rules,
        )

    def _span(self, main: Revision, tip: Revision) -> tuple[Revision, tuple[Revision, ...]]:
        """Return the newest revision of main that ``tip`` has behind it, and what ``tip`` has besides.

        Raises:
            ConfigError: there is no single such revision, or more commits than are looked at.
        """
        history = self._repository.history(main, tip)
        if len(history) > MAX_COMMITS:
            raise ConfigError(
                f"a proposal has at most {MAX_COMMITS:,} commits, and this {len(history):,}"
            )
        if not history:
            return tip, ()
        ends = {each for parents in history.values() for each in parents} - history.keys()
        for end in sorted(ends):
            if all(self._repository.is_ancestor(each, end) for each in ends):
                return end, tuple(history)
        raise ConfigError(
            f"{tip[:12]} grew from no single revision of main: git rebase origin/main, and push it again"
        )

    def _compare(self, base: Revision, tip: Revision) -> tuple[str, frozenset[str]]:
        return fingerprint(self._files(base), self._files(tip))

    def _files(self, revision: Revision) -> dict[str, str]:
        """Return mode and object of every file of ``revision``."""
        return {
            path: f"{entry.mode:o} {entry.oid}"
            for path, entry in self._repository.tree(revision).items()
        }


class _Signers:
    """Whose key signed a commit, by a policy; each is looked at once."""

    def __init__(self, repository: Repository, policy: Policy, examine: Examiner) -> None:
        self._repository, self._policy, self._examine = repository, policy, examine

    def __call__(self, revision: Revision) -> tuple[str, ...]:
        if not self._policy.signers:
            return ()
        raw = self._repository.raw_commit(revision)
        finding = judge_commit(self._policy, self._examine(self._policy, revision, raw))
        return finding.principals if finding.outcome is Outcome.SIGNED else ()


def read_rules(files: Tree) -> ReviewPolicy | None:
    """Return what the policy files of a published revision say of review."""
    entry = files.get(CLUSTER_FILE)
    try:
        document = parse_document(CLUSTER_FILE, entry.load() if entry else b"")
    except StoreError:
        return read_review(None)
    return read_review(document.value if isinstance(document, Document) else None)
