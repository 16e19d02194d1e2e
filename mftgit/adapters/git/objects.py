"""Read commits and trees out of a dulwich object store, without trusting either to be whole."""

import traceback
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dulwich.config import ConfigFile
from dulwich.errors import NotGitRepository
from dulwich.object_store import BaseObjectStore, DiskObjectStore, GraphTraversalReachability
from dulwich.objects import Blob, Commit, ObjectID, ShaFile, object_class
from dulwich.objects import Tree as GitTree
from dulwich.repo import Repo

from mftgit.errors import MftgitError, TransientError

TREE = GitTree.type_num

_MAX_SIZES = 200_000
_LIST_FROM = 500
"""From so many blobs on, listing all that there are costs less than looking for each."""


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


def get_tree(store: BaseObjectStore, oid: ObjectID) -> bytes:
    """Return the content of a tree object, which may be malformed itself.

    Raises:
        BrokenHistoryError: it is missing, cannot be read, or is not a tree.
    """
    kind, content = get_raw(store, oid, "tree")
    if kind != TREE:
        name = object_class(kind)
        found = name.type_name.decode() if name else str(kind)
        raise BrokenHistoryError(f"{oid.decode()} is a {found}, expected a tree")
    return content


def get_raw(store: BaseObjectStore, oid: ObjectID, kind: str) -> tuple[int, bytes]:
    """Return number of the kind and content of an object; ``kind`` is the word for it in the message.

    Raises:
        BrokenHistoryError: it is missing or cannot be read.
    """
    with _telling_damage(oid, kind):
        return store.get_raw(oid)


def get_object(store: BaseObjectStore, oid: ObjectID, kind: str) -> ShaFile:
    """Return an object of any kind; ``kind`` is the word for it in the message.

    Raises:
        BrokenHistoryError: it is missing or malformed.
    """
    with _telling_damage(oid, kind):
        return store[oid]


@contextmanager
def _telling_damage(oid: ObjectID, kind: str) -> Iterator[None]:
    try:
        yield
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

    def __init__(self) -> None:
        super().__init__()
        self._asked = 0
        self._there: frozenset[ObjectID] = frozenset()

    def of(self, store: BaseObjectStore, oid: ObjectID) -> int:
        """Return 0; raises BrokenHistoryError when it is missing. It is always the same ``store``."""
        self._asked += 1
        if self._asked == _LIST_FROM:
            self._there = frozenset(store)
        if oid not in (self._there or store):
            raise BrokenHistoryError(f"blob {oid.decode()} is missing")
        return 0


def load_blob(store: BaseObjectStore, oid: ObjectID) -> bytes:
    """Return the content of the blob ``oid``.

    Raises:
        BrokenHistoryError: it is missing, malformed, or not a blob.
    """
    return _content(store, oid)


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


def _content(store: BaseObjectStore, oid: ObjectID) -> bytes:
    found = get_object(store, oid, "blob")
    if not isinstance(found, Blob):
        raise BrokenHistoryError(f"{oid.decode()} is a {_kind(found)}, expected a blob")
    return found.data


def _kind(found: ShaFile) -> str:
    return found.type_name.decode()
