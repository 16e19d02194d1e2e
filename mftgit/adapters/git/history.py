"""Read what lies between two commits, and single files of a revision, out of a dulwich object store."""

import stat
from collections.abc import Iterable, Mapping
from functools import partial

from dulwich.object_store import BaseObjectStore
from dulwich.objects import ObjectID

from mftgit.adapters.git.listing import list_folder
from mftgit.adapters.git.objects import get_commit, load_blob
from mftgit.model.names import Revision
from mftgit.model.rules.tree import Entry, Tree


def history_between(
    store: BaseObjectStore, old: Revision, new: Revision
) -> dict[Revision, tuple[Revision, ...]]:
    """Return the commits that can be reached from ``new`` and not from ``old``, newest first, with their parents.

    Raises:
        BrokenHistoryError: a commit on the way is missing.
    """
    found = _reach(store, new, but=old)
    # A commit that old has behind it too would have led on to the first commit of all.
    if all(found.values()):
        return found
    past = _reach(store, old, but=None)
    return {revision: parents for revision, parents in found.items() if revision not in past}


def raw_commit(store: BaseObjectStore, revision: Revision) -> bytes:
    """Return the commit byte for byte, as it was signed.

    Raises:
        BrokenHistoryError: it is missing, malformed, or not a commit.
    """
    return get_commit(store, _oid(revision)).as_raw_string()


def pick_files(store: BaseObjectStore, revision: Revision, paths: Iterable[str]) -> Tree:
    """Return those of ``paths`` that are files of ``revision``; the others are not looked at.

    Raises:
        BrokenHistoryError: an object is missing or malformed.
    """
    root = get_commit(store, _oid(revision)).tree
    found = {path: _find(store, root, path) for path in paths}
    return {path: entry for path, entry in found.items() if entry is not None}


Listings = Mapping[tuple[str, ObjectID], frozenset[str]]
"""The paths of files by folder and by the folder's object."""


def files_in(
    store: BaseObjectStore, revision: Revision, folders: Iterable[str], known: Listings
) -> Listings:
    """Return what lies directly in ``folders`` of ``revision``, which are at its top, and is no folder.

    What is ``known`` is not read again.

    Raises:
        BrokenHistoryError: an object is missing or malformed.
    """
    wanted = {name.encode(): name for name in folders}
    there = [
        (wanted[name], oid)
        for name, mode, oid in list_folder(store, get_commit(store, _oid(revision)).tree)
        if name in wanted and stat.S_ISDIR(mode)
    ]
    return {each: known.get(each) or _files(store, *each) for each in there}


def _files(store: BaseObjectStore, folder: str, tree: ObjectID) -> frozenset[str]:
    return frozenset(
        f"{folder}/{name.decode('utf-8', 'surrogateescape')}"
        for name, mode, _ in list_folder(store, tree)
        if not stat.S_ISDIR(mode)
    )


def _reach(
    store: BaseObjectStore, start: Revision, *, but: Revision | None
) -> dict[Revision, tuple[Revision, ...]]:
    found: dict[Revision, tuple[Revision, ...]] = {}
    todo = [start]
    for revision in todo:
        if revision in found or revision == but:
            continue
        parents = get_commit(store, _oid(revision)).parents
        found[revision] = tuple(Revision(each.decode()) for each in parents)
        todo.extend(found[revision])
    return found


def _find(store: BaseObjectStore, root: ObjectID, path: str) -> Entry | None:
    oid, mode = root, stat.S_IFDIR
    for name in path.encode().split(b"/"):
        tree = list_folder(store, oid) if stat.S_ISDIR(mode) else ()
        found = next((each for each in tree if each[0] == name), None)
        if found is None:
            return None
        _, mode, oid = found
    if not stat.S_ISREG(mode):
        return None
    content = load_blob(store, oid)
    return Entry(mode=mode, oid=oid.decode(), size_bytes=len(content), load=partial(bytes, content))


def _oid(revision: Revision) -> ObjectID:
    return ObjectID(revision.encode())
