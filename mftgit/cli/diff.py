"""``mftgit diff``: what a change means, member by member."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from mftgit.adapters.operator_clone import PUBLISHED, OperatorClone
from mftgit.cli.options import Name, json_option, print_json
from mftgit.cli.rules import make_validator
from mftgit.errors import ConfigError
from mftgit.model.changes import (
    Action,
    ComponentChange,
    MemberChange,
    Presence,
    member_changes,
)
from mftgit.model.changes_markdown import changes_markdown, shown
from mftgit.model.changes_told import tell_member
from mftgit.model.flat import FieldChange
from mftgit.model.names import MemberName, Revision
from mftgit.model.printable import printable
from mftgit.model.problem import format_problem, format_problems
from mftgit.model.validate import Validation, Validator

_WORK_TREE = "the work tree"
_COLOURS = {Action.STARTED: "green", Action.ADDED: "green", Action.CHANGED: "yellow"}
_PRESENCES = {
    Presence.STAYS: "",
    Presence.COMES: " comes",
    Presence.GOES: " goes: without its document it is an ordinary node, until `mftgit member remove`",
    Presence.UNDECLARED: " has no document: an ordinary node",
}


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
    for line in _lines(changes):
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


def _lines(changes: Iterable[MemberChange]) -> Iterator[str]:
    for change in changes:
        title = f"{change.member}{_PRESENCES[change.presence]}"
        yield click.style(title, bold=True) if change else f"{title}: nothing changes"
        for each in change.settings:
            yield f"  {_field(each)}"
        for kind, components in _kinds(change):
            for component in components:
                colour = _COLOURS.get(component.action, "red")
                yield f"  {kind} {component.name} {click.style(component.action.value, fg=colour)}"
                yield from (f"    {_field(each)}" for each in component.fields)
        for problem in change.problems:
            text = format_problem(problem).replace("\n ", "")
            yield f"  would refuse it: {printable(text)}"


def _kinds(change: MemberChange) -> Iterator[tuple[str, tuple[ComponentChange, ...]]]:
    yield "transfer", change.transfers
    yield "location", change.locations
    yield "service", change.services
    yield "account", change.accounts


def _field(change: FieldChange) -> str:
    return printable(f"{change.field}: {shown(change.before)} -> {shown(change.after)}")
