"""``mftgit revert``: take a revision back by one that follows, as the gate would accept it."""

from collections.abc import Sequence
from pathlib import Path

import click

from mftgit.adapters.documents_folder import read_files
from mftgit.adapters.durable import replace_file
from mftgit.adapters.git.operator_clone import OperatorClone
from mftgit.adapters.git.revert import MAX_TOLD, Aside, RevertError, aside, is_dirty, move_on
from mftgit.cli.hook_checks import judge_next
from mftgit.cli.options import json_option, path_argument, print_json
from mftgit.errors import ConfigError
from mftgit.model.documents.places import CLUSTER_FILE
from mftgit.model.names import Revision
from mftgit.model.printable import printable
from mftgit.model.trust.policy_version import check_policy_step, set_version
from mftgit.model.trust.trust import POLICY_FILES, read_policy

_MAX_COMMITS = 1_000


@click.command(
    epilog="""\b
Examples:
  mftgit revert HEAD
  mftgit revert 4f2a91c config
  mftgit revert HEAD~3..HEAD --json
"""
)
@click.argument("what", metavar="REV|A..B")
@path_argument
@json_option
def revert(what: str, path: Path, as_json: bool) -> None:
    """Take REV back, or all that B has and A has not, by one new commit on the branch at hand in the clone PATH.

    The commit is judged as the gate would judge it, after origin/main as it was fetched last, before the branch moves;
    whatever is refused leaves the clone as it was. A merge is taken back with all that it brought. Where signatures are
    required and who may sign changes, trust.version rises all the same. Then: git push.
    """
    with OperatorClone(path) as clone:
        _ready(clone)
        commits = _commits(clone, what)
        with aside(clone.root) as beside:
            beside.take_back(commits)
            _number_policy(clone, beside)
            made = beside.commit(_message(clone, commits))
            if made is None:
                raise RevertError(f"{what} is taken back already: nothing would change")
            verdict = judge_next(clone, clone.published_behind() or clone.resolve("HEAD"), made)
            if not verdict.accepted:
                told = "\n".join(verdict.explanation)
                raise RevertError(
                    f"{told}\nthe gate would refuse this ({verdict.reason}), and the clone is as it was; "
                    f"to mend it first: git revert --no-commit {what}, edit, git commit"
                )
            move_on(clone.root, made)
    if as_json:
        print_json({"revision": made, "reverted": list(commits)})
        return
    click.echo(printable(f"{what} is taken back by {made[:12]}; to publish it:"))
    click.echo(f"\n  git -C {path} push\n")


def _ready(clone: OperatorClone) -> None:
    if clone.bare:
        raise ConfigError(f"{clone.root} has no work tree: revert in a clone of it, then push")
    clone.resolve("HEAD")
    if is_dirty(clone.root):
        raise ConfigError(
            f"{clone.root} has changes that are not committed: git commit or git stash them first"
        )


def _commits(clone: OperatorClone, what: str) -> tuple[Revision, ...]:
    """Return what is to be taken back, newest first, along first parents."""
    before, dots, after = what.partition("..")
    if after.startswith("."):
        raise ConfigError(f"{what!r} is neither a revision nor A..B: for example HEAD~3..HEAD")
    last, head = clone.resolve((after if dots else before) or "HEAD"), clone.resolve("HEAD")
    if not clone.is_ancestor(last, head):
        raise ConfigError(
            f"{what}: HEAD does not contain {last[:12]}: switch to the branch that does"
        )
    if not dots:
        return (last,)
    commits = clone.first_parents(clone.resolve(before or "HEAD"), last, _MAX_COMMITS + 1)
    if not 0 < len(commits) <= _MAX_COMMITS:
        raise ConfigError(
            f"{what} holds {'no commit' if not commits else f'more than {_MAX_COMMITS:,} commits'}: "
            f"expected 1 to {_MAX_COMMITS:,}, the older end first"
        )
    return commits


def _message(clone: OperatorClone, commits: Sequence[Revision]) -> str:
    subjects = {each: clone.log(each, 1)[0].subject for each in commits[:MAX_TOLD]}
    if len(commits) == 1:
        return f'Revert "{subjects[commits[0]]}"\n\nThis reverts commit {commits[0]}.\n'
    listed = "".join(f"- {each} {subject}\n" for each, subject in subjects.items())
    more = f"and {len(commits) - MAX_TOLD:,} before these\n" if len(commits) > MAX_TOLD else ""
    return f"Revert {len(commits):,} commits\n\nThis reverts, the newest first:\n{listed}{more}"


def _number_policy(clone: OperatorClone, beside: Aside) -> None:
    """Give the policy that comes back a number of its own, as long as it can be told where."""
    before = read_policy(clone.pick(clone.resolve("HEAD"), POLICY_FILES))
    there = read_files(beside.root, list(POLICY_FILES))
    if CLUSTER_FILE not in there or check_policy_step(before, read_policy(there)) is None:
        return
    try:
        content = set_version(there[CLUSTER_FILE].load(), before.version + 1)
    except ValueError as error:
        raise RevertError(
            f"who may sign would change, and trust.version cannot be raised by itself: {error}"
        ) from error
    replace_file(beside.root / CLUSTER_FILE, content.encode())
