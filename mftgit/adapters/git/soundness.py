"""See that objects that came are sound: well formed, with all that they refer to, and of no harm to git's clients."""

import stat
from collections.abc import Iterable, Sequence

from dulwich.errors import ChecksumMismatch, FileFormatException
from dulwich.object_store import DiskObjectStore
from dulwich.objects import (
    S_ISGITLINK,
    Blob,
    Commit,
    ObjectID,
    ShaFile,
    Tag,
)
from dulwich.objects import Tree as GitTree

from mftgit.adapters.git.listing import (
    Listed,
    difference,
    list_folder,
    list_tree,
)
from mftgit.adapters.git.objects import (
    TREE,
    BrokenHistoryError,
    Sizes,
    get_commit,
    get_object,
    get_raw,
    get_tree,
)
from mftgit.model.revisions.safe_names import unsafe_for_git

_YEAR_10000 = 253_402_300_800


class Soundness:
    """Of the ``fresh`` objects in ``store``, which sees those of ``main``, too: these are sound."""

    def __init__(
        self,
        store: DiskObjectStore,
        main: DiskObjectStore,
        fresh: frozenset[ObjectID],
        sizes: Sizes,
    ) -> None:
        self._store = store
        self._main = main
        self._fresh = fresh
        self._sizes = sizes

    def check(self) -> None:
        """Look at all of them.

        Raises:
            BrokenHistoryError: one is missing or malformed.
        """
        kinds = {oid: get_raw(self._store, oid, "object")[0] for oid in self._fresh}
        commits = [oid for oid, kind in kinds.items() if kind == Commit.type_num]
        trees: set[ObjectID] = set()
        for tree, base in self._check_commits(commits):
            self._check_folders(tree, base, trees)
        # All of them: what comes later trusts whatever is here.
        for oid, kind in kinds.items():
            if kind == TREE:
                self._check_folders(oid, None, trees)
            elif kind not in {Commit.type_num, Blob.type_num}:
                get_object(self._store, self._tagged(oid), "object")

    def _check_commits(self, oids: Iterable[ObjectID]) -> list[tuple[ObjectID, ObjectID | None]]:
        """Return the tree of each commit, and one that the repository has of a commit before it."""
        commits = [get_commit(self._store, oid) for oid in oids]
        for commit in commits:
            _well_formed(commit, commit.id)
            _dated(commit)
            get_tree(self._store, commit.tree)
        parents = {oid: get_commit(self._store, oid) for each in commits for oid in each.parents}
        # Only one of the repository's own: two fresh ones could stand for each other.
        old = next((each for oid, each in sorted(parents.items()) if oid not in self._fresh), None)
        return [(commit.tree, old.tree if old else None) for commit in commits]

    def _check_folders(self, tree: ObjectID, base: ObjectID | None, checked: set[ObjectID]) -> None:
        """Check a folder and those in it that are fresh, each once; what ``base`` has in the same place is whole."""
        todo = [(tree, base)]
        while todo:
            now, then = todo.pop()
            if now in checked or now not in self._fresh:
                continue
            checked.add(now)
            gone, come = _sound(self._store, now, list_folder(self._main, then))
            before = {name: oid for name, mode, oid in gone if stat.S_ISDIR(mode)}
            for name, mode, child in come:
                if stat.S_ISDIR(mode):
                    get_tree(self._store, child)
                    todo.append((child, before.get(name)))
                elif not S_ISGITLINK(mode):
                    self._check_blob(child)

    def _tagged(self, oid: ObjectID) -> ObjectID:
        found = get_object(self._store, oid, "object")
        return found.object[1] if isinstance(found, Tag) else oid

    def _check_blob(self, oid: ObjectID) -> None:
        # A remembered size proves nothing: the blob may have come with a push that was refused.
        if oid not in self._fresh and oid not in self._main:
            raise BrokenHistoryError(f"blob {oid.decode()} is missing")
        self._sizes.of(self._store, oid)


def _sound(
    store: DiskObjectStore, oid: ObjectID, base: Sequence[Listed]
) -> tuple[Sequence[Listed], Sequence[Listed]]:
    """Return the entries that ``base``, which is sound, alone has, and those that the folder ``oid`` alone has.

    Refuse what C git's fsck refuses: double names, and names that some system takes for ``.git``.
    """
    content = get_tree(store, oid)
    try:
        listed = list_tree(content, strict=True)
    except FileFormatException as error:
        raise BrokenHistoryError(f"tree {oid.decode()} is malformed: {error}") from error
    gone, come = difference(base, listed)
    partly = bool(base) and _in_order(listed)
    if partly:
        content = b"".join(map(_written, come))
    tree = GitTree.from_raw_string(TREE, content, sha=None if partly else oid)
    _well_formed(tree, oid)
    if len(list_tree(content)) != len({name for name, _, _ in list_tree(content)}):
        raise BrokenHistoryError(f"tree {oid.decode()} holds one name twice")
    for name, _, _ in come:
        if wrong := unsafe_for_git(name.decode("utf-8", "surrogateescape")):
            raise BrokenHistoryError(f"tree {oid.decode()} holds the unsafe name {name!r}: {wrong}")
    return gone, come


def _written(entry: Listed) -> bytes:
    name, mode, oid = entry
    return b"%o %s\0%s" % (mode, name, bytes.fromhex(oid.decode()))


def _in_order(listed: Sequence[Listed]) -> bool:
    """Tell whether names are in git's order, and none is there twice."""
    names = [name + b"/" if mode == stat.S_IFDIR else name for name, mode, _ in listed]
    return names == sorted(names) and len({name for name, _, _ in listed}) == len(listed)


def _dated(commit: Commit) -> None:
    """Refuse times that no calendar has: whoever lists the history would stumble over them."""
    for at in (commit.author_time, commit.commit_time):
        if not 0 <= at < _YEAR_10000:
            raise BrokenHistoryError(
                f"commit {commit.id.decode()} is dated {at}, expected seconds since 1970, before the year 10000"
            )


def _well_formed(found: ShaFile, oid: ObjectID) -> None:
    try:
        found.check()
    except (FileFormatException, ChecksumMismatch, ValueError) as error:
        kind = found.type_name.decode()
        raise BrokenHistoryError(f"{kind} {oid.decode()} is malformed: {error}") from error
