"""Get a revision and say whether this member may run it: fetch, lineage, verify, validate.

A store that is broken is renewed on the way.
"""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from loguru import logger

from mftgit import __version__
from mftgit.adapters.active_copy import CopyError, read_copy
from mftgit.adapters.git.fetch import RemoteBrokenError
from mftgit.adapters.git.objects import StoreError
from mftgit.adapters.git.review_log import ReviewLog
from mftgit.adapters.git.store import GitStore
from mftgit.adapters.state_folder import Bootstrap, StateFolder
from mftgit.errors import MftgitError, TransientError
from mftgit.member.fetch import DivergedError, check_lineage
from mftgit.member.secrets import Unsealer
from mftgit.member.upstream import Upstream
from mftgit.member.verify import (
    check_floor,
    check_removals,
    check_signatures,
    read_tree,
    revoked_signer,
    verify,
)
from mftgit.model.configuration.config import Generation
from mftgit.model.members.record import Record
from mftgit.model.names import Revision
from mftgit.model.review.record import Entry
from mftgit.model.rules.tree import Tree
from mftgit.model.rules.validate import Validator

_T = TypeVar("_T")


class StoreNotRenewedError(TransientError):
    """The store is broken, and no fresh one could be had; it is tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """Takes nothing for granted that the controller says."""

    folder: StateFolder
    bootstrap: Bootstrap
    upstream: Upstream
    store: GitStore
    validator: Validator
    unsealer: Unsealer
    _log: ReviewLog = field(init=False)
    _checked_by: list[str] = field(default_factory=list)
    _lacking: list[Revision] = field(default_factory=list)
    _heard: list[Revision | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_log", ReviewLog(self.store))

    @property
    def checker(self) -> str:
        """Return what a verdict depends on besides the revision: the version of mftgit, and the secrets that are here.

        Of a secret, and of the key that opens those of the repository, name, size and time count; none is read. While
        their folder does not answer, it is as it was.
        """
        digest = hashlib.sha256()
        try:
            age_key = self.folder.age_key
            keys = (age_key,) if age_key.exists() else ()
            for path in (*sorted(self.folder.secrets.iterdir()), *keys):
                status = path.stat()
                digest.update(f"{path.name} {status.st_size} {status.st_mtime_ns}\n".encode())
        except FileNotFoundError as error:
            digest.update(str(error).encode())
        except OSError as error:
            if self._checked_by:
                return self._checked_by[-1]
            digest.update(str(error).encode())
        self._checked_by[:] = [f"{__version__} {digest.hexdigest()[:16]}"]
        return self._checked_by[-1]

    def fetch(
        self, wanted: Revision, anchor: Revision | None, *, published: Revision | None
    ) -> Revision:
        """Bring the published branch here; return ``wanted`` if that is part of it, else where it stands.

        ``published`` is where it stood a moment ago by the controller's word. No other revision may be asked for: what
        is only proposed can be had too.
        """
        try:
            tip = self.upstream.fetch(published)
        except (StoreError, RemoteBrokenError) as error:  # who is to blame, a fresh store shows
            tip = self._renew(error, anchor)
        return wanted if self._has(wanted, tip) else tip

    def judge(self, revision: Revision, record: Record) -> Generation:
        """Return what ``revision`` means for this member.

        Raises:
            DivergedError: it does not grow from the anchor.
            NotCheckedError: it cannot be told here and now.
            UnapprovedError: it lacks approvals, so far.
            RefusedError: it is not signed as required, not valid, or not for this member.
            ConfigError: it cannot be rendered for this member.
            StoreNotRenewedError: the store is broken for good.
        """
        return self._with_a_whole_store(lambda: self._judge(revision, record), record.anchor)

    def judge_earlier(self, revision: Revision, record: Record) -> Generation:
        """Return what a revision means that the anchor has behind it, and that was verified when it was published.

        Raises:
            DivergedError: the anchor has not.
            MftgitError: as `judge`.
        """
        if record.anchor is None or not self.store.is_ancestor(revision, record.anchor):
            raise DivergedError(f"revision {revision} is not part of the history of this member")
        return self.load(revision, record.anchor)

    def load(self, revision: Revision, anchor: Revision | None) -> Generation:
        """Return what a revision means that was judged before; raises as `judge`.

        Where the store is lost and no other can be had, or one that lacks it, the copy in `active` does, if it is that
        revision's.
        """
        try:
            return self._with_a_whole_store(lambda: self._verify(revision, fresh=False), anchor)
        except (StoreNotRenewedError, StoreError) as error:
            with suppress(CopyError):
                generation = self._verify_copy(revision)
                logger.bind(error=str(error)).warning(
                    "runs by the copy of the active revision", revision=revision
                )
                return generation
            raise

    def is_behind(self, revision: Revision, anchor: Revision | None) -> bool:
        """Tell whether ``anchor`` has ``revision`` behind it, so that going there is going back."""
        return anchor is not None and revision != anchor and self._has(revision, anchor)

    def has_grown(self, revision: Revision, anchor: Revision | None) -> bool:
        """Tell whether ``revision`` grew from ``anchor``, for sure; raises as `judge`."""
        return anchor is None or self._with_a_whole_store(
            lambda: self.store.is_ancestor(anchor, revision), anchor
        )

    def is_more_said(self) -> bool:
        """Tell whether people have said something of proposals since it was asked for last; True before that.

        Raises:
            MftgitError: the controller cannot be asked.
        """
        return [self.upstream.reviews()] != self._heard

    def distrusted(self, active: Revision, by: Revision) -> str | None:
        """Return why the policy of ``by`` would not let ``active`` pass any more; None also where that is not here."""
        try:
            return revoked_signer(self.store, active=active, by=by)
        except StoreError:
            return None

    def check(self, revision: Revision, anchor: Revision | None) -> None:
        """See that ``revision`` can be read again, unless a whole store lacks it; raises StoreNotRenewedError."""
        if revision in self._lacking:
            return
        try:
            self._with_a_whole_store(lambda: self.store.check(revision), anchor)
        except (
            StoreError
        ) as error:  # the history here is another one now: nothing is to be had of this
            logger.bind(error=str(error)).error("what runs is not in the store", revision=revision)
            self._lacking[:] = [revision]

    def _has(self, revision: Revision, tip: Revision) -> bool:
        try:
            return self.store.is_ancestor(revision, tip)
        except StoreError:
            return False

    def _judge(self, revision: Revision, record: Record) -> Generation:
        anchor = record.anchor
        check_lineage(self.store, anchor=anchor, tip=revision)
        check_signatures(self.store, anchor=anchor, tip=revision, said=self._said)
        check_floor(self.store, floor=record.policy_version, tip=revision)
        generation = self._verify(revision, fresh=True)
        check_removals(self.store, anchor=anchor, tip=revision)
        return generation

    def _said(self) -> tuple[Entry, ...]:
        """Return what people said of proposals, as the controller has it now."""
        tip = self.upstream.reviews()
        self._heard[:] = [tip]
        return self._log.entries(tip)

    def _verify(self, revision: Revision, *, fresh: bool) -> Generation:
        return self._render(read_tree(self.store, revision), revision, fresh=fresh)

    def _verify_copy(self, revision: Revision) -> Generation:
        return self._render(read_copy(self.folder.root, revision), revision, fresh=False)

    def _render(self, tree: Tree, revision: Revision, *, fresh: bool) -> Generation:
        own = self.bootstrap
        return verify(
            tree,
            revision,
            validator=self.validator,
            unsealer=self.unsealer,
            fresh=fresh,
            member=own.name,
            role=own.role,
        )

    def _with_a_whole_store(self, step: Callable[[], _T], anchor: Revision | None) -> _T:
        try:
            return step()
        except StoreError as error:
            self._renew(error, anchor)
            return step()

    def _renew(self, broken: MftgitError, anchor: Revision | None) -> Revision:
        """Put a fresh store in the stead of a broken one; return the published revision that it holds."""
        logger.error("the store is broken; a fresh one is fetched", error=str(broken))
        try:
            tip = self.upstream.renew(anchor)
        except MftgitError as error:
            raise StoreNotRenewedError(f"{broken}; no fresh copy could be had: {error}") from error
        logger.warning("a fresh store is in place", revision=tip)
        return tip
