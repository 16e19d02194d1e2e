"""``mftgit validate``: what the gate will say, before the push."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click

from mftgit import __version__
from mftgit.adapters.documents_folder import read_folder
from mftgit.adapters.git.operator_clone import OperatorClone
from mftgit.cli.options import Name, json_option, print_json
from mftgit.cli.rules import make_validator
from mftgit.errors import ConfigError
from mftgit.model.configuration.config import Role
from mftgit.model.configuration.render import render
from mftgit.model.documents.problem import Problem, format_problem
from mftgit.model.documents.problem_formats import (
    ProblemFormat,
    github_lines,
    gitlab_report,
    problems_markdown,
    sarif,
)
from mftgit.model.names import MemberName
from mftgit.model.printable import printable
from mftgit.model.revisions.succession import check_succession
from mftgit.model.rules.tree import Tree

INVALID = 2


@click.command(
    epilog="""\b
Examples:
  mftgit validate .
  mftgit validate sample-config-repo --member node-1 --json
  mftgit validate . --format sarif > mftgit.sarif
"""
)
@click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--member", "member", type=Name(), help="Also show what would run on this member.")
@json_option
@click.option(
    "--format",
    "told",
    type=click.Choice([each.value for each in ProblemFormat]),
    default=ProblemFormat.TEXT.value,
    show_default=True,
    help="How problems are told: sarif (2.1.0), github (annotations) and gitlab (Code Quality) for a forge, "
    "markdown for a comment; json is what --json prints.",
)
def validate(path: Path, member: MemberName | None, as_json: bool, told: str) -> int:
    """Check the documents in PATH, a folder or a clone, by the very rules of the gate; offline.

    In a clone, files that git ignores are passed over, and changes that are not committed count. How many documents go,
    and how who may sign changes, is held against origin/main, as it was fetched last, where HEAD has it behind it.
    """
    tree, against = _read(path)
    validation = make_validator().validate(tree)
    problems = [*against, *validation.problems]
    lines: list[str] = []
    if member is not None and not problems:
        try:
            generation = render(validation, member, Role.NODE)
        except ConfigError as error:
            problems.extend(getattr(error, "problems", ()))
        else:
            lines = [f"  runs transfer {name}" for name in sorted(generation.transfers)]
    form = ProblemFormat.JSON if as_json else ProblemFormat(told)
    if form is ProblemFormat.TEXT:
        _tell(path, problems, lines, member)
    else:
        _print(form, problems, _below(path))
    return INVALID if problems else 0


def tell_problems(what: str, problems: Sequence[Problem], *, err: bool = False) -> None:
    """Print ``problems``, of which there are some, and that the gate would refuse ``what``."""
    for problem in problems:
        click.echo(printable(format_problem(problem), keep="\n"), err=err)
    count = len(problems)
    click.secho(
        f"{what}: {count} problem{'s' if count > 1 else ''}: the gate would refuse this",
        fg="red",
        err=err,
    )


def _read(path: Path) -> tuple[Tree, tuple[Problem, ...]]:
    """Return what lies there, and why that may not follow on what is published."""
    if not OperatorClone.is_clone(path):
        return read_folder(path), ()
    with closing(OperatorClone(path)) as clone:
        tree, base = clone.documents(), clone.published_behind()
        before = clone.tree(base) if base else None
        return tree, () if before is None else check_succession(before, before, tree)


def _print(form: ProblemFormat, problems: Sequence[Problem], below: str) -> None:
    if form is ProblemFormat.JSON:
        print_json({"valid": not problems, "problems": [dict(each.as_json()) for each in problems]})
    elif form is ProblemFormat.SARIF:
        print_json(sarif(problems, version=__version__, below=below))
    elif form is ProblemFormat.GITLAB:
        print_json(gitlab_report(problems, below=below))
    elif form is ProblemFormat.MARKDOWN:
        click.echo(problems_markdown(problems), nl=False)
    else:
        for line in github_lines(problems, below=below):
            click.echo(line)


def _below(path: Path) -> str:
    """Return where the documents are in the repository that a forge's job works in: below the folder of the call."""
    here, there = Path.cwd().resolve(), path.resolve()
    below = there.relative_to(here).as_posix() if there.is_relative_to(here) else "."
    return "" if below == "." else below


def _tell(path: Path, problems: list[Problem], lines: list[str], member: MemberName | None) -> None:
    if problems:
        tell_problems(str(path), problems)
        return
    click.secho(f"{path}: valid", fg="green")
    if member is not None:
        click.echo(f"member {member}:")
        click.echo("\n".join(lines) or "  runs nothing")
