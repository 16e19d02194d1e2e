"""Put commits on top of another revision anew, where both sides changed different files; the originals stay."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from stat import S_ISDIR

from dulwich.object_store import BaseObjectStore
from dulwich.objects import Commit, ObjectID, ShaFile
from dulwich.objects import Tree as GitTree

from mftgit.adapters.git.listing import list_folder
from mftgit.adapters.git.objects import get_commit
from mftgit.adapters.git.quarantine import Quarantine
from mftgit.adapters.git.store import GitStore
from mftgit.errors import ConfigError
from mftgit.model.names import Revision

_FOLDER = 0o040000
_SIGNATURES = (b"gpgsig", b"gpgsig-sha256")

_Files = dict[bytes, tuple[int, ObjectID]]


class RebaseError(ConfigError):
    """The commits cannot be put there anew; nothing was made."""


def replay(
    store: GitStore,
    quarantine: Quarantine,
    commits: Sequence[Revision],
    *,
    onto: Revision,
    committer: str,
    now: datetime,
) -> Revision:
    """Put ``commits``, the oldest first, on top of ``onto`` into ``quarantine``; return the last of the new ones.

    ``committer`` has the form ``Name <address>``. Author, message and time of authorship stay.

    Raises:
        RebaseError: one is a merge or signed, both sides changed one file, or nothing would be left.
        StoreError: an object cannot be read.
    """
    objects: dict[ObjectID, ShaFile] = {}
    with store.repo() as repo:
        origin = repo.object_store
        files = _flat(origin, get_commit(origin, _oid(onto)).tree)
        parent = _oid(onto)
        for revision in commits:
            old = get_commit(origin, _oid(revision))
            _check(old, revision)
            before = _flat(origin, get_commit(origin, old.parents[0]).tree)
            _apply(files, before, _flat(origin, old.tree), revision)
            made = _again(old, _build(files, objects), parent, committer, now)
            objects[made.id] = made
            parent = made.id
    quarantine.add(list(objects.values()))
    return Revision(parent.decode())


def _check(commit: Commit, revision: Revision) -> None:
    if len(commit.parents) != 1:
        raise RebaseError(f"{revision[:12]} is a merge, which is not put elsewhere")
    if any(field in commit.as_raw_string().partition(b"\n\n")[0] for field in _SIGNATURES):
        raise RebaseError(
            f"{revision[:12]} is signed, and would not be any more: rebase it in a clone and sign it anew"
        )


def _apply(files: _Files, before: _Files, after: _Files, revision: Revision) -> None:
    """Change ``files`` as ``before`` is changed to ``after``."""
    for path in before.keys() | after.keys():
        if before.get(path) == after.get(path):
            continue
        if files.get(path) != before.get(path):
            name = path.decode("utf-8", "replace")
            raise RebaseError(f"main and {revision[:12]} have both changed {name}")
        files.pop(path, None)
        if path in after:
            files[path] = after[path]


def _again(old: Commit, tree: ObjectID, parent: ObjectID, committer: str, now: datetime) -> Commit:
    commit = Commit()
    commit.tree = tree
    commit.parents = [parent]
    commit.author, commit.author_time = old.author, old.author_time
    commit.author_timezone = old.author_timezone
    commit.committer = committer.encode()
    commit.commit_time, commit.commit_timezone = int(now.timestamp()), 0
    commit.encoding = old.encoding
    commit.message = old.message
    return commit


def _flat(store: BaseObjectStore, tree: ObjectID) -> _Files:
    found: _Files = {}
    todo = [(b"", tree)]
    while todo:
        at, oid = todo.pop()
        for name, mode, child in list_folder(store, oid):
            if S_ISDIR(mode):
                todo.append((at + name + b"/", child))
            else:
                found[at + name] = (mode, child)
    return found


def _build(
    files: Mapping[bytes, tuple[int, ObjectID]], objects: dict[ObjectID, ShaFile]
) -> ObjectID:
    return _folder(((path.split(b"/"), each) for path, each in files.items()), objects)


def _folder(
    inside: Iterable[tuple[list[bytes], tuple[int, ObjectID]]], objects: dict[ObjectID, ShaFile]
) -> ObjectID:
    tree = GitTree()
    below: dict[bytes, list[tuple[list[bytes], tuple[int, ObjectID]]]] = {}
    for names, (mode, oid) in inside:
        if len(names) == 1:
            tree.add(names[0], mode, oid)
        else:
            below.setdefault(names[0], []).append((names[1:], (mode, oid)))
    for name, deeper in below.items():
        if name in tree:
            raise RebaseError(
                f"{name.decode('utf-8', 'replace')} is a file on one side and a folder on the other: both changed it"
            )
        tree.add(name, _FOLDER, _folder(deeper, objects))
    objects[tree.id] = tree
    return tree.id


def _oid(revision: Revision) -> ObjectID:
    return ObjectID(revision.encode())
