"""``mftgit review``: look at proposals, say what you think of them, and merge them, from a clone by git alone."""

from pathlib import Path
from typing import Any

import click

from mftgit.adapters.git.review_clone import CHANGES_HERE
from mftgit.cli.options import json_option, path_argument, print_json
from mftgit.cli.proposals import Sight, sight, summary_json, tell, view_json
from mftgit.controller.review.reading import Seen
from mftgit.errors import ConfigError, MftgitError
from mftgit.model.configuration.change_words import change_lines, restarts
from mftgit.model.names import MAIN, MERGES, REVIEWS, Revision
from mftgit.model.printable import printable
from mftgit.model.review.record import MAX_TEXT, Record, Said, Via

_name = click.argument("name")
_message = click.option("-m", "--message", "text", default="", help="What you have to say.")
_said = click.option("-m", "--message", "text", required=True, help="What you have to say.")


class ReviewError(MftgitError):
    """It cannot be done as things stand."""


@click.group()
def review() -> None:
    """Look at proposals, say what you think of them, and merge them; each fetches in the clone PATH first.

    What you say is a commit of refs/reviews/log, signed with the key that git signs with, if it has one.
    """


@review.command(
    "list",
    epilog="""\b
Examples:
  mftgit review list
  mftgit review list config --json
""",
)
@path_argument
@json_option
def list_(path: Path, as_json: bool) -> None:
    """List the proposals there are, and how each stands."""
    with sight(path) as seen_from:
        found, odd = [], {}
        for name in seen_from.reading.names():
            try:
                seen = seen_from.reading.see(name)
                found.append((seen, seen_from.title(seen.change.tip)))
            except ConfigError as error:
                odd[name] = str(error)
    if as_json:
        changes = [summary_json(*each) for each in found]
        print_json(
            {"changes": changes, "unreadable": [{"name": n, "reason": r} for n, r in odd.items()]}
        )
        return
    for seen, title in found:
        click.echo(_line(seen, title.subject))
    for name, reason in odd.items():
        click.echo(printable(f"{name}  cannot be looked at: {reason}"))
    if not found and not odd:
        click.echo("there are no proposals")


@review.command(
    epilog="""\b
Examples:
  mftgit review show raise-poll-interval
  mftgit review show new-partner config --json
"""
)
@_name
@path_argument
@json_option
def show(name: str, path: Path, as_json: bool) -> None:
    """Show what a proposal changes on which member, what was said of it, and what it lacks.

    Which operators there are is not known here: the controller does not count those who are gone.
    """
    with sight(path) as seen_from:
        seen = seen_from.reading.see(name)
        title = seen_from.title(seen.change.tip)
        commits = [seen_from.title(each) for each in seen.commits]
        changes = seen_from.compare(seen)
    if as_json:
        print_json(view_json(seen, title, commits, changes))
        return
    click.echo(_line(seen, title.subject))
    for each in commits:
        click.echo(printable(f"  {each.revision[:12]}  {each.author}  {each.subject}"))
    for line in change_lines(each for each in changes if each):
        click.echo(f"  {line}")
    for each_change in changes:
        for what in restarts(each_change):
            click.echo(f"  stopped and started again: {what} on {each_change.member}")
    for entry in seen.entries:
        said = entry.record
        where = f" {said.path}:{said.line or 1}" if said.path else ""
        click.echo(printable(f"{said.said.value} by {said.by}{where}  {said.text}".rstrip()))
    for opinion in seen.standing.opinions:
        if opinion.discounted:
            click.echo(printable(f"does not count: {opinion.discounted}"))
    for obstacle in seen.obstacles:
        click.echo(printable(obstacle))


@review.command(
    epilog="""\b
Examples:
  mftgit review approve raise-poll-interval
  mftgit review approve new-partner -m "checked with the bank" config
"""
)
@_name
@path_argument
@_message
@click.option(
    "--since",
    metavar="REV",
    help="You have looked at all that changed since this published revision.",
)
@json_option
def approve(name: str, path: Path, text: str, since: str | None, as_json: bool) -> None:
    """Approve of what the proposal holds now; look at it first."""
    _say(Said.APPROVE, name, path, text, since=since, as_json=as_json)


@review.command(
    epilog="""\b
Example:
  mftgit review reject new-partner -m "the port is wrong"
"""
)
@_name
@path_argument
@_said
@json_option
def reject(name: str, path: Path, text: str, as_json: bool) -> None:
    """Ask for changes: the proposal is not merged until you approve, or it holds something else."""
    _say(Said.REQUEST_CHANGES, name, path, text, as_json=as_json)


