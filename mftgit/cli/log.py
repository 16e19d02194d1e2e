"""``mftgit log``: the revisions of main, and who runs them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from mftgit.adapters.clock import rfc3339
from mftgit.adapters.git_commit import LogEntry
from mftgit.adapters.local_repository import LocalRepository
from mftgit.cli.options import json_option, path_argument, print_json
from mftgit.errors import ConfigError
from mftgit.model.names import MAIN, Revision
from mftgit.model.printable import printable

_PUBLISHED = "refs/remotes/origin/main"
_FETCH = "git fetch origin '+refs/members/*:refs/members/*'"


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
    """List the revisions of main in the clone PATH (here, when left out), newest first, and which members run each.

    Main is origin/main as it was fetched last; in a repository without one, its own. Which members run a revision
    stands in refs/members/NAME/active, where these were fetched.
    """
    with LocalRepository(path) as repository:
        ref, tip = _main(repository)
        entries = repository.log(tip, limit)
        active = repository.active_on_members()
    runs: dict[str, list[str]] = {entry.revision: [] for entry in entries}
    for name, revision in sorted(active.items()):
        runs.setdefault(revision, []).append(name)
    if as_json:
        _print_json(ref, entries, runs if active else None)
    else:
        _print(entries, runs, known=bool(active))


def _main(repository: LocalRepository) -> tuple[str, Revision]:
    for ref in (_PUBLISHED, MAIN):
        if tip := repository.head(ref):
            return ref, tip
    raise ConfigError(
        f"{repository.root} has neither {_PUBLISHED} nor {MAIN}: expected a clone of the configuration; "
        "git fetch brings what is published"
    )


def _print_json(
    ref: str, entries: Sequence[LogEntry], runs: Mapping[str, list[str]] | None
) -> None:
    rows = [
        {
            "revision": entry.revision,
            "at": rfc3339(entry.at),
            "author": entry.author,
            "subject": entry.subject,
            "members": None if runs is None else runs[entry.revision],
        }
        for entry in entries
    ]
    print_json({"ref": ref, "revisions": rows})


def _print(entries: Sequence[LogEntry], runs: Mapping[str, list[str]], *, known: bool) -> None:
    listed = {entry.revision for entry in entries}
    for entry in entries:
        running = f"  [{', '.join(runs[entry.revision])}]" if runs[entry.revision] else ""
        text = f"{entry.revision[:12]}  {rfc3339(entry.at)}  {entry.author}  {entry.subject}"
        click.echo(printable(text) + click.style(printable(running), fg="green"))
    for revision, names in runs.items():
        if revision not in listed:
            click.echo(printable(f"{revision[:12]}  is not listed above  [{', '.join(names)}]"))
    if not known:
        click.echo(
            f"which members run what is not known here; if the controller tells it: {_FETCH}"
        )
