"""Hold the history of the configuration in a bare git repository on disk."""

import errno
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import BinaryIO, Concatenate, ParamSpec, Self, TypeVar

from dulwich.file import FileLocked
from dulwich.objects import ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo
from loguru import logger
from urllib3 import PoolManager

from mftgit.adapters.durable import sync_folder
from mftgit.adapters.git.commit import LogEntry, log_entry, make_commit
from mftgit.adapters.git.fetch import RemoteBrokenError, Request, download
from mftgit.adapters.git.folder import (
    PackState,
    finish_swap,
    fresh_place,
    locked,
    make_repository,
    pack_state,
    swap_in,
    sweep_repository,
    undone_by_a_crash,
)
from mftgit.adapters.git.gather import gather
from mftgit.adapters.git.history import Listings, files_in, history_between, pick_files, raw_commit
from mftgit.adapters.git.listing import NO_FOLDERS, Folders, Reading, files_of, shared
from mftgit.adapters.git.objects import (
    BrokenHistoryError,
    Presence,
    Sizes,
    StoreBusyError,
    StoreError,
    get_commit,
    is_ancestor,
    letting_go,
    load_blob,
    open_repo,
)
from mftgit.adapters.git.pack import PackError
from mftgit.adapters.git.quarantine import Quarantine
from mftgit.errors import MftgitError
from mftgit.model.documents.places import FOLDERS
from mftgit.model.names import MAIN, MEMBERS, Revision, parse_revision
from mftgit.model.revisions.limits import HIGHEST
from mftgit.model.revisions.push import RefUpdate
from mftgit.model.rules.tree import Tree

FETCHED = "refs/mftgit/fetched"
"""Where `GitStore.fetch` puts the tip, apart from main, which says what is in force here."""

FETCHED_REVIEWS = "refs/mftgit/reviews"
"""Where what people said of proposals is put, which is fetched by itself."""

_ZERO = ObjectID(b"0" * 40)
_LOCKED_TRIES, _LOCKED_WAIT_S = 40, 0.05
_PASSING = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR,
}  # fmt: skip
_P = ParamSpec("_P")
_T = TypeVar("_T")
HeadersFor = Callable[[str, str], Mapping[str, str]]


