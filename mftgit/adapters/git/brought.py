"""Which objects somebody lacks who has one commit and wants another, remembered commit by commit.

What a commit brought, compared with its first parent, never changes. So the history is read once, whoever asks: a clone
joins what is remembered, and a fetch looks at the new commits alone.
"""

import stat
from collections.abc import Collection, Iterator

from dulwich.object_store import BaseObjectStore
from dulwich.objects import S_ISGITLINK, ObjectID, Tag
from dulwich.objects import Tree as GitTree

from mftgit.adapters.git.listing import difference, list_folder
from mftgit.adapters.git.objects import get_commit, get_object

MAX_IDS = 500_000
"""So many ids are remembered, some 50 MB; then all are forgotten, and read again as they are asked for."""


class History:
    """The commits of one repository; any thread may ask, with an object store of its own."""

    def __init__(self, *, max_ids: int = MAX_IDS) -> None:
        self._max_ids = max_ids
        self._parents: dict[ObjectID, tuple[ObjectID, ...]] = {}
        self._brought: dict[ObjectID, tuple[ObjectID, ...]] = {}
        self._ids = 0

    def parents(self, store: BaseObjectStore, oid: ObjectID) -> tuple[ObjectID, ...]:
        """Return the parents of a commit.

        Raises:
            BrokenHistoryError: it is missing, malformed, or not a commit.
        """
        found = self._parents.get(oid)
        if found is None:
            found = self._parents[oid] = tuple(get_commit(store, oid).parents)
            self._remember(1 + len(found))
        return found

    def missing(
        self,
        store: BaseObjectStore,
        *,
        wants: Collection[ObjectID],
        haves: Collection[ObjectID],
        shallow: Collection[ObjectID],
    ) -> list[ObjectID]:
        """Return the ids of what ``wants`` need and ``haves`` lack, in an order that only the arguments decide.

        ``shallow`` are commits without parents for whoever asks. What lies in a folder again where the first parent
        has something else is listed even if it was somewhere before.
        """
        found: dict[ObjectID, None] = {}
        tips = [tip for want in wants if (tip := _unwrap(store, want, found)) is not None]
        ends = [tip for have in haves if (tip := _unwrap(store, have, {})) is not None]
        had = set(self._walk(store, ends, shallow, set()))
        for oid in self._walk(store, tips, shallow, had):
            if oid in shallow:
                found.update(
                    dict.fromkeys((oid, *_added(store, get_commit(store, oid).tree, None)))
                )
            else:
                found.update(dict.fromkeys(self._bring(store, oid)))
        return list(found)

    def _walk(
        self,
        store: BaseObjectStore,
        tips: Collection[ObjectID],
        shallow: Collection[ObjectID],
        without: Collection[ObjectID],
    ) -> Iterator[ObjectID]:
        """Give ``tips`` and their ancestors, each once, going no further at ``without``."""
        todo, seen = list(tips), set(without)
        while todo:
            oid = todo.pop()
            if oid not in seen:
                seen.add(oid)
                yield oid
                if oid not in shallow:
                    todo.extend(self.parents(store, oid))

    def _bring(self, store: BaseObjectStore, oid: ObjectID) -> tuple[ObjectID, ...]:
        """Return a commit and what its tree has that the tree of its first parent has not in the same place."""
        found = self._brought.get(oid)
        if found is None:
            parents = self.parents(store, oid)
            before = get_commit(store, parents[0]).tree if parents else None
            found = (oid, *_added(store, get_commit(store, oid).tree, before))
            self._brought[oid] = found
            self._remember(len(found))
        return found

    def _remember(self, ids: int) -> None:
        self._ids += ids
        if self._ids > self._max_ids:
            self._parents, self._brought, self._ids = {}, {}, 0


def _unwrap(store: BaseObjectStore, oid: ObjectID, found: dict[ObjectID, None]) -> ObjectID | None:
    """Return the commit that ``oid`` is or, as a tag, leads to; put everything else on the way into ``found``."""
    while True:
        thing = get_object(store, oid, "object")
        if thing.type_name == b"commit":
            return oid
        found[oid] = None
        if isinstance(thing, GitTree):
            found.update(dict.fromkeys(_added(store, oid, None)))
        if not isinstance(thing, Tag):
            return None
        oid = thing.object[1]


def _added(store: BaseObjectStore, tree: ObjectID, before: ObjectID | None) -> list[ObjectID]:
    """Return ``tree`` and what is below it, but for what ``before`` has in the same place."""
    if tree == before:
        return []
    found: dict[ObjectID, None] = {tree: None}
    todo: list[tuple[ObjectID, ObjectID | None]] = [(tree, before)]
    while todo:
        now, then = todo.pop()
        gone, come = difference(list_folder(store, then), list_folder(store, now))
        folders = {name: oid for name, mode, oid in gone if stat.S_ISDIR(mode)}
        for name, mode, oid in come:
            if oid in found or S_ISGITLINK(mode):
                continue
            found[oid] = None
            if stat.S_ISDIR(mode):
                todo.append((oid, folders.get(name)))
    return list(found)
