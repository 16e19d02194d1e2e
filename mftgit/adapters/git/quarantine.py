"""Keep objects that came from outside apart from the repository until they are known to be whole and wanted."""

import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from types import TracebackType
from typing import BinaryIO, Self, cast

from dulwich.errors import ApplyDeltaError, ChecksumMismatch, FileFormatException
from dulwich.object_store import DiskObjectStore, PackBasedObjectStore
from dulwich.objects import (
    Commit,
    ObjectID,
    RawObjectID,
    ShaFile,
    sha_to_hex,
)
from dulwich.pack import Pack, UnresolvedDeltas

from mftgit.adapters.durable import sync_folder
from mftgit.adapters.git.history import history_between, pick_files, raw_commit
from mftgit.adapters.git.listing import (
    NO_FOLDERS,
    Folders,
    Reading,
    files_of,
    list_tree,
)
from mftgit.adapters.git.objects import (
    TREE,
    BrokenHistoryError,
    Objects,
    Sizes,
    get_commit,
    get_object,
    get_raw,
    is_ancestor,
    load_blob,
)
from mftgit.adapters.git.pack import PackError, check_pack, longest_chain
from mftgit.adapters.git.send import write_pack
from mftgit.adapters.git.soundness import Soundness
from mftgit.model.names import Revision
from mftgit.model.revisions.limits import Limits, beyond
from mftgit.model.rules.tree import Tree

PREFIX = "incoming-"
"""How the folder of a quarantine begins; `GitStore.sweep` removes those that a crash left."""

# What dulwich raises for a pack that is not a good one.
_BAD_PACK = (
    ApplyDeltaError,
    AssertionError,
    ChecksumMismatch,
    FileFormatException,
    IndexError,
    KeyError,
    UnresolvedDeltas,
    ValueError,
    zlib.error,
)

UNLIMITED = Limits(
    max_pack_bytes=1 << 40,
    max_objects=1 << 40,
    max_object_bytes=1 << 40,
    max_inflated_bytes=1 << 50,
)
"""For packs that were written here, of what was judged before."""

_SPOOL_BYTES = 4 << 20