def _telling(
    method: Callable[Concatenate["GitStore", _P], _T],
) -> Callable[Concatenate["GitStore", _P], _T]:
    """Let only errors of mftgit out of ``method``: damage shows as whatever dulwich stumbles over."""

    @wraps(method)
    def told(store: "GitStore", /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return method(store, *args, **kwargs)
        except BrokenHistoryError as error:
            if str(store.path) in str(error):
                raise
            raise BrokenHistoryError(f"{store.path}: {error}") from error
        except MftgitError:
            raise
        except OSError as error:
            kind = StoreBusyError if error.errno in _PASSING else StoreError
            raise kind(f"{store.path}: {error.strerror or error}") from error
        except Exception as error:
            text = " ".join(str(error).split())
            raise StoreError(f"{store.path} is damaged: {type(error).__name__}: {text}") from error

    return told


class GitStore:
    """A bare repository. Any thread may call any method; each works on a Repo object that no other thread has.

    Every method raises `StoreError` where the repository is not as expected. ``moves`` rises whenever refs have moved,
    but for `MEMBERS`, whose moves are many and nobody waits for.
    """

    def __init__(self, path: Path, *, probe: bool = True) -> None:
        """Open the repository ``path``; a wrong path fails here, or without ``probe`` at the first use."""
        self.path = path
        self.sizes = Sizes()
        self._known: Folders = NO_FOLDERS  # those of the revision that was read last
        self._listed: Listings = {}
        self._seen: tuple[PackState, Folders] = ({}, NO_FOLDERS)  # by `check`
        self.moves = 0
        self._idle: list[Repo] = []
        self._closed = False
        self._spare: tuple[Path, ...] = ()
        self._mutex = threading.Lock()
        self._replaced = 0
        if probe:
            self.head()

    @classmethod
    def create(cls, path: Path) -> Self:
        """Open the repository ``path``, made first where the folder is empty or not there.

        A crash leaves either the whole repository under ``path`` or none.

        Raises:
            StoreError: ``path`` holds something else.
        """
        if not path.exists() or not any(path.iterdir()):
            make_repository(path)
        return cls(path)

    @classmethod
    def copy_at(cls, path: Path) -> Self:
        """Open a copy of what another place holds, made first where there is nothing; damage shows at its use."""
        try:
            finish_swap(path)
            if not path.exists():
                make_repository(path)
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror or error}") from error
        return cls(path, probe=False)

    def close(self) -> None:
        """Close every file. The store cannot be used afterwards."""
        self._closed = True
        self._close_idle()

    def packs_replaced(self) -> None:
        """Take note that another program has put new packs in the stead of old ones, under `locked`."""
        self._replaced += 1
        self._spare = ()
        self._close_idle()

    def _close_idle(self) -> None:
        with self._mutex:
            idle, self._idle = self._idle, []
        for repo in idle:
            repo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def repo(self) -> Iterator[Repo]:
        """Give a Repo to this thread for the time of the block. For the git adapters only."""
        with self._mutex:
            idle = self._idle.pop() if self._idle else None
        repo, whole = idle or open_repo(self.path), False
        try:
            with letting_go():
                yield repo
            whole = True
        finally:
            with self._mutex:
                keep = whole and not self._closed
                if keep:
                    self._idle.append(repo)
            if not keep:
                repo.close()  # after a failure, what it remembers of its files may be wrong

    @_telling
    def check(self, revision: Revision) -> None:
        """See that every folder of ``revision`` can be read and every file of it is there; no file is read.

        While the packs of the last time are there and were not touched, what they were seen to hold is not looked for
        again.

        Raises:
            StoreError: something is missing or damaged.
        """
        with closing(open_repo(self.path)) as repo:  # a fresh one: of files nothing is remembered
            _head(repo, FETCHED)
            state, (before, known) = pack_state(self.path), self._seen
            if not before or state is None or not before.items() <= state.items():
                known = NO_FOLDERS
            self._seen = ({}, NO_FOLDERS)
            reading = Reading(store=repo.object_store, sizes=Presence(), load=self._load)
            found = reading.folders(revision, known)
        self._seen = (state or {}, shared(found, self._known))

    @_telling
    def renew(self, fill: Callable[[Self], _T]) -> _T:
        """Let ``fill`` fill a fresh repository, then put it in the stead of this one; return what ``fill`` returned.

        A failure, or a crash at any moment, leaves this one or the filled one.
        """
        fresh = fresh_place(self.path)
        with self.create(fresh) as made:
            result = fill(made)
        swap_in(self.path)
        self._spare = ()
        self._close_idle()
        return result

    @_telling
    def head(self, ref: str = MAIN) -> Revision | None:
        """Return the revision that ``ref`` names, or None when there is no such ref."""
        with self.repo() as repo:
            return _head(repo, ref)

    @_telling
    def names(self, prefix: str) -> frozenset[str]:
        """Return the refs whose names begin with ``prefix``."""
        with self.repo() as repo:
            found = [name.decode("utf-8", "surrogateescape") for name in repo.refs.allkeys()]
        return frozenset(name for name in found if name.startswith(prefix))

    @_telling
    def tips(self, prefix: str) -> Mapping[str, Revision]:
        """Return the refs whose names begin with ``prefix``, and what each names."""
        with self.repo() as repo:
            found = {name: _head(repo, name) for name in self.names(prefix)}
        return {name: tip for name, tip in found.items() if tip is not None}

    @_telling
    def tree(self, revision: Revision) -> Tree:
        """Return the files of ``revision``; contents are read when they are asked for.

        Raises:
            StoreError: the revision is not there, broken, or larger than what is taken (git_objects).
        """
        with self.repo() as repo:
            reading = Reading(store=repo.object_store, sizes=self.sizes, load=self._load)
            self._known = reading.folders(revision, self._known)
            return files_of(self._known)

    @_telling
    def is_ancestor(self, ancestor: Revision, descendant: Revision) -> bool:
        """Tell whether ``ancestor`` is ``descendant`` or can be reached from it, whatever the commit times say."""
        with self.repo() as repo:
            return is_ancestor(repo.object_store, _oid(ancestor), _oid(descendant))

    @_telling
    def history(self, old: Revision, new: Revision) -> Mapping[Revision, tuple[Revision, ...]]:
        """Return what ``new`` has behind it and ``old`` has not, newest first, each commit with its parents."""
        with self.repo() as repo:
            return history_between(repo.object_store, old, new)

    @_telling
    def raw_commit(self, revision: Revision) -> bytes:
        """Return a commit byte for byte, as it was signed."""
        with self.repo() as repo:
            return raw_commit(repo.object_store, revision)

    @_telling
    def pick(self, revision: Revision, paths: Iterable[str]) -> Tree:
        """Return those of ``paths`` that are files of ``revision``, without looking at the others."""
        with self.repo() as repo:
            return pick_files(repo.object_store, revision, paths)

    @_telling
    def documents(self, revision: Revision) -> frozenset[str]:
        """Return the paths of the documents of ``revision``; no file is looked at."""
        with self.repo() as repo:
            listed = self._listed
            read = {
                (path[:-1], folder.oid): frozenset(folder.files)
                for path, folder in self._known.items()
                if path[:-1] in FOLDERS and folder.oid and (path[:-1], folder.oid) not in listed
            }
            self._listed = listed = files_in(
                repo.object_store, revision, FOLDERS, {**read, **listed}
            )
        return frozenset().union(*listed.values())

    @_telling
    def log(self, limit: int, ref: str = MAIN) -> tuple[LogEntry, ...]:
        """Return the newest ``limit`` commits of ``ref`` along first parents, newest first."""
        entries: list[LogEntry] = []
        with self.repo() as repo:
            revision = _head(repo, ref)
            while revision is not None and len(entries) < limit:
                commit = get_commit(repo.object_store, _oid(revision))
                entries.append(log_entry(revision, commit))
                parents = commit.parents
                revision = Revision(parents[0].decode()) if parents else None
        return tuple(entries)

    @_telling
    def commit_documents(
        self,
        files: Mapping[str, bytes],
        *,
        message: str,
        author: str,
        now: datetime,
        parent: Revision | None,
        ref: str = MAIN,
    ) -> Revision:
        """Commit exactly ``files`` on top of ``parent`` and move ``ref`` there.

        ``author`` has the form ``Name <address>``.

        Raises:
            StoreBusyError: ``ref`` is not at ``parent``; nothing was changed.
        """
        commit, objects = make_commit(files, parent=parent, message=message, author=author, now=now)
        revision = Revision(commit.id.decode())
        with self.quarantine() as quarantine:
            quarantine.add(objects)
            update = RefUpdate(ref=ref, old=parent, new=revision)
            if not self.move([update], quarantine):
                raise StoreBusyError(f"{ref} is not at {parent}: somebody else moved it; try again")
        return revision

    @_telling
    def set_ref(self, ref: str, *, old: Revision | None, new: Revision) -> bool:
        """Move ``ref`` from ``old`` to ``new``; return False, and change nothing, when it is not at ``old``.

        Raises:
            StoreBusyError: another program held the ref for two seconds.
        """
        return bool(self.move([RefUpdate(ref=ref, old=old, new=new)]))

    @_telling
    def move(
        self, updates: Sequence[RefUpdate], quarantine: Quarantine | None = None
    ) -> tuple[RefUpdate, ...]:
        """Move refs by compare-and-swap under the repository's lock; return those that moved.

        What ``quarantine`` holds is brought in between comparing and swapping, and only where every ref is where it is
        expected; where no ref moves after all it is removed again, after a crash by `sweep`.

        Raises:
            StoreBusyError: another program held a ref for two seconds; the refs before it may have moved.
        """
        with locked(self.path), self.repo() as repo:
            if quarantine is not None and quarantine.replaced != self._replaced:
                self._look_again(updates, quarantine)
            if any(_head(repo, update.ref) != update.old for update in updates):
                return ()
            files = quarantine.pending() if quarantine is not None else []
            if quarantine is None or not files:
                return self._swap_all(repo, updates)
            with undone_by_a_crash(self.path, files, {each.ref: each.new for each in updates}):
                moved: tuple[RefUpdate, ...] = ()
                try:
                    quarantine.bring_in()
                    moved = self._swap_all(repo, updates)
                finally:
                    if not any(_head(repo, each.ref) == each.new for each in updates):
                        quarantine.take_back(files)
            self._gather(repo, files)
            return moved

    def _gather(self, repo: Repo, fresh: Collection[Path]) -> None:
        """Keep packs few; what is spare since the time before is removed. The refs have moved, come what may."""
        # What came again under its old name is needed.
        self._spare = tuple(path for path in self._spare if path not in fresh)
        try:
            spare = gather(repo.object_store, self._spare)
            if spare:
                self._remove_spare()
                self._spare = spare
        except Exception:  # what is damaged is told by whoever needs it
            logger.exception("small packs could not be put together", repository=str(self.path))

    def _remove_spare(self) -> None:
        for path in self._spare:
            path.unlink(missing_ok=True)
        self._spare = ()

    def _look_again(self, updates: Sequence[RefUpdate], quarantine: Quarantine) -> None:
        """See that what ``quarantine`` relies on in the repository was not dropped since that was looked at."""
        quarantine.look_again()
        faults = [quarantine.fault(each.new) for each in updates if each.new is not None]
        if any(faults):
            raise StoreBusyError(f"the repository was tidied up meanwhile: {faults}; push again")

    def _swap_all(self, repo: Repo, updates: Sequence[RefUpdate]) -> tuple[RefUpdate, ...]:
        return tuple(update for update in updates if self._swap(repo, update))

    @_telling
    def fetch(
        self,
        url: str,
        *,
        ca_file: Path | None,
        headers: HeadersFor,
        ref: str = MAIN,
        into: str = FETCHED,
        max_bytes: int = 1 << 30,
        timeout_s: float = 60.0,
        tip: Revision | None = None,
        connections: PoolManager | None = None,
    ) -> Revision:
        """Get ``ref`` and its history from the repository at ``url``; name it ``into`` and return it.

        Who knows the ``tip`` saves a request, and gets that one, also where ``ref`` has moved on lately.

        ``headers(method, path)`` is asked anew for every request; ``path`` comes without the query. The server's
        certificate must be signed by ``ca_file``, and the environment's settings for proxies and certificates do not
        count. ``connections`` that are given trust it already, and are used on. ``timeout_s`` bounds the whole of it,
        ``max_bytes`` what the server sends. A fetch that fails leaves no object behind.

        Raises:
            RemoteUnreachableError: the same call may succeed later.
            RemoteUntrustedError: the certificate does not prove that this is the controller.
            RemoteRefusedError: it answered that it will not.
            RemoteBrokenError: what it sent is no whole repository, or larger than the limits.
        """
        request = Request(
            url=url,
            ca_file=ca_file,
            headers=headers,
            ref=ref,
            max_bytes=max_bytes,
            timeout_s=timeout_s,
            tip=None if tip is None else _oid(tip),
            connections=connections,
        )
        with self.repo() as repo, self.quarantine() as quarantine:
            before = _head(repo, into)
            other = _head(repo, MAIN) if ref == MAIN else None
            known = [_oid(tip) for tip in (before, other) if tip is not None]
            with download(request, repo.object_store, known) as found:
                if found.pack is not None:
                    _take(quarantine, found.pack, max_bytes)
            fetched = Revision(found.tip.decode())
            _whole(quarantine, fetched)
            update = RefUpdate(ref=into, old=before, new=fetched)
            if not self.move([update], quarantine):
                raise StoreError(f"{into} cannot be moved: it is damaged, or somebody else fetched")
        return fetched

    @contextmanager
    def quarantine(self) -> Iterator[Quarantine]:
        """Give an empty place for objects that are not part of the repository yet."""
        replaced = self._replaced
        with (
            self.repo() as repo,
            Quarantine(repo.object_store, self.sizes, replaced, self._known) as quarantine,
        ):
            yield quarantine

    @_telling
    def sweep(self) -> tuple[str, ...]:
        """Remove what a crash left: locks, half-written packs, quarantines; return their names.

        To be called at start only, before anything else uses the repository. Small packs are put together then too, and
        their files removed at once: which of them were spare before, nobody knows any more.
        """
        with locked(self.path):
            swept = sweep_repository(self.path)
            with self.repo() as repo:
                self._gather(repo, ())
            self._remove_spare()
        return swept

    @_telling
    def _load(self, oid: ObjectID) -> bytes:
        with self.repo() as repo:
            return load_blob(repo.object_store, oid)

    def _swap(self, repo: Repo, update: RefUpdate) -> bool:
        old = _ZERO if update.old is None else _oid(update.old)
        name = _ref(update.ref)
        for _ in range(_LOCKED_TRIES):
            # Among ourselves the lock above decides; this one is held by C git's gc for a moment.
            with suppress(FileLocked):
                if update.new is None:
                    moved = repo.refs.remove_if_equals(name, old)
                else:
                    moved = repo.refs.set_if_equals(name, old, _oid(update.new))
                if not update.ref.startswith(MEMBERS):
                    self.moves += 1
                _sync_above(self.path / update.ref)
                return moved
            threading.Event().wait(_LOCKED_WAIT_S)
        raise StoreBusyError(f"{update.ref} is locked by another program; try again")


