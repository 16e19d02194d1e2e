"""Read commits and trees out of a dulwich object store, without trusting either to be whole."""

import stat
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from dulwich.config import ConfigFile
from dulwich.errors import NotGitRepository
from dulwich.object_store import BaseObjectStore, DiskObjectStore, GraphTraversalReachability
from dulwich.objects import S_ISGITLINK, Blob, Commit, ObjectID, ShaFile
from dulwich.objects import Tree as GitTree
from dulwich.repo import Repo

from mftgit.errors import MftgitError, TransientError
from mftgit.model.limits import HIGHEST, Limits, beyond
from mftgit.model.names import Revision
from mftgit.model.tree import Entry, Tree

_MAX_SIZES = 200_000


class StoreError(MftgitError):
    """The repository cannot do what was asked: something is not there, not as expected, or too large."""


class StoreBusyError(TransientError):
    """Another program holds the repository, or the ref moved meanwhile."""


class BrokenHistoryError(StoreError):
    """An object is missing, malformed, or not of the kind that refers to it."""


class TooLargeError(StoreError):
    """The revision is whole, and has more or deeper folders than are taken."""


class Objects(DiskObjectStore):
    """dulwich's object store that never asks for bitmaps.

    dulwich 1.2.21 takes one pack with a bitmap as a promise that every pack has one, and then fails each incremental
    fetch with FileNotFoundError. C git's gc writes bitmaps in bare repositories by default.
    """

    def get_reachability_provider(
        self,
        prefer_bitmaps: bool = True,  # noqa: ARG002, FBT001, FBT002  dulwich's signature
    ) -> GraphTraversalReachability:
        """Return the provider that walks commits and trees."""
        return GraphTraversalReachability(self)


def open_repo(path: Path) -> Repo:
    """Open the bare repository ``path``; the caller closes it and lets one thread at a time use it.

    Raises:
        StoreError: there is none, or it cannot be read.
    """
    try:
        config = ConfigFile.from_path(str(path / "config"))
        return Repo(
            str(path), object_store=Objects.from_config(str(path / "objects"), config), bare=True
        )
    except (NotGitRepository, OSError, ValueError) as error:
        raise StoreError(
            f"{path} is not a bare git repository that can be opened: {error}"
        ) from error


@contextmanager
def letting_go() -> Iterator[None]:
    """Let go of what the calls that failed in this block still hold: slices of packs, which then cannot be closed."""
    try:
        yield
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None:
            traceback.clear_frames(cause.__traceback__)
            cause = cause.__cause__ or cause.__context__
        raise


def get_commit(store: BaseObjectStore, oid: ObjectID) -> Commit:
    """Return a commit.

    Raises:
        BrokenHistoryError: it is missing, malformed, or not a commit.
    """
    found = get_object(store, oid, "commit")
    if not isinstance(found, Commit):
        raise BrokenHistoryError(f"{oid.decode()} is a {_kind(found)}, expected a commit")
    return found


def get_tree(store: BaseObjectStore, oid: ObjectID) -> GitTree:
    """Return a tree object.

    Raises:
        BrokenHistoryError: it is missing, malformed, or not a tree.
    """
    found = get_object(store, oid, "tree")
    if not isinstance(found, GitTree):
        raise BrokenHistoryError(f"{oid.decode()} is a {_kind(found)}, expected a tree")
    return found


def get_object(store: BaseObjectStore, oid: ObjectID, kind: str) -> ShaFile:
    """Return an object of any kind; ``kind`` is the word for it in the message.

    Raises:
        BrokenHistoryError: it is missing or malformed.
    """
    try:
        return store[oid]
    except KeyError:
        raise BrokenHistoryError(f"{kind} {oid.decode()} is missing") from None
    except OSError:
        raise  # the disk, or too many open files
    except Exception as error:  # damage shows as whatever dulwich stumbles over
        raise BrokenHistoryError(f"{kind} {oid.decode()} is malformed: {error}") from error


