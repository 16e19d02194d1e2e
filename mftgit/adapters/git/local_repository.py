"""A repository on this machine, through GitPython and C git: a person's clone, or a bare one that git serves.

C git and not dulwich, because git itself calls the hooks: it is there, and what it hands down in the environment (the
quarantine of a push, the index of a partial commit) and what the folder may hold (alternates, linked work trees, any
format of refs) it finds by itself.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Self

import git

from mftgit.adapters.git.commit import LogEntry
from mftgit.adapters.git.objects import StoreError
from mftgit.errors import ConfigError
from mftgit.model.names import MEMBERS, Revision, parse_revision
from mftgit.model.revisions.limits import HIGHEST, Limits, beyond
from mftgit.model.rules.tree import Entry, Tree

_MAX_LISTING_BYTES = (
    64 << 20
)  # of modes, ids, sizes and paths; a tree of few objects can unfold to any size


class LocalRepository:
    """A repository; close it, for git processes stand behind it. One thread at a time."""

    def __init__(self, folder: Path) -> None:
        """Open the repository whose top is ``folder``.

        Raises:
            ConfigError: there is none.
        """
        try:
            self._repo = git.Repo(folder)
        except (git.InvalidGitRepositoryError, git.NoSuchPathError) as error:
            raise ConfigError(f"{folder} is not the top of a git repository") from error
        # What refs/replace would show instead of an object is not what is pushed.
        self._repo.git.update_environment(GIT_NO_REPLACE_OBJECTS="1")
        self.root = Path(self._repo.working_dir)
        self.bare = self._repo.bare

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of git."""
        self._repo.close()

    def resolve(self, text: str) -> Revision:
        """Return the commit that a person names by a branch, a tag, an id or ``HEAD~2``.

        Raises:
            ConfigError: there is no such commit.
        """
        found = self._rev_parse(f"{text}^{{commit}}")
        if found is None:
            raise ConfigError(
                f"{self.root}: there is no commit {text!r}: expected a branch, a tag or an id; "
                "git fetch brings what is new"
            )
        return found

    def head(self, ref: str) -> Revision | None:
        """Return what the full name ``ref`` stands for, or None when there is no such ref."""
        return self._rev_parse(ref)

    def trust_root(self) -> Revision | None:
        """Return the commit that main has to begin with, as ``mftgit.trustRoot`` in git's settings says.

        Raises:
            ConfigError: what is set is no id of a commit.
        """
        try:
            text = str(self._repo.git.config("--get", "mftgit.trustRoot"))
        except git.GitCommandError:
            return None
        try:
            return parse_revision(text)
        except ValueError as error:
            raise ConfigError(f"{self.root}: git config mftgit.trustRoot: {error}") from error

    def is_commit(self, oid: Revision) -> bool:
        """Tell whether ``oid`` is a commit that is here."""
        try:
            return bool(self._repo.git.cat_file("-t", oid) == "commit")
        except git.GitCommandError:
            return False

    def is_ancestor(self, ancestor: Revision, descendant: Revision) -> bool:
        """Tell whether ``ancestor`` is ``descendant`` or behind it; not so where it is not here."""
        try:
            self._repo.git.merge_base("--is-ancestor", ancestor, descendant)
        except git.GitCommandError:
            return False
        return True

    def names(self, prefix: str) -> frozenset[str]:
        """Return the full names of the refs below ``prefix``, which ends with ``/``."""
        return frozenset(self._repo.git.for_each_ref("--format=%(refname)", prefix).splitlines())

    def commits(self, old: Revision, new: Revision) -> Iterator[tuple[Revision, bytes]]:
        """Give the commits that ``new`` has behind it and ``old`` has not, byte for byte, newest first."""
        for line in self._repo.git.rev_list(new, f"^{old}").splitlines():
            revision = Revision(line)
            yield revision, self._load(revision)

    def first_parents(self, old: Revision, new: Revision, limit: int) -> tuple[Revision, ...]:
        """Return at most ``limit`` commits that ``new`` has and ``old`` has not, along first parents, newest first."""
        listed = self._repo.git.rev_list("--first-parent", f"--max-count={limit}", new, f"^{old}")
        return tuple(map(Revision, listed.splitlines()))

    def raw_commit(self, revision: Revision) -> bytes:
        """Return a commit byte for byte, as it was signed.

        Raises:
            StoreError: it is missing or broken.
        """
        return self._load(revision)

    def index_tree(self) -> Tree:
        """Return the files of the index, as a commit now would take them.

        Raises:
            StoreError: the index holds conflicts, or cannot be read.
        """
        try:
            return self.tree(Revision(self._repo.git.write_tree()))
        except git.GitCommandError as error:
            raise StoreError(f"{self.root}: the index is no tree: {_said(error)}") from error

    def file(self, revision: Revision, path: str) -> bytes | None:
        """Return what the file ``path`` holds in ``revision``, or None when there is none."""
        found = self._rev_parse(f"{revision}:{path}")
        return None if found is None else self._load(found)

    def tree(self, revision: Revision, limits: Limits = HIGHEST) -> Tree:
        """Return the files of ``revision``, which may be a tree too; contents are read when they are asked for.

        Raises:
            StoreError: an object is missing or broken, or the revision is beyond ``limits``.
        """
        listing = self._listing(revision)
        if (count := listing.count(b"\0")) > limits.max_entries:
            raise StoreError(beyond("max_entries", limits, count))
        return dict(self._files(listing, limits))

    def pick(self, revision: Revision, paths: Iterable[str]) -> Tree:
        """Return those of ``paths`` that are files of ``revision``."""
        root = self._repo.commit(revision).tree
        found = {}
        for path in paths:
            with suppress(KeyError):
                blob = root / path
                content = blob.data_stream.read()
                found[path] = Entry(
                    mode=blob.mode,
                    oid=blob.hexsha,
                    size_bytes=len(content),
                    load=partial(bytes, content),
                )
        return found

    def log(self, tip: Revision, limit: int) -> tuple[LogEntry, ...]:
        """Return ``tip`` and what is behind it along first parents, newest first, at most ``limit`` commits.

        Raises:
            StoreError: a commit is missing.
        """
        try:
            return tuple(
                _log_entry(commit)
                for commit in self._repo.iter_commits(tip, first_parent=True, max_count=limit)
            )
        except (git.GitCommandError, ValueError) as error:
            raise StoreError(
                f"{self.root}: the history of {tip} cannot be read: {error}"
            ) from error

    def last_change(self, path: str) -> LogEntry | None:
        """Return the last commit behind HEAD that changed the file ``path``; None where there is none.

        Raises:
            StoreError: a commit is missing.
        """
        try:
            commits = self._repo.iter_commits("HEAD", paths=path, max_count=1)
            return next(map(_log_entry, commits), None)
        except git.GitCommandError as error:
            if not self._repo.head.is_valid():
                return None
            raise StoreError(f"{self.root}: the history cannot be read: {_said(error)}") from error

    def active_on_members(self) -> dict[str, Revision]:
        """Return what each member runs, as far as ``refs/members/NAME/active`` was fetched."""
        listed = self._repo.git.for_each_ref("--format=%(objectname) %(refname)", MEMBERS)
        active = {}
        for line in listed.splitlines():
            oid, _, ref = line.partition(" ")
            name, _, kind = ref.removeprefix(MEMBERS).partition("/")
            if kind == "active":
                active[name] = Revision(oid)
        return active

    def hooks_folder(self) -> Path:
        """Return where git looks for this repository's hooks, as ``core.hooksPath`` says."""
        return self.root / str(self._repo.git.rev_parse("--git-path", "hooks"))

    def _rev_parse(self, text: str) -> Revision | None:
        try:
            found = self._repo.git.rev_parse("--verify", "--quiet", "--end-of-options", text)
        except git.GitCommandError:
            return None
        return Revision(str(found))

    def _files(self, listing: bytes, limits: Limits) -> Iterator[tuple[str, Entry]]:
        """Give path and entry of what ls-tree lists, but for folders."""
        for line in listing.split(b"\0")[:-1]:
            fields, _, name = line.partition(b"\t")
            mode, kind, oid, size = fields.decode().split()
            path = name.decode("utf-8", "surrogateescape")
            sizes = {"max_tree_depth": path.count("/"), "max_path_bytes": len(name)}
            if kind == "blob":
                sizes["max_object_bytes"] = int(size)
            for limit, found in sizes.items():
                if found > getattr(limits, limit):
                    raise StoreError(f"{path[:80]!r}: {beyond(limit, limits, found)}")
            if kind == "blob":
                load = partial(self._load, oid)
                yield path, Entry(mode=int(mode, 8), oid=oid, size_bytes=int(size), load=load)
            elif kind != "tree":  # a submodule, for the rules to refuse
                yield path, Entry(mode=int(mode, 8), oid=oid, size_bytes=0, load=bytes)

    def _listing(self, revision: Revision) -> bytes:
        """Return what ls-tree says, but no more than `_MAX_LISTING_BYTES`."""
        process = self._repo.git.ls_tree(
            "-r", "-t", "-z", "-l", "--full-tree", revision, as_process=True
        )
        listing: bytes = process.stdout.read(_MAX_LISTING_BYTES + 1)
        if len(listing) > _MAX_LISTING_BYTES:
            process.terminate()
            raise StoreError(f"the names in the revision take more than {_MAX_LISTING_BYTES} bytes")
        try:
            process.wait()
        except git.GitCommandError as error:
            raise StoreError(f"{revision} cannot be listed: {_said(error)}") from error
        return listing

    def _load(self, oid: str) -> bytes:
        try:
            content: bytes = self._repo.git.get_object_data(oid)[3]
        except ValueError as error:
            raise StoreError(f"object {oid} cannot be read: {error}") from error
        return content


def _log_entry(commit: git.Commit) -> LogEntry:
    return LogEntry(
        revision=Revision(commit.hexsha),
        author=f"{commit.author.name} <{commit.author.email}>",
        at=commit.committed_datetime,
        subject=str(commit.message).partition("\n")[0],
    )


def _said(error: git.GitCommandError) -> str:
    return " ".join(str(error.stderr).split())