class Quarantine:
    """A folder of objects that sees the repository's objects, but is not seen by the repository.

    Use it as a context manager: on leaving, everything that was not brought in is gone.
    """

    def __init__(
        self,
        main: DiskObjectStore,
        sizes: Sizes,
        replaced: int = 0,
        known: Folders = NO_FOLDERS,
    ) -> None:
        """Keep in mind how often the packs of ``main`` had been replaced when this began.

        ``known`` are the folders of some revision that ``main`` has; they load wherever this stands.
        """
        self._known = known
        self.replaced = replaced
        self._again: DiskObjectStore | None = None
        self._main = main
        self._sizes = sizes
        self._folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=main.path))
        (self._folder / "pack").mkdir()
        self._store = _Incoming(self._folder, main)
        self._fresh: frozenset[ObjectID] = frozenset()
        self._whole = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._store.close()
        if self._again is not None:
            self._again.close()
        rmtree(self._folder, ignore_errors=True)

    def take(self, pack: BinaryIO, limits: Limits) -> None:
        """Take in a pack, which may be thin, from its start to its end.

        Raises:
            PackError: it is malformed, or larger than ``limits``.
        """
        pack.seek(0)
        outline = check_pack(pack, limits)
        if outline.objects == 0:
            return
        pack.seek(0)
        try:
            taken = self._store.add_thin_pack(pack.read, None)
        except _BAD_PACK as error:
            text = " ".join(str(error).split())
            raise PackError(f"the pack is broken: {type(error).__name__}: {text}") from error
        ids = list(self._own_ids())
        if len(ids) != len(set(ids)):
            raise PackError("the pack holds an object twice")
        # The bases of deltas were put beside them, and are the repository's own.
        bases = {
            sha_to_hex(RawObjectID(base))
            for base in outline.bases.values()
            if isinstance(base, bytes)
        }
        self._fresh = frozenset(ids) - {oid for oid in bases if oid in self._main}
        # Only now the ids of what is in the pack are known.
        depth = longest_chain(outline.bases, lambda oid: _offset(taken, oid)) if taken else 0
        if depth > limits.max_delta_depth:
            raise PackError(beyond("max_delta_depth", limits, depth))

    def add(self, objects: list[ShaFile]) -> None:
        """Take in objects that were made here."""
        self._store.add_objects([(found, None) for found in objects])
        self._fresh = frozenset(self._own_ids())

    def keep_only(self, tips: Iterable[Revision]) -> None:
        """Drop what none of ``tips`` needs, which are whole: what came along, or for refs that were refused."""
        needed = self._needed([ObjectID(tip.encode()) for tip in tips])
        if all(oid in self._main for oid in self._fresh - needed):
            return
        with packed(self._store, needed) as pack:
            self._store.close()
            for path in (self._folder / "pack").iterdir():
                path.unlink()
            self._store, self._fresh = _Incoming(self._folder, self._main), frozenset()
            if needed:
                self.take(pack, UNLIMITED)

    def _needed(self, todo: list[ObjectID]) -> frozenset[ObjectID]:
        """Return what is in here of ``todo`` and of all that these refer to; what the repository has is whole."""
        found: set[ObjectID] = set()
        while todo:
            oid = todo.pop()
            if oid in found or oid not in self._fresh:
                continue
            found.add(oid)
            kind, content = get_raw(self._store, oid, "object")
            if kind == Commit.type_num:
                commit = get_commit(self._store, oid)
                todo += [commit.tree, *commit.parents]
            elif kind == TREE:
                todo += [child for _, _, child in list_tree(content) if child in self._fresh]
        return frozenset(found)

    def look_again(self) -> None:
        """Forget what was open of the repository: its packs were replaced."""
        self._whole = False
        self._store.close()
        self._main = self._again = Objects(self._main.path, object_format=self._main.object_format)
        self._store = _Incoming(self._folder, self._main)
        self._fresh = frozenset(self._own_ids())

    def is_commit(self, oid: Revision) -> bool:
        """Tell whether ``oid`` is a commit, in here or in the repository."""
        try:
            get_commit(self._store, ObjectID(oid.encode()))
        except BrokenHistoryError:
            return False
        return True

    def grows(self, old: Revision, new: Revision) -> bool:
        """Tell whether the commit ``new``, which is whole, is ``old`` or has it behind it."""
        return is_ancestor(self._store, ObjectID(old.encode()), ObjectID(new.encode()))

    def fault(self, tip: Revision) -> str | None:
        """Tell in one sentence which object behind ``tip`` is missing or malformed; None when all is well.

        What the repository has already is taken as whole: objects get there only through here.
        """
        try:
            get_object(self._store, ObjectID(tip.encode()), "object")
            if not self._whole:
                Soundness(self._store, self._main, self._fresh, self._sizes).check()
                self._whole = True
        except BrokenHistoryError as error:
            return str(error)
        return None

    def tree(self, revision: Revision, limits: Limits) -> Tree:
        """Return the files of ``revision``; see `Reading`. They load as long as the quarantine stands."""
        reading = Reading(
            store=self._store,
            sizes=self._sizes,
            load=lambda oid: load_blob(self._store, oid),
            limits=limits,
        )
        return files_of(reading.folders(revision, self._known))

    def pick(self, revision: Revision, paths: Iterable[str]) -> Tree:
        """Return those of ``paths`` that are files of ``revision``."""
        return pick_files(self._store, revision, paths)

    def commits(self, old: Revision, new: Revision) -> Iterator[tuple[Revision, bytes]]:
        """Give the commits that ``new`` has behind it and ``old`` has not, byte for byte, newest first."""
        for revision in history_between(self._store, old, new):
            yield revision, raw_commit(self._store, revision)

    def pending(self) -> list[Path]:
        """Return the files that `bring_in` will add to the repository; same objects are there under the same name."""
        target = Path(self._main.pack_dir)
        packs = sorted((self._folder / "pack").glob("*.pack"))
        pairs = [(target / pack.name, target / pack.with_suffix(".idx").name) for pack in packs]
        return [path for pair in pairs if not all(each.exists() for each in pair) for path in pair]

    def bring_in(self) -> frozenset[str]:
        """Move the objects into the repository so that they outlive a crash; return the names of the packs.

        A pack becomes visible by its index, so that goes last.
        """
        self._store.close()
        names = frozenset(pack.name for pack in (self._folder / "pack").glob("*.pack"))
        for path in self.pending():
            (self._folder / "pack" / path.name).replace(path)
        sync_folder(Path(self._main.pack_dir))
        return names

    def take_back(self, files: Iterable[Path]) -> None:
        """Undo `bring_in` for ``files``; the index goes first, since by it the pack is seen."""
        for path in sorted(files):
            with suppress(FileNotFoundError):  # not brought in
                path.replace(self._folder / "pack" / path.name)

    def _own_ids(self) -> Iterator[ObjectID]:
        for pack in self._store.packs:
            yield from pack


@contextmanager
def packed(store: PackBasedObjectStore, oids: Iterable[ObjectID]) -> Iterator[BinaryIO]:
    """Give a pack of objects that ``store`` has and that were judged before; see `UNLIMITED`."""
    with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as spool:
        write_pack(spool.write, store, sorted(oids), ofs_delta=True)
        yield cast("BinaryIO", spool)


def _offset(pack: Pack, oid: bytes) -> int:
    return pack.index.object_offset(RawObjectID(oid))


class _Incoming(Objects):
    """The objects of a quarantine, with the repository's own store as what they may refer to."""

    def __init__(self, folder: Path, main: DiskObjectStore) -> None:
        super().__init__(str(folder), object_format=main.object_format, fsync_object_files=True)
        self._alternates = [main]

    def close(self) -> None:
        """Close the packs in here, and leave the repository's open."""
        alternates, self._alternates = self._alternates, None
        super().close()
        self._alternates = alternates
