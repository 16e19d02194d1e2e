"""A person's clone, through GitPython and C git, as the place from where proposals are made and reviewed.

Git fetches and pushes with the credentials that it has, and signs with the key that it is told to.
"""

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import git

from mftgit.adapters.git.local_repository import LocalRepository
from mftgit.adapters.git.objects import StoreError
from mftgit.errors import ConfigError, MftgitError
from mftgit.model.names import REVIEWS, Revision, is_name
from mftgit.model.printable import printable
from mftgit.model.review.record import Record, format_record

MAIN_HERE: Final = "refs/remotes/origin/main"
CHANGES_HERE: Final = "refs/remotes/origin/change/"
_FETCHED: Final = (
    f"+refs/heads/main:{MAIN_HERE}",
    f"+refs/heads/change/*:{CHANGES_HERE}*",
    "+refs/reviews/*:refs/reviews/*",
)
_REMOTE_LINE: Final = re.compile(r"^remote: ?(.*?)[ \t]*$")
_MAX_TOLD: Final = 200
_UTF8: Final = ("-c", "i18n.commitEncoding=UTF-8")


class GitRefusedError(MftgitError):
    """Git did not do it, or the controller did not let it; what it said is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """What came of a push; ``told`` are the lines of the other side."""

    accepted: bool
    told: tuple[str, ...]
    reason: str = ""


class ReviewClone(LocalRepository):
    """A clone of the configuration, whose ``origin`` is the controller."""

    def fetch(self) -> None:
        """Bring main, the proposals and what was said of them here.

        Raises:
            GitRefusedError: the controller cannot be reached, or does not let us.
        """
        status, _, said = self._run("fetch", "--quiet", "--prune", "--no-tags", "origin", *_FETCHED)
        if status:
            raise GitRefusedError(f"git fetch: {_short(said)}")

    def history(self, old: Revision, new: Revision) -> Mapping[Revision, tuple[Revision, ...]]:
        """Return what ``new`` has behind it and ``old`` has not, newest first, each commit with its parents."""
        lines = self._repo.git.rev_list("--parents", "--topo-order", new, f"^{old}").splitlines()
        found = (line.split() for line in lines)
        return {Revision(own): tuple(map(Revision, parents)) for own, *parents in found}

    def branch(self) -> str | None:
        """Return the name of the branch at hand, None where there is none."""
        status, name, _ = self._run("symbolic-ref", "--quiet", "--short", "HEAD")
        return None if status else name.strip()

    def operator(self) -> str:
        """Return as whom git logs in at the controller.

        Raises:
            ConfigError: that is not told anywhere.
        """
        url = self._setting("remote.origin.url") or ""
        found = urlsplit(url).username or (
            self._setting("credential.username", of=url) or self._setting("mftgit.operator")
        )
        if found is None or not is_name(found):
            raise ConfigError(
                f"{self.root}: as which operator is not known here: git config mftgit.operator NAME"
            )
        return found

    def push(self, revision: Revision, ref: str) -> Pushed:
        """Ask the controller to let ``ref`` move to ``revision``.

        Raises:
            GitRefusedError: it cannot be reached, or did not look at it.
        """
        status, out, said = self._run("push", "--porcelain", "origin", f"{revision}:{ref}")
        told = tuple(found[1] for line in said.splitlines() if (found := _REMOTE_LINE.match(line)))
        told = tuple(map(printable, told[:_MAX_TOLD]))
        if not status:
            return Pushed(accepted=True, told=told)
        for line in out.splitlines():
            if line.startswith("!"):
                return Pushed(accepted=False, told=told, reason=printable(line.rpartition("\t")[2]))
        raise GitRefusedError(f"git push: {_short(said)}")

    def signs(self) -> bool:
        """Tell whether git has a key to sign with."""
        return bool(self._setting("user.signingKey")) or self._setting("commit.gpgSign") == "true"

    def write_record(self, record: Record, parent: Revision, *, sign: bool) -> Revision:
        """Make the commit that says ``record``, after ``parent``; it is on no branch.

        Raises:
            GitRefusedError: git has no name or no key for it.
        """
        tree = self._repo.git.hash_object("-t", "tree", "-w", os.devnull)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix="-mftgit") as message:
            message.write(format_record(record))
            message.flush()
            words = [*(["-S"] if sign else []), tree, "-p", parent, "-F", message.name]
            status, out, said = self._run(*_UTF8, "commit-tree", *words)
        if status:
            raise GitRefusedError(f"git commit-tree: {_short(said)}")
        return Revision(out.strip())

    def log_tip(self) -> Revision:
        """Return where what was said stands, as it was fetched last.

        Raises:
            StoreError: there is nothing of it.
        """
        tip = self.head(REVIEWS)
        if tip is None:
            raise StoreError(
                f"{self.root}: the controller has no {REVIEWS}: its published cluster.yaml asks for no review, "
                "and nothing was proposed yet"
            )
        return tip

    def _setting(self, name: str, *, of: str | None = None) -> str | None:
        how: Sequence[str] = ("--get", name) if of is None else ("--get-urlmatch", name, of)
        status, out, _ = self._run("config", *how)
        return None if status else out.strip()

    def _run(self, *words: str) -> tuple[int, str, str]:
        """Run git and return its status and what it said, well or not."""
        done: Any = self._repo.git.execute(
            [git.Git.git_exec_name or "git", *words],
            with_extended_output=True,
            with_exceptions=False,
        )
        status, out, said = done
        return int(status), str(out), str(said)


def _short(said: str) -> str:
    lines = (line for line in said.splitlines() if line.strip() and not line.startswith("hint:"))
    return printable(" ".join(" ".join(lines).split()))[:1_000] or "it ended without a word"
