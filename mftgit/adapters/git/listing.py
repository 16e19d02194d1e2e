"""Read the folders of a revision, and of a folder that is known in an earlier state only what has changed since.

The object of a folder is read and taken apart as a whole, some 45 bytes for each entry: that is the least that a change
in it costs. What is done to the entries one by one is done to those that are new.
"""

import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import compress, count
from operator import ne
from typing import cast

from dulwich.object_store import BaseObjectStore
from dulwich.objects import S_ISGITLINK, ObjectID, parse_tree

from mftgit.adapters.git.objects import Sizes, TooLargeError, get_commit, get_tree
from mftgit.model.names import Revision
from mftgit.model.revisions.limits import HIGHEST, Limits, beyond
from mftgit.model.rules.tree import Entry, Tree

Listed = tuple[bytes, int, ObjectID]
"""Name, mode and id of an entry."""

_OID_BYTES = 20
_REMEMBERED = 4
"""A push is looked at in several steps, each of which takes the same folders apart: a large one and the root, before
and after. Of 10,000 entries one takes 2 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder as it was read: its object, and by path from the root its files and the ids of the folders in it."""

    oid: ObjectID | None = None
    tree: bytes = b""
    files: Mapping[str, Entry] = field(default_factory=dict)
    folders: Mapping[str, ObjectID] = field(default_factory=dict)
    longest: int = 0


Folders = Mapping[str, Folder]
"""Every folder of a revision by path, with ``/`` at the end; the root's is empty."""

NO_FOLDERS: Folders = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a revision is read: from where, the sizes that are known, and what `Entry.load` will call.

    A submodule is given as an entry of mode 0o160000 without content, for the rules to refuse.
    """

    store: BaseObjectStore
    sizes: Sizes
    load: Callable[[ObjectID], bytes]
    limits: Limits = HIGHEST

    def folders(self, revision: Revision, known: Folders = NO_FOLDERS) -> Folders:
        """Return all folders of ``revision``; what is in ``known`` already, in the same place, is taken from there.

        Raises:
            BrokenHistoryError: an object is missing, malformed or of the wrong kind.
            TooLargeError: the revision is larger or deeper than the limits.
        """
        found: dict[str, Folder] = {}
        todo, left = (
            [("", get_commit(self.store, ObjectID(revision.encode())).tree)],
            self.limits.max_entries,
        )
        while todo:
            path, oid = todo.pop()
            if path.count("/") > self.limits.max_tree_depth:
                told = beyond("max_tree_depth", self.limits, path.count("/"))
                raise TooLargeError(f"{path!r}: {told}")
            folder = known.get(path)
            if folder is None or folder.oid != oid:
                folder = self._folder(path, oid, folder or Folder(), left)
            left -= len(folder.files) + len(folder.folders)
            self._see_size(folder, left)
            found[path] = folder
            todo += folder.folders.items()
        return found

    def _see_size(self, folder: Folder, left: int) -> None:
        limits = self.limits
        if left < 0:
            raise TooLargeError(
                beyond("max_entries", limits, limits.max_entries + 1, at_least=True)
            )
        if folder.longest * 4 > limits.max_path_bytes:
            for path in (*folder.files, *(each.removesuffix("/") for each in folder.folders)):
                _check_path(path, limits)

    def _folder(self, path: str, oid: ObjectID, before: Folder, most: int) -> Folder:
        tree = get_tree(self.store, oid)
        listed = list_tree(tree)
        if len(listed) > most:
            self._see_size(before, -1)
        gone, come = difference(list_tree(before.tree), listed)
        files, folders = dict(before.files), dict(before.folders)
        for name, _, _ in gone:
            at = path + name.decode("utf-8", "surrogateescape")
            files.pop(at, None)
            folders.pop(f"{at}/", None)
        for name, mode, child in come:
            at = path + name.decode("utf-8", "surrogateescape")
            if stat.S_ISDIR(mode):
                folders[f"{at}/"] = child
            else:
                files[at] = self._entry(mode, child)
        longest = max(map(len, (*files, *folders)), default=0)
        return Folder(oid=oid, tree=tree, files=files, folders=folders, longest=longest)

    def _entry(self, mode: int, oid: ObjectID) -> Entry:
        submodule = S_ISGITLINK(mode)
        return Entry(
            mode=mode,
            oid=oid.decode(),
            size_bytes=0 if submodule else self.sizes.of(self.store, oid),
            load=bytes if submodule else partial(self.load, oid),
        )


def files_of(folders: Folders) -> Tree:
    """Return the files of all ``folders``."""
    files: dict[str, Entry] = {}
    for folder in folders.values():
        files.update(folder.files)
    return files


def shared(folders: Folders, others: Folders) -> Folders:
    """Return ``folders``, with those that ``others`` has too taken from there, so that they are in memory once."""
    return {
        path: others[path] if path in others and others[path].oid == folder.oid else folder
        for path, folder in folders.items()
    }


def list_tree(tree: bytes, *, strict: bool = False) -> Sequence[Listed]:
    """Return the entries of a tree object; with ``strict``, modes have to be written as git writes them.

    Raises:
        ObjectFormatException: it is malformed.
    """
    return _listed(tree, strict=strict) if tree else ()


@lru_cache(_REMEMBERED)
def _listed(tree: bytes, *, strict: bool) -> Sequence[Listed]:
    return cast("Sequence[Listed]", parse_tree(tree, _OID_BYTES, strict=strict))


def list_folder(store: BaseObjectStore, oid: ObjectID | None) -> Sequence[Listed]:
    """Return the entries of the folder ``oid``, none where there is no such folder."""
    return () if oid is None else list_tree(get_tree(store, oid))


def difference(
    old: Sequence[Listed], new: Sequence[Listed]
) -> tuple[Sequence[Listed], Sequence[Listed]]:
    """Return the entries that ``old`` alone has, and those that ``new`` alone has, both in their order."""
    start = _alike(old, new, min(len(old), len(new)))
    end = _alike(reversed(old), reversed(new), min(len(old), len(new)) - start)
    before, after = old[start : len(old) - end], new[start : len(new) - end]
    had, has = set(before), set(after)
    return [each for each in before if each not in has], [each for each in after if each not in had]


def _alike(one: Iterable[Listed], other: Iterable[Listed], most: int) -> int:
    """Return how many entries are the same from the start on, up to ``most``."""
    return min(most, next(compress(count(), map(ne, one, other)), most))


def _check_path(path: str, limits: Limits) -> None:
    size_bytes = len(path.encode("utf-8", "surrogateescape"))
    if size_bytes > limits.max_path_bytes:
        raise TooLargeError(f"{path[:80]!r}…: {beyond('max_path_bytes', limits, size_bytes)}")
