"""Make a commit out of another one and the files that shall be different; folders that stay are not read."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from stat import S_ISDIR
from typing import BinaryIO, cast

from dulwich.object_format import SHA1
from dulwich.object_store import BaseObjectStore
from dulwich.objects import Blob, Commit, ObjectID, ShaFile
from dulwich.objects import Tree as GitTree
from dulwich.pack import write_pack_objects

from mftgit.adapters.git.listing import list_folder
from mftgit.adapters.git.objects import get_commit
from mftgit.adapters.git.pack import PackError
from mftgit.adapters.git.quarantine import Quarantine
from mftgit.adapters.git.store import GitStore
from mftgit.errors import ConfigError
from mftgit.model.names import Revision
from mftgit.model.revisions.limits import Limits, beyond
from mftgit.model.revisions.safe_names import unsafe_name

_FILE, _FOLDER = 0o100644, 0o040000
_SPOOL_BYTES = 4 << 20

Files = Mapping[str, bytes | None]
"""Contents by path from the root, with ``/``; None for a file that goes."""


class EditError(ConfigError):
    """What shall change does not fit what is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """A commit to be made: ``files`` on top of the first of ``parents``.

    ``author`` and ``committer`` have the form ``Name <address>``.
    """

    parents: Sequence[Revision]
    files: Files
    message: str
    author: str
    committer: str
    now: datetime


def add_edit(store: GitStore, quarantine: Quarantine, edit: Edit, limits: Limits) -> Revision:
    """Put the commit and what is new in it into ``quarantine``, as if it had been pushed; return it.

    Raises:
        EditError: nothing would change, a path is none, a file that shall go is not there, or a folder has a file's
            place.
        PackError: it is beyond ``limits``.
        StoreError: the parent cannot be read.
    """
    split = {path: _split(path) for path in edit.files}
    objects: dict[ObjectID, ShaFile] = {}
    with store.repo() as repo:
        root = get_commit(repo.object_store, _oid(edit.parents[0])).tree
        inside = [(split[path], content) for path, content in edit.files.items()]
        tree = _edit_folder(repo.object_store, root, inside, objects, "")
    if tree == root and len(edit.parents) == 1:
        raise EditError("nothing would change: every file is as it was")
    commit = _commit(edit, tree or _add(objects, GitTree()))
    _add(objects, commit)
    with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as spool:
        write_pack_objects(spool, list(objects.values()), object_format=SHA1, deltify=False)
        if (size_bytes := spool.tell()) > limits.max_pack_bytes:
            raise PackError(beyond("max_pack_bytes", limits, size_bytes))
        quarantine.take(cast("BinaryIO", spool), limits)
    return Revision(commit.id.decode())


def _split(path: str) -> list[bytes]:
    """Return the names on the way, none of which leads elsewhere."""
    names = path.split("/")
    for name in names:
        if wrong := (unsafe_name(name) if name else "a name is empty"):
            raise EditError(f"{path[:200]!r} is no path of a file in the repository: {wrong}")
    return [name.encode() for name in names]


def _edit_folder(
    store: BaseObjectStore,
    oid: ObjectID | None,
    inside: Sequence[tuple[Sequence[bytes], bytes | None]],
    objects: dict[ObjectID, ShaFile],
    path: str,
) -> ObjectID | None:
    """Return the folder ``oid`` with what shall be different below it, None where nothing is left in it."""
    there = {name: (mode, child) for name, mode, child in list_folder(store, oid)}
    below: dict[bytes, list[tuple[Sequence[bytes], bytes | None]]] = {}
    for names, content in inside:
        below.setdefault(names[0], []).append((names[1:], content))
    for name, deeper in below.items():
        at = f"{path}{name.decode()}"
        mode, child = there.pop(name, (_FOLDER, None))
        is_file = not deeper[0][0]
        if (child is not None and S_ISDIR(mode) == is_file) or len({not n for n, _ in deeper}) > 1:
            raise EditError(f"{at} is a folder in one place and a file in the other")
        if is_file:
            mode, child = _FILE, _edit_file(child, deeper[0][1], objects, at)
        else:
            child = _edit_folder(store, child, deeper, objects, f"{at}/")
        if child is not None:
            there[name] = (mode, child)
    tree = GitTree()
    for name, (mode, child) in there.items():
        tree.add(name, mode, child)
    return _add(objects, tree) if there else None


def _edit_file(
    oid: ObjectID | None, content: bytes | None, objects: dict[ObjectID, ShaFile], path: str
) -> ObjectID | None:
    if content is not None:
        return _add(objects, Blob.from_string(content))
    if oid is None:
        raise EditError(f"{path} cannot be removed: it is not there")
    return None


def _add(objects: dict[ObjectID, ShaFile], found: ShaFile) -> ObjectID:
    objects[found.id] = found
    return found.id


def _commit(edit: Edit, tree: ObjectID) -> Commit:
    commit = Commit()
    commit.tree = tree
    commit.parents = [_oid(each) for each in edit.parents]
    commit.author, commit.committer = edit.author.encode(), edit.committer.encode()
    commit.author_time = commit.commit_time = int(edit.now.timestamp())
    commit.author_timezone = commit.commit_timezone = 0
    commit.encoding = b"UTF-8"
    commit.message = edit.message.rstrip("\n").encode() + b"\n"
    return commit


def _oid(revision: Revision) -> ObjectID:
    return ObjectID(revision.encode())
