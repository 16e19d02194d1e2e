"""``mftgit diff``: what a change means, member by member."""

from pathlib import Path

import click

from mftgit.adapters.git.operator_clone import PUBLISHED, OperatorClone
from mftgit.cli.options import Name, json_option, print_json
from mftgit.cli.rules import make_validator
from mftgit.errors import ConfigError
from mftgit.model.configuration.change_words import change_lines
from mftgit.model.configuration.changes import Action, member_changes
from mftgit.model.configuration.changes_markdown import changes_markdown
from mftgit.model.configuration.changes_told import tell_member
from mftgit.model.documents.problem import format_problems
from mftgit.model.names import MemberName, Revision
from mftgit.model.printable import printable
from mftgit.model.rules.validate import Validation, Validator

_WORK_TREE = "the work tree"
_COLOURS = {Action.STARTED: "green", Action.ADDED: "green", Action.CHANGED: "yellow"}


@click.command(
    epilog="""\b
Examples:
  mftgit diff
  mftgit diff origin/main..HEAD --member node-1
  mftgit diff HEAD~3.. config --json
  mftgit diff origin/main..HEAD --format markdown
"""
)
@click.argument("words", metavar="[A..B] [PATH]", nargs=-1)
@click.option("--member", "member", type=Name(), help="Only what changes on this member.")
@json_option
@click.option(
    "--format",
    "told",
    type=click.Choice(["text", "json", "markdown"]),
    default="text",
    show_default=True,
    help="How changes are told: markdown is the body of a comment; json is what --json prints.",
)
def diff(words: tuple[str, ...], member: MemberName | None, as_json: bool, told: str) -> None:
    """Show what changes on which member between two revisions of the clone PATH (here, when left out).

    A and B are branches, tags or ids; one that is left out is HEAD. Without A..B, it is from origin/main as it was
    fetched last to the work tree, with what is not committed.

    A member that comes is taken to have run nothing. Comments, the order of keys, and defaults that are written out
    change nothing.
    """
    span, path = _read_words(words)
    with OperatorClone(path) as clone:
        before, after = span or (PUBLISHED, None)
        old = clone.resolve(before)
        new = None if after is None else clone.resolve(after)
        validator = make_validator()
        was = _valid(clone, validator, old, before)
        becomes = _valid(clone, validator, new, after or _WORK_TREE)
        changes = member_changes(was, becomes, member)
    if as_json or told == "json":
        print_json({"from": old, "to": new, "members": [tell_member(each) for each in changes]})
        return
    if told == "markdown":
        click.echo(changes_markdown(old[:12], new[:12] if new else _WORK_TREE, changes), nl=False)
        return
    click.echo(printable(f"{before} ({old[:12]}) -> {after or _WORK_TREE}"))
    for line in change_lines(changes, bold=_bold, paint=_paint):
        click.echo(line)


def _read_words(words: tuple[str, ...]) -> tuple[tuple[str, str] | None, Path]:
    """Tell the range from the folder, either of which may be left out."""
    *span, path = words if words and Path(words[-1]).is_dir() else (*words, ".")
    if not span:
        return None, Path(path)
    before, dots, after = span[0].partition("..")
    if len(span) > 1 or not dots:
        raise click.UsageError(
            f"expected A..B, then a folder, either of which may be left out; found {' '.join(words)!r}"
        )
    return (before or "HEAD", after or "HEAD"), Path(path)


def _valid(
    clone: OperatorClone, validator: Validator, revision: Revision | None, name: str
) -> Validation:
    if revision is None and clone.bare:
        raise ConfigError(f"{clone.root} has no work tree: name two revisions, as HEAD~1..HEAD")
    found = validator.validate(clone.documents() if revision is None else clone.tree(revision))
    if found.problems:
        raise ConfigError(f"{name} is not valid:\n{format_problems(found.problems)}")
    return found


def _bold(text: str) -> str:
    return click.style(text, bold=True)


def _paint(action: Action) -> str:
    return click.style(action.value, fg=_COLOURS.get(action, "red"))