class Sizes:
    """The sizes of blobs by id, remembered, because git stores no size beside the name.

    Asking for the size of every file of a revision would otherwise read every file for each push.
    """

    def __init__(self) -> None:
        self._known: dict[ObjectID, int] = {}

    def of(self, store: BaseObjectStore, oid: ObjectID) -> int:
        """Return how many bytes the blob ``oid`` has.

        Raises:
            BrokenHistoryError: it is missing, malformed, or not a blob.
        """
        size_bytes = self._known.get(oid)
        if size_bytes is None:
            size_bytes = len(_content(store, oid))
            if len(self._known) >= _MAX_SIZES:
                self._known = {}
            self._known[oid] = size_bytes
        return size_bytes


class Presence(Sizes):
    """Asks whether blobs are there, instead of reading them for their sizes."""

    def of(self, store: BaseObjectStore, oid: ObjectID) -> int:
        """Return 0; raises BrokenHistoryError when it is missing."""
        if oid not in store:
            raise BrokenHistoryError(f"blob {oid.decode()} is missing")
        return 0


def load_blob(store: BaseObjectStore, oid: ObjectID) -> bytes:
    """Return the content of the blob ``oid``.

    Raises:
        BrokenHistoryError: it is missing, malformed, or not a blob.
    """
    return _content(store, oid)


def read_tree(
    store: BaseObjectStore,
    revision: Revision,
    sizes: Sizes,
    load: Callable[[ObjectID], bytes],
    *,
    limits: Limits = HIGHEST,
) -> Tree:
    """Return the files of ``revision``; ``load`` is what their `Entry.load` will call.

    A submodule is given as an entry of mode 0o160000 without content, for the rules to refuse.

    Raises:
        BrokenHistoryError: an object is missing, malformed or of the wrong kind.
        TooLargeError: the tree is larger or deeper than ``limits``.
    """
    commit = get_commit(store, ObjectID(revision.encode()))
    files: dict[str, Entry] = {}
    for path, mode, oid in _walk(store, commit.tree, limits):
        submodule = S_ISGITLINK(mode)
        files[path] = Entry(
            mode=mode,
            oid=oid.decode(),
            size_bytes=0 if submodule else sizes.of(store, oid),
            load=bytes if submodule else partial(load, oid),
        )
    return files


def is_ancestor(store: BaseObjectStore, ancestor: ObjectID, descendant: ObjectID) -> bool:
    """Tell whether ``ancestor`` is ``descendant`` or can be reached from it.

    Follows every parent. Commit times are not looked at: whoever pushes chooses them.

    Raises:
        BrokenHistoryError: a commit on the way is missing.
    """
    todo, seen = deque([descendant]), {descendant}
    while todo:
        oid = todo.popleft()
        if oid == ancestor:
            return True
        for parent in get_commit(store, oid).parents:
            if parent not in seen:
                seen.add(parent)
                todo.append(parent)
    return False


def _walk(
    store: BaseObjectStore, root: ObjectID, limits: Limits
) -> Iterator[tuple[str, int, ObjectID]]:
    """Give path, mode and id of every entry that is not a folder."""
    todo, count = [("", root, 0)], 0
    while todo:
        folder, oid, depth = todo.pop()
        if depth > limits.max_tree_depth:
            raise TooLargeError(f"{folder!r}: {beyond('max_tree_depth', limits, depth)}")
        for name, mode, child in get_tree(store, oid).items():
            count += 1
            if count > limits.max_entries:
                raise TooLargeError(beyond("max_entries", limits, count, at_least=True))
            path = folder + name.decode("utf-8", "surrogateescape")
            if len(path) * 4 > limits.max_path_bytes:
                _check_path(path, limits)
            if stat.S_ISDIR(mode):
                todo.append((path + "/", child, depth + 1))
            else:
                yield path, mode, child


def _check_path(path: str, limits: Limits) -> None:
    size_bytes = len(path.encode("utf-8", "surrogateescape"))
    if size_bytes > limits.max_path_bytes:
        raise TooLargeError(f"{path[:80]!r}…: {beyond('max_path_bytes', limits, size_bytes)}")


def _content(store: BaseObjectStore, oid: ObjectID) -> bytes:
    found = get_object(store, oid, "blob")
    if not isinstance(found, Blob):
        raise BrokenHistoryError(f"{oid.decode()} is a {_kind(found)}, expected a blob")
    return found.data


def _kind(found: ShaFile) -> str:
    return found.type_name.decode()