def _sync_above(path: Path) -> None:
    """Flush the folder of ``path``, or the one above it that is there: git removes folders that have become empty."""
    for folder in path.parents:
        with suppress(FileNotFoundError):
            sync_folder(folder)
            return


def _take(quarantine: Quarantine, pack: BinaryIO, max_bytes: int) -> None:
    try:
        quarantine.take(pack, replace(HIGHEST, max_pack_bytes=max_bytes))
    except PackError as error:
        raise RemoteBrokenError(f"the controller sent a bad pack: {error}") from error


def _whole(quarantine: Quarantine, tip: Revision) -> None:
    fault = quarantine.fault(tip)
    if fault is None and not quarantine.is_commit(tip):
        fault = f"{tip} is not a commit"
    if fault is not None:
        raise RemoteBrokenError(f"the controller sent a history that is not whole: {fault}")


def _head(repo: Repo, ref: str) -> Revision | None:
    try:
        found = repo.refs[_ref(ref)]
    except KeyError:
        return None
    try:
        return parse_revision(found.decode("ascii", "replace"))
    except ValueError as error:
        raise StoreError(f"{ref} is damaged: {error}") from None


def _ref(ref: str) -> Ref:
    return Ref(ref.encode("utf-8", "surrogateescape"))


def _oid(revision: Revision) -> ObjectID:
    return ObjectID(revision.encode())