@review.command(
    epilog="""\b
Examples:
  mftgit review comment new-partner -m "why port 2222?"
  mftgit review comment new-partner --file locations/bank.yaml --line 4 -m "this one"
"""
)
@_name
@path_argument
@_said
@click.option("--file", "file", help="Of which file, from the top of the repository.")
@click.option("--line", type=click.IntRange(1), help="Of which line in it.")
@json_option
def comment(
    name: str, path: Path, text: str, file: str | None, line: int | None, as_json: bool
) -> None:
    """Say something of a proposal, or of a line in it."""
    if line is not None and file is None:
        raise click.UsageError("--line needs --file")
    _say(Said.COMMENT, name, path, text, file=file, line=line, as_json=as_json)


@review.command(
    epilog="""\b
Examples:
  mftgit review merge raise-poll-interval
  mftgit review merge raise-poll-interval --rebase
  mftgit review merge new-partner config --json
"""
)
@_name
@path_argument
@click.option(
    "--rebase",
    is_flag=True,
    help="Where main has moved on, let the controller put the commits on top of it.",
)
@json_option
def merge(name: str, path: Path, rebase: bool, as_json: bool) -> None:
    """Publish an approved proposal: main moves to its last commit, as it is.

    Where main has moved on, the proposal is brought up to date first. With --rebase the controller makes its commits
    anew on top of main instead, as the Web Manager's merge does; never those that are signed.
    """
    with sight(path) as seen_from:
        seen = seen_from.reading.see(name)
        tip = seen.change.tip
        if seen.behind and not rebase:
            raise ReviewError(
                f"main has moved on from {seen.change.base[:12]}: git merge origin/main, then "
                f"mftgit propose {name}; or, where its commits are not signed, "
                f"mftgit review merge {name} --rebase"
            )
        to = f"{MERGES}{name}" if rebase else MAIN
        tell(seen_from.clone.push(tip, to), as_json=as_json)
        seen_from.clone.fetch()
        revision = _merged_as(seen_from, name, tip) if rebase else tip
    if as_json:
        print_json({"change": name, "revision": revision, "rebased": revision != tip})
    else:
        click.secho(f"change/{printable(name)} is published: {revision[:12]}", fg="green")


def _merged_as(seen_from: Sight, name: str, tip: Revision) -> Revision:
    """Return as what the controller has just published the proposal that stood at ``tip``."""
    for entry in reversed(seen_from.reading.entries()):
        done = entry.record
        if (done.said, done.change, done.commit) == (Said.MERGE, name, tip) and done.result:
            return done.result
    raise ReviewError(f"change/{name} was merged, and {REVIEWS} does not tell as what: git log")


def _say(said: Said, name: str, path: Path, text: str, *, as_json: bool, **more: Any) -> None:
    if len(text) > MAX_TEXT or (said is not Said.APPROVE and not text.strip()):
        raise click.UsageError(f"a message has 1 to {MAX_TEXT:,} characters")
    with sight(path, fetched=False) as seen_from:
        clone = seen_from.clone
        before = clone.head(f"{CHANGES_HERE}{name}")
        clone.fetch()
        seen = seen_from.reading.see(name)
        if said is Said.APPROVE and before != seen.change.tip:
            raise ReviewError(
                f"change/{name} is at {seen.change.tip[:12]}, which was not here before: look at it first, "
                f"mftgit review show {name}, and approve then"
            )
        record = _record(seen_from, seen, said, text, **more)
        signs = clone.signs()
        if said is Said.APPROVE and seen.rules.trust.approvals and not signs:
            raise ConfigError(
                "members want to see approvals signed, and git has no key here: git config gpg.format ssh; "
                "git config user.signingKey ~/.ssh/id_ed25519.pub"
            )
        written = clone.write_record(record, clone.log_tip(), sign=signs)
        tell(clone.push(written, REVIEWS), as_json=as_json)
        clone.fetch()
    if as_json:
        print_json(
            {
                "change": name,
                "said": said.value,
                "by": record.by,
                "revision": record.commit,
                "record": written,
                "signed": signs,
            }
        )
        return
    how = "signed" if signs else "not signed"
    click.echo(
        printable(f"{said.value}: change/{name} at {record.commit[:12]}, by {record.by}, {how}")
    )


def _record(
    seen_from: Sight,
    seen: Seen,
    said: Said,
    text: str,
    *,
    since: str | None = None,
    file: str | None = None,
    line: int | None = None,
) -> Record:
    base, content = seen.change.base, seen.change.content
    if since is not None:
        base = seen_from.clone.resolve(since)
        content, _ = seen_from.reading.compare(base, seen.change.tip)
    return Record(
        said=said,
        change=seen.change.name,
        commit=seen.change.tip,
        by=seen_from.clone.operator(),
        via=Via.GIT,
        base=base,
        content=content,
        text=text,
        path=file,
        line=line,
    )


def _line(seen: Seen, subject: str) -> str:
    standing = seen.standing
    behind = ", behind main" if seen.behind else ""
    return printable(
        f"{seen.change.name}  {seen.change.tip[:12]}  {standing.state.value}  "
        f"{standing.given} of {standing.needed}{behind}  {subject}"
    )
