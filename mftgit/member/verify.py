"""Check a fetched revision as the gate did, and render it for this member; nothing is taken on trust."""

from mftgit.adapters.git_objects import TooLargeError
from mftgit.adapters.git_store import GitStore
from mftgit.errors import MftgitError
from mftgit.model.config import Generation, Role
from mftgit.model.names import MemberName, Revision
from mftgit.model.problem import Problem, format_problems
from mftgit.model.render import render
from mftgit.model.validate import Validator


class RefusedError(MftgitError):
    """The revision breaks the rules; ``problems`` are all of them."""

    def __init__(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


def verify(
    store: GitStore, revision: Revision, *, validator: Validator, member: MemberName, role: Role
) -> Generation:
    """Return what ``revision`` means for this member.

    Raises:
        RefusedError: it is not valid, or not for this member.
        StoreError: the store is broken, or does not have it.
    """
    try:
        tree = store.tree(revision)
    except TooLargeError as error:
        raise RefusedError(f"revision {revision[:12]}: {error}") from error
    validation = validator.validate(tree)
    if validation.problems:
        raise RefusedError(
            f"revision {revision[:12]} is not valid:\n{format_problems(validation.problems)}",
            tuple(validation.problems),
        )
    return render(validation, member, role)
