"""Drafts of operators who edit in a browser, and what the rules say of them before anything is proposed.

A draft is kept, one for each operator, until it is proposed or thrown away: in memory, and on disk for a restart.
"""

import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from mftgit.adapters.draft_files import DraftFiles
from mftgit.adapters.git.store import GitStore
from mftgit.controller.views.worked_out import StillWorkingError
from mftgit.errors import ConfigError
from mftgit.model.documents.document import Kind
from mftgit.model.documents.problem import Problem
from mftgit.model.documents.sample_text import sample_text
from mftgit.model.names import MAIN, Revision
from mftgit.model.revisions.draft import Draft, content_of, overlay
from mftgit.model.revisions.three_way import Merged, merge_trees
from mftgit.model.rules.tree import Tree
from mftgit.model.rules.validate import Validator
from mftgit.resources import load_schema

MOST_DRAFTS: Final = 100
_AT_ONCE: Final = 2
_WAIT_S: Final = 20.0


class Editing:
    """The drafts there are; any thread may call."""

    def __init__(
        self, store: GitStore, validator: Validator, kept: DraftFiles, *, operators: Collection[str]
    ) -> None:
        """Judge by the rules of ``validator``, apart from what it remembers; go on with what ``operators`` had."""
        self._kept = kept
        self._store = store
        self._validator = validator.apart()
        self._seats = threading.BoundedSemaphore(_AT_ONCE)
        self._drafts = OrderedDict(kept.read(operators)[-MOST_DRAFTS:])
        self._lock = threading.Lock()
        self._changing = threading.Lock()
        self._read: tuple[Revision, Tree] | None = None

    def draft(self, operator: str) -> Draft | None:
        """Return what ``operator`` is editing, None where that is nothing."""
        with self._lock:
            return self._drafts.get(operator)

    def keep(self, operator: str, draft: Draft) -> None:
        """Keep ``draft``; where there are too many, the one that was not touched longest is forgotten."""
        with self._lock:
            self._drafts[operator] = draft
            self._drafts.move_to_end(operator)
            self._kept.keep(operator, draft)
            if len(self._drafts) > MOST_DRAFTS:
                self._kept.drop(self._drafts.popitem(last=False)[0])

    def drop(self, operator: str, proposed: Draft | None = None) -> None:
        """Forget the draft of ``operator``; of one that was ``proposed``, what it has beyond that stays."""
        with self._lock:
            now = self._drafts.pop(operator, None)
            files = _beyond(now, proposed)
            if now is None or not files:
                self._kept.drop(operator)
                return
            self._drafts[operator] = replace(now, files=files)
            self._kept.keep(operator, self._drafts[operator])

    def begun(self, operator: str) -> Draft:
        """Return the draft of ``operator``, or a new one on the newest revision.

        Raises:
            ConfigError: nothing is published yet.
        """
        found = self.draft(operator)
        if found is not None:
            return found
        tip = self._store.head(MAIN)
        if tip is None:
            raise ConfigError("nothing is published yet: push a first revision to main")
        return Draft(base=tip)

    def files(self, revision: Revision) -> Tree:
        """Return the files of ``revision``."""
        read = self._read
        if read is None or read[0] != revision:
            read = self._read = (revision, self._store.tree(revision))
        return read[1]

    def sample(self, kind: Kind) -> str:
        """Return what a new document of ``kind`` begins with: the example of its schema."""
        return sample_text(load_schema(kind.value))

    def change(self, operator: str, path: str, text: str | None) -> Draft:
        """Put what a browser sent of ``path`` into the draft, None to remove the file; return the draft.

        Raises:
            ConfigError: it is no path or no text, or there is too much.
        """
        with self._changing:  # two windows of one operator
            draft = self.begun(operator)
            before = self.files(draft.base)
            try:
                entry = before.get(path)
                was = entry.load() if entry else None
                content = None if text is None else content_of(text, was)
                draft = draft.with_file(path, content, before)
            except ValueError as error:
                raise ConfigError(str(error)) from error
            self.keep(operator, draft)
            return draft

    def validate(self, base: Revision, files: Mapping[str, bytes | None]) -> tuple[Problem, ...]:
        """Return every problem of ``base`` with ``files``.

        Raises:
            StillWorkingError: too many others are asking.
        """
        if not self._seats.acquire(timeout=_WAIT_S):
            raise StillWorkingError(
                "others are having their changes looked at: ask again in a moment"
            )
        try:
            before = self.files(base)
            self._validator.validate(
                before
            )  # what differs from a valid one in little is looked at quickly
            return self._validator.validate(overlay(before, files)).problems
        finally:
            self._seats.release()

    def bring_up(self, draft: Draft, tip: Revision) -> tuple[Draft, Merged]:
        """Return ``draft`` on top of ``tip``, and what both changed, because of which it stays as it is."""
        before, now = self.files(draft.base), self._store.tree(tip)
        merged = merge_trees(before, now, overlay(before, draft.files))
        if merged.conflicts:
            return draft, merged
        return Draft(base=tip, proposal=draft.proposal, files=dict(merged.files)), merged


def _beyond(now: Draft | None, proposed: Draft | None) -> dict[str, bytes | None]:
    """Return what a draft has ``now`` that was not ``proposed``, None for none or all of it."""
    if now is None or proposed is None or now is proposed:
        return {}
    return {
        path: content
        for path, content in now.files.items()
        if path not in proposed.files or proposed.files[path] != content
    }
