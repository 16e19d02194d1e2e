"""Make the objects of a commit, and tell about one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from dulwich.objects import Blob, Commit, ObjectID, ShaFile
from dulwich.objects import Tree as GitTree

from mftgit.model.names import Revision

_FILE, _FOLDER = 0o100644, 0o040000


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One commit of the history; ``at`` is when it was committed, by the committer's clock."""

    revision: Revision
    author: str
    at: datetime
    subject: str


def make_commit(
    files: Mapping[str, bytes],
    *,
    parent: Revision | None,
    message: str,
    author: str,
    now: datetime,
) -> tuple[Commit, list[ShaFile]]:
    """Return a commit of exactly ``files``, by path with ``/``, and every object of it, itself included."""
    objects: list[ShaFile] = []
    commit = Commit()
    commit.tree = _add_tree({path.encode(): content for path, content in files.items()}, objects)
    commit.parents = [] if parent is None else [ObjectID(parent.encode())]
    commit.author = commit.committer = author.encode()
    commit.author_time = commit.commit_time = int(now.timestamp())
    commit.author_timezone = commit.commit_timezone = 0
    commit.encoding = b"UTF-8"
    commit.message = message.rstrip("\n").encode() + b"\n"
    return commit, [*objects, commit]


def log_entry(revision: Revision, commit: Commit) -> LogEntry:
    """Return what a list of commits shows."""
    subject = commit.message.decode("utf-8", "replace").partition("\n")[0]
    return LogEntry(
        revision=revision,
        author=commit.author.decode("utf-8", "replace"),
        at=datetime.fromtimestamp(commit.commit_time, tz=UTC),
        subject=subject,
    )


def _add_tree(files: Mapping[bytes, bytes], objects: list[ShaFile]) -> ObjectID:
    """Append the tree of ``files`` and everything below it to ``objects``; return its id."""
    tree = GitTree()
    folders: dict[bytes, dict[bytes, bytes]] = {}
    for path, content in files.items():
        name, slash, rest = path.partition(b"/")
        if slash:
            folders.setdefault(name, {})[rest] = content
        else:
            blob = Blob.from_string(content)
            objects.append(blob)
            tree.add(name, _FILE, blob.id)
    for name, inside in folders.items():
        tree.add(name, _FOLDER, _add_tree(inside, objects))
    objects.append(tree)
    return tree.id
