"""A person's clone, through GitPython: what lies there, and what git would take along."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import git

from mftgit.adapters.documents_folder import read_files
from mftgit.adapters.git.local_repository import LocalRepository
from mftgit.errors import ConfigError
from mftgit.model.names import Revision
from mftgit.model.rules.tree import Tree

PUBLISHED: Final = "refs/remotes/origin/main"


class OperatorClone(LocalRepository):
    """A clone with a work tree; close it, for git processes may stand behind it."""

    @staticmethod
    def is_clone(folder: Path) -> bool:
        """Tell whether ``folder`` is the top of a clone."""
        return (folder / ".git").exists()

    def published_behind(self) -> Revision | None:
        """Return origin/main as it was fetched last, or None where HEAD did not grow from it."""
        base, head = self.head(PUBLISHED), self.head("HEAD")
        return base if base and head and self.is_ancestor(base, head) else None

    def documents(self) -> Tree:
        """Return the work tree's files as a push of everything in it would bring them: what git ignores is left out.

        Raises:
            ConfigError: git or a file cannot be read.
        """
        try:
            listed = self._repo.git.ls_files("--cached", "--others", "--exclude-standard", "-z")
        except git.GitCommandError as error:
            raise ConfigError(
                f"{self.root}: git could not list the files: {error.stderr}"
            ) from error
        files = read_files(self.root, sorted({name for name in listed.split("\0") if name}))
        if self._repo.config_reader().get_value("core", "filemode", default=True):
            return files
        # Git passes over the executable bit here, because the file system gives it to every file.
        staged = {path: entry.mode for (path, _), entry in self._repo.index.entries.items()}
        return {
            path: replace(entry, mode=staged.get(path, 0o100644))
            if entry.mode == 0o100755  # noqa: PLR2004  git's number for an executable
            else entry
            for path, entry in files.items()
        }
