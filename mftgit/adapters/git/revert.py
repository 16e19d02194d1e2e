"""Take commits back beside a person's clone, through GitPython: its files and branches stay as they are meanwhile."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import git

from mftgit.errors import MftgitError
from mftgit.model.names import Revision
from mftgit.model.printable import printable

MAX_TOLD = 20


class RevertError(MftgitError):
    """What was asked for cannot be taken back by git alone; nothing was changed."""


class Aside:
    """A work tree of its own at the clone's HEAD; what is committed here is on no branch."""

    def __init__(self, repo: git.Repo) -> None:
        """Work in ``repo``; `aside` makes it."""
        self._repo = repo
        self.root = Path(repo.working_dir)

    def take_back(self, commits: Sequence[Revision]) -> None:
        """Undo what ``commits`` have brought to their first parents, in this order.

        Raises:
            RevertError: later commits have changed the same lines.
        """
        for revision in commits:
            parents = len(self._repo.commit(revision).parents)
            merge = ["--mainline", "1"] if parents > 1 else []
            try:
                self._repo.git.revert("--no-commit", *merge, revision)
            except git.GitCommandError as error:
                raise RevertError(self._conflict(revision, error)) from error

    def commit(self, message: str) -> Revision | None:
        """Commit what is here, signed as git's settings say; return None where nothing changed.

        Raises:
            RevertError: git does not commit it, as where a hook refuses or there is no key to sign with.
        """
        self._repo.git.add("--all")
        if not self._repo.git.status("--porcelain"):
            return None
        try:
            self._repo.git.commit("--quiet", "--message", message)
        except git.GitCommandError as error:
            raise RevertError(f"git commit: {_said(error)}") from error
        return Revision(self._repo.git.rev_parse("HEAD"))

    def _conflict(self, revision: Revision, error: git.GitCommandError) -> str:
        files = str(self._repo.git.diff("--name-only", "--diff-filter=U", "-z")).split("\0")[:-1]
        if not files:
            return f"git revert {revision[:12]}: {_said(error)}"
        names = ", ".join(map(printable, files[:MAX_TOLD]))
        return (
            f"{revision[:12]} cannot be taken back by itself: what it changed was changed again since, in {names}; "
            "take the later revisions back too, as A..B; or mend it by hand: "
            f"git revert {revision[:12]}, edit, git add, git revert --continue"
        )


@contextmanager
def aside(clone: Path) -> Iterator[Aside]:
    """Give a work tree beside ``clone`` for the time of the block; the commits made there stay, on no branch.

    Raises:
        RevertError: git makes none here.
    """
    with closing(git.Repo(clone)) as repo, tempfile.TemporaryDirectory("-mftgit") as folder:
        place = Path(folder) / "tree"
        try:
            repo.git.worktree("add", "--quiet", "--detach", str(place), "HEAD")
        except git.GitCommandError as error:
            raise RevertError(f"git worktree add: {_said(error)}") from error
        try:
            with closing(git.Repo(place)) as made:
                yield Aside(made)
        finally:
            with suppress(git.GitCommandError):  # git forgets it by itself once the folder is gone
                repo.git.worktree("remove", "--force", "--force", str(place))


def is_dirty(clone: Path) -> bool:
    """Tell whether files that git knows were changed and not committed, or something else is under way."""
    with closing(git.Repo(clone)) as repo:
        return bool(repo.git.status("--porcelain", "--untracked-files=no"))


def move_on(clone: Path, revision: Revision) -> None:
    """Bring the branch at hand, and the files, on to ``revision``, which grew from it.

    Raises:
        RevertError: git does not; nothing was changed.
    """
    with closing(git.Repo(clone)) as repo:
        try:
            repo.git.merge("--quiet", "--ff-only", revision)
        except git.GitCommandError as error:
            raise RevertError(f"git merge --ff-only: {_said(error)}") from error


def _said(error: git.GitCommandError) -> str:
    text = str(error.stderr).strip().removeprefix("stderr: '").removesuffix("'")
    return " ".join(text.split()) or f"it ended with {error.status}"
