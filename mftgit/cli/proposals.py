"""What the verbs of review share: a clone that was just fetched, and the shapes that ``--json`` documents."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.git.commit import LogEntry
from mftgit.adapters.git.review_clone import (
    CHANGES_HERE,
    MAIN_HERE,
    GitRefusedError,
    Pushed,
    ReviewClone,
)
from mftgit.adapters.git.review_log import ReviewLog
from mftgit.cli.rules import make_validator
from mftgit.controller.review.reading import Places, ReviewReading, Seen
from mftgit.model.configuration.change_words import restarts
from mftgit.model.configuration.changes import MemberChange, member_changes
from mftgit.model.configuration.changes_told import tell_member
from mftgit.model.names import Revision
from mftgit.model.printable import printable
from mftgit.model.review.record import Entry

_HERE = Places(main=MAIN_HERE, changes=CHANGES_HERE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A clone, and what can be read in it of proposals."""

    clone: ReviewClone
    reading: ReviewReading

    def title(self, revision: Revision) -> LogEntry:
        """Return what a list shows of a commit."""
        return self.clone.log(revision, 1)[0]

    def compare(self, seen: Seen) -> tuple[MemberChange, ...]:
        """Return what the proposal changes on each member; nothing where a side of it is not valid here."""
        validator = make_validator()
        was, becomes = (
            validator.validate(self.clone.tree(each))
            for each in (seen.change.base, seen.change.tip)
        )
        return () if was.problems or becomes.problems else member_changes(was, becomes)


@contextmanager
def sight(path: Path, *, fetched: bool = True) -> Iterator[Sight]:
    """Give the clone at ``path``, fetched first."""
    with ReviewClone(path) as clone:
        if fetched:
            clone.fetch()
        yield Sight(clone=clone, reading=ReviewReading(clone, ReviewLog(clone), _HERE))


def tell(pushed: Pushed, *, as_json: bool) -> None:
    """Print what the controller said.

    Raises:
        GitRefusedError: it refused.
    """
    for line in pushed.told:
        click.echo(line, err=as_json or not pushed.accepted)
    if not pushed.accepted:
        raise GitRefusedError(f"refused: {pushed.reason}")


def summary_json(seen: Seen, title: LogEntry) -> dict[str, Any]:
    """Return the shape of one proposal that ``review list --json`` documents."""
    pushed = [each for each in seen.entries if each.record.said.value == "propose"]
    return {
        "name": seen.change.name,
        "revision": seen.change.tip,
        "base": seen.change.base,
        "title": printable(title.subject),
        "author": printable(title.author),
        "by": pushed[-1].record.by if pushed else None,
        "at": _time(pushed[-1].at_s) if pushed else None,
        "state": seen.standing.state.value,
        "needed": seen.standing.needed,
        "given": seen.standing.given,
        "behind": seen.behind,
        "obstacles": list(seen.obstacles),
    }


def view_json(
    seen: Seen, title: LogEntry, commits: Sequence[LogEntry], changes: Sequence[MemberChange]
) -> dict[str, Any]:
    """Return the shape that ``review show --json`` documents."""
    return {
        **summary_json(seen, title),
        "commits": [
            {
                "revision": each.revision,
                "author": printable(each.author),
                "subject": printable(each.subject),
            }
            for each in commits
        ],
        "paths": sorted(map(printable, seen.change.paths)),
        "must_approve": [
            {"paths": printable(glob), "owners": list(owners)}
            for glob, owners in sorted(seen.standing.must_approve.items())
        ],
        "reviews": [
            {**_entry_json(each.entry), "discounted": each.discounted}
            for each in seen.standing.opinions
        ],
        "signed": list(seen.signed),
        "comments": [_entry_json(each) for each in seen.entries if each.record.text],
        "members": [tell_member(each) for each in changes],
        "restarts": restarts_json(changes),
    }


def restarts_json(changes: Sequence[MemberChange]) -> list[Mapping[str, str]]:
    """Return what is stopped and started again on which member."""
    return [
        {"member": each.member, "component": what} for each in changes for what in restarts(each)
    ]


def _entry_json(entry: Entry) -> dict[str, Any]:
    record = entry.record
    return {
        "record": entry.oid,
        "at": _time(entry.at_s),
        "said": record.said.value,
        "by": record.by,
        "via": record.via.value,
        "signers": list(entry.principals),
        "revision": record.commit,
        "text": printable(record.text, keep="\n"),
        "path": None if record.path is None else printable(record.path),
        "line": record.line,
    }


def _time(at_s: int) -> str:
    return rfc3339(datetime.fromtimestamp(at_s, tz=UTC))
