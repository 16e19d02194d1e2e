"""``mftgit log``: the revisions of main, who signed them, and who runs them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.git.commit import LogEntry
from mftgit.adapters.git.commit_signature import Examiner
from mftgit.adapters.git.local_repository import LocalRepository
from mftgit.adapters.git.review_log import ReviewLog
from mftgit.cli.options import json_option, path_argument, print_json
from mftgit.errors import ConfigError
from mftgit.model.names import MAIN, REVIEWS, Revision
from mftgit.model.printable import printable
from mftgit.model.review.record import Record, Said
from mftgit.model.trust.signature_told import describe_signer, tell_signature
from mftgit.model.trust.trust import POLICY_FILES, Finding, judge_commit, read_policy

_PUBLISHED = "refs/remotes/origin/main"
_FETCH = "git fetch origin '+refs/members/*:refs/members/*'"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A revision; ``finding`` is None where no earlier revision is here that could judge it.

    ``glass`` is the record by which it was published without the approvals that were asked for.
    """

    entry: LogEntry
    finding: Finding | None
    glass: Record | None


@click.command(
    epilog="""\b
Examples:
  mftgit log
  mftgit log config -n 5 --json
"""
)
@path_argument
@click.option(
    "-n", "limit", type=click.IntRange(1), default=20, show_default=True, help="How many at most."
)
@json_option
def log(path: Path, limit: int, as_json: bool) -> None:
    """List the revisions of main in the clone PATH (here, when left out), newest first: who signed, and who runs them.

    Main is origin/main as it was fetched last; in a repository without one, its own. Who signed a revision is judged
    by the files of the revision before it. Which members run a revision stands in refs/members/NAME/active, and whether
    it was published by a broken glass in refs/reviews/log, where these were fetched.
    """
    with LocalRepository(path) as repository:
        ref, tip = _main(repository)
        rows = list(_rows(repository, repository.log(tip, limit + 1)))[:limit]
        active = repository.active_on_members()
    runs: dict[str, list[str]] = {row.entry.revision: [] for row in rows}
    for name, revision in sorted(active.items()):
        runs.setdefault(revision, []).append(name)
    if as_json:
        _print_json(ref, rows, runs if active else None)
    else:
        _print(rows, runs, known=bool(active))


def _rows(repository: LocalRepository, entries: Sequence[LogEntry]) -> Iterator[_Row]:
    """Judge each revision by the one before it, as the gate does where they were pushed one by one."""
    broken = {
        each.record.commit: each.record
        for each in ReviewLog(repository).entries(repository.head(REVIEWS))
        if each.record.said is Said.BREAK_GLASS
    }
    with Examiner() as examine:
        for entry, before in zip(entries, [*entries[1:], None], strict=True):
            finding = None
            if before is not None:
                policy = read_policy(repository.pick(before.revision, POLICY_FILES))
                raw = repository.raw_commit(entry.revision)
                finding = judge_commit(policy, examine(policy, entry.revision, raw))
            yield _Row(entry=entry, finding=finding, glass=broken.get(entry.revision))


def _main(repository: LocalRepository) -> tuple[str, Revision]:
    for ref in (_PUBLISHED, MAIN):
        if tip := repository.head(ref):
            return ref, tip
    raise ConfigError(
        f"{repository.root} has neither {_PUBLISHED} nor {MAIN}: expected a clone of the configuration; "
        "git fetch brings what is published"
    )


def _print_json(ref: str, rows: Sequence[_Row], runs: Mapping[str, list[str]] | None) -> None:
    told = [
        {
            "revision": row.entry.revision,
            "at": rfc3339(row.entry.at),
            "author": row.entry.author,
            "subject": row.entry.subject,
            "signature": None if row.finding is None else tell_signature(row.finding),
            "members": None if runs is None else runs[row.entry.revision],
            "glass_broken": None
            if row.glass is None
            else {"by": row.glass.by, "reason": printable(row.glass.text)},
        }
        for row in rows
    ]
    print_json({"ref": ref, "revisions": told})


def _print(rows: Sequence[_Row], runs: Mapping[str, list[str]], *, known: bool) -> None:
    listed = {row.entry.revision for row in rows}
    for row in rows:
        entry, signer = row.entry, describe_signer(row.finding)
        running = f"  [{', '.join(runs[entry.revision])}]" if runs[entry.revision] else ""
        text = f"{entry.revision[:12]}  {rfc3339(entry.at)}  {entry.author}  {entry.subject}  ({signer})"
        click.echo(printable(text) + click.style(printable(running), fg="green"))
        if row.glass is not None:
            told = printable(f"  by a broken glass, {row.glass.by}: {row.glass.text}")
            click.secho(told, fg="red", bold=True)
    for revision, names in runs.items():
        if revision not in listed:
            click.echo(printable(f"{revision[:12]}  is not listed above  [{', '.join(names)}]"))
    if not known:
        click.echo(
            f"which members run what is not known here; if the controller tells it: {_FETCH}"
        )
